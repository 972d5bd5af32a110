"""Finds the actor of a job, makes one when there is something to do, and forgets it when it is parked.

Commands that tie jobs together (parents, dependents, handlers, deletion) pass one at a time, so that no two of them
close a cycle between them. A command once begun is carried out also when its asker leaves.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import trio

from kala_es import limits
from kala_es.actor import Reply
from kala_es.domain import commands as c
from kala_es.domain.declared import Declaration, Refused, Step
from kala_es.domain.due import wake_at
from kala_es.domain.errors import Conflict, Invalid, NotFound, Overloaded, Unavailable
from kala_es.domain.events import JobEvent, RequestAnswered
from kala_es.domain.graph import check_links, edges, has_edges
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import Job
from kala_es.domain.reactions import Reaction
from kala_es.runtime.declaring import parents_first, plan_declared, refuse_any
from kala_es.runtime.job_actor import Ask, Done, JobActor, Receipt, Site
from kala_es.runtime.together import Together
from kala_es.runtime.turns import Turns

Result = TypeVar("Result")
ReceiptFor = Callable[[Sequence[Step]], RequestAnswered | None]
"""The receipt for what was done, if one is wanted."""
_BEGINNING = c.CreateJob | c.StartRun | c.UpdateJob | c.EnableJob | c.ResumeJob
"""These may start runs, and are refused while stopping."""
_ENDING = c.ClearHistory | c.DeleteJob | c.DisableJob | c.PauseJob | c.CancelRun | c.ReportStatus
"""These are taken also when the disk has no room for new work."""
_SLICE = 500
"""So many jobs are deleted before others get their turn."""
_TURN = 200
"""So many jobs are asked to change together before others get theirs."""


class Registry:
    """The way to every job. `site` is given once the node is put together."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._actors: dict[JobId, JobActor] = {}
        self._links = trio.Lock()
        self._parked = trio.Event()
        self._creating: dict[JobId, trio.Event] = {}
        self.turns = Turns(self._answer_ticks)
        self.stopping = False

    @property
    def active(self) -> int:
        """How many actors have something to do."""
        return len(self._actors)

    async def ask(self, command: c.Command, principal: str = "", receipt: Receipt | None = None) -> Done:
        """Have a command carried out. Raises its Refusal, or ActorCrashed."""
        if isinstance(command, c.CreateJob | c.UpdateJob | c.DeleteJob) and self._ties(command):
            return await self.in_background(lambda: self._ask_alone(command, principal, receipt))
        return await self._ask(command, principal, receipt)

    def _ties(self, command: c.CreateJob | c.UpdateJob | c.DeleteJob) -> bool:
        if isinstance(command, c.DeleteJob):
            return True
        old = self._site.folds.jobs.get(command.job)
        return has_edges(command.spec) or command.spec.bounds.ephemeral or (old is not None and has_edges(old.spec))

    async def _ask_alone(
        self, command: c.CreateJob | c.UpdateJob | c.DeleteJob, principal: str, receipt: Receipt | None
    ) -> Done:
        jobs = self._site.folds.jobs
        async with self._links:
            if not isinstance(command, c.DeleteJob):
                check_links(command.job, command.spec, (jobs.by_id, jobs.graph))
            return await self._ask(command, principal, receipt)

    async def _ask(self, command: c.Command, principal: str, receipt: Receipt | None) -> Done:
        if self.stopping and isinstance(command, _BEGINNING):
            raise Unavailable("the node is stopping")
        while command.job in self._creating:
            await self._creating[command.job].wait()
        if isinstance(command, c.CreateJob) and self._site.folds.stats.jobs >= limits.MAX_JOBS:
            raise Overloaded(f"there are {limits.MAX_JOBS} jobs already")
        reply: Reply[Done] = Reply()
        new_work = not isinstance(command, _ENDING)
        self.put(Ask(command=command, principal=principal, receipt=receipt, needs_reserve=new_work, reply=reply))
        return await reply.wait()

    def tell(self, command: c.Command) -> None:
        """Have a command of our own carried out; it is not lost to a limit or a full disk."""
        self.put(Ask(command=command))

    def tick(self, job: JobId) -> None:
        """A tick of the job is due. One that has passed long ago waits for its job's turn."""
        state = self._site.folds.jobs.by_id.get(job)
        if state is not None and not self.stopping:
            self.turns.take(state, self._due(state), self._site.clock.now())

    def _due(self, job: Job) -> Instant:
        paused = self._site.folds.server_pause is not None
        return wake_at(job, server_paused=paused) or self._site.clock.now()

    def _answer_ticks(self, job: JobId) -> None:
        """While stopping it is left to the next start, which makes it up."""
        state = self._site.folds.jobs.by_id.get(job)
        if state is None or self.stopping:
            return
        gap = self.turns.gap(job, lambda: self._due(state))
        command = c.AnswerTicks(job=job, at=self._site.clock.now(), gap=gap)
        self.put(Ask(command=command, needs_reserve=gap is None))

    def begin_late(self, jobs: Sequence[JobId]) -> None:
        """The node starts, and the last stop left ticks of these jobs open: they are answered in turn."""
        self.turns.begin(self._site.clock.now(), jobs)
        for job in jobs:
            self.tick(job)

    def cancel_for_stop(self, job: JobId, run: RunId) -> None:
        """End a run because the node stops."""
        self.tell(c.CancelRun(job=job, at=self._site.clock.now(), run=run))

    async def idle(self) -> None:
        """Until no actor has anything to do."""
        if self._actors:
            await self.parked()

    async def parked(self) -> None:
        """Until the next time that the last busy actor has nothing more to do."""
        await self._parked.wait()

    def react(self, reaction: Reaction) -> None:
        """Carry out what an event made due."""
        self.again(Ask(command=reaction))

    def again(self, ask: Ask) -> None:
        """Bring a command of our own to its job. While stopping, runs are left to the next start, which finds them."""
        if not (self.stopping and isinstance(ask.command, c.StartRun)):
            self.put(ask)

    def put(self, ask: Ask) -> None:
        """Bring a command to its job's actor."""
        job = ask.command.job
        actor = self._actors.get(job)
        if actor is None:
            actor = self._actors[job] = JobActor(job, self._site, lambda: self._forget(job))
        actor.put(ask)

    def _forget(self, job: JobId) -> None:
        self._actors.pop(job, None)
        if not self._actors:
            self._parked.set()
            self._parked = trio.Event()

    async def in_background(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Carry out work of several steps whole, whether or not its asker stays."""
        reply: Reply[Result] = Reply()

        async def run() -> None:
            try:
                reply.set(await work())
            except Exception as error:
                reply.fail(error)

        self._site.nursery.start_soon(run)
        return await reply.wait()

    async def create_all(
        self, commands: Sequence[c.CreateJob], principal: str = "", receipt: RequestAnswered | None = None
    ) -> Done:
        """Create new jobs, all or none, in one commit. Raises Refusal; Invalid names the job by its place."""
        return await self.in_background(lambda: self._create_all(commands, principal, receipt))

    async def _create_all(
        self, commands: Sequence[c.CreateJob], principal: str, receipt: RequestAnswered | None
    ) -> Done:
        if self.stopping:
            raise Unavailable("the node is stopping")
        site, done = self._site, trio.Event()
        async with self._links:
            self._refuse_known(commands)
            self._creating.update((command.job, done) for command in commands)
            try:
                events = await self._decide_all(commands)
                facts = (*events, receipt) if receipt else events
                position = await site.writer.append(facts, principal, needs_reserve=True, may_wait=False)
                return Done(position, events)
            finally:
                done.set()
                for command in commands:
                    self._creating.pop(command.job, None)

    def _refuse_known(self, commands: Sequence[c.CreateJob]) -> None:
        if self._site.folds.stats.jobs + len(commands) > limits.MAX_JOBS:
            raise Overloaded(f"there would be more than {limits.MAX_JOBS} jobs")
        mine = {command.job for command in commands}
        seen: set[JobId] = set()
        for i, command in enumerate(commands):
            if command.job in seen:
                raise Invalid(f"[{i}].id", f"{command.job!r} is given twice")
            seen.add(command.job)
            if has_edges(command.spec) and mine.intersection((*(command.spec.parents or ()), *edges(command.spec))):
                raise Invalid(f"[{i}]", "a request cannot tie the jobs that it creates together; create one first")
            if self._site.folds.jobs.by_id.get(command.job) is not None or command.job in self._actors:
                raise Conflict(f"[{i}].id: there is a job {command.job!r} already")

    async def _decide_all(self, commands: Sequence[c.CreateJob]) -> tuple[JobEvent, ...]:
        events: list[JobEvent] = []
        jobs = self._site.folds.jobs
        for i, command in enumerate(commands):
            try:
                if has_edges(command.spec):
                    check_links(command.job, command.spec, (jobs.by_id, jobs.graph))
                events += self._site.decide(None, command)
            except Invalid as error:
                raise Invalid(f"[{i}].{error.field}", error.reason, error.column) from None
            if i % 200 == 199:
                await trio.lowlevel.checkpoint()
        return tuple(events)

    async def apply(
        self, declaration: Declaration, refused: Sequence[Refused], *, principal: str, receipt: ReceiptFor
    ) -> list[Step]:
        """Make jobs as declared, all or none, in one commit. Raises Refusal; nothing else ties jobs meanwhile.

        `refused` are faults that are known already. With a dry run, what is refused is a step as well.
        """
        return await self.in_background(lambda: self._apply(declaration, refused, principal=principal, receipt=receipt))

    async def _apply(
        self, declaration: Declaration, refused: Sequence[Refused], *, principal: str, receipt: ReceiptFor
    ) -> list[Step]:
        if self.stopping:
            raise Unavailable("the node is stopping")
        async with self._links:
            planned = await plan_declared(self._site, declaration, refused)
            if not declaration.dry_run:
                refuse_any(planned.steps)
                await self._together(parents_first(planned.commands), principal, receipt(planned.steps))
        return planned.steps

    async def _together(
        self, commands: Sequence[c.Command], principal: str, receipt: RequestAnswered | None = None
    ) -> None:
        """Have commands, each to another job, carried out in one commit, and a receipt recorded with it."""
        if receipt and not commands:
            await self._site.writer.append((receipt,), principal, may_wait=False)
        new_work = any(not isinstance(command, _ENDING) for command in commands)
        jobs = [command.job for command in commands]
        together = Together(self._site.writer, jobs, needs_reserve=new_work, receipt=receipt)
        replies: list[Reply[Done]] = []
        try:
            for i, command in enumerate(commands, 1):
                replies.append(Reply())
                self.put(Ask(command=command, principal=principal, reply=replies[-1], together=together))
                if i % _TURN == 0:
                    await trio.lowlevel.checkpoint()
        except Overloaded as error:
            together.fail(error)
            raise
        for reply in replies:
            await reply.wait()

    async def delete_all(self, jobs: Sequence[JobId], principal: str = "") -> None:
        """Delete these jobs; those that are gone by then are skipped."""
        async with self._links:
            for i in range(0, len(jobs), _SLICE):
                await self._delete_slice(jobs[i : i + _SLICE], principal)

    async def _delete_slice(self, jobs: Sequence[JobId], principal: str) -> None:
        replies: list[Reply[Done]] = []
        for job in jobs:
            replies.append(Reply())
            command = c.DeleteJob(job=job, at=self._site.clock.now())
            self.put(Ask(command=command, principal=principal, reply=replies[-1]))
        for reply in replies:
            with suppress(NotFound):
                await reply.wait()

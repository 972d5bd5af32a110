"""A job's actor: decides on commands one at a time, makes the facts durable, then acts on them.

1. Nothing is told and no process starts before its event is durable.
2. The state that it decides on is the fold of the job's events; no one else writes to the job's stream but
   the agent's output.
3. A bug while a command is handled is this job's matter: it is recorded, the caller gets ActorCrashed, and the
   job's state is read from the log again.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import trio

from kala_es import codec, limits
from kala_es.actor import Actor, Reply
from kala_es.clock import Clock
from kala_es.domain import events as e
from kala_es.domain.commands import AnswerTicks, Command, EndAttempt, ImportRuns, RecordCrash, StartRun, under
from kala_es.domain.due import wake_at
from kala_es.domain.errors import ActorCrashed, LogFull, Refusal
from kala_es.domain.ids import JobId
from kala_es.domain.job import decide, evolve
from kala_es.domain.model import Job
from kala_es.domain.placement import Decide as Decide
from kala_es.domain.reactions import is_due
from kala_es.domain.values import replace as change
from kala_es.event_log import EventLog
from kala_es.projections.folds import OF_NO_JOB, Folds
from kala_es.runtime.base import job_at
from kala_es.runtime.imported_runs import news, recorded
from kala_es.runtime.log_writer import LogWriter
from kala_es.runtime.timetable import Timetable
from kala_es.runtime.together import Together

_READ_PAGE = 1_000
_CRASH_PAUSE_SECONDS = 10.0
_FULL_PAUSE_SECONDS = 1.0
"""A tick that a full disk does not let start is asked for again after this; it is not lost."""
Receipt = e.RequestAnswered | Callable[[Job | None], e.RequestAnswered | None]
"""What is recorded as the answer. One that tells of the job is made of what the job will be."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to: the facts, and a position by which all of them can be read."""

    position: int
    events: tuple[e.JobEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A command on its way to its job. `receipt` is recorded in the same commit as what the command does.

    With `needs_reserve` it is new work, refused when the disk is nearly full. With `together` it is recorded in one
    commit with what is asked of other jobs, or not at all.
    """

    command: Command
    principal: str = ""
    receipt: Receipt | None = None
    needs_reserve: bool = False
    reply: Reply[Done] | None = None
    together: Together | None = None

    def fail(self, error: Exception) -> None:
        """Tell who waits for it that nothing comes of it."""
        if self.together is not None:
            self.together.fail(error)
        if self.reply is not None:
            self.reply.fail(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What all actors of a node share. `act` orders and cancels attempts, `settle` hears that an attempt's end is
    recorded, `complain` takes a line for the operator, `again` a command to be brought to its job's actor once more,
    `notices` says which notices a job's facts call for; they are recorded in the same commit."""

    nursery: trio.Nursery
    clock: Clock
    log: EventLog
    writer: LogWriter
    folds: Folds
    timetable: Timetable
    act: Callable[[Job, Sequence[e.JobEvent], int], None]
    settle: Callable[[tuple[str, int]], None]
    complain: Callable[[str], None]
    again: "Callable[[Ask], None]"
    decide: Decide = decide
    notices: Callable[[Job | None, Sequence[e.JobEvent]], tuple[e.NoticeEvent, ...]] = lambda _, __: ()


class _ActFailed(Exception):
    """A bug met when the facts were durable already: the command is not to be repeated."""

    def __init__(self, bug: Exception) -> None:
        super().__init__(str(bug))
        self.bug = bug


class JobActor:
    """One job's actor. `on_parked` is called when its mailbox is empty."""

    __slots__ = ("_actor", "_job", "_site")

    def __init__(self, job: JobId, site: Site, on_parked: Callable[[], None]) -> None:
        self._job = job
        self._site = site
        self._actor = Actor(site.nursery, self._handle, on_parked)

    def put(self, ask: Ask) -> None:
        """Take a command. Raises Overloaded when too many of its kind wait; commands of our own always find room."""
        self._actor.put(ask, limits.MAX_MAILBOX if ask.reply is not None else None)

    async def _handle(self, ask: Ask) -> None:
        try:
            done = await self._carry_out(ask)
        except Refusal as refusal:
            self._refuse(ask, refusal)
        except _ActFailed as failed:
            await self._crash(ask, failed.bug, again=False)
        except Exception as bug:  # the actor's supervision: a bug must not reach other jobs
            await self._crash(ask, bug, again=ask.reply is None and not isinstance(ask.command, AnswerTicks))
        else:
            if ask.reply is not None:
                ask.reply.set(done)

    def _refuse(self, ask: Ask, refusal: Refusal) -> None:
        if ask.reply is not None:
            ask.fail(refusal)
        elif isinstance(ask.command, AnswerTicks) and isinstance(refusal, LogFull):
            self._site.timetable.hold(self._job, _FULL_PAUSE_SECONDS)
            plan(self._site.timetable, self._site.folds, self._job)
        else:
            self._site.complain(f"job {self._job!r}: {type(ask.command).__name__} refused: {refusal.reason}")

    async def _carry_out(self, ask: Ask) -> Done:
        site = self._site
        if isinstance(ask.command, StartRun) and not is_due(site.folds.trees, ask.command):
            return Done(site.folds.position, ())
        if isinstance(ask.command, ImportRuns):
            ask = replace(ask, command=news(site.folds, ask.command))
        before = site.folds.jobs.by_id.get(self._job)
        events = site.decide(before, under(ask.command, server_paused=site.folds.server_pause is not None))
        facts: tuple[e.Event, ...] = (*recorded(ask.command, events), *site.notices(before, events))
        facts = (*facts, *_answer(ask.receipt, before, events))
        position = site.folds.position
        if ask.together is not None:
            position = await ask.together.append(self._job, facts, ask.principal)
        elif facts:
            position = await site.writer.append(
                facts, ask.principal, needs_reserve=ask.needs_reserve, may_wait=ask.reply is None
            )
        if isinstance(ask.command, EndAttempt):
            site.settle((ask.command.run, ask.command.attempt))
        job = site.folds.jobs.by_id.get(self._job)
        if job is not None and events:
            self._act(job, events, position)
        if isinstance(ask.command, AnswerTicks):
            plan(site.timetable, site.folds, self._job)
        return Done(position, events)

    def _act(self, job: Job, events: tuple[e.JobEvent, ...], position: int) -> None:
        """Have attempts started and cancelled. A run that a bug keeps from the agent is ended: nobody else would."""
        try:
            self._site.act(job, events, position)
        except Exception as bug:
            for run in job.runs:
                if any(
                    isinstance(x, e.RunStarted | e.AttemptFailed | e.AttemptStarted) and x.run == run.id for x in events
                ):
                    end = EndAttempt(
                        job=job.id,
                        at=self._site.clock.now(),
                        run=run.id,
                        attempt=run.attempt,
                        outcome="failed",
                        reason=f"it could not be ordered: {bug!r}",
                        final=True,
                    )
                    self._site.again(Ask(command=end))
            raise _ActFailed(bug) from bug

    async def _crash(self, ask: Ask, bug: Exception, *, again: bool) -> None:
        site = self._site
        site.complain(f"job {self._job!r}: its actor crashed:\n{''.join(traceback.format_exception(bug))}")
        now = site.clock.now()
        if isinstance(ask.command, AnswerTicks):
            site.timetable.hold(self._job, _CRASH_PAUSE_SECONDS)
        await self._reread()
        record = RecordCrash(job=self._job, at=now, error=f"{type(bug).__name__}: {bug}")
        try:
            await site.writer.append(decide(None, record))
        except Refusal as refusal:
            self._refuse(Ask(command=record), refusal)
        if again:
            site.nursery.start_soon(self._bring_again, ask)
        if ask.reply is not None:
            ask.fail(ActorCrashed(f"a fault in the job {self._job!r}; it has been recorded"))

    async def _bring_again(self, ask: Ask) -> None:
        """Nobody else repeats a command of our own."""
        await self._site.clock.sleep(_CRASH_PAUSE_SECONDS)
        if isinstance(ask.command, StartRun):
            ask = replace(ask, command=change(ask.command, at=self._site.clock.now()))
        self._site.again(ask)

    async def _reread(self) -> None:
        """The job's state as the base and its stream tell it."""
        site = self._site
        state, position = await job_at(site.log, site.folds, self._job)
        while page := await site.log.read(position, limit=_READ_PAGE, stream=codec.job_stream(self._job)):
            for record in page:
                event = codec.decode(record)
                assert not isinstance(event, OF_NO_JOB)
                state = evolve(state, event)
            position = page[-1].position
        site.folds.jobs.put(self._job, site.folds.jobs.by_id.get(self._job), state)


def _answer(receipt: Receipt | None, before: Job | None, events: Sequence[e.JobEvent]) -> tuple[e.RequestAnswered, ...]:
    if receipt is not None and not isinstance(receipt, e.RequestAnswered):
        receipt = receipt(reduce(evolve, events, before))
    return (receipt,) if receipt else ()


def plan(timetable: Timetable, folds: Folds, job_id: JobId) -> None:
    """Put the job's next moment into the timetable, or take it out."""
    job = folds.jobs.by_id.get(job_id)
    paused = folds.server_pause is not None
    timetable.plan(job_id, None if job is None else wake_at(job, server_paused=paused))

"""The node as its edge sees it: what can be asked, and what can be read.

Commands go to the jobs' actors; readings are frozen values from the folds, and output comes from the log.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import uuid4
from weakref import finalize

import trio

from kala_es import limits
from kala_es.clock import Clock
from kala_es.domain import commands as c
from kala_es.domain.declared import Declaration, Refused, Step, command_for, meant_for
from kala_es.domain.errors import Forbidden, Invalid, NotFound, Overloaded, Unavailable
from kala_es.domain.events import RequestAnswered, ServerPaused, ServerResumed
from kala_es.domain.ids import Instant, JobId, RunId, job_for_key, run_for_key
from kala_es.domain.labels import Labels
from kala_es.domain.model import Job, JobDraft, JobSpec
from kala_es.domain.notify import Target
from kala_es.domain.plan import schedule_of
from kala_es.domain.remote_call import check_call
from kala_es.domain.retention import ALL, Kept
from kala_es.domain.tick_list import TickList, TickOutcome
from kala_es.domain.tick_policy import PauseDraft
from kala_es.event_log import EventLog, LogAway
from kala_es.event_logs.postgres_place import Place
from kala_es.projections.folds import Folds
from kala_es.projections.runs import RunSummary
from kala_es.replay.moments import Moment, Replay
from kala_es.runtime.admission import Admission
from kala_es.runtime.archives import Archives
from kala_es.runtime.asking import Answer as Answer
from kala_es.runtime.asking import Key as Key
from kala_es.runtime.asking import Origin as Origin
from kala_es.runtime.asking import receipt_of
from kala_es.runtime.broadcaster import Broadcaster
from kala_es.runtime.compaction import Compact, compact_running
from kala_es.runtime.janitor import Janitor
from kala_es.runtime.job_actor import Done
from kala_es.runtime.job_history import JobHistory
from kala_es.runtime.log_reader import LogReader
from kala_es.runtime.meters import Meters
from kala_es.runtime.projector import Projector
from kala_es.runtime.redaction import Redactor
from kala_es.runtime.registry import Registry
from kala_es.runtime.run_import import RunImporter
from kala_es.runtime.server_pause import ServerPause
from kala_es.runtime.tick_reader import read_ticks
from kala_es.runtime.timetable import Timetable

Validate = Callable[[JobId, JobSpec], Awaitable[str]]
"""Asks a remote job's other side whether it wants it; "" for yes, else why not."""
_TURN_SECONDS: Final = 0.05
"""Who waits for a turn to look at the past asks so often whether it has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What this node allows. `runs_kept_seconds` None shows runs for ever; `kept` is what is kept of them; `notify` is
    for jobs that name nobody; `tags` are the node's own."""

    local_jobs: bool = True
    delete_all: bool = True
    runs_kept_seconds: float | None = None
    notify: tuple[Target, ...] = ()
    kept: Kept = ALL
    tags: Labels = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a scheduler is made of; the node puts it together."""

    clock: Clock
    log: EventLog
    folds: Folds
    registry: Registry
    projector: Projector
    broadcaster: Broadcaster
    timetable: Timetable
    pause: ServerPause
    meters: Meters
    validate: Validate
    admission: Admission
    rules: Rules
    look_back: Callable[[Moment], Replay]
    redactor: Redactor
    janitor: Janitor
    compact: Compact | None = None
    place: Place | None = None
    directory: Path | None = None
    left_out: int = 0


class Scheduler:
    """Commands raise a Refusal (domain/errors.py) or ActorCrashed; what they did is durable when they return."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.clock = parts.clock
        self.folds = parts.folds
        self.broadcaster = parts.broadcaster
        self.rules = parts.rules
        self.meters = parts.meters
        self.executors = parts.admission.executors
        self._looking_back = 0
        self.history = JobHistory(parts.log, parts.folds.runs)
        self.archives = Archives(parts.place, parts.directory)
        self.reader = LogReader(parts.log, parts.folds, left_out=parts.left_out)
        self.importer = RunImporter(parts.folds, parts.registry, parts.clock)

    # Commands

    def new_job_id(self, key: Key | None = None, index: int = 0) -> JobId:
        """A fresh id; with a key the same one each time, so that a repetition makes no second job."""
        return job_for_key(key.key, index) if key else JobId(str(uuid4()))

    async def create(self, draft: JobDraft, origin: Origin, *, unasked: bool = False, unknown: bool = False) -> Done:
        """Create the job, or replace the one that has its id; if `unknown`, there must be none. If `unasked`, a remote
        job's other side is not asked."""
        assert draft.id is not None
        await (self._admit_edit(draft) if unasked else self._admit(draft.id, draft.spec))
        command = c.CreateJob(
            job=draft.id,
            at=self.clock.now(),
            spec=draft.spec,
            disabled=draft.disabled,
            counters=draft.counters,
            unknown=unknown,
        )
        return await self._ask(command, origin)

    async def create_all(self, jobs: Sequence[JobDraft], origin: Origin) -> Done:
        """Create new jobs, all or none."""
        now = self.clock.now()
        commands: list[c.CreateJob] = []
        for i, draft in enumerate(jobs):
            assert draft.id is not None
            if draft.spec.kind == "remote":
                raise Invalid(f"[{i}].type", "remote jobs are validated one by one; create them one by one")
            try:
                await self._admit(draft.id, draft.spec)
            except Invalid as error:
                raise Invalid(f"[{i}].{error.field}", error.reason, error.column) from None
            commands.append(
                c.CreateJob(job=draft.id, at=now, spec=draft.spec, disabled=draft.disabled, counters=draft.counters)
            )
        return await self._parts.registry.create_all(commands, origin.principal, self._receipt(origin))

    async def apply(
        self, declaration: Declaration, origin: Origin, granted: Callable[[Sequence[Step]], Answer] | None = None
    ) -> list[Step]:
        """Make jobs as declared, all or none; what became of each. With a dry run, what would.

        `granted` makes the answer that is recorded for the request's key.
        """

        def receipt(steps: Sequence[Step]) -> RequestAnswered | None:
            return self._receipt(replace(origin, answer=granted(steps))) if origin.key and granted else None

        refused: list[Refused] = []
        for draft in declaration.jobs:
            assert draft.id is not None
            try:
                asked_before = declaration.begun or self.folds.jobs.get(draft.id)
                await (self._admit_edit(draft) if asked_before else self._admit(draft.id, draft.spec))
            except (Invalid, Forbidden) as error:
                field = error.field if isinstance(error, Invalid) else "type"
                refused.append(Refused(job=draft.id, field=field, reason=error.reason))
        return await self._parts.registry.apply(declaration, refused, principal=origin.principal, receipt=receipt)

    async def _admit(self, job: JobId, spec: JobSpec) -> None:
        if spec.kind == "local" and not self.rules.local_jobs:
            raise Forbidden("local jobs are disabled")
        await self._parts.admission.check(spec)
        if spec.kind == "remote" and spec.remote.url:
            check_call(spec.remote)  # before a file that it names is read
            reason = await self._parts.validate(job, spec)
            if reason:
                raise Forbidden(f"the remote side did not accept the job: {reason}")

    async def update(self, draft: JobDraft, origin: Origin, *, instead_of: tuple[str, ...] | None = None) -> Done:
        """Replace the definition of the job `draft.id`; if given, one that has one of these tags."""
        assert draft.id is not None
        await self._admit_edit(draft)
        at, spec = self.clock.now(), draft.spec
        command = c.UpdateJob(job=draft.id, at=at, spec=spec, disabled=draft.disabled, instead_of=instead_of)
        return await self._ask(command, origin)

    async def _admit_edit(self, draft: JobDraft) -> None:
        """The other side of a remote job was asked when it was created."""
        if draft.spec.kind == "local" and not self.rules.local_jobs:
            raise Forbidden("local jobs are disabled")
        await self._parts.admission.check(draft.spec)

    async def revert(
        self,
        draft: JobDraft,
        origin: Origin,
        granted: Callable[[Job], Answer],
        *,
        instead_of: tuple[str, ...] | None = None,
        unknown: bool = False,
    ) -> Done:
        """Bring an earlier definition back; `granted` makes the answer that is recorded for the request's key.

        If `instead_of` is given, there must be a job that has one of these tags; if `unknown`, there must be none.
        """
        assert draft.id is not None

        def receipt(after: Job | None) -> RequestAnswered | None:
            return self._receipt(replace(origin, answer=granted(after))) if after else None

        await (self._admit_edit(draft) if self.folds.jobs.get(draft.id) else self._admit(draft.id, draft.spec))
        asked = Declaration(jobs=(draft,), begun=True), self.clock.now()
        command = meant_for(command_for(draft, self.folds.jobs.get(draft.id), asked), instead_of, unknown=unknown)
        return await self._parts.registry.ask(command, origin.principal, receipt)

    async def replace_body(self, job: JobId, body: str, origin: Origin) -> Done:
        """Replace a remote job's request body."""
        return await self._ask(c.ReplaceBody(job=job, at=self.clock.now(), body=body), origin)

    async def enable(self, job: JobId, origin: Origin) -> Done:
        """Let the job's ticks start runs. Idempotent."""
        return await self._ask(c.EnableJob(job=job, at=self.clock.now()), origin)

    async def disable(self, job: JobId, origin: Origin) -> Done:
        """Let nothing start the job. Idempotent."""
        return await self._ask(c.DisableJob(job=job, at=self.clock.now()), origin)

    async def pause(self, job: JobId | None, asked: PauseDraft, origin: Origin) -> None:
        """Skip the ticks of the job, or (None) of all jobs. Idempotent."""
        at, by = self.clock.now(), origin.principal
        if job is None:
            event = ServerPaused(at=at, until=asked.until, reason=asked.reason, by=by)
            await self._parts.pause.pause(event, self._receipt(origin))
        else:
            await self._ask(c.PauseJob(job=job, at=at, until=asked.until, reason=asked.reason, by=by), origin)

    async def resume(self, job: JobId | None, origin: Origin) -> None:
        """End the pause of the job, or (None) of the server. Idempotent."""
        at, by = self.clock.now(), origin.principal
        if job is None:
            await self._parts.pause.resume(ServerResumed(at=at, by=by), self._receipt(origin))
        else:
            await self._ask(c.ResumeJob(job=job, at=at, by=by), origin)

    async def delete(self, job: JobId, origin: Origin) -> Done:
        """Delete the job, with the children that have no other parent."""
        jobs = self.folds.jobs
        family = jobs.graph.family(job)
        done = await self._ask(c.DeleteJob(job=job, at=self.clock.now()), origin)
        await self._parts.projector.until(
            lambda: not any(jobs.get(each) is None and jobs.graph.children(each) for each in family)
        )
        return done

    async def delete_all(self, origin: Origin) -> None:
        """Delete every job."""
        if not self.rules.delete_all:
            raise Forbidden("deleting all jobs is disabled")
        await self._parts.registry.in_background(lambda: self._delete_all(origin))

    async def _delete_all(self, origin: Origin) -> None:
        await self._parts.registry.delete_all(list(self.folds.jobs.ids()), origin.principal)

    def new_run_id(self, job: JobId, key: Key | None = None) -> RunId:
        """A fresh id; with a key the same one each time, unless that run was so long ago that the key is forgotten."""
        run = run_for_key(job, key.key) if key else RunId(str(uuid4()))
        earlier = self.folds.runs.get(run)
        return run if earlier is None or earlier.outcome is None else RunId(str(uuid4()))

    async def start(self, job: JobId, run: RunId, origin: Origin, *, force: bool = False) -> Done:
        """Start a run by hand; with `force` also of a disabled job, and beside a run that it should not overlap."""
        command = c.StartRun(job=job, at=self.clock.now(), run=run, cause="manual", root=run, force=force)
        return await self._ask(command, origin)

    async def tree_end(self, run: RunId) -> None:
        """Until the run, and all that its end causes, are over."""
        await self._parts.projector.tree_end(run)

    async def cancel(self, run: RunId, origin: Origin) -> Done:
        """End a run in flight. Raises Conflict when it is over."""
        summary = self.run(run)
        return await self._ask(c.CancelRun(job=summary.job, at=self.clock.now(), run=run), origin)

    async def report_status(self, run: RunId, status: str, origin: Origin) -> Done:
        """Record what a client says of a run."""
        summary = self.run(run)
        command = c.ReportStatus(job=summary.job, at=self.clock.now(), run=run, status=status)
        return await self._ask(command, origin)

    async def redact(self, run: RunId, reason: str, origin: Origin) -> None:
        """Erase what a run that is over has printed, also when the asker leaves. Idempotent."""
        redactor = self._parts.redactor
        await self._parts.registry.in_background(lambda: redactor.redact(run, reason, origin.principal))

    async def clear(self, job: JobId, origin: Origin) -> None:
        """Forget the job's runs that have ended, and count anew. It is durable at once; what is long goes on after."""
        await self._ask(c.ClearHistory(job=job, at=self.clock.now()), origin)
        await self._parts.janitor.cleared(job)

    async def compact(self) -> tuple[int, int]:
        """Make the log's file smaller where something was erased; its size in bytes before and after."""
        return await self._parts.registry.in_background(lambda: compact_running(self._parts.compact))

    async def _ask(self, command: c.Command, origin: Origin) -> Done:
        return await self._parts.registry.ask(command, origin.principal, self._receipt(origin))

    # Idempotency

    def _receipt(self, origin: Origin) -> RequestAnswered | None:
        return receipt_of(origin, self.clock.now())

    def answered(self, key: Key) -> Answer | None:
        """The first answer to this key. Raises Invalid when the key was used for another request."""
        first = self.folds.receipts.get(key.key)
        if first is None:
            return None
        if first.fingerprint != key.fingerprint:
            raise Invalid("Idempotency-Key", "this key was used for a different request")
        return Answer(status=first.status, headers=first.headers, body=first.body)

    # Readings

    def job(self, job: JobId) -> Job:
        """The job. Raises NotFound."""
        found = self.folds.jobs.get(job)
        if found is None:
            raise NotFound(f"there is no job {job!r}")
        return found

    def jobs(self, *, after: str = "", limit: int | None = None) -> list[Job]:
        """Jobs in order of id, those after `after`, all or at most `limit`."""
        return list(islice(self.folds.jobs.after(after), limit))

    def run(self, run: RunId) -> RunSummary:
        """A run's summary, also of a deleted job. Raises NotFound."""
        summary = self.folds.runs.get(run)
        if summary is None or self._expired(summary):
            raise NotFound(f"there is no run {run!r}")
        return summary

    def _expired(self, run: RunSummary) -> bool:
        kept = self.rules.runs_kept_seconds
        return kept is not None and run.ended is not None and run.ended + kept * 1e6 < self.clock.now()

    def next_ticks(self, job: JobId, count: int) -> list[Instant]:
        """The job's next ticks, at most `count`. Raises NotFound."""
        state = self.job(job)
        schedule = schedule_of(state.spec, state.planned, state.id)
        ticks: list[Instant] = []
        tick = state.next_tick
        while schedule and tick is not None and len(ticks) < count:
            ticks.append(tick)
            tick = schedule.next_after(tick)
        return ticks

    async def ticks(self, job: JobId, *, within: tuple[Instant, Instant], most: int) -> list[TickOutcome]:
        """The job's ticks t with since <= t < until, the first `most`, each with its outcome."""
        wanted = TickList(since=within[0], until=within[1], most=most)
        return await read_ticks(self._parts.log, self.folds.jobs, job, wanted=wanted, now=self.clock.now())

    async def past(self, moment: Moment, *, patience: float = 0.0) -> Folds:
        """The folds of memory as they were, a step at a time, after so many seconds of waiting for a turn at most.

        They count as long as anybody has them: a list is written while its client reads it. Raises NotKnown,
        Overloaded, Unavailable.
        """
        with trio.move_on_after(patience):
            while self._looking_back >= limits.MAX_MOMENTS:  # noqa: ASYNC110 - the collector tells, in any thread
                await trio.sleep(_TURN_SECONDS)
        if self._looking_back >= limits.MAX_MOMENTS:
            raise Overloaded(f"{limits.MAX_MOMENTS} moments of the past are looked at already")
        replay = self._parts.look_back(moment)
        self._looking_back += 1
        finalize(replay.folds, self._looked_back)
        try:
            for _ in replay.steps():
                await trio.lowlevel.checkpoint()
        except LogAway as error:
            raise Unavailable(str(error)) from error
        return replay.folds

    def _looked_back(self) -> None:
        self._looking_back -= 1

    def first_tick(self) -> Instant | None:
        """When the next run or attempt of all is due."""
        return self._parts.timetable.first()

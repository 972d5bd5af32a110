"""Whether a run starts: the limit of a job's runs in flight, and its policy for runs that would overlap.

While a run of the job is in flight, another one
    allow     starts beside it
    skip      is skipped, with the reason; a manual one is refused
    queue     waits: a tick stays unanswered and a dependent's step stays due until nothing is in flight; a manual one
              is refused, for its asker can wait better than we can
    replace   waits as well, and what is in flight is cancelled; a manual one is refused

A manual one that is forced starts beside what is in flight, and though its job is disabled.
"""

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.commands import StartRun
from kala_es.domain.errors import Conflict, Overloaded
from kala_es.domain.ids import Instant
from kala_es.domain.model import Job, SkipReason
from kala_es.domain.tick_policy import Covered
from kala_es.domain.values import replace
from kala_es.domain.waiting import give_up


def start(job: Job, command: StartRun) -> tuple[e.JobEvent, ...]:
    """What an ask for a run comes to. Raises Overloaded, Conflict."""
    if job.run(command.run) is not None:
        return ()
    if command.cause == "manual" and (command.force or not job.disabled):
        _check_manual(job, command)
    if must_wait(job) and not job.disabled and not command.force:
        return make_way(job, command.at)
    return (begin(job, command),)


def _check_manual(job: Job, command: StartRun) -> None:
    if len(job.runs) >= limits.MAX_RUNS_IN_FLIGHT:
        raise Overloaded(f"{limits.MAX_RUNS_IN_FLIGHT} runs of the job {job.id!r} are in flight")
    if job.runs and job.spec.ticks.overlap != "allow" and not command.force:
        raise Conflict(f"a run of the job {job.id!r} is in flight, and its overlap is {job.spec.ticks.overlap!r}")


def lets_wait(job: Job) -> bool:
    """Whether its ticks wait while a run is in flight."""
    return job.spec.ticks.overlap in ("queue", "replace")


def must_wait(job: Job) -> bool:
    """Whether what would start now waits for the end of what is in flight."""
    return bool(job.runs) and lets_wait(job)


def freed(job: Job, at: Instant) -> Job:
    """The job when a run of it has ended: from now on nothing holds up its ticks, if it was the last in flight."""
    return replace(job, freed=at) if lets_wait(job) and not job.runs else job


def make_way(job: Job, at: Instant, tick: Instant | None = None) -> tuple[e.JobEvent, ...]:
    """What is in flight is cancelled, if it is to be replaced."""
    if job.spec.ticks.overlap != "replace":
        return ()
    return tuple(
        e.CancelRequested(job=job.id, at=at, run=run.id, tick=tick)
        if run.retry_at is None
        else give_up(job, run, at, reason="another run takes its place")
        for run in job.runs
        if run.status != "cancelling"
    )


def hindrance(job: Job, *, force: bool = False) -> SkipReason | None:
    """Why nothing starts now; None if it does."""
    if job.disabled and not force:
        return "disabled"
    if len(job.runs) >= limits.MAX_RUNS_IN_FLIGHT:
        return "too many runs in flight"
    if force:
        return None
    return "overlap" if job.runs and job.spec.ticks.overlap == "skip" else None


def begin(job: Job, command: StartRun, *, tick: Instant | None = None, covers: Covered | None = None) -> e.JobEvent:
    """The run starts, or is skipped with the reason."""
    reason = hindrance(job, force=command.force)
    if reason is not None:
        return skip(job, command, reason, tick=tick)
    return e.RunStarted(
        job=job.id,
        at=command.at,
        run=command.run,
        cause=command.cause,
        root=command.root,
        tick=tick,
        after=command.after,
        kind=job.spec.kind,
        covers=covers,
    )


def skip(job: Job, command: StartRun, reason: SkipReason, *, tick: Instant | None) -> e.RunSkipped:
    """The run is skipped."""
    return e.RunSkipped(
        job=job.id,
        at=command.at,
        run=command.run,
        cause=command.cause,
        reason=reason,
        root=command.root,
        tick=tick,
        after=command.after,
    )

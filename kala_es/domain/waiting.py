"""Runs that wait for their next attempt: what begins it, and what ends them without one."""

from kala_es.domain import events as e
from kala_es.domain.ids import Instant
from kala_es.domain.model import Job, Run


def begin_due(job: Job, at: Instant, beside: tuple[e.JobEvent, ...]) -> tuple[e.AttemptStarted, ...]:
    """The attempts whose time has come, but for the runs that end by the events beside it."""
    over = {event.run for event in beside if isinstance(event, e.RunFinished)}
    return tuple(
        e.AttemptStarted(job=job.id, at=at, run=run.id, attempt=run.attempt + 1)
        for run in job.runs
        if run.retry_at is not None and run.retry_at <= at and run.id not in over
    )


def give_up(job: Job, run: Run, at: Instant, *, reason: str) -> e.RunFinished:
    """The end of a run that waits. Its last attempt has its own end in the log already."""
    return e.RunFinished(
        job=job.id, at=at, run=run.id, outcome="cancelled", attempts=run.attempt, root=run.root, reason=reason
    )


def give_all_up(job: Job, at: Instant) -> tuple[e.RunFinished, ...]:
    """The ends of all runs that wait, for a job that is deleted starts nothing more."""
    reason = "the job was deleted before the next attempt"
    return tuple(give_up(job, run, at, reason=reason) for run in job.runs if run.retry_at is not None)

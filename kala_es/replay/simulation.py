"""The ticks that would come, by definitions alone: nothing runs, and nothing is written.

Each job's schedule is followed as a server follows it: time zones, clocks that go forward and back, `R[n]`, jitter,
pauses. What depends on runs is not here: how long they take, `overlap`, retries, children, what is made up later.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import NamedTuple

from kala_es.dialects.go_json import dumps, instant_text
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.model import Job, JobDraft
from kala_es.domain.plan import check, schedule_of
from kala_es.domain.several import walk
from kala_es.domain.tick_policy import Pause, offset_of

Range = tuple[Instant, Instant]
"""From the first moment, inclusive, to the last, exclusive."""


class Coming(NamedTuple):
    """A tick that would come; `due` is its moment with the job's share of the jitter. With a `reason` it is skipped."""

    due: Instant
    job: JobId
    tick: Instant
    name: str
    reason: str = ""


def as_new(draft: JobDraft, start: Instant) -> Job:
    """The job that a draft would be, created at `start`; its schedule may have begun before. Raises Invalid."""
    assert draft.id is not None
    try:
        check(draft.spec, draft.id)
    except Invalid as error:
        raise Invalid(f"jobs.{draft.id}.{error.field}".rstrip("."), error.reason) from None
    answered = Instant(start - 1)
    return Job(
        id=draft.id,
        spec=draft.spec,
        born=start,
        planned=start,
        answered=answered,
        next_tick=None,
        disabled=draft.disabled,
    )


def coming(jobs: Iterable[Job], within: Range, server_pause: Pause | None = None) -> Iterator[Coming]:
    """The ticks of all jobs that are due in a range, in the order in which they are due. Children have none."""
    return merge(*(_of(job, within, server_pause) for job in jobs))


def _of(job: Job, within: Range, server_pause: Pause | None) -> Iterator[Coming]:
    schedule = schedule_of(job.spec, job.planned, job.id)
    if schedule is None or job.deleted:
        return
    offset, name, pauses = offset_of(job.spec.ticks, job.id), job.spec.name, (job.pause, server_pause)
    always = "disabled" if job.disabled else ""
    may_be_paused = not always and any(pauses)
    for tick in walk(schedule, Instant(within[0] - offset - 1)):
        due = Instant(tick + offset)
        if due >= within[1]:
            return
        yield Coming(due, job.id, tick, name, "paused" if may_be_paused and _is_paused(pauses, due) else always)


def _is_paused(pauses: Iterable[Pause | None], due: Instant) -> bool:
    """Whether one of the pauses has begun, and has not ended, when a tick is due."""
    return any(pause is not None and pause.since <= due and not pause.is_over(due) for pause in pauses)


def line(found: Coming) -> bytes:
    """As a line of JSON."""
    tick = instant_text(found.tick)
    due = tick if found.due == found.tick else instant_text(found.due)
    outcome = "skipped" if found.reason else "started"
    said = {"due": due, "tick": tick, "job": found.job, "name": found.name, "outcome": outcome, "reason": found.reason}
    return dumps(said) + b"\n"

"""The ticks that come next over all jobs, without asking every job for all of its own.

Jobs stand in a heap by their next tick; who is taken from it goes back with the tick after. So the work is that of the
ticks that are shown, and one look at each job. What comes before a range is leapt over, however far away the range is.

Ticks that are only counted are not walked one by one: a schedule says how many it has between two moments.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from itertools import islice
from typing import Any

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant, JobId, Micros
from kala_es.domain.model import Job
from kala_es.domain.plan import schedule_of
from kala_es.domain.schedule import Schedule
from kala_es.domain.tick_policy import Pause, offset_of
from kala_es.projections.folds import Folds
from kala_es.projections.recent import HOUR, hour_of
from kala_es.web.pages.words import iso, short

Range = tuple[Instant, Instant]
"""From the first moment, inclusive, to the last, exclusive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComingTick:
    """A tick to come; `due` is its moment with the job's share of the jitter. A paused one is going to be skipped."""

    due: Instant
    tick: Instant
    job: Job
    paused: bool

    def plain(self) -> dict[str, Any]:
        """For a script."""
        spec = self.job.spec
        return {
            "due": iso(self.due),
            "job": self.job.id,
            "name": short(spec.name),
            "paused": self.paused,
            "zone": spec.timezone,
        }


def coming_ticks(folds: Folds, within: Range, *, most: int, job: JobId | None = None) -> list[ComingTick]:
    """The first ticks of a range, at most `most`, in the order in which they are due; of one job if named."""
    heap = list(_waiting(folds, within, job))
    heapify(heap)
    return list(islice(_walk(folds, heap, within), most))


def due_by_hour(folds: Folds, within: Range, *, most: int, job: JobId | None = None) -> Counter[int] | None:
    """How many ticks are due in each hour of a range, by the hour's number; of one job if named.

    None when that takes more than `most` looks at schedules: one for each hour that a job has ticks in, or for each of
    these. That is found out first, by a look at each job.
    """
    counts: Counter[int] = Counter()
    found: list[tuple[Schedule, Range, Micros]] = []
    for due, job_id, tick in _waiting(folds, within, job):
        schedule, later = _schedule(folds.jobs.by_id[job_id]), Micros(due - tick)
        first = Instant(max(due, within[0]))
        ticks = schedule.between(Instant(first - later - 1), Instant(within[1] - later - 1)) if schedule else None
        most -= 1 if ticks is None else 1 + min(ticks.count, (within[1] - first) // HOUR + 1)
        if most < 0:
            return None
        if schedule is not None and ticks is not None:
            found.append((schedule, (first, within[1]), later))
    for schedule, rest, later in found:
        counts.update(dict(_hours(schedule, rest, later)))
    return counts


def _hours(schedule: Schedule, within: Range, later: Micros) -> Iterator[tuple[int, int]]:
    """The hours of a range with ticks that are due in them, so much later than they are named, and how many."""
    first, end = within
    while first < end:
        tick = schedule.next_after(Instant(first - later - 1))
        if tick is None or tick + later >= end:
            break
        number = hour_of(Instant(tick + later))
        first = Instant(min((number + 1) * HOUR, end))
        ticks = schedule.between(Instant(tick - 1), Instant(first - later - 1))
        assert ticks is not None
        yield number, ticks.count


def _waiting(folds: Folds, within: Range, job: JobId | None) -> Iterator[tuple[Instant, JobId, Instant]]:
    """The jobs that have a tick before the end of a range: when it is due, whose it is, and the tick."""
    only = folds.jobs.get(job) if job is not None else None
    jobs = folds.jobs.by_id.values() if job is None else filter(None, (only,))
    for one in jobs:
        if one.next_tick is not None and not one.disabled and not one.deleted and one.next_tick < within[1]:
            yield Instant(one.next_tick + offset_of(one.spec.ticks, one.id)), one.id, one.next_tick


def _walk(folds: Folds, heap: list[tuple[Instant, JobId, Instant]], within: Range) -> Iterator[ComingTick]:
    schedules: dict[JobId, Schedule | None] = {}
    while heap and heap[0][0] < within[1]:
        due, job_id, tick = heap[0]
        job = folds.jobs.by_id[job_id]
        if due >= within[0]:
            paused = _is_paused(job.pause, due) or _is_paused(folds.server_pause, due)
            yield ComingTick(due=due, tick=tick, job=job, paused=paused)
        if job_id not in schedules:
            schedules[job_id] = _schedule(job)
        schedule, offset = schedules[job_id], due - tick
        before_the_range = Instant(within[0] - offset - 1)
        following = schedule.next_after(max(tick, before_the_range)) if schedule is not None else None
        if following is None:
            heappop(heap)
        else:
            heapreplace(heap, (Instant(following + offset), job_id, following))


def _schedule(job: Job) -> Schedule | None:
    try:
        return schedule_of(job.spec, job.planned, job.id)
    except Invalid:
        return None


def _is_paused(pause: Pause | None, due: Instant) -> bool:
    return pause is not None and not pause.is_over(due)

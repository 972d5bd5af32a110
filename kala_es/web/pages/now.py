"""What is so now, over all jobs: figures, the hours of the last day, what failed last, what is in flight.

The overview is written from it, and the pulse says what of it has changed.
"""

import re
from contextlib import aclosing
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from kala_es.domain.errors import Gone
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.model import Run
from kala_es.projections.folds import Folds
from kala_es.projections.recent import Hour, hour_of
from kala_es.projections.runs import RunSummary
from kala_es.runtime.scheduler import Scheduler
from kala_es.web.pages.words import iso, short

HOURS: Final = 24
FAILURES: Final = 20
RUNNING: Final = 20
_REASON_CHARS: Final = 200
"""Runs in flight that are shown, those that began first."""
_USUAL_RUNS: Final = 10
_TAIL_BYTES: Final = 400
_TAIL_CHARS: Final = 160
_CONTROL: Final = re.compile(
    "\x1b\\[[0-9;?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How the node is. `log_bytes` is None when there is no file."""

    jobs: int
    enabled: int
    running: int
    position: int
    log_bytes: int | None
    ready: bool
    keeps_time: bool
    paused: bool

    def plain(self) -> dict[str, Any]:
        """For a script."""
        return {name: getattr(self, name) for name in self.__slots__}


def figures(scheduler: Scheduler, *, ready: bool) -> Figures:
    """How the node is."""
    folds, meters = scheduler.folds, scheduler.meters
    return Figures(
        jobs=folds.stats.jobs,
        enabled=folds.stats.jobs - folds.stats.disabled_jobs,
        running=len(folds.busy),
        position=folds.position,
        log_bytes=meters.log_bytes(),
        ready=ready,
        keeps_time=meters.keeps_time(),
        paused=folds.server_pause is not None,
    )


def last_hours(folds: Folds, now: Instant) -> list[tuple[int, Hour]]:
    """The hours of the last day, that of now the last."""
    return folds.recent.hours(hour_of(now) - HOURS + 1, HOURS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that failed, with what its job is called now."""

    run: RunSummary
    name: str

    def plain(self) -> dict[str, Any]:
        """For a script."""
        run = self.run
        assert run.ended is not None
        return {
            "id": run.id,
            "job": run.job,
            "name": self.name,
            "ended": iso(run.ended),
            "outcome": run.outcome,
            "reason": short(run.reason, _REASON_CHARS),
        }


def failures(folds: Folds, most: int = FAILURES) -> list[Failure]:
    """The runs that failed last, the newest first; those that are forgotten are not among them."""
    found: list[Failure] = []
    for run_id in reversed(folds.recent.failed):
        run = folds.runs.get(run_id)
        if run is not None and run.ended is not None:
            found.append(Failure(run=run, name=name_of(folds, run.job)))
        if len(found) == most:
            break
    return found


def name_of(folds: Folds, job: JobId) -> str:
    """What a job is called, in short; its id, when it is deleted."""
    there = folds.jobs.by_id.get(job)
    return short(there.spec.name if there is not None else job)


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """A run in flight. `usual` is how long its job's runs take, in microseconds, None when that is not known; `tail`
    the last line that it wrote."""

    run: Run
    job: JobId
    name: str
    usual: int | None
    tail: str
    size: int

    def plain(self) -> dict[str, Any]:
        """For a script."""
        run = self.run
        return {
            "id": run.id,
            "job": self.job,
            "name": self.name,
            "cause": run.cause,
            "started": iso(run.started),
            "attempt": run.attempt,
            "status": run.status,
            "retry_at": None if run.retry_at is None else iso(run.retry_at),
            "usual": None if self.usual is None else self.usual // 1000,
            "tail": self.tail,
        }


class Watching:
    """The runs in flight, seen again and again: what was found out about a run is kept until it is over."""

    def __init__(self) -> None:
        self._kept: dict[RunId, InFlight] = {}

    async def look(self, scheduler: Scheduler) -> list[InFlight]:
        """Those that began first, at most RUNNING."""
        seen: dict[RunId, InFlight] = {}
        for job, run in list(scheduler.folds.busy)[:RUNNING]:
            seen[run.id] = await self._one(scheduler, job, run)
        self._kept = seen
        return list(seen.values())

    async def _one(self, scheduler: Scheduler, job: JobId, run: Run) -> InFlight:
        folds, before = scheduler.folds, self._kept.get(run.id)
        size = sum(folds.output.sizes(run.id))
        if before is not None and (before.run, before.size) == (run, size):
            return before
        return InFlight(
            run=run,
            job=job,
            name=name_of(folds, job),
            usual=before.usual if before is not None else usual(folds, job),
            tail=await _tail(scheduler, run.id, size),
            size=size,
        )


def usual(folds: Folds, job: JobId, *, before: RunSummary | None = None) -> int | None:
    """How long the job's runs take that succeed: the median of the last few, or those before a run, in microseconds."""
    runs = folds.runs.of_job(job, after=before, limit=_USUAL_RUNS, newest_first=True)
    lengths = [run.ended - run.started for run in runs if run.ended is not None and run.outcome == "succeeded"]
    return int(median(lengths)) if lengths else None


async def _tail(scheduler: Scheduler, run: RunId, size: int) -> str:
    """The last line of a run's output that says something, as plain text."""
    if not size:
        return ""
    output = bytearray()
    try:
        async with aclosing(scheduler.reader.output(run, start=max(size - _TAIL_BYTES, 0), stop=size)) as pieces:
            async for piece in pieces:
                output += piece
    except Gone:  # it is over, and trimmed already
        return ""
    return last_line(bytes(output))


def last_line(output: bytes) -> str:
    """The last line with something on it, without colours and control characters, cut."""
    text = _CONTROL.sub("", output.decode("utf-8", "replace").replace("\r", "\n"))
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return lines[-1][:_TAIL_CHARS] if lines else ""


def elapsed(started: Instant, now: Instant) -> int:
    """How long ago that was, in microseconds; never less than nothing."""
    return max(now - started, 0)


def share(length: int, usually: int | None) -> int:
    """How much of its usual time has passed, in percent, 0 to 100."""
    return 0 if not usually else min(100, 100 * length // max(usually, SECOND // 1000))

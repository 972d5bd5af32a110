"""A job as a row of a list: what of it is shown, for the page and for the patches that follow it.

`state` is the one word that matters most of it now: running, paused, disabled, failing (its last attempt failed, and
nothing succeeded since), done (it has run, and nothing more is due) or ready.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant
from kala_es.domain.model import Job, Outcome
from kala_es.domain.schedule_words import explain
from kala_es.projections.folds import Folds
from kala_es.web.pages.words import iso, lasting, short

State = Literal["running", "paused", "disabled", "failing", "done", "ready"]
SPARK_RUNS: Final = 14
SPARK_HEIGHT: Final = 18
_LEAST: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A run in a sparkline: its outcome, how high it stands, and what is said of it."""

    outcome: Outcome | Literal["running"]
    height: int
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A row. `bars` are the last runs, the newest last."""

    job: Job
    state: State
    schedule: str
    bars: tuple[Bar, ...]

    @property
    def summary(self) -> str:
        """The sparkline in words."""
        if not self.bars:
            return "no runs yet"
        counts: dict[str, int] = {}
        for bar in self.bars:
            counts[bar.outcome] = counts.get(bar.outcome, 0) + 1
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        return f"last {len(self.bars)} runs: {said}"

    def patch(self) -> dict[str, Any]:
        """What may change of it, for a script."""
        counters = self.job.counters
        return {
            "id": self.job.id,
            "name": short(self.job.spec.name),
            "state": self.state,
            "disabled": self.job.disabled,
            "next": None if self.job.next_tick is None else iso(self.job.next_tick),
            "last": None if counters.last_attempted_run is None else iso(counters.last_attempted_run),
            "bars": [[bar.outcome, bar.height, bar.said] for bar in self.bars],
            "summary": self.summary,
        }


def state_of(job: Job) -> State:
    """The word."""
    if job.runs:
        return "running"
    if job.disabled:
        return "disabled"
    if job.pause is not None:
        return "paused"
    if is_failing(job):
        return "failing"
    return "done" if job.is_done else "ready"


def is_failing(job: Job) -> bool:
    """Whether its last attempt failed, and nothing succeeded since."""
    counters = job.counters
    return counters.last_error is not None and counters.last_error > (counters.last_success or 0)


def rows_of(folds: Folds, jobs: Iterable[Job], *, with_runs: bool = True) -> list[JobRow]:
    """The rows of some jobs. Without runs (they are not known of the past) the sparklines are empty."""
    return [
        JobRow(
            job=job,
            state=state_of(job),
            schedule=schedule_words(job),
            bars=bars_of(folds, job) if with_runs else (),
        )
        for job in jobs
    ]


def schedule_words(job: Job) -> str:
    """The schedule as people say it; as it is written when that cannot be said."""
    try:
        return explain(job.spec, job.planned, job.id).words
    except Invalid:
        return job.spec.schedule


def bars_of(folds: Folds, job: Job) -> tuple[Bar, ...]:
    """The last runs; the longest of them is as high as the line."""
    runs = list(folds.runs.of_job(job.id, limit=SPARK_RUNS, newest_first=True))[::-1]
    lengths = [_length(run.started, run.ended, folds.latest) for run in runs]
    longest = max(lengths, default=0) or 1
    return tuple(
        Bar(
            outcome=run.outcome or "running",
            height=_LEAST + (SPARK_HEIGHT - _LEAST) * length // longest,
            said=f"{run.outcome or 'running'}, {lasting(length)}",
        )
        for run, length in zip(runs, lengths, strict=True)
    )


def _length(started: Instant, ended: Instant | None, now: Instant) -> int:
    return max((now if ended is None else ended) - started, 0)

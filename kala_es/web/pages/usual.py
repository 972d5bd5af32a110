"""How long runs of a job usually take: the median of the newest that succeeded."""

from itertools import islice
from statistics import median
from typing import Final

from kala_es.domain.ids import JobId, Micros
from kala_es.projections.runs import Runs, RunSummary

_LOOKED_AT: Final = 40
_COUNTED: Final = 20
_LEAST: Final = 3


def usual_duration(runs: Runs, job: JobId, *, before: RunSummary | None = None) -> Micros | None:
    """In microseconds; None while too few have succeeded to say. `before`: of the runs that began before that one."""
    newest = runs.of_job(job, after=before, limit=_LOOKED_AT, newest_first=True)
    took = list(
        islice((run.ended - run.started for run in newest if run.ended and run.outcome == "succeeded"), _COUNTED)
    )
    return Micros(max(int(median(took)), 0)) if len(took) >= _LEAST else None

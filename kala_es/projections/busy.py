"""What runs now: each run in flight and its job."""

from collections.abc import Iterator

from kala_es.domain.ids import JobId, RunId
from kala_es.domain.model import Job, Run


class Busy:
    """The fold: runs in flight, those that began first first."""

    def __init__(self) -> None:
        self._runs: dict[RunId, tuple[JobId, Run]] = {}

    def apply(self, before: Job | None, after: Job | None) -> None:
        """Follow one job's change."""
        old = before.runs if before else ()
        new = after.runs if after else ()
        if old is new:
            return
        if old:
            there = {run.id for run in new}
            for run in old:
                if run.id not in there:
                    self._runs.pop(run.id, None)
        for run in new:
            if after is not None:
                self._runs[run.id] = (after.id, run)

    def order(self, runs: list[RunId]) -> None:
        """Put the runs in this order."""
        self._runs = {run: self._runs[run] for run in runs if run in self._runs}

    def __len__(self) -> int:
        """How many runs are in flight."""
        return len(self._runs)

    def __contains__(self, run: object) -> bool:
        """Whether a run is in flight."""
        return run in self._runs

    @property
    def at_work(self) -> int:
        """How many runs are being carried out: one that waits for its next attempt is not."""
        return sum(run.retry_at is None for _, run in self._runs.values())

    def job_of(self, run: RunId) -> JobId | None:
        """The job whose run in flight this is."""
        found = self._runs.get(run)
        return found[0] if found else None

    def __iter__(self) -> Iterator[tuple[JobId, Run]]:
        """Each run in flight with its job."""
        return iter(self._runs.values())

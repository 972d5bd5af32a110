"""The jobs as they are, by id, with the graph between them. In memory; deleted jobs stay while a run of theirs does."""

from bisect import bisect_right
from collections.abc import Iterator

from kala_es.domain import events as e
from kala_es.domain.graph import Graph
from kala_es.domain.ids import JobId
from kala_es.domain.job import evolve
from kala_es.domain.model import Job


class Jobs:
    """The fold of every job's events."""

    def __init__(self) -> None:
        self.by_id: dict[JobId, Job] = {}
        self.graph = Graph()
        self._sorted: list[JobId] | None = []

    def apply(self, event: e.JobEvent) -> tuple[Job | None, Job | None]:
        """Fold one event; the job's state before and after."""
        before = self.by_id.get(event.job)
        after = evolve(before, event)
        self.put(event.job, before, after)
        return before, after

    def put(self, job: JobId, before: Job | None, after: Job | None) -> None:
        """Replace a job's state."""
        if after is not None:
            self.by_id[job] = after
        elif before is not None:
            del self.by_id[job]
        old, new = _visible(before), _visible(after)
        if (old is None) != (new is None):
            self._sorted = None
        if old is not new and (old is None or new is None or old.spec is not new.spec):
            self.graph.change(job, old.spec if old else None, new.spec if new else None)

    def get(self, job: JobId) -> Job | None:
        """The job, unless it is deleted."""
        return _visible(self.by_id.get(job))

    def __len__(self) -> int:
        """How many jobs there are."""
        return len(self.ids())

    def ids(self) -> list[JobId]:
        """All ids, sorted. Not to be changed."""
        if self._sorted is None:
            self._sorted = sorted(j for j, job in self.by_id.items() if not job.deleted)
        return self._sorted

    def after(self, last: str) -> Iterator[Job]:
        """The jobs whose id is greater than `last`, in order of id."""
        ids = self.ids()
        for i in range(bisect_right(ids, last), len(ids)):
            job = self.get(ids[i])
            if job is not None:
                yield job


def _visible(job: Job | None) -> Job | None:
    return None if job is None or job.deleted else job

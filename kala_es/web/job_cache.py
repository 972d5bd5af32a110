"""The JSON of jobs, kept as bytes while job and dependents stay the same, so that a list is mostly a join.

A job's value is frozen: another state is another object, so identity tells whether the bytes still hold.
"""

from typing import Final

from kala_es.dialects import kala
from kala_es.domain.graph import Graph, dependents
from kala_es.domain.ids import JobId
from kala_es.domain.model import Job

KEPT_BYTES: Final = 64 * 1024 * 1024


class JobCache:
    """Bytes by job, those made first let go first beyond `limit`."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._limit = limit
        self._kept: dict[JobId, tuple[Job, tuple[JobId, ...], bytes]] = {}
        self.size = 0

    def json(self, job: Job, graph: Graph) -> bytes:
        """The job's JSON."""
        after = dependents(job, graph)
        kept = self._kept.get(job.id)
        if kept is not None and kept[0] is job and kept[1] == after:
            return kept[2]
        made = kala.job_json(job, after)
        self._keep(job, after, made)
        return made

    def _keep(self, job: Job, after: tuple[JobId, ...], made: bytes) -> None:
        self._drop(job.id)
        self._kept[job.id] = (job, after, made)
        self.size += len(made)
        while self.size > self._limit:
            self._drop(next(iter(self._kept)))

    def _drop(self, job: JobId) -> None:
        old = self._kept.pop(job, None)
        if old is not None:
            self.size -= len(old[2])

"""The node's counters: sums over the jobs that there are, kept up as each job changes."""

from dataclasses import dataclass

from kala_es.domain.ids import Instant
from kala_es.domain.model import Job


@dataclass(slots=True)
class Stats:
    """The fold. `jobs` counts all, `disabled_jobs` those of them that are disabled, `scheduled_jobs` those that are not
    and have a tick to come."""

    jobs: int = 0
    disabled_jobs: int = 0
    scheduled_jobs: int = 0
    error_count: int = 0
    success_count: int = 0
    last_attempted_run: Instant | None = None

    def apply(self, before: Job | None, after: Job | None) -> None:
        """Follow one job's change."""
        if before is None or after is None or _standing(before) != _standing(after):
            self._add(before, -1)
            self._add(after, 1)
        elif not after.deleted:
            self.error_count += after.counters.error_count - before.counters.error_count
            self.success_count += after.counters.success_count - before.counters.success_count
        attempted = after.counters.last_attempted_run if after else None
        if attempted is not None and attempted > (self.last_attempted_run or 0):
            self.last_attempted_run = attempted

    def _add(self, job: Job | None, sign: int) -> None:
        if job is None or job.deleted:
            return
        self.jobs += sign
        self.disabled_jobs += sign * job.disabled
        self.scheduled_jobs += sign * (job.next_tick is not None and not job.disabled)
        self.error_count += sign * job.counters.error_count
        self.success_count += sign * job.counters.success_count


def _standing(job: Job) -> tuple[bool, bool, bool]:
    """What it is counted by, beside what it has done."""
    return job.deleted, job.disabled, job.next_tick is None

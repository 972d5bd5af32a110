"""When a job is to be looked at next: the one time by which its clock wakes it, whatever is due then."""

from kala_es.domain.ids import Instant
from kala_es.domain.model import Job


def wake_at(job: Job) -> Instant | None:
    """The first moment at which something of the job is due; None while nothing is."""
    if job.deleted:
        return None
    due = [run.retry_at for run in job.runs if run.retry_at is not None]
    if job.next_tick is not None and not job.disabled:
        due.append(job.next_tick)
    return min(due, default=None)

"""When a job is to be looked at next: the one time by which its clock wakes it, whatever is due then."""

from kala_es.domain.ids import Instant
from kala_es.domain.model import Job


def wake_at(job: Job) -> Instant | None:
    """The first moment at which something of the job is due; None while nothing is."""
    return None if job.disabled or job.deleted else job.next_tick

"""When a job is to be looked at next: the one time by which its clock wakes it, whatever is due then."""

from kala_es.domain.ids import Instant
from kala_es.domain.model import Job
from kala_es.domain.tick_policy import offset_of


def wake_at(job: Job, *, server_paused: bool = False) -> Instant | None:
    """The first moment at which something of the job is due; None while nothing is."""
    if job.deleted:
        return None
    first = _tick(job, server_paused=server_paused)
    if job.pause is None and not job.runs:  # most jobs at most times, and this is asked several times a run
        return first
    others = (job.pause.until if job.pause else None, *(run.retry_at for run in job.runs))
    return min((moment for moment in (first, *others) if moment is not None), default=None)


def _tick(job: Job, *, server_paused: bool) -> Instant | None:
    """When its next tick is to be answered. Told to wait, it is looked at again when a run of it ends."""
    paused = server_paused or job.pause is not None
    tick = job.next_tick if paused or job.owed is None else job.owed
    if job.disabled or tick is None or (not paused and _waits(job)):
        return None
    moment = Instant(tick + offset_of(job.spec.ticks, job.id))
    return moment if paused or job.not_before is None else max(moment, job.not_before)


def _waits(job: Job) -> bool:
    """Whether its ticks wait for the end of what is in flight, all of which is cancelled if it is to be replaced."""
    match job.spec.ticks.overlap:
        case "queue":
            return bool(job.runs)
        case "replace":
            return bool(job.runs) and all(run.status == "cancelling" for run in job.runs)
        case _:
            return False

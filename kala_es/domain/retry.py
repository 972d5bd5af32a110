"""Whether a failed attempt is followed by another: at once, counted by `retries`, bounded in time by `epsilon`."""

from kala_es.domain.commands import EndAttempt
from kala_es.domain.model import Job, Run
from kala_es.domain.plan import epsilon_of


def may_retry(job: Job, run: Run, end: EndAttempt) -> bool:
    """True when one more attempt follows.

    `epsilon` counts from the tick that the run answers; a run that answers none is bounded by `retries` alone.
    """
    if end.outcome == "cancelled" or run.status == "cancelling" or job.deleted:
        return False
    if run.started < job.born:  # it belongs to a deleted job, and this is its namesake
        return False
    if run.attempt > job.spec.retries:
        return False
    epsilon = epsilon_of(job.spec)
    return epsilon is None or run.tick is None or end.at - run.tick <= epsilon

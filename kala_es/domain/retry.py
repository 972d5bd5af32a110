"""Whether and when a failed attempt is followed by another: counted by `retries`, bounded in time by `epsilon`.

The n-th retry comes `retry_delay` x `retry_backoff`^(n-1) after the end before it, `retry_max_delay` at most, less what
`retry_jitter` takes of it. That part follows from the run's id and the attempt, so that deciding draws on nothing.
"""

from hashlib import blake2b

from kala_es import limits
from kala_es.domain.commands import EndAttempt
from kala_es.domain.ids import SECOND, Instant, Micros, RunId
from kala_es.domain.iso8601 import parse_duration
from kala_es.domain.model import Job, Run
from kala_es.domain.plan import epsilon_of
from kala_es.domain.terms import AttemptTerms

_LONGEST = limits.MAX_RETRY_DELAY_SECONDS * SECOND


def may_retry(job: Job, run: Run, end: EndAttempt) -> bool:
    """True when one more attempt follows.

    `epsilon` counts from the tick that the run answers to the beginning of the attempt; a run that answers none is
    bounded by `retries` alone.
    """
    if end.outcome == "cancelled" or run.status == "cancelling" or job.deleted:
        return False
    if run.started < job.born:  # it belongs to a deleted job, and this is its namesake
        return False
    if run.attempt > job.spec.retries:
        return False
    epsilon = epsilon_of(job.spec)
    if epsilon is None or run.tick is None:
        return True
    return (retry_at(job, run, end) or end.at) - run.tick <= epsilon


def retry_at(job: Job, run: Run, end: EndAttempt) -> Instant | None:
    """When the next attempt begins; None for at once."""
    delay = delay_after(job.spec.terms, run.id, run.attempt)
    return Instant(end.at + delay) if delay else None


def delay_after(terms: AttemptTerms, run: RunId, attempt: int) -> Micros:
    """How long after the end of this attempt (counted from 1) the next one begins."""
    if not terms.retry_delay:
        return Micros(0)
    first = parse_duration(terms.retry_delay, "retry_delay")
    most = parse_duration(terms.retry_max_delay, "retry_max_delay") if terms.retry_max_delay else _LONGEST
    try:
        delay = min(first * (terms.retry_backoff or 1) ** (attempt - 1), most, _LONGEST)
    except OverflowError:
        delay = min(most, _LONGEST)
    return Micros(int(delay * (1 - (terms.retry_jitter or 0) * _chance(run, attempt))))


def _chance(run: RunId, attempt: int) -> float:
    """A number from 0 to 1, as good as random and always the same."""
    digest = blake2b(f"{attempt}:{run}".encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / (1 << 48)

"""What a job's owner wants of its ticks: those that come together, those that passed, and how they are spread.

Durations stay in their ISO 8601 text; "" is "not given".
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Literal

from kala_es import limits
from kala_es.domain.clock_changes import USUAL, Fold, Gap, OnChange
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant, JobId, Micros
from kala_es.domain.iso8601 import parse_duration
from kala_es.domain.values import Value

Overlap = Literal["allow", "skip", "queue", "replace"]
CatchUp = Literal["", "one", "none", "all"]
_ZERO = Micros(0)


class TickPolicy(Value, frozen=True):
    """`catch_up` "" leaves it to `resume_at_next_scheduled_time`: one, or none with it.

    `dst_gap` and `dst_fold` say what becomes of times of day that a clock skips or shows twice.
    """

    overlap: Overlap = "allow"
    catch_up: CatchUp = ""
    catch_up_window: str = ""
    jitter: str = ""
    starting_deadline: str = ""
    dst_gap: Gap = "run-after"
    dst_fold: Fold = "first"


class Covered(Value, frozen=True):
    """The consecutive ticks that one run stands for, its own among them."""

    first: Instant
    last: Instant
    count: int


class Pause(Value, frozen=True):
    """Since when, until when (None: until someone resumes), why, and by whom."""

    since: Instant
    until: Instant | None = None
    reason: str = ""
    by: str = ""

    def is_over(self, at: Instant) -> bool:
        """Whether its end has come."""
        return self.until is not None and self.until <= at


class PauseDraft(Value, frozen=True):
    """A pause as a client asks for it."""

    until: Instant | None = None
    reason: str = ""


def offset_of(policy: TickPolicy, job: JobId) -> Micros:
    """How long after its ticks the job starts: the same for all of its ticks, within [0, jitter)."""
    if not policy.jitter:
        return _ZERO
    digest = blake2b(job.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return Micros(int.from_bytes(digest, "big") % max(_micros(policy.jitter, "jitter"), 1))


def on_change_of(policy: TickPolicy) -> OnChange:
    """What is done about its times of day when clocks change."""
    gap, fold = policy.dst_gap, policy.dst_fold
    return USUAL if (gap, fold) == USUAL else OnChange(gap, fold)


def window_of(policy: TickPolicy) -> Micros | None:
    """How old a tick may be that is made up by a run of its own; None for any age."""
    return _micros(policy.catch_up_window, "catch_up_window") if policy.catch_up_window else None


def deadline_of(policy: TickPolicy) -> Micros | None:
    """How long after its moment a tick may start a run; None for ever."""
    return _micros(policy.starting_deadline, "starting_deadline") if policy.starting_deadline else None


def check_policy(policy: TickPolicy) -> None:
    """Raise Invalid, naming the JSON key, when it is no policy or contradicts itself."""
    for field in ("catch_up_window", "jitter", "starting_deadline"):
        text = getattr(policy, field)
        if text and not 0 < _micros(text, field) <= limits.MAX_TIMEOUT_SECONDS * SECOND:
            raise Invalid(field, f"not between 0 and {limits.MAX_TIMEOUT_SECONDS} seconds")
    if policy.catch_up_window and policy.catch_up != "all":
        raise Invalid("catch_up_window", "only catch_up all has a window")
    if policy.catch_up == "all" and policy.overlap in ("skip", "replace"):
        why = f"all makes up every tick, which overlap {policy.overlap} gives up; use overlap queue"
        raise Invalid("catch_up", why)


@lru_cache(maxsize=1024)
def _micros(text: str, field: str) -> Micros:
    return parse_duration(text, field)

"""How long runs are kept: what a job says of it, and what holds where it says nothing."""

from typing import Final

from kala_es import limits
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Micros
from kala_es.domain.iso8601 import parse_duration
from kala_es.domain.values import Value


class Retention(Value, frozen=True):
    """A job's wish: its newest `runs`, those that ended within `duration` (ISO 8601), so many `output_bytes` in all.

    0 and "" leave it to the server. What any of them does not keep is trimmed.
    """

    runs: int = 0
    duration: str = ""
    output_bytes: int = 0


NO_RETENTION: Final = Retention()


class Kept(Value, frozen=True):
    """What is kept of a job, in numbers; None for no such limit."""

    runs: int | None = None
    micros: Micros | None = None
    output_bytes: int | None = None

    @property
    def all(self) -> bool:
        """Whether everything is kept."""
        return self == ALL


ALL: Final = Kept()


def kept_of(retention: Retention, otherwise: Kept) -> Kept:
    """What is kept of a job that says so, on a server that keeps this otherwise."""
    if retention == NO_RETENTION:
        return otherwise
    duration = retention.duration
    return Kept(
        runs=retention.runs or otherwise.runs,
        micros=parse_duration(duration, "keep_for") if duration else otherwise.micros,
        output_bytes=retention.output_bytes or otherwise.output_bytes,
    )


def check_retention(retention: Retention) -> None:
    """Raise Invalid unless it can be kept to."""
    if not 0 <= retention.runs <= limits.MAX_KEPT:
        raise Invalid("keep_runs", f"not between 0 and {limits.MAX_KEPT}")
    if not 0 <= retention.output_bytes <= limits.MAX_KEPT:
        raise Invalid("keep_output_bytes", f"not between 0 and {limits.MAX_KEPT}")
    if retention.duration and not 0 < parse_duration(retention.duration, "keep_for") <= limits.MAX_KEPT * SECOND:
        raise Invalid("keep_for", f"{retention.duration!r} is no time at all, or too long")

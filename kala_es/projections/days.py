"""How the runs of each day (UTC) ended: the newest days on which one did. In memory, and in snapshots and bases.

A run is counted on the day of its end, once. What retention trims or forgets later has been counted.
"""

from collections.abc import Mapping
from typing import Final

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.values import Value
from kala_es.projections.tally import Tally

_DAY: Final = 86_400 * SECOND


class Day(Value, frozen=True):
    """How many runs ended on a day, by outcome; `skipped` counts those that a tick or an ask did not start."""

    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    lost: int = 0
    skipped: int = 0


class Days:
    """The fold. A day is its number, 0 being 1970-01-01. At most `DAYS_COUNTED` are held, the newest."""

    def __init__(self) -> None:
        self._days = Tally(Day, micros=_DAY, most=limits.DAYS_COUNTED)

    def apply(self, event: e.JobEvent) -> None:
        """Fold one event."""
        if isinstance(event, e.RunFinished):
            self._days.count(event.at, event.outcome)
        elif isinstance(event, e.RunSkipped):
            self._days.count(event.at, "skipped")

    def until(self, now: Instant, count: int) -> list[tuple[int, Day]]:
        """So many days, each with its number, oldest first; that of `now` is the last."""
        return self._days.rows(self._days.number(now) - count + 1, count)

    def dump(self) -> dict[int, dict[str, int]]:
        """The fold as plain values."""
        return self._days.dump()

    def load(self, plain: Mapping[int, Mapping[str, int]]) -> None:
        """Take over what `dump` gave. Raises ValueError, and is as before, when it is something else."""
        self._days.load(plain)

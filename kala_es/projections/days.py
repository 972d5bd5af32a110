"""How the runs of each day (UTC) ended: the newest days on which one did. In memory, and in snapshots and bases.

A run is counted on the day of its end, once. What retention trims or forgets later has been counted.
"""

from collections.abc import Mapping
from typing import Final

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.values import Value, from_plain

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
        self._days: dict[int, dict[str, int]] = {}

    def apply(self, event: e.JobEvent) -> None:
        """Fold one event."""
        if isinstance(event, e.RunFinished):
            self._count(event.at, event.outcome)
        elif isinstance(event, e.RunSkipped):
            self._count(event.at, "skipped")

    def _count(self, at: Instant, how: str) -> None:
        number = at // _DAY
        day = self._days.setdefault(number, {})
        day[how] = day.get(how, 0) + 1
        if len(self._days) > limits.DAYS_COUNTED:
            del self._days[min(self._days)]

    def until(self, now: Instant, count: int) -> list[tuple[int, Day]]:
        """So many days, each with its number, oldest first; that of `now` is the last."""
        today = now // _DAY
        return [(number, _day(self._days.get(number, {}))) for number in range(today - count + 1, today + 1)]

    def dump(self) -> dict[int, dict[str, int]]:
        """The fold as plain values."""
        return {number: dict(day) for number, day in sorted(self._days.items())}

    def load(self, plain: Mapping[int, Mapping[str, int]]) -> None:
        """Take over what `dump` gave. Raises ValueError, and is as before, when it is something else."""
        for day in plain.values():
            _day(day)
        self._days = {int(number): dict(day) for number, day in plain.items()}


def _day(counts: Mapping[str, int]) -> Day:
    return from_plain(Day, {how.replace("-", "_"): count for how, count in counts.items()})

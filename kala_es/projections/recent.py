"""What ended lately, over all jobs: counts by the hour (UTC), and which runs those were, the newest.

In memory, and in snapshots and bases. A run is counted in the hour of its end, once; which of them are still there to
be read, the catalogue of runs says.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, RunId
from kala_es.projections.days import Day
from kala_es.projections.tally import Tally

HOUR: Final = 3600 * SECOND
_NO_FAILURE: Final = ("succeeded", "cancelled")


class Hour(Day, frozen=True):
    """The same of an hour; `missed` counts ticks."""

    missed: int = 0


class Recent:
    """The fold. An hour is its number, 0 being the first of 1970. `ended` and `failed` are runs, the newest last: all,
    and those that neither succeeded nor were cancelled."""

    def __init__(self) -> None:
        self._hours = Tally(Hour, micros=HOUR, most=limits.HOURS_COUNTED)
        self.ended: deque[RunId] = deque(maxlen=limits.RECENT_RUNS)
        self.failed: deque[RunId] = deque(maxlen=limits.RECENT_FAILURES)

    def apply(self, event: e.JobEvent) -> None:
        """Fold one event."""
        if isinstance(event, e.RunFinished):
            self._hours.count(event.at, event.outcome)
            self.ended.append(event.run)
            if event.outcome not in _NO_FAILURE:
                self.failed.append(event.run)
        elif isinstance(event, e.RunSkipped):
            self._hours.count(event.at, "skipped")
        elif isinstance(event, e.TickMissed):
            self._hours.count(event.at, "missed", event.count)

    def hours(self, first: int, count: int) -> list[tuple[int, Hour]]:
        """So many hours from one on, each with its number."""
        return self._hours.rows(first, count)

    def dump(self) -> dict[str, Any]:
        """The fold as plain values."""
        return {
            "hours": self._hours.dump(),
            "ended": list(self.ended),
            "failed": list(self.failed),
        }

    def load(self, plain: Mapping[str, Any]) -> None:
        """Take over what `dump` gave. Raises ValueError or TypeError, and is as before, when it is something else."""
        ended, failed = (_runs(plain.get(name, ())) for name in ("ended", "failed"))
        self._hours.load(plain.get("hours", {}))
        self.ended.extend(ended)
        self.failed.extend(failed)


def hour_of(instant: Instant) -> int:
    """The number of a moment's hour."""
    return instant // HOUR


def _runs(plain: Any) -> list[RunId]:
    runs = list(plain)
    if not all(isinstance(run, str) for run in runs):
        raise ValueError("a run's id is a text")
    return [RunId(run) for run in runs]

"""Where a job's schedule begins and ends to count, and whether the job itself ends with its first success.

1. A tick before `starts_at`, or after `expires_at`, is none: nothing answers it and nothing makes it up.
2. Both are about the schedule alone; a hand may start the job at any time.
3. An `ephemeral` job is deleted in the commit that says that a run of it succeeded. So nothing can follow its end.
"""

from dataclasses import dataclass
from typing import Final

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant
from kala_es.domain.schedule import Schedule, Ticks
from kala_es.domain.values import Value


class Bounds(Value, frozen=True):
    """From when and until when, both inclusive; None for no such bound."""

    starts_at: Instant | None = None
    expires_at: Instant | None = None
    ephemeral: bool = False


NO_BOUNDS: Final = Bounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """The ticks of a schedule that lie within bounds."""

    schedule: Schedule
    starts_at: Instant | None
    expires_at: Instant | None

    def next_after(self, moment: Instant) -> Instant | None:
        """The first tick later than `moment`, or None when there is none."""
        tick = self.schedule.next_after(self._not_before(moment))
        return None if tick is None or self._is_late(tick) else tick

    def between(self, after: Instant, until: Instant) -> Ticks | None:
        """The ticks t with after < t <= until, or None."""
        last = until if self.expires_at is None else min(until, self.expires_at)
        return self.schedule.between(self._not_before(after), last)

    def _not_before(self, moment: Instant) -> Instant:
        return moment if self.starts_at is None else max(moment, Instant(self.starts_at - 1))

    def _is_late(self, tick: Instant) -> bool:
        return self.expires_at is not None and tick > self.expires_at


def within(schedule: Schedule, bounds: Bounds) -> Schedule:
    """The schedule as far as it counts."""
    if bounds.starts_at is None and bounds.expires_at is None:
        return schedule
    return Bounded(schedule=schedule, starts_at=bounds.starts_at, expires_at=bounds.expires_at)


def check_bounds(bounds: Bounds) -> None:
    """Raise Invalid when no moment lies within."""
    if bounds.starts_at is not None and bounds.expires_at is not None and bounds.expires_at < bounds.starts_at:
        raise Invalid("expires_at", "must not lie before starts_at")

"""The one interface of schedules: the ticks after a moment, and those between two."""

from dataclasses import dataclass
from typing import Protocol

from kala_es.domain.ids import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """A run of consecutive ticks: the first, the last and how many."""

    first: Instant
    last: Instant
    count: int


class Schedule(Protocol):
    """A sequence of ticks in rising order, finite or not."""

    def next_after(self, moment: Instant) -> Instant | None:
        """The first tick later than `moment`, or None when there is none."""

    def between(self, after: Instant, until: Instant) -> Ticks | None:
        """The ticks t with after < t <= until, or None; never walks them one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A single tick."""

    at: Instant

    def next_after(self, moment: Instant) -> Instant | None:
        """The tick, while it lies ahead."""
        return self.at if self.at > moment else None

    def between(self, after: Instant, until: Instant) -> Ticks | None:
        """The tick, when it lies between."""
        if after < self.at <= until:
            return Ticks(first=self.at, last=self.at, count=1)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Never:
    """No tick: only someone's hand starts the job. `why` says it where the schedule names times that never come."""

    why: str = ""

    def next_after(self, moment: Instant) -> Instant | None:
        """None."""
        return None

    def between(self, after: Instant, until: Instant) -> Ticks | None:
        """None."""
        return None

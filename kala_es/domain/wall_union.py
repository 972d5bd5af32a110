"""Several patterns of wall clock times as one: a time that more than one of them names comes once.

They are counted without walking by what they have in common, which is a pattern too: the times of all, less those of
each two, plus those of each three, and so on. Most sets have nothing in common and are left out with all that hold
them.
"""

from dataclasses import dataclass
from functools import lru_cache

from kala_es.domain.wall_pattern import AllDays, Days, WallPattern


@dataclass(frozen=True, slots=True, kw_only=True)
class WallUnion:
    """The times that at least one of `parts` names, made by `union`. `counted` are the patterns to add, with their
    sign."""

    parts: tuple[WallPattern, ...]
    counted: tuple[tuple[int, WallPattern], ...]

    def first_from(self, wall: int) -> int | None:
        """The first time at `wall` or later."""
        found = (part.first_from(wall) for part in self.parts)
        return min((each for each in found if each is not None), default=None)

    def last_before(self, wall: int) -> int | None:
        """The last time before `wall`."""
        found = (part.last_before(wall) for part in self.parts)
        return max((each for each in found if each is not None), default=None)

    def count(self, low: int, high: int) -> int:
        """How many times t there are with low <= t < high."""
        return sum(sign * pattern.count(low, high) for sign, pattern in self.counted)


@lru_cache(maxsize=1024)
def union(patterns: tuple[WallPattern, ...]) -> WallUnion:
    """The patterns as one."""
    parts = tuple(dict.fromkeys(patterns))
    counted: list[tuple[int, WallPattern]] = []
    for part in parts:
        shared = [(-sign, common) for sign, other in counted if (common := _common(other, part)) is not None]
        counted += [(1, part), *shared]
    return WallUnion(parts=parts, counted=tuple(counted))


def _common(one: WallPattern, other: WallPattern) -> WallPattern | None:
    """The times of both; None when there can be none."""
    times = [
        tuple(value for value in mine if value in theirs)
        for mine, theirs in (
            (one.hours, other.hours),
            (one.minutes, other.minutes),
            (one.seconds, other.seconds),
        )
    ]
    days = _common_days(one.days, other.days)
    if days is None or not all(times):
        return None
    return WallPattern(days=days, hours=times[0], minutes=times[1], seconds=times[2])


def _common_days(one: Days | AllDays, other: Days | AllDays) -> Days | AllDays | None:
    if isinstance(one, Days) and isinstance(other, Days) and not (one.either or other.either):
        numbers, months = one.numbers & other.numbers, one.months & other.months
        weekdays = one.weekdays & other.weekdays
        days = Days(numbers=numbers, months=months, weekdays=weekdays, either=False)
        return days if numbers and months and weekdays else None
    both = [
        *(one.each if isinstance(one, AllDays) else (one,)),
        *(other.each if isinstance(other, AllDays) else (other,)),
    ]
    return AllDays(each=tuple(dict.fromkeys(both)))

"""Wall clock times that match a pattern of fields, as an ordered sequence that is counted without walking it.

A wall time is a whole number of seconds since 1970-01-01T00:00:00 on the clock in question, from year 1 to year 9999.
A time's place is its year and how many times of that year come before it; the days of a year are counted from a table
that all patterns with the same days share, the times of a day by arithmetic.
"""

from bisect import bisect_left
from calendar import isleap, monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

DAY_SECONDS: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
FIRST_WALL: Final = (date.min.toordinal() - _EPOCH_DAY) * DAY_SECONDS
END_WALL: Final = (date.max.toordinal() + 1 - _EPOCH_DAY) * DAY_SECONDS
"""The first second of year 10000, which no pattern matches."""
_FIRST_YEAR: Final = date.min.year
_LAST_YEAR: Final = date.max.year
_Place = tuple[int, int]


class Days(NamedTuple):
    """Days by their number in the month (1..31), month (1..12) and weekday (0..6, 0 is Sunday).

    Each is a set of bits: `months` has bit 2 for February. With `either` a day needs to match only one of the two: its
    number in the month or its weekday.
    """

    numbers: int
    months: int
    weekdays: int
    either: bool

    def matches(self, month: int, number: int, weekday: int) -> bool:
        """Whether such a day is one of them."""
        one, other = self.numbers >> number & 1, self.weekdays >> weekday & 1
        return bool(self.months >> month & 1 and (one or other if self.either else one and other))


class AllDays(NamedTuple):
    """The days that match each one of several."""

    each: tuple[Days, ...]

    def matches(self, month: int, number: int, weekday: int) -> bool:
        """Whether such a day is one of them."""
        return all(days.matches(month, number, weekday) for days in self.each)


@dataclass(frozen=True, slots=True, kw_only=True)
class WallPattern:
    """The times whose day is one of `days`, and whose hour, minute and second each is one of those (rising)."""

    days: Days | AllDays
    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]

    def first_from(self, wall: int) -> int | None:
        """The first time at `wall` or later."""
        year, index = self._place(wall)
        while year <= _LAST_YEAR:
            if index < self._in_year(year):
                return self._at(year, index)
            year, index = year + 1, 0
        return None

    def last_before(self, wall: int) -> int | None:
        """The last time before `wall`."""
        year, index = self._place(wall)
        while index == 0 and year > _FIRST_YEAR:
            year -= 1
            index = self._in_year(year)
        return self._at(year, index - 1) if index else None

    def count(self, low: int, high: int) -> int:
        """How many times t there are with low <= t < high."""
        (first, before), (last, upto) = self._place(low), self._place(max(low, high))
        return sum(map(self._in_year, range(first, last))) + upto - before

    def _place(self, wall: int) -> _Place:
        """The year of `wall`, and how many times of that year lie before it."""
        if wall >= END_WALL:
            return _LAST_YEAR + 1, 0
        number, second = divmod(max(wall, FIRST_WALL), DAY_SECONDS)
        year = date.fromordinal(number + _EPOCH_DAY).year
        days = _days_of(self.days, year)
        index = bisect_left(days, number)
        today = self._in_day(second) if index < len(days) and days[index] == number else 0
        return year, index * self._a_day + today

    def _at(self, year: int, index: int) -> int:
        """The time at a place."""
        day, rest = divmod(index, self._a_day)
        hour, rest = divmod(rest, len(self.minutes) * len(self.seconds))
        minute, second = divmod(rest, len(self.seconds))
        time = self.hours[hour] * 3600 + self.minutes[minute] * 60 + self.seconds[second]
        return _days_of(self.days, year)[day] * DAY_SECONDS + time

    @property
    def _a_day(self) -> int:
        return len(self.hours) * len(self.minutes) * len(self.seconds)

    def _in_year(self, year: int) -> int:
        return len(_days_of(self.days, year)) * self._a_day

    def _in_day(self, second: int) -> int:
        """How many of a day's times lie before its second."""
        found, same = 0, True
        for values, value in (
            (self.hours, second // 3600),
            (self.minutes, second // 60 % 60),
            (self.seconds, second % 60),
        ):
            index = bisect_left(values, value) if same else 0
            same = same and index < len(values) and values[index] == value
            found = found * len(values) + index
        return found


@lru_cache(maxsize=1024)
def _days_of(days: Days | AllDays, year: int) -> Sequence[int]:
    """The matching days of a year, counted from 1970-01-01, which is 0."""
    if year > _LAST_YEAR:
        return ()
    first = date(year, 1, 1)
    begins = first.toordinal() - _EPOCH_DAY
    return tuple(begins + since for since in _days_in(days, isleap(year), first.isoweekday() % 7))


@lru_cache(maxsize=1024)
def _days_in(days: Days | AllDays, leap: bool, weekday: int) -> tuple[int, ...]:
    """The same, counted from its first of January, for a year of this length that begins on this weekday."""
    year, since, found = 2000 if leap else 2001, 0, []
    for month in range(1, 13):
        for number in range(1, monthrange(year, month)[1] + 1):
            if days.matches(month, number, (weekday + since) % 7):
                found.append(since)
            since += 1
    return tuple(found)

"""A zone's stretches of time with one offset from UTC, found by asking the zone, which tells of no transitions itself.

All moments are whole seconds since 1970-01-01T00:00:00Z. The zone is asked every three days, so changes of a clock that
undo each other within three days are not seen; in no zone has it come to that since 1900.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from kala_es.domain.wall_pattern import DAY_SECONDS, END_WALL, FIRST_WALL

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_STEP: Final = 3 * DAY_SECONDS
_EDGE: Final = 2 * DAY_SECONDS
"""No zone is asked nearer than this to the ends of the calendar, which its wall clock would leave. Also further than
any clock was ever moved, so a stretch knows of the changes before and after it though they lie in another year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """From `begins` to before `ends` the wall clock is `ahead` of UTC; just before it was `before` ahead, then it is
    `after` ahead."""

    begins: int
    ends: int
    ahead: int
    before: int
    after: int


_ALWAYS: Final = Stretch(begins=FIRST_WALL - _EDGE, ends=END_WALL, ahead=0, before=0, after=0)


def stretches(zone: ZoneInfo | None, low: int, high: int) -> Iterator[tuple[Stretch, int, int]]:
    """The moments t with low <= t < high, cut into ranges: the stretch that each lies in, its first moment and its end.

    Without a zone they lie in UTC's only stretch.
    """
    while low < high:
        stretch = _stretch(zone, low) if zone else _ALWAYS
        end = min(stretch.ends, high)
        yield stretch, low, end
        low = end


def _stretch(zone: ZoneInfo, moment: int) -> Stretch:
    year = date.fromordinal(moment // DAY_SECONDS + _EPOCH_DAY).year
    found = _stretches_of(zone, year)
    return found[bisect_right(found, moment, key=lambda stretch: stretch.begins) - 1]


@lru_cache(maxsize=4096)
def _stretches_of(zone: ZoneInfo, year: int) -> tuple[Stretch, ...]:
    """Those of a year, and from shortly before it; what a year's end cuts is two stretches without a change.

    None is cut shortly before a change, so the last may end when the next year has begun.
    """
    begins = (date(year, 1, 1).toordinal() - _EPOCH_DAY) * DAY_SECONDS
    ends = (date(year, 12, 31).toordinal() + 1 - _EPOCH_DAY) * DAY_SECONDS
    cuts = [begins - _EDGE, *_changes(zone, begins - _EDGE, ends + _EDGE)]
    return tuple(
        Stretch(begins=cut, ends=end, ahead=_ahead(zone, cut), before=_ahead(zone, cut - 1), after=_ahead(zone, end))
        for cut, end in zip(cuts, [*cuts[1:], ends], strict=True)
        if cut < ends
    )


def _changes(zone: ZoneInfo, begins: int, ends: int) -> Iterator[int]:
    """The moments t with begins < t < ends at which the offset changes."""
    last, offset = begins, _ahead(zone, begins)
    while last < ends - 1:
        following = min(last + _STEP, ends - 1)
        if _ahead(zone, following) == offset:
            last = following
        else:
            last = _first_change(zone, last + 1, following)
            offset = _ahead(zone, last)
            yield last


def _first_change(zone: ZoneInfo, low: int, high: int) -> int:
    """The first moment from `low` on, `high` at the latest, with another offset than the second before `low`."""
    offset = _ahead(zone, low - 1)
    return low + bisect_left(range(low, high), True, key=lambda moment: _ahead(zone, moment) != offset)


def _ahead(zone: ZoneInfo, moment: int) -> int:
    """What the zone's wall clock is ahead of UTC, in seconds."""
    asked = min(max(moment, FIRST_WALL + _EDGE), END_WALL - _EDGE)
    offset = datetime.fromtimestamp(asked, zone).utcoffset() or timedelta()
    return offset.days * DAY_SECONDS + offset.seconds

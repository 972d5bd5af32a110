"""Cron expressions as schedules: Dkron's grammar, and the plain one of five fields.

`[second] minute hour day-of-month month day-of-week`, or a word: `@yearly`, `@annually`, `@monthly`, `@weekly`,
`@daily`, `@midnight`, `@hourly`, `@minutely`, `@every DURATION`, `@at TIME`, `@manually`. `TZ=Zone` or `CRON_TZ=Zone`
may come first; it stands for the zone that is given beside the schedule. Without any the clock is UTC's.

- cron_fields.py says what a field names. `~` in one is the job's own choice.
- When both day fields are restricted, a day needs to match one of them. `*` and `*/1` restrict nothing, `*/2` does.
- Where a clock is put forward, the matching times that it jumps over are due once, at the moment when the gap ends;
  where it is put back, times that come twice are due the first time, unless the job wants it otherwise
  (clock_changes.py). But when the minute or the hour goes on and on (`*`, `*/n`, `n/step`, `~/n`, unless that is one
  value), the ticks are the moments at which the clock shows a matching time: none in a gap, and both times round.
- `@every` counts whole seconds, at least one, from the whole second at which the schedule was planned.
- An expression that no day can match has no tick, as in Dkron. After year 9999 no tick follows.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from kala_es.domain.clock_changes import AS_SHOWN, USUAL, OnChange, closing, opening
from kala_es.domain.cron_fields import CHOICE, NUMBER, Field, Word, read_fields, words_of
from kala_es.domain.errors import Invalid
from kala_es.domain.go_duration import read_go_duration
from kala_es.domain.ids import SECOND, Instant, Micros
from kala_es.domain.iso8601 import every, parse_schedule, zone_named
from kala_es.domain.offsets import Stretch, stretches
from kala_es.domain.schedule import Never, Once, Schedule, Ticks
from kala_es.domain.wall_pattern import END_WALL, FIRST_WALL, Days, WallPattern
from kala_es.domain.wall_union import WallUnion
from kala_es.limits import MAX_SCHEDULE_CHARS

_WORDS: Final = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
    "@minutely": "0 * * * * *",
}
ZONE_PREFIXES: Final = ("TZ=", "CRON_TZ=")
_RFC3339: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9:]{5})")
_LEAP_YEAR: Final = 2000
_NANOS_A_SECOND: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """The ticks of a pattern on a zone's wall clock (None: UTC's).

    `fixed` ones are times of day, and `on_change` says what changes of the clock do to them; the others are whatever
    the clock shows.
    """

    pattern: WallPattern | WallUnion
    zone: ZoneInfo | None
    fixed: bool
    on_change: OnChange

    def next_after(self, moment: Instant) -> Instant | None:
        """The first tick later than `moment`, or None when there is none."""
        for stretch, low, end in stretches(self.zone, _second_after(moment), END_WALL):
            wall = self.pattern.first_from(self._begin(stretch, low))
            if wall is not None and wall < self._end(stretch, end):
                return _tick(stretch, wall)
        return None

    def between(self, after: Instant, until: Instant) -> Ticks | None:
        """The ticks t with after < t <= until, or None; never walks them one by one."""
        ranges = stretches(self.zone, _second_after(after), _second_after(until))
        found = [ticks for stretch, low, end in ranges if (ticks := self._within(stretch, low, end))]
        return Ticks(first=found[0].first, last=found[-1].last, count=sum(t.count for t in found)) if found else None

    def _within(self, stretch: Stretch, low: int, high: int) -> Ticks | None:
        """The ticks t of one stretch with low <= t < high, in seconds."""
        begin, end = self._begin(stretch, low), self._end(stretch, high)
        first = self.pattern.first_from(begin)
        if first is None or first >= end:
            return None
        last = self.pattern.last_before(end)
        assert last is not None
        count = self.pattern.count(begin, end)
        if begin <= (opened := stretch.begins + stretch.ahead):  # the times that it opens with are one tick
            count -= max(self.pattern.count(begin, min(opened + 1, end)) - 1, 0)
        return Ticks(first=_tick(stretch, first), last=_tick(stretch, last), count=count)

    def _begin(self, stretch: Stretch, low: int) -> int:
        """The earliest wall time that is due in the stretch and not before `low`."""
        first = opening(stretch, self.on_change)
        return first if low <= stretch.begins else max(low + stretch.ahead, first)

    def _end(self, stretch: Stretch, high: int) -> int:
        """The wall time before which those are that are due in the stretch and before `high`."""
        return min(high + stretch.ahead, closing(stretch, self.on_change))


def _second_after(moment: Instant) -> int:
    """The first whole second later than `moment`, within the calendar."""
    return min(max(moment // SECOND + 1, FIRST_WALL), END_WALL)


def _tick(stretch: Stretch, wall: int) -> Instant:
    return Instant(max(wall - stretch.ahead, stretch.begins) * SECOND)


# Reading


def is_cron(text: str) -> bool:
    """Whether the text is meant as a cron expression. No text of `R[n]/start/interval` is."""
    if text.startswith("R"):
        return False
    words = text.split()
    return text.lstrip().startswith(("@", *ZONE_PREFIXES)) or (len(words) > 1 and not words[0].startswith("R"))


def parse_cron(text: str, timezone: str, planned: Instant, *, job: str = "", on_change: OnChange = USUAL) -> Schedule:
    """The schedule of a cron expression that was planned at `planned`, on the clock of the IANA zone `timezone`.

    `job` is the id of the job whose schedule it is. Raises `Invalid` for the field "schedule" or "timezone", with the
    column. A passed `@at` is no error here.
    """
    read = _read(text, timezone, job=job if CHOICE in text else "", on_change=on_change)
    if isinstance(read, int):
        return every(read, Instant(planned // SECOND * SECOND + read))
    return read


@lru_cache(maxsize=4096)
def _read(text: str, timezone: str, *, job: str, on_change: OnChange) -> Cron | Once | Never | Micros:
    """The schedule, or the interval of one that is counted from when it was planned."""
    if len(text) > MAX_SCHEDULE_CHARS:
        raise Invalid("schedule", f"the schedule has {len(text)} characters, more than {MAX_SCHEDULE_CHARS}")
    words = words_of(text)
    zone = zone_named(timezone) if timezone else None
    if words and words[0].text.startswith(ZONE_PREFIXES):
        zone = _zone_before(words.pop(0), timezone)
    match [word.text for word in words]:
        case ["@manually"]:
            return Never()
        case ["@every", _]:
            return _interval(words[1])
        case ["@at", _]:
            return _once(words[1])
        case [word] if word in _WORDS:
            return _expression(words_of(_WORDS[word]), job, zone=zone, on_change=on_change)
        case [word, *_] if word.startswith("@"):
            said = " ".join(each.text for each in words)
            raise Invalid("schedule", f"{said!r} is none of {_forms()}", words[0].column)
        case _:
            _check_number(words, len(text) + 1)
            return _expression(words, job, zone=zone, on_change=on_change)


def _forms() -> str:
    return ", ".join([*_WORDS, "@every DURATION", "@at TIME", "@manually"])


def _zone_before(prefix: Word, timezone: str) -> ZoneInfo:
    """The zone that the expression itself names."""
    name = prefix.text.partition("=")[2]
    if timezone and timezone != name:
        said = f"{prefix.text} contradicts the timezone {timezone!r} beside it"
        raise Invalid("schedule", said, prefix.column)
    try:
        return zone_named(name)
    except Invalid as error:
        raise Invalid("schedule", error.reason, prefix.column) from None


def _once(word: Word) -> Once:
    if not _RFC3339.fullmatch(word.text):
        said = f"the time {word.text!r} of @at is not like 2099-01-31T12:00:00Z or ...+02:00"
        raise Invalid("schedule", said, word.column)
    try:
        return Once(at=parse_schedule(f"R0/{word.text}/", "").start)
    except Invalid as error:
        raise Invalid(error.field, error.reason, word.column) from None


def _interval(word: Word) -> Micros:
    """Go's duration in whole seconds, at least one, as Dkron takes it."""
    try:
        nanos = read_go_duration(word.text)
    except ValueError as error:
        raise Invalid("schedule", f"the duration {error}", word.column) from None
    return Micros(max(nanos // _NANOS_A_SECOND, 1) * SECOND)


def _check_number(words: list[Word], end: int) -> None:
    """Raise Invalid unless an expression has so many fields as it should."""
    if len(words) not in (5, 6):
        said = f"a cron expression has 5 fields, or 6 with seconds first, this one has {len(words)}"
        raise Invalid("schedule", said, words[6].column if len(words) > 6 else end)


def _expression(words: list[Word], job: str, *, zone: ZoneInfo | None, on_change: OnChange) -> Cron | Never:
    """What the fields name, on a zone's clock."""
    fields = read_fields(words, job)
    days = _days(*fields[3:])
    if isinstance(days, Never):
        return days
    pattern = WallPattern(
        days=days, hours=fields.hour.values, minutes=fields.minute.values, seconds=fields.second.values
    )
    fixed = not (fields.minute.running or fields.hour.running)
    return Cron(pattern=pattern, zone=zone, fixed=fixed, on_change=on_change if fixed else AS_SHOWN)


@lru_cache(maxsize=4096)
def _days(number: Field, month: Field, weekday: Field) -> Days | Never:
    either = not (number.free or weekday.free)
    if not either and min(number.values) > max(monthrange(_LEAP_YEAR, each)[1] for each in month.values):
        named = ", ".join(map(str, number.values)), ", ".join(map(str, month.values))
        return Never(why=f"the {NUMBER.noun} {named[0]} never comes in the month {named[1]}")
    return Days(numbers=_bits(number), months=_bits(month), weekdays=_bits(weekday), either=either)


def _bits(field: Field) -> int:
    return sum(1 << value for value in field.values)

"""Cron expressions as schedules: Dkron's grammar, and the plain one of five fields.

`[second] minute hour day-of-month month day-of-week`, or a word: `@yearly`, `@annually`, `@monthly`, `@weekly`,
`@daily`, `@midnight`, `@hourly`, `@minutely`, `@every DURATION`, `@at TIME`, `@manually`. `TZ=Zone` or `CRON_TZ=Zone`
may come first; it stands for the zone that is given beside the schedule. Without any the clock is UTC's.

- A field is `*`, `?`, `n`, `a-b` or one of these with `/step`, or several with commas. `n/step` goes on to the field's
  end. Months and weekdays have names, in any case; Sunday is 0, and 7.
- When both day fields are restricted, a day needs to match one of them. `*` and `*/1` restrict nothing, `*/2` does.
- Where a clock is put forward, the matching times that it jumps over are due once, at the moment when the gap ends;
  where it is put back, times that come twice are due the first time. But when the minute or the hour goes on and on
  (`*`, `*/n`, `n/step`, unless that is one value), the ticks are the moments at which the clock shows a matching time:
  none in a gap, and both times round.
- `@every` counts whole seconds, at least one, from the whole second at which the schedule was planned.
- An expression that no day can match is refused. After year 9999 no tick follows.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant, Micros
from kala_es.domain.iso8601 import every, parse_schedule, zone_named
from kala_es.domain.offsets import Stretch, stretches
from kala_es.domain.schedule import Never, Once, Schedule, Ticks
from kala_es.domain.wall_pattern import END_WALL, FIRST_WALL, Days, WallPattern
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
_ZONE_PREFIXES: Final = ("TZ=", "CRON_TZ=")
_RFC3339: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9:]{5})")
_GO_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|ms|s|m|h)")
_MICRO_SIGNS: Final = re.compile("[\u00b5\u03bc]s")
_NANOS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_LEAP_YEAR: Final = 2000
_MOST_NANOS: Final = 2**63 - 1
_NANOS_A_SECOND: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """The ticks of a pattern on a zone's wall clock (None: UTC's).

    `fixed` ones are due once where the clock is moved; the others are whatever the clock shows.
    """

    pattern: WallPattern
    zone: ZoneInfo | None
    fixed: bool

    def next_after(self, moment: Instant) -> Instant | None:
        """The first tick later than `moment`, or None when there is none."""
        for stretch, low, end in stretches(self.zone, _second_after(moment), END_WALL):
            wall = self.pattern.first_from(self._begin(stretch, low))
            if wall is None or wall < end + stretch.ahead:
                return None if wall is None else _tick(stretch, wall)
        return None

    def between(self, after: Instant, until: Instant) -> Ticks | None:
        """The ticks t with after < t <= until, or None; never walks them one by one."""
        ranges = stretches(self.zone, _second_after(after), _second_after(until))
        found = [ticks for stretch, low, end in ranges if (ticks := self._within(stretch, low, end))]
        return Ticks(first=found[0].first, last=found[-1].last, count=sum(t.count for t in found)) if found else None

    def _within(self, stretch: Stretch, low: int, high: int) -> Ticks | None:
        """The ticks t of one stretch with low <= t < high, in seconds."""
        begin, end = self._begin(stretch, low), high + stretch.ahead
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
        """The earliest wall time that is due in the stretch and not before `low`: one that was jumped over is due
        when the stretch begins, one that was shown before is not due again."""
        opening = stretch.begins + (stretch.before if self.fixed else stretch.ahead)
        return opening if low <= stretch.begins else max(low + stretch.ahead, opening)


def _second_after(moment: Instant) -> int:
    """The first whole second later than `moment`, within the calendar."""
    return min(max(moment // SECOND + 1, FIRST_WALL), END_WALL)


def _tick(stretch: Stretch, wall: int) -> Instant:
    return Instant(max(wall - stretch.ahead, stretch.begins) * SECOND)


# Reading


def is_cron(text: str) -> bool:
    """Whether the text is meant as a cron expression. No text of `R[n]/start/interval` is."""
    words = text.split()
    return text.lstrip().startswith(("@", *_ZONE_PREFIXES)) or (len(words) > 1 and not words[0].startswith("R"))


def parse_cron(text: str, timezone: str, planned: Instant) -> Schedule:
    """The schedule of a cron expression that was planned at `planned`, on the clock of the IANA zone `timezone`.

    Raises `Invalid` for the field "schedule" or "timezone". A passed `@at` is no error here.
    """
    read = _read(text, timezone)
    if isinstance(read, int):
        return every(read, Instant(planned // SECOND * SECOND + read))
    return read


@lru_cache(maxsize=4096)
def _read(text: str, timezone: str) -> Cron | Once | Never | Micros:
    """The schedule, or the interval of one that is counted from when it was planned."""
    if len(text) > MAX_SCHEDULE_CHARS:
        raise Invalid("schedule", f"the schedule has {len(text)} characters, more than {MAX_SCHEDULE_CHARS}")
    words = text.split()
    zone = zone_named(timezone) if timezone else None
    if words and words[0].startswith(_ZONE_PREFIXES):
        zone = _zone_before(words.pop(0), timezone)
    match words:
        case ["@manually"]:
            return Never()
        case ["@every", length]:
            return _interval(length)
        case ["@at", moment]:
            return _once(moment)
        case [word] if word in _WORDS:
            return _expression(_WORDS[word].split(), zone)
        case [word, *_] if word.startswith("@"):
            raise Invalid("schedule", f"{' '.join(words)!r} is none of {_forms()}")
        case _:
            return _expression(words, zone)


def _forms() -> str:
    return ", ".join([*_WORDS, "@every DURATION", "@at TIME", "@manually"])


def _zone_before(prefix: str, timezone: str) -> ZoneInfo:
    """The zone that the expression itself names."""
    name = prefix.partition("=")[2]
    if timezone and timezone != name:
        raise Invalid("schedule", f"{prefix} contradicts the timezone {timezone!r} beside it")
    try:
        return zone_named(name)
    except Invalid as error:
        raise Invalid("schedule", error.reason) from None


def _once(text: str) -> Once:
    if not _RFC3339.fullmatch(text):
        raise Invalid("schedule", f"the time {text!r} of @at is not like 2099-01-31T12:00:00Z or ...+02:00")
    return Once(at=parse_schedule(f"R0/{text}/", "").start)


def _interval(text: str) -> Micros:
    """Go's duration in whole seconds, at least one, as Dkron takes it."""
    body = _MICRO_SIGNS.sub("us", text[1:] if text[:1] in ("-", "+") else text)
    nanos, at = 0, 0
    while part := _GO_PART.match(body, at):
        whole, fraction, unit = part.groups(default="")
        if not whole + fraction:
            break
        nanos += int(whole or 0) * _NANOS[unit] + int(fraction or 0) * _NANOS[unit] // 10 ** len(fraction)
        at = part.end()
    if body != "0" and (at != len(body) or not body):
        raise Invalid("schedule", f"the duration {text!r} of @every is not like 1h30m10s; its units are h, m, s and ms")
    if nanos > _MOST_NANOS:
        raise Invalid("schedule", f"the duration {text!r} of @every is longer than 292 years")
    return Micros(max(0 if text[0] == "-" else nanos // _NANOS_A_SECOND, 1) * SECOND)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kind:
    """A kind of field: values from `low` to `high`. A larger one up to `most` is written for `low`."""

    noun: str
    low: int
    high: int
    most: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """What a field names, rising; whether it leaves nothing out by saying so; whether it goes on and on."""

    values: tuple[int, ...]
    free: bool
    running: bool


_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SECOND: Final = _Kind(noun="second", low=0, high=59, most=59)
_MINUTE: Final = _Kind(noun="minute", low=0, high=59, most=59)
_HOUR: Final = _Kind(noun="hour", low=0, high=23, most=23)
_NUMBER: Final = _Kind(noun="day of the month", low=1, high=31, most=31)
_MONTH: Final = _Kind(noun="month", low=1, high=12, most=12, names=_MONTHS)
_WEEKDAY: Final = _Kind(noun="day of the week", low=0, high=6, most=7, names=_WEEKDAYS)


def _expression(words: list[str], zone: ZoneInfo | None) -> Cron:
    if len(words) not in (5, 6):
        raise Invalid("schedule", f"a cron expression has 5 fields, or 6 with seconds first, this one has {len(words)}")
    *times, number, month, weekday = ["0", *words][-6:]
    second, minute, hour = map(_field, times, (_SECOND, _MINUTE, _HOUR))
    days = _days(number, month, weekday)
    pattern = WallPattern(days=days, hours=hour.values, minutes=minute.values, seconds=second.values)
    return Cron(pattern=pattern, zone=zone, fixed=not (minute.running or hour.running))


@lru_cache(maxsize=4096)
def _days(number_text: str, month_text: str, weekday_text: str) -> Days:
    number, month, weekday = _field(number_text, _NUMBER), _field(month_text, _MONTH), _field(weekday_text, _WEEKDAY)
    either = not (number.free or weekday.free)
    if not either and min(number.values) > max(monthrange(_LEAP_YEAR, each)[1] for each in month.values):
        raise Invalid("schedule", f"the day of the month {number_text!r} never comes in the month {month_text!r}")
    return Days(numbers=_bits(number), months=_bits(month), weekdays=_bits(weekday), either=either)


def _bits(field: _Field) -> int:
    return sum(1 << value for value in field.values)


@lru_cache(maxsize=4096)
def _field(text: str, kind: _Kind) -> _Field:
    values: set[int] = set()
    free = running = False
    for part in filter(None, text.split(",")):
        body, stepped, step_text = part.partition("/")
        low, ranged, high = body.partition("-")
        starred = low in ("*", "?") and not ranged
        step = _number(step_text, part, kind) if stepped else 1
        first = kind.low if starred else _value(low, part, kind)
        last = _value(high, part, kind) if ranged else kind.high if starred or stepped else first
        if first > last or step == 0:
            raise _wrong(part, kind, "ends before it begins" if step else "has a step of 0")
        values.update(value if value <= kind.high else kind.low for value in range(first, last + 1, step))
        free = free or (starred and step == 1)
        running = running or starred or (bool(stepped) and not ranged)
    if not values:
        raise _wrong(text, kind, "names none")
    return _Field(values=tuple(sorted(values)), free=free, running=running and len(values) > 1)


def _value(text: str, part: str, kind: _Kind) -> int:
    """A number or a name."""
    name = text.lower()
    value = kind.names.index(name) + kind.low if name in kind.names else _number(text, part, kind)
    if not kind.low <= value <= kind.most:
        raise _wrong(part, kind, f"is not within {kind.low} and {kind.most}")
    return value


def _number(text: str, part: str, kind: _Kind) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        names = f", or a name ({kind.names[0]}, {kind.names[1]}...)" if kind.names else ""
        raise _wrong(part, kind, f"is not of the form *, 5, 1-5 or */5{names}")
    return int(text)


def _wrong(part: str, kind: _Kind, reason: str) -> Invalid:
    return Invalid("schedule", f"the {kind.noun} {part!r} of the cron expression {reason}")

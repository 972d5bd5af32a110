"""ISO 8601 repeating intervals as schedules, and ISO 8601 durations as lengths of time.

`R[n]/start/interval` names the ticks start + k x interval, k = 0..n, each computed from the start, so nothing drifts.

- Years, months, weeks and days keep the wall clock of the zone: the IANA zone given beside the schedule, else the
  start's own offset. Months are added first and clamped to the month's last day, then days; hours, minutes and seconds
  (and the fraction of a day or week) are absolute time, added last.
- A wall clock time that a zone skips is due the moment the gap ends, one that a zone repeats the first time round;
  a start that names the second by its offset is kept.
- Ticks rise strictly. Where a zone skips a whole day (Apia, 2011-12-30) two steps of P1D can fall on one instant: that
  is one tick, so such a sequence has a tick less than n + 1. After year 9999 no tick follows.
- isodate says what a number of an interval means. The shape is judged here, because isodate also lets through a sign, a
  bare `T`, week and ordinal dates, and a fraction before the last number. In the alternative form it reads no zeros.
"""

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import isodate

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant, Micros
from kala_es.domain.schedule import Ticks
from kala_es.limits import MAX_SCHEDULE_CHARS

_DAY = 86_400 * SECOND
_MONTH = 2_629_746 * SECOND  # the Gregorian mean, exact: 400 years are 4800 of them
_MICRO = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1)
_FIRST, _LAST = (datetime.min - _EPOCH) // _MICRO, (datetime.max - _EPOCH) // _MICRO
_BEYOND = Instant(_LAST + 1)  # stands for every tick past year 9999, so that a search still sees a rising sequence
_ZONE_SLACK = Micros(3 * _DAY)  # how far changes of offset, gaps and folds can move a tick from start + k x mean length
_MONTH_SLACK = Micros(12 * _DAY)  # the same with uneven months, leap years and clamping
_FOREVER = 1 << 62
_MOST_REPEATS = 2**31 - 1
_LONGEST = 10_000 * 365 * _DAY
_SKIPPED_DAYS_FROM, _SKIPPED_DAYS_TO = 1840, 2038  # years in which tz data lists single transitions, not yearly rules

_NUMBER = r"[0-9]+(?:[.,][0-9]+)?"
_DURATION = re.compile(r"P((?:#Y)?(?:#M)?(?:#W)?(?:#D)?)(?:T((?:#H)?(?:#M)?(?:#S)?))?".replace("#", _NUMBER))
_ALTERNATIVE = re.compile(r"P[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?")
_EARLY_FRACTION = re.compile(r"[.,][0-9]+[A-Z]T?[0-9]")
_TOO_FINE = re.compile(r"([.,][0-9]{6})[0-9]+S")
_START = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?"
    r"(?:(Z)|([+-])([0-9]{2}):([0-9]{2}))?"
)
_ZONE_NAME = re.compile(r"(?!posix/|right/|localtime$|posixrules$)[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Calendar steps, and the absolute time that is added to them."""

    years: int = 0
    months: int = 0
    days: int = 0
    rest: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeating:
    """The ticks of `R[n]/start/interval`, made by `parse_schedule`.

    `start` is the first tick, `count` how many steps k there are, year 9999 considered. No tick lies further than
    `slack` from start + k x `length`. `wall` is the start on the zone's wall clock, which is `offset` ahead of UTC
    when there is no `zone`; the steps in `doubled` fall on the same instant as the next.
    """

    start: Instant
    count: int
    interval: Interval
    length: Micros
    slack: Micros
    wall: datetime
    zone: ZoneInfo | None
    offset: Micros
    doubled: tuple[int, ...] = ()

    def next_after(self, moment: Instant) -> Instant | None:
        """The first tick later than `moment`, or None when there is none."""
        index = self.passed(moment)
        return self.tick(index) if index < self.count else None

    def walk(self, moment: Instant) -> Iterator[Instant]:
        """The ticks later than `moment`, one after another, each as `next_after` gives it for less work."""
        last = moment
        for index in range(self.passed(moment), self.count):
            tick = self.tick(index)
            if tick > last:
                yield tick
            last = tick

    def between(self, after: Instant, until: Instant) -> Ticks | None:
        """The ticks t with after < t <= until, or None; never walks them one by one."""
        begin, end = self.passed(after), self.passed(until)
        if begin >= end:
            return None
        twice = sum(begin <= step < end for step in self.doubled)
        return Ticks(first=self.tick(begin), last=self.tick(end - 1), count=end - begin - twice)

    def passed(self, moment: Instant) -> int:
        """How many steps are due at `moment` or before."""
        past = moment - self.start
        if past < 0:
            return 0
        if not self.slack:
            return min(past // self.length + 1, self.count)
        # The mean length leaves only a few candidates; the search looks at the logarithm of those.
        high = min((past + self.slack) // self.length + 1, self.count)
        low = min(max((past - self.slack) // self.length, 1), high)
        return low + bisect_right(range(low, high), moment, key=self.tick)

    def tick(self, step: int) -> Instant:
        """The moment of a step."""
        if not self.slack or step == 0:  # step 0 not from the wall clock, which forgets which of two equal times it was
            return Instant(self.start + step * self.length)
        try:
            wall = self.wall_at(step)
        except (OverflowError, ValueError):
            return _BEYOND
        utc = _utc(wall, self.zone) if self.zone else _micros(wall) - self.offset
        return Instant(min(utc + step * self.interval.rest, _BEYOND))

    def wall_at(self, step: int) -> datetime:
        """What the wall clock is to show at a step, before its hours, minutes and seconds are added."""
        return _moved(self.wall, step * self.interval.months, step * self.interval.days)


@lru_cache(maxsize=4096)
def parse_schedule(text: str, timezone: str) -> Repeating:
    """The schedule `R[n]/start/interval`, its calendar that of the IANA zone `timezone` ("" when not given).

    Raises `Invalid` for the field "schedule" or "timezone". A start in the past is no error here.
    """
    if len(text) > MAX_SCHEDULE_CHARS:
        raise Invalid("schedule", f"the schedule has {len(text)} characters, more than {MAX_SCHEDULE_CHARS}")
    parts = text.split("/")
    if len(parts) != 3:
        raise Invalid("schedule", f"the schedule {_quote(text)} has not the three parts R[n]/start/interval")
    zone = zone_named(timezone) if timezone else None
    count = _count(parts[0])
    start, wall, offset = _start(parts[1], zone)
    # R0 never uses its interval, and clients leave it empty or put anything there.
    interval = _interval(parts[2]) if count > 1 else Interval(rest=SECOND)
    length = Micros(interval.months * _MONTH + interval.days * _DAY + interval.rest)
    slack = _MONTH_SLACK if interval.months else _ZONE_SLACK if zone and interval.days else Micros(0)
    ticks = Repeating(
        start=start, count=count, interval=interval, length=length, slack=slack, wall=wall, zone=zone, offset=offset
    )
    return replace(ticks, count=ticks.passed(Instant(_LAST)), doubled=_doubled(ticks))


def parse_duration(text: str, field: str) -> Micros:
    """The fixed length of an ISO 8601 duration in microseconds, a year taken as 365 days and a month as 30.

    Zero is a duration; raises `Invalid` for `field` when the text is negative, empty, the alternative format
    (`P0001-01-01T00:00:00`), over 10000 years or no duration.
    """
    if _ALTERNATIVE.fullmatch(text):
        raise Invalid(field, f"the duration {_quote(text)} is in the alternative format; write it as P1DT2H3M4S")
    read = _read(text, field, "duration")
    days = read.years * 365 + read.months * 30 + read.days
    total = Micros(days * _DAY + read.rest)
    if total > _LONGEST:
        raise Invalid(field, f"the duration {_quote(text)} is longer than 10000 years")
    return total


def every(length: Micros, start: Instant) -> Repeating:
    """The ticks start + k x length, from `start` on until year 9999. The length is above zero."""
    return Repeating(
        start=start,
        count=max(_LAST - start, -1) // length + 1,
        interval=Interval(rest=length),
        length=length,
        slack=Micros(0),
        wall=_EPOCH,
        zone=None,
        offset=Micros(0),
    )


def _count(text: str) -> int:
    """The number of ticks that the first part asks for."""
    if text in ("R", "R-1"):
        return _FOREVER
    if not re.fullmatch(r"R[0-9]+", text):
        raise Invalid("schedule", f"the repeat part {_quote(text)} is not R, R-1 or R and a number such as R5")
    if int(text[1:]) > _MOST_REPEATS:
        raise Invalid("schedule", f"the repeat part {_quote(text)} asks for more than {_MOST_REPEATS} repeats")
    return int(text[1:]) + 1


def _start(text: str, zone: ZoneInfo | None) -> tuple[Instant, datetime, Micros]:
    """The start as an instant, on the zone's wall clock, and its own offset."""
    wall, offset = _moment(text)
    try:
        instant = _utc(wall, zone) if zone and offset is None else _micros(wall) - (offset or 0)
        if zone and offset is not None:
            local = (_EPOCH + instant * _MICRO).replace(tzinfo=UTC).astimezone(zone)
            wall = local.replace(tzinfo=None, fold=0)
    except OverflowError:
        instant = _BEYOND
    if not _FIRST <= instant <= _LAST:
        raise Invalid("schedule", f"the start {_quote(text)} lies outside the years 0001 to 9999")
    return Instant(instant), wall, Micros(offset or 0)


def _moment(text: str) -> tuple[datetime, Micros | None]:
    """What the start says: date and time, and the offset when there is one."""
    match = _START.fullmatch(text)
    if not match:
        raise Invalid("schedule", f"the start {_quote(text)} is not like 2099-01-31T12:00:00Z, +02:00 for Z or no zone")
    *numbers, fraction, zulu, sign, hours, minutes = match.groups()
    year, month, day, hour, minute, second = map(int, numbers)
    try:
        wall = datetime(year, month, day, hour, minute, second, int((fraction or "")[:6].ljust(6, "0")))
    except ValueError as error:
        raise Invalid("schedule", f"the start {_quote(text)} does not exist: {error}") from None
    if sign is None:
        return wall, Micros(0) if zulu else None
    ahead = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or ahead > 24 * 60:
        raise Invalid("schedule", f"the start {_quote(text)} has an offset that is not within 24:00")
    return wall, Micros(ahead * 60 * SECOND * (-1 if sign == "-" else 1))


def _interval(text: str) -> Interval:
    read = _read(text, "schedule", "interval")
    months = read.years * 12 + read.months
    if not (months or read.days or read.rest):
        raise Invalid("schedule", f"the interval {_quote(text)} is zero or under a microsecond")
    return replace(read, years=0, months=months)


def _read(text: str, field: str, noun: str) -> Interval:
    """The numbers of a duration; isodate folds P1D and PT24H into one, so it is given the halves apart."""
    if fault := _fault(text):
        raise Invalid(field, f"the {noun} {_quote(text)} {fault}")
    match = _DURATION.fullmatch(text)
    halves = [f"P{match[1]}" if match[1] else "PT0S", f"PT{match[2] or '0S'}"] if match else [text, "PT0S"]
    try:
        date, time = (isodate.parse_duration(_TOO_FINE.sub(r"\1S", half), False) for half in halves)
    except (ValueError, OverflowError) as error:  # isodate's own errors are ValueErrors
        raise Invalid(field, f"the {noun} {_quote(text)} cannot be read: {error}") from None
    years, months = int(date.years), int(date.months)
    if years != date.years or months != date.months:
        raise Invalid(field, f"the {noun} {_quote(text)} has a fraction of a year or month, which has no fixed length")
    length = date.tdelta % timedelta(days=1) + time.tdelta
    return Interval(years=years, months=months, days=date.tdelta.days, rest=Micros(length // _MICRO))


def _fault(text: str) -> str:
    """Why the text has not the shape of a duration, "" when it has."""
    if len(text) > MAX_SCHEDULE_CHARS:
        return f"has more than {MAX_SCHEDULE_CHARS} characters"
    if _ALTERNATIVE.fullmatch(text):
        return ""
    if not _DURATION.fullmatch(text):
        if text.startswith(("-", "P-")):
            return "is negative"
        return "is not in upper case" if _DURATION.fullmatch(text.upper()) else "is not of the form P1DT2H or PT30S"
    if text[-1] in "PT":
        return f"has nothing after its {text[-1]}"
    return "has a fraction before its last number" if _EARLY_FRACTION.search(text) else ""


def zone_named(name: str) -> ZoneInfo:
    """The IANA zone of this name; raises `Invalid` for the field "timezone" when there is none."""
    if _ZONE_NAME.fullmatch(name):
        with suppress(KeyError, ValueError, OSError):  # no such zone, a file that is none, a directory
            return ZoneInfo(name)
    raise Invalid("timezone", f"there is no time zone {_quote(name)}")


def _moved(wall: datetime, months: int, days: int) -> datetime:
    """Later by months, clamped to the month's last day, then by days."""
    if months:
        year, month = divmod(wall.year * 12 + wall.month - 1 + months, 12)
        day = wall.day if wall.day < 29 else min(wall.day, monthrange(year, month + 1)[1])
        wall = wall.replace(year=year, month=month + 1, day=day)
    return wall + timedelta(days=days) if days else wall


def _micros(wall: datetime) -> int:
    return (wall - _EPOCH) // _MICRO


def _ahead(moment: datetime) -> int:
    """What the zone's wall clock is ahead of UTC at an aware moment, in microseconds."""
    return (moment.utcoffset() or timedelta()) // _MICRO


def _utc(wall: datetime, zone: ZoneInfo) -> int:
    """The first instant at which the zone's wall clock shows `wall`, or has passed it."""
    local = wall.replace(tzinfo=zone)
    before, after = _ahead(local), _ahead(local.replace(fold=1))
    if after <= before:  # PEP 495: they differ upwards in a gap, downwards in a fold
        return _micros(wall) - before
    earliest, latest = (_micros(wall) - after) // SECOND, (_micros(wall) - before) // SECOND
    later = bisect_left(range(earliest, latest), after, key=lambda second: _ahead(datetime.fromtimestamp(second, zone)))
    return (earliest + later) * SECOND


def _doubled(ticks: Repeating) -> tuple[int, ...]:
    """The steps that fall on the next one's instant: only daily ones, where a zone went over the date line."""
    if ticks.zone is None or ticks.length != _DAY or ticks.interval.rest:
        return ()
    steps: list[int] = []
    for year in range(max(ticks.wall.year - 1, _SKIPPED_DAYS_FROM), _SKIPPED_DAYS_TO):
        middle = datetime(year, 7, 1, tzinfo=ticks.zone)
        if _ahead(middle.replace(year=year + 1)) - _ahead(middle) > _DAY * 5 // 6:
            first = max((middle.replace(tzinfo=None) - ticks.wall).days, 0)
            nearby = range(first, min(first + 367, ticks.count - 1))
            steps += [step for step in nearby if ticks.tick(step) == ticks.tick(step + 1)]
    return tuple(steps)


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")

"""What holds for every ISO 8601 schedule, whatever its text: drawn at random."""

from bisect import bisect_left
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.iso8601 import Repeating, parse_duration, parse_schedule
from kala_es.domain.schedule import Ticks
from tests.domain.moments import DAY, EPOCH, FIRST, HOUR, LAST, MICRO, START, at, attempt, walk

# ---- what holds for all

ZONES = ["", "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"]
PARTS = st.sampled_from(["R", "R-1", "R0", "R1", "R5", "R400"])
STARTS = st.datetimes(datetime(1850, 1, 1), datetime(2500, 1, 1)) | st.datetimes(
    datetime(2011, 12, 20), datetime(2012, 1, 10)
).map(lambda moment: moment.replace(hour=0, minute=0, second=0, microsecond=0))
OFFSETS = st.sampled_from(["", "Z", "+02:00", "-11:30", "+24:00"])
CALENDAR = ["P1D", "P1W", "P10D", "P1M", "P3M", "P1Y", "P1M1D", "P1DT1H", "P1.5D", "P1YT1S", "P7MT3H"]
INTERVALS = [*CALENDAR, "PT1S", "PT7M", "PT24H", "P0.25D", "PT0.3S"]


def schedules(intervals: list[str]) -> st.SearchStrategy[Repeating]:
    def made(part: str, start: datetime, offset: str, interval: str, zone: str) -> Repeating:
        return parse_schedule(f"{part}/{start.isoformat()}{offset}/{interval}", zone)

    return st.builds(made, PARTS, STARTS, OFFSETS, st.sampled_from(intervals), st.sampled_from(ZONES))


def assert_between_is_the_walk(schedule: Repeating, after: Instant, until: Instant) -> None:
    ticks = [tick for tick in walk(schedule, after, 800) if tick <= until]
    assert all(one < other for one, other in pairwise(ticks))
    expected = Ticks(first=ticks[0], last=ticks[-1], count=len(ticks)) if ticks else None
    assert schedule.between(after, until) == expected


@settings(max_examples=150, deadline=None)
@given(schedules(INTERVALS), st.integers(-3, 400), st.integers(-10, 25), st.integers(-DAY, DAY))
def test_between_is_the_walk(schedule: Repeating, steps: int, more: int, aside: int) -> None:
    after = Instant(schedule.start + steps * schedule.length + aside % schedule.length)
    assert_between_is_the_walk(schedule, after, Instant(after + more * schedule.length))


@settings(max_examples=150, deadline=None)
@given(schedules(INTERVALS), st.integers(FIRST, LAST))
def test_the_next_tick_is_the_first_one_later(schedule: Repeating, moment: int) -> None:
    tick = schedule.next_after(Instant(moment))
    whole = schedule.between(FIRST, LAST)
    assert whole is not None
    if tick is None:
        assert moment >= whole.last
    else:
        assert tick > moment
        assert schedule.between(Instant(moment), Instant(tick - 1)) is None
        assert schedule.next_after(Instant(tick - 1)) == tick


@settings(max_examples=100, deadline=None)
@given(schedules(["PT1S", "PT7M", "PT24H", "PT0.3S"]), st.integers(0, 10**12))
def test_absolute_ticks_lie_on_the_grid(schedule: Repeating, step: int) -> None:
    tick = schedule.next_after(Instant(schedule.start + step * schedule.length))
    assert tick is None or (tick - schedule.start) % schedule.length == 0


def first_showing(wall: datetime, zone: ZoneInfo) -> Instant:
    """When the zone's clock first shows `wall`, found by trying all offsets around; or when it jumps over it."""
    guess = (wall.replace(tzinfo=UTC) - EPOCH) // MICRO

    def clock(moment: int) -> datetime:
        return (EPOCH + moment * MICRO).astimezone(zone).replace(tzinfo=None)

    around = {(clock(guess + hours * HOUR) - wall) // MICRO - hours * HOUR for hours in (-40, -27, 0, 27, 40)}
    if shows := [guess - offset for offset in around if clock(guess - offset) == wall]:
        return Instant(min(shows))
    seconds = range((guess - 40 * HOUR) // SECOND, (guess + 40 * HOUR) // SECOND)
    return Instant(seconds[bisect_left(seconds, wall, key=lambda second: clock(second * SECOND))] * SECOND)


@settings(max_examples=100, deadline=None)
@given(STARTS, st.sampled_from([1, 2, 7, 30]), st.sampled_from(ZONES[1:]))
def test_daily_ticks_are_the_first_to_show_the_wall_clock(start: datetime, days: int, name: str) -> None:
    ticks = walk(parse_schedule(f"R/{start.isoformat()}/P{days}D", name), FIRST, 15)
    expected = [first_showing(start + timedelta(days=days * step), ZoneInfo(name)) for step in range(16)]
    assert ticks == sorted(set(expected))[:15]


@settings(max_examples=100, deadline=None)
@given(STARTS, st.integers(1, 40))
def test_monthly_ticks_agree_with_counting_months(start: datetime, months: int) -> None:
    ticks = walk(parse_schedule(f"R/{start.isoformat()}/P{months}M", ""), FIRST, 15)
    month = start.year * 12 + start.month - 1
    for tick in ticks:
        local = (EPOCH + tick * MICRO).replace(tzinfo=None)
        assert local.year * 12 + local.month - 1 == month
        assert local.time() == start.time()
        assert local.day == start.day or (local.day < start.day and (local + timedelta(days=1)).day == 1)
        month += months


LETTERS = st.text(alphabet="RPTZYMWDHS0123456789-+:.,/ \n", max_size=40)
NEARLY = st.builds("/".join, st.lists(st.sampled_from(["R", "R5", START, "P1D", "PT1S", ""]) | LETTERS, max_size=4))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | LETTERS | NEARLY, st.sampled_from(ZONES) | st.text(max_size=20))
def test_nothing_but_invalid_is_raised(text: str, timezone: str) -> None:
    result = attempt(text, timezone)
    assert isinstance(result, Repeating) or result.field in ("schedule", "timezone")
    with suppress(Invalid):
        assert parse_duration(text, "epsilon") >= 0


NUMBERS = st.sampled_from(["0", "1", "1.5", "0,25", "24", "400", "9999", "31", "9" * 12, "9" * 40])
FIELDS = st.lists(st.tuples(NUMBERS, st.sampled_from("YMWDTHMS")), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(FIELDS, st.sampled_from(ZONES))
def test_any_interval_is_read_or_refused(fields: list[tuple[str, str]], zone: str) -> None:
    text = "P" + "".join("T" if unit == "T" else number + unit for number, unit in fields)
    match attempt(f"R/{START}/{text}", zone):
        case Invalid(field=field):
            assert field == "schedule"
        case schedule:
            ticks = walk(schedule, FIRST, 4)
            assert ticks[0] == at(START)
            assert all(one < other for one, other in pairwise(ticks))


@pytest.mark.parametrize("timezone", ["Pacific/Kwajalein", "Pacific/Kiritimati", "Pacific/Fakaofo", "Asia/Manila"])
@pytest.mark.parametrize("start", ["1840-01-01T00:00:00", "1968-06-15T00:00:00", "1993-08-01T00:00:00"])
def test_zones_that_went_over_the_date_line(timezone: str, start: str) -> None:
    schedule = parse_schedule(f"R/{start}/P1D", timezone)
    for after, until in [("1844-11-01", "1845-03-01"), ("1993-08-01", "1995-02-01"), ("2011-12-01", "2012-02-01")]:
        assert_between_is_the_walk(schedule, at(after), at(until))

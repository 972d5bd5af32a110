"""What holds for every cron expression, whatever its text: drawn at random, and held against a walk of the minutes."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es.domain.cron import Cron, is_cron, parse_cron
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.iso8601 import parse_schedule
from kala_es.domain.schedule import Ticks
from kala_es.domain.wall_pattern import WallPattern
from tests.domain.moments import DAY, EPOCH, FIRST, HOUR, LAST, MICRO, START, at, walk

MINUTE = 60 * SECOND
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo",
    "Africa/Casablanca", "Antarctica/Troll", "Asia/Kathmandu", "America/Havana",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field's text and what it means, said apart from the code under test."""

    text: str
    values: frozenset[int]
    free: bool = False
    running: bool = False


def fields(low: int, high: int) -> st.SearchStrategy[Field]:
    """Fields of values from `low` to `high`."""
    every = frozenset(range(low, high + 1))
    value, step = st.integers(low, high), st.integers(1, high - low + 2)
    star = st.sampled_from("*?")
    starred = star.map(lambda s: Field(text=s, values=every, free=True, running=True))
    stepped = st.builds(lambda s, n: _running(f"{s}/{n}", frozenset(range(low, high + 1, n)), free=n == 1), star, step)
    open_ended = st.builds(lambda v, n: _running(f"{v}/{n}", frozenset(range(v, high + 1, n))), value, step)
    listed = st.lists(value, min_size=1, max_size=4).map(
        lambda some: Field(text=",".join(map(str, some)), values=frozenset(some))
    )
    ranged = st.builds(
        lambda one, other, n: Field(
            text=f"{min(one, other)}-{max(one, other)}/{n}",
            values=frozenset(range(min(one, other), max(one, other) + 1, n)),
        ),
        value, value, step,
    )  # fmt: skip
    return starred | stepped | open_ended | listed | ranged


def _running(text: str, values: frozenset[int], *, free: bool = False) -> Field:
    return Field(text=text, values=values, free=free, running=len(values) > 1)


@dataclass(frozen=True, kw_only=True)
class Expression:
    """An expression of five fields, and its meaning."""

    minute: Field
    hour: Field
    number: Field
    month: Field
    weekday: Field

    @property
    def text(self) -> str:
        return " ".join(field.text for field in (self.minute, self.hour, self.number, self.month, self.weekday))

    @property
    def fixed(self) -> bool:
        return not (self.minute.running or self.hour.running)

    def matches(self, wall: datetime) -> bool:
        """Whether the wall clock's minute is one that the expression names."""
        number, weekday = wall.day in self.number.values, wall.isoweekday() % 7 in self.weekday.values
        free = self.number.free or self.weekday.free
        day = (number and weekday) if free else (number or weekday)
        return day and wall.minute in self.minute.values and wall.hour in self.hour.values and (
            wall.month in self.month.values
        )  # fmt: skip


EXPRESSIONS = st.builds(
    Expression,
    minute=fields(0, 59),
    hour=fields(0, 23),
    number=fields(1, 31),
    month=fields(1, 12),
    weekday=fields(0, 6),
)


def _hours(text: str) -> Field:
    first, _, last = text.replace(",", "-").partition("-")
    some = {int(first), int(last or first)}
    return Field(text=text, values=frozenset(range(min(some), max(some) + 1) if "-" in text else some))


EVERY = Field(text="*", values=frozenset(range(60)), free=True, running=True)
NEARBY = st.builds(
    lambda minute, hour: Expression(minute=minute, hour=hour, number=EVERY, month=EVERY, weekday=EVERY),
    fields(0, 59),
    st.sampled_from(["0", "1", "2", "3", "0,2", "1-2", "0-3"]).map(_hours) | fields(0, 23),
)
"""Those of every day, in the hours in which clocks are changed."""
CHANGES = ["2018-11-04", "2024-03-10", "2024-03-31", "2024-04-07", "2024-10-06", "2024-10-27", "2024-11-03",
           "2011-12-30", "2018-02-18", "2024-04-14"]  # fmt: skip
STARTS = st.builds(
    lambda day, hours: Instant(at(f"{day}T00:00:00") + hours * HOUR), st.sampled_from(CHANGES), st.integers(-30, 24)
)


def clock(moment: int, zone: ZoneInfo) -> datetime:
    return (EPOCH + moment * MICRO).astimezone(zone).replace(tzinfo=None)


def oracle(expression: Expression, zone: ZoneInfo, after: Instant, until: Instant) -> Iterator[Instant]:
    """The ticks in between, found by looking at the clock every minute from two days before."""
    shown = clock(after - 2 * DAY, zone)
    for moment in range(after - 2 * DAY, until + 1, MINUTE):
        wall = clock(moment, zone)
        if expression.fixed:  # what the clock shows for the first time, or passes over
            new = (wall - timedelta(minutes=back) for back in range(max((wall - shown) // timedelta(minutes=1), 0)))
            due = any(expression.matches(each) for each in new)
        else:
            due = expression.matches(wall)
        shown = max(shown, wall)
        if due and moment > after:
            yield Instant(moment)


def attempt(text: str, timezone: str = "") -> Cron | None:
    """The schedule, or None for one that never comes."""
    with suppress(Invalid):
        schedule = parse_cron(text, timezone, FIRST)
        return schedule if isinstance(schedule, Cron) else None
    return None


@settings(max_examples=60, deadline=None)
@given(NEARBY | EXPRESSIONS, st.sampled_from(ZONES), STARTS, st.integers(1, 40))
def test_ticks_are_those_that_the_clock_shows(expression: Expression, zone: str, after: Instant, hours: int) -> None:
    until = Instant(after + hours * HOUR)
    expected = list(oracle(expression, ZoneInfo(zone), after, until))
    schedule = attempt(expression.text, zone)
    if schedule is None:
        assert not expected
        return
    found = [tick for tick in walk(schedule, after, len(expected) + 1) if tick <= until]
    assert found == expected
    ticks = Ticks(first=found[0], last=found[-1], count=len(found)) if found else None
    assert schedule.between(after, until) == ticks


MOMENTS = st.integers(at("1900-01-01T00:00:00"), at("2200-01-01T00:00:00"))


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS, st.sampled_from(["", *ZONES]), MOMENTS)
def test_the_next_tick_is_the_first_one_later(expression: Expression, zone: str, moment: int) -> None:
    schedule = attempt(expression.text, zone)
    tick = schedule.next_after(Instant(moment)) if schedule else None
    if schedule is None or tick is None:
        assert schedule is None
        return
    assert tick > moment
    assert schedule.between(Instant(moment), Instant(tick - 1)) is None
    assert schedule.next_after(Instant(tick - 1)) == tick
    assert schedule.between(Instant(moment), tick) == Ticks(first=tick, last=tick, count=1)


@settings(max_examples=100, deadline=None)
@given(EXPRESSIONS, st.sampled_from(["", *ZONES]), MOMENTS, st.integers(0, 400 * DAY), st.integers(0, 400 * DAY))
def test_what_lies_between_adds_up(expression: Expression, zone: str, start: int, one: int, other: int) -> None:
    schedule = attempt(expression.text, zone)
    if schedule is not None:
        middle, end = Instant(start + one), Instant(start + one + other)
        parts = [schedule.between(Instant(start), middle), schedule.between(middle, end)]
        found = [part for part in parts if part is not None]
        whole = schedule.between(Instant(start), end)
        assert whole == (
            Ticks(first=found[0].first, last=found[-1].last, count=sum(part.count for part in found)) if found else None
        )


@settings(max_examples=100, deadline=None)
@given(EXPRESSIONS, MOMENTS)
def test_without_a_zone_ticks_are_days_and_times_multiplied(expression: Expression, moment: int) -> None:
    schedule = attempt(expression.text)
    if schedule is not None:
        start = Instant(moment // DAY * DAY - 1)
        days = [clock(start + 1 + day * DAY, ZoneInfo("UTC")) for day in range(60)]
        minute, hour = min(expression.minute.values), min(expression.hour.values)
        matching = sum(expression.matches(day.replace(hour=hour, minute=minute)) for day in days)
        found = schedule.between(start, Instant(start + 60 * DAY))
        count = matching * len(expression.minute.values) * len(expression.hour.values)
        assert (found.count if found else 0) == count


@settings(max_examples=100, deadline=None)
@given(EXPRESSIONS)
def test_spelling_fields_out_changes_nothing(expression: Expression) -> None:
    """But for what a star says besides its values: that it restricts no day, and goes on and on."""
    schedule = attempt(expression.text)
    spelled = [
        field.text if field.free or field.running else ",".join(map(str, sorted(field.values)))
        for field in (expression.minute, expression.hour, expression.number, expression.month, expression.weekday)
    ]
    assert attempt(" ".join(spelled)) == schedule
    assert attempt(f"  0 {expression.text}\t".upper()) == schedule
    if schedule is not None:
        assert isinstance(schedule.pattern, WallPattern)
        assert schedule.fixed == expression.fixed
        assert schedule.pattern.hours == tuple(sorted(expression.hour.values))


LETTERS = st.text(alphabet="*/?,-0123456789 @everyatd:TZ=+.hms\u00b5\n", max_size=40)
NEARLY = st.builds(
    " ".join, st.lists(st.sampled_from(["*", "*/5", "1-5", "mon", "@every", "@at", "5s"]) | LETTERS, max_size=7)
)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | LETTERS | NEARLY, st.sampled_from(["", *ZONES]) | st.text(max_size=20))
def test_nothing_but_invalid_is_raised(text: str, timezone: str) -> None:
    with suppress(Invalid):
        schedule = parse_cron(text, timezone, at(START))
        assert is_cron(text)
        ticks = walk(schedule, at(START), 4)
        assert all(one < other for one, other in pairwise([at(START), *ticks]))


ISO_LETTERS = st.text(alphabet="RPTZYMWDHS0123456789-+:.,/ \n", max_size=40)
ISO = st.builds("/".join, st.lists(st.sampled_from(["R", "R5", START, "P1D", "PT1S", ""]) | ISO_LETTERS, max_size=4))


@settings(max_examples=300, deadline=None)
@given(ISO | NEARLY | st.text(max_size=40))
def test_no_text_is_of_both_grammars(text: str) -> None:
    with suppress(Invalid):
        parse_schedule(text, "")
        assert not is_cron(text)


@settings(max_examples=50, deadline=None)
@given(EXPRESSIONS, st.sampled_from(["", *ZONES]))
def test_the_calendars_ends_are_no_cliff(expression: Expression, zone: str) -> None:
    schedule = attempt(expression.text, zone)
    if schedule is not None:
        assert schedule.next_after(LAST) is None
        first = schedule.next_after(FIRST)
        assert first is not None
        assert first < at("0010-01-01T00:00:00")

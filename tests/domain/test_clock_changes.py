"""What a job may say of times of day that a clock skips or shows twice: rules as cases, and held against walks."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es.domain.bounds import Bounds, within
from kala_es.domain.calendar_steps import CalendarSteps, parse_steps
from kala_es.domain.clock_changes import AS_SHOWN, USUAL, Fold, Gap, OnChange
from kala_es.domain.cron import parse_cron
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.iso8601 import Repeating, parse_schedule
from kala_es.domain.moved import moved
from kala_es.domain.schedule import Schedule, Ticks
from tests.domain.moments import DAY, FIRST, HOUR, LAST, MICRO, at, shown, walk
from tests.domain.test_cron_laws import MINUTE, NEARBY, STARTS, ZONES, Expression, attempt, clock

BERLIN, NEW_YORK, APIA, LORD_HOWE = "Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"
SKIPPED = "02:30 is skipped by the clocks of Europe/Berlin, which are put forward to 03:00"
TWICE = "01:30:05 comes twice on the clocks of America/New_York; this is the first time"
RULES = [OnChange(gap, fold) for gap, fold in product(get_args(Gap), get_args(Fold))]


def shorter(tick: Instant, zone: str) -> str:
    return shown(tick, zone)[5:16] + shown(tick, zone)[19:]


# ---- cases


@pytest.mark.parametrize(
    ("text", "zone", "rule", "after", "expected"),
    [
        # a gap
        ("30 2 * * *", BERLIN, ("skip", "first"), "2024-03-30T12:00", ["04-01T02:30+02:00"]),
        ("15,45 1-3 * * *", NEW_YORK, ("skip", "first"), "2024-03-10T06:50", ["03-10T03:15-04:00"]),
        ("0 2,3 * * *", BERLIN, ("skip", "first"), "2024-03-30T12:00", ["03-31T03:00+02:00", "04-01T02:00+02:00"]),
        ("0 9 * * *", APIA, ("skip", "first"), "2011-12-29T20:00", ["12-31T09:00+14:00"]),
        ("30 2 * * *", BERLIN, ("run-after", "both"), "2024-03-30T12:00", ["03-31T03:00+02:00", "04-01T02:30+02:00"]),
        # an overlap
        ("30 1 * * *", NEW_YORK, ("run-after", "second"), "2024-11-02T12:00",
         ["11-03T01:30-05:00", "11-04T01:30-05:00"]),
        ("30 1 * * *", NEW_YORK, ("run-after", "second"), "2024-11-03T05:31",
         ["11-03T01:30-05:00", "11-04T01:30-05:00"]),
        ("30 1 * * *", NEW_YORK, ("skip", "both"), "2024-11-02T12:00",
         ["11-03T01:30-04:00", "11-03T01:30-05:00"]),
        ("0 0,2 * * *", NEW_YORK, ("run-after", "second"), "2024-11-02T12:00",
         ["11-03T00:00-04:00", "11-03T02:00-05:00"]),
        ("0,45 1 * * *", LORD_HOWE, ("run-after", "second"), "2024-04-06T12:00",
         ["04-07T01:00+11:00", "04-07T01:45+10:30"]),
        # what goes on and on takes no notice
        ("*/30 1 * * *", NEW_YORK, ("run-after", "first"), "2024-11-03T05:40",
         ["11-03T01:00-05:00", "11-03T01:30-05:00"]),
        ("30 * * * *", BERLIN, ("run-after", "first"), "2024-03-31T00:00", ["03-31T01:30+01:00", "03-31T03:30+02:00"]),
    ],
)  # fmt: skip
def test_what_a_fixed_time_does(text: str, zone: str, rule: tuple[Gap, Fold], after: str, expected: list[str]) -> None:
    schedule = parse_cron(text, zone, at(after), on_change=OnChange(*rule))
    assert [shorter(tick, zone) for tick in walk(schedule, at(after), len(expected))] == expected


@pytest.mark.parametrize(
    ("text", "zone", "rule", "expected"),
    [
        ("R/2024-03-30T02:30:00/P1D", BERLIN, ("skip", "first"), ["03-30T02:30+01:00", "04-01T02:30+02:00"]),
        ("R/2024-03-30T02:30:00/P1D", BERLIN, ("run-after", "both"), ["03-30T02:30+01:00", "03-31T03:00+02:00"]),
        ("R/2024-11-02T01:30:00/P1D", NEW_YORK, ("run-after", "second"), ["11-02T01:30-04:00", "11-03T01:30-05:00"]),
        ("R/2024-11-02T01:30:00/P1D", NEW_YORK, ("skip", "both"),
         ["11-02T01:30-04:00", "11-03T01:30-04:00", "11-03T01:30-05:00", "11-04T01:30-05:00"]),
        ("R1/2024-11-02T01:30:00/P1D", NEW_YORK, ("skip", "both"),
         ["11-02T01:30-04:00", "11-03T01:30-04:00", "11-03T01:30-05:00"]),
        ("R1/2024-03-30T02:30:00/P1D", BERLIN, ("skip", "first"), ["03-30T02:30+01:00"]),
        ("R/2024-10-03T01:30:00/P1M", NEW_YORK, ("skip", "second"), ["10-03T01:30-04:00", "11-03T01:30-05:00"]),
        ("R/2024-11-02T01:30:00/P1DT1H", NEW_YORK, ("skip", "second"), ["11-02T01:30-04:00", "11-03T02:30-05:00"]),
        ("R/2011-12-29T00:00:00/P1D", APIA, ("skip", "first"), ["12-29T00:00-10:00", "12-31T00:00+14:00"]),
        # the start is as it says
        ("R/2024-03-31T02:30:00/P1D", BERLIN, ("skip", "first"), ["03-31T03:00+02:00", "04-01T02:30+02:00"]),
        ("R/2024-11-03T01:30:00-04:00/P1D", NEW_YORK, ("skip", "second"), ["11-03T01:30-04:00", "11-04T01:30-05:00"]),
    ],
)  # fmt: skip
def test_what_a_calendar_step_does(text: str, zone: str, rule: tuple[Gap, Fold], expected: list[str]) -> None:
    schedule = parse_steps(text, zone, OnChange(*rule))
    found = walk(schedule, FIRST, len(expected) + (text[1] != "/"))
    assert [shorter(tick, zone) for tick in found] == expected
    assert isinstance(schedule, CalendarSteps)
    assert schedule.start == found[0]


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("R/2024-03-30T02:30:00/PT24H", BERLIN),
        ("R/2024-03-30T02:30:00/P1D", ""),
        ("R0/2024-03-31T02:30:00/P1D", BERLIN),
    ],
)
def test_lengths_and_starts_know_no_clock(text: str, zone: str) -> None:
    assert parse_steps(text, zone, AS_SHOWN) == parse_schedule(text, zone)
    assert isinstance(parse_steps("R/2024-03-30T02:30:00/P1D", BERLIN, USUAL), Repeating)


# ---- laws


def oracle(expression: Expression, zone: ZoneInfo, rule: OnChange, within: tuple[int, int]) -> Iterator[Instant]:
    """The ticks of a fixed time, found by asking for each wall clock minute when the clock shows it."""
    after, until = within
    due: set[int] = set()
    wall = clock(after - 3 * DAY, zone).replace(second=0)
    while wall < clock(until + 3 * DAY, zone):
        if expression.matches(wall):
            local = wall.replace(tzinfo=zone)
            early, late = (at(local.replace(fold=fold).isoformat()) for fold in (0, 1))
            if early > late:  # a gap: the offset before it makes it later
                due |= {ends_at(zone, late)} if rule.gap == "run-after" else set()
            else:
                due |= {early} if rule.fold == "first" else {late} if rule.fold == "second" else {early, late}
        wall += timedelta(minutes=1)
    return (Instant(tick) for tick in sorted(due) if after < tick <= until)


def ends_at(zone: ZoneInfo, before: int) -> int:
    """When the next gap after a moment ends, at a whole minute."""
    moment, offset = before, clock(before, zone) - clock(before, ZoneInfo("UTC"))
    while clock(moment, zone) - clock(moment, ZoneInfo("UTC")) == offset:
        moment += MINUTE
    return moment


@settings(max_examples=60, deadline=None)
@given(NEARBY, st.sampled_from(ZONES), st.sampled_from(RULES), STARTS, st.integers(1, 40))
def test_fixed_times_are_due_as_the_clock_shows_them(
    expression: Expression, zone: str, rule: OnChange, after: Instant, hours: int
) -> None:
    schedule = attempt(expression.text, zone)
    if schedule is None or not schedule.fixed:
        return
    until = Instant(after + hours * HOUR)
    expected = list(oracle(expression, ZoneInfo(zone), rule, (after, until)))
    schedule = parse_cron(expression.text, zone, FIRST, on_change=rule)  # type: ignore[assignment]
    found = [tick for tick in walk(schedule, after, len(expected) + 1) if tick <= until]
    assert found == expected
    ticks = Ticks(first=found[0], last=found[-1], count=len(found)) if found else None
    assert schedule.between(after, until) == ticks


STEPS = st.builds(
    lambda start, interval, repeats: f"{repeats}/{start}/{interval}",
    st.sampled_from(["2023-10-29T02:30:00", "2011-12-20T00:00:00", "2018-01-07T00:00:00", "2024-02-29T01:30:00",
                     "2020-11-01T01:59:59.5", "2011-12-01T09:00:00Z", "2023-11-05T01:45:00"]),
    st.sampled_from(["P1D", "P7D", "P1W", "P1M", "P1Y", "P2D", "P1DT1H", "P1M2DT0.5S", "P364D", "P28Y"]),
    st.sampled_from(["R", "R9", "R400", "R1"]),
)  # fmt: skip
SINCE = st.integers(at("2010-01-01T00:00:00"), at("2026-01-01T00:00:00"))


def ticks_of(steps: Repeating, rule: OnChange, until: Instant) -> list[Instant]:
    """The ticks up to a moment, step by step."""
    found: set[Instant] = set()
    for step in range(steps.count):
        usual = steps.tick(step)
        if usual > until:
            break
        wall = steps.wall_at(step).replace(tzinfo=steps.zone)
        early, late = ((wall.replace(fold=fold).utcoffset() or timedelta()) // MICRO for fold in (0, 1))
        if step == 0 or early == late:
            found.add(usual)
        elif late > early:
            found |= {usual} if rule.gap == "run-after" else set()
        else:
            again = Instant(usual + early - late)
            found |= {usual} if rule.fold == "first" else {again} if rule.fold == "second" else {usual, again}
    return sorted(tick for tick in found if tick <= until)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sampled_from(ZONES), st.sampled_from(RULES), SINCE, st.integers(0, 900 * DAY))
def test_calendar_steps_are_due_as_the_clock_shows_them(
    text: str, zone: str, rule: OnChange, since: int, length: int
) -> None:
    after, until = Instant(since), Instant(since + length)
    schedule = parse_steps(text, zone, rule)
    expected = [tick for tick in ticks_of(parse_schedule(text, zone), rule, until) if tick > after]
    found = [tick for tick in walk(schedule, after, len(expected) + 1) if tick <= until]
    assert found == expected
    ticks = Ticks(first=found[0], last=found[-1], count=len(found)) if found else None
    assert schedule.between(after, until) == ticks


def test_long_ranges_are_counted_not_walked() -> None:
    schedule = parse_steps("R/1970-01-01T02:30:00/P1D", BERLIN, OnChange("skip", "both"))
    found = schedule.between(at("1990-01-01T00:00:00"), at("2100-01-01T00:00:00"))
    usual = parse_schedule("R/1970-01-01T02:30:00/P1D", BERLIN).between(
        at("1990-01-01T00:00:00"), at("2100-01-01T00:00:00")
    )
    assert found is not None
    assert usual is not None
    assert found.count == usual.count  # a gap in spring and an overlap in autumn, each year
    assert schedule.next_after(LAST) is None


# ---- what is said of it


@pytest.mark.parametrize(
    ("text", "zone", "rule", "after", "why"),
    [
        ("30 2 * * *", BERLIN, USUAL, "2024-03-31T00:00:00", SKIPPED),
        ("30 2 * * *", BERLIN, USUAL, "2024-03-31T02:00:00", ""),
        ("5 30 1 * * *", NEW_YORK, USUAL, "2024-11-03T00:00:00", TWICE),
        ("30 1 * * *", NEW_YORK, OnChange("skip", "second"), "2024-11-03T00:00:00", "this is the second time"),
        ("30 1 * * *", NEW_YORK, OnChange("skip", "both"), "2024-11-03T05:31:00", "this is the second time"),
        ("30 1 * * *", NEW_YORK, USUAL, "2024-11-03T05:31:00", ""),
        ("0 3 * * *", BERLIN, USUAL, "2024-03-31T00:00:00", ""),
        ("0 3 * * *", BERLIN, USUAL, "2024-10-27T00:00:00", ""),
        ("30 * * * *", BERLIN, USUAL, "2024-10-27T00:00:00", ""),
        ("@every 1h", BERLIN, USUAL, "2024-10-27T00:00:00", ""),
        ("30 2 * * *", "", USUAL, "2024-03-31T00:00:00", ""),
    ],
)  # fmt: skip
def test_a_moved_tick_of_cron_says_why(text: str, zone: str, rule: OnChange, after: str, why: str) -> None:
    says(parse_cron(text, zone, at(after), on_change=rule), at(after), why)


@pytest.mark.parametrize(
    ("text", "zone", "rule", "after", "why"),
    [
        ("R/2024-03-30T02:30:00/P1D", BERLIN, USUAL, "2024-03-31T00:00:00", SKIPPED),
        ("R/2024-03-30T02:30:00/P1D", BERLIN, USUAL, "2024-03-30T00:00:00", ""),
        ("R/2024-11-02T01:30:00/P1D", NEW_YORK, USUAL, "2024-11-03T00:00:00", "this is the first time"),
        ("R/2024-11-02T01:30:00/P1D", NEW_YORK, OnChange("skip", "both"), "2024-11-03T05:31:00", "01:30 comes twice"),
        ("R/2024-11-02T01:30:00/P1D", NEW_YORK, OnChange("skip", "second"), "2024-11-03T05:31:00", "the second time"),
        ("R/2024-11-02T01:30:00/PT24H", NEW_YORK, USUAL, "2024-11-03T00:00:00", ""),
        ("R/2024-11-02T01:30:00/P1D", "", USUAL, "2024-11-03T00:00:00", ""),
    ],
)  # fmt: skip
def test_a_moved_step_says_why(text: str, zone: str, rule: OnChange, after: str, why: str) -> None:
    says(parse_steps(text, zone, rule), at(after), why)


def test_a_moved_tick_within_bounds_says_why_too() -> None:
    bounds = Bounds(starts_at=at("2024-03-31T00:00:00"))
    says(within(parse_cron("30 2 * * *", BERLIN, FIRST), bounds), FIRST, SKIPPED)


def says(schedule: Schedule, after: Instant, why: str) -> None:
    tick = schedule.next_after(after)
    assert tick is not None
    found = moved(schedule, tick)
    assert (why in found) if why else (not found)
    assert tick % SECOND == 0


@settings(max_examples=60, deadline=None)
@given(NEARBY, st.sampled_from(ZONES), st.sampled_from(RULES), STARTS)
def test_a_tick_that_is_not_moved_is_when_the_clock_shows_it(
    expression: Expression, zone: str, rule: OnChange, after: Instant
) -> None:
    if attempt(expression.text, zone) is None:
        return
    schedule = parse_cron(expression.text, zone, FIRST, on_change=rule)
    for tick in walk(schedule, after, 20):
        shows = expression.matches(clock(tick, ZoneInfo(zone)))
        assert shows or "is skipped" in moved(schedule, tick)

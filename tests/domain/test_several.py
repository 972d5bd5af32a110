"""Several schedules of a job: their ticks are those of a walk of each, and a moment named twice is one tick."""

from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.cron import Cron
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.job import decide
from kala_es.domain.model import JobSpec
from kala_es.domain.moved import moved
from kala_es.domain.plan import check, parts_of, schedule_of
from kala_es.domain.schedule import Schedule, Ticks
from kala_es.domain.several import Several, split
from kala_es.domain.tick_list import TickList
from kala_es.domain.tick_policy import TickPolicy
from kala_es.domain.values import replace
from tests.domain.moments import DAY, FIRST, at, shown, walk
from tests.domain.test_cron_laws import EXPRESSIONS, STARTS, ZONES, attempt
from tests.domain.test_job import SPEC, J, after, create, end, names, refused, ticks, update
from tests.domain.test_job import at as since_2030
from tests.domain.test_job import shown as seconds

NOON = at("2026-01-01T12:00:00")


def spec_of(text: str, zone: str = "", **policy: Any) -> JobSpec:
    return JobSpec(name="n", command="true", schedule=text, timezone=zone, ticks=TickPolicy(**policy))


def schedule(text: str, zone: str = "", planned: Instant = NOON, **policy: Any) -> Schedule:
    found = schedule_of(spec_of(text, zone, **policy), planned, J)
    assert found is not None
    return found


def refusal(text: str) -> Invalid:
    with pytest.raises(Invalid) as caught:
        check(spec_of(text), J)
    return caught.value


# ---- cases


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 13 * * *|30 13 * * *", ["01-01T13:00", "01-01T13:30", "01-02T13:00"]),
        ("0 13 * * *\n|\t0 */13 * * * ", ["01-01T13:00", "01-02T00:00", "01-02T13:00"]),
        ("R1/2026-01-01T13:00:00Z/PT1H | @every 45m", ["01-01T12:45", "01-01T13:00", "01-01T13:30", "01-01T14:00"]),
        ("@manually | R1/2026-01-01T13:00:00Z/PT1H", ["01-01T13:00", "01-01T14:00"]),
        ("TZ=Asia/Tokyo 0 22 * * * | 0 13 * * *", ["01-01T13:00", "01-02T13:00"]),
        ("@at 2026-01-01T13:00:00Z | R0/2026-01-01T13:00:00Z/", ["01-01T13:00"]),
        ("@manually|@manually", []),
    ],
)
def test_the_ticks_are_all_of_them(text: str, expected: list[str]) -> None:
    found = walk(schedule(text), NOON, len(expected) + (expected != sorted(expected)))
    assert [shown(tick)[5:16] for tick in found] == expected
    if found:
        counted = schedule(text).between(NOON, found[-1])
        assert counted == Ticks(first=found[0], last=found[-1], count=len(found))


def test_an_end_is_an_end() -> None:
    text = "R2/2026-01-01T13:00:00Z/PT1H | R1/2026-01-01T13:30:00Z/PT30M"
    assert [shown(tick)[11:16] for tick in walk(schedule(text), FIRST, 9)] == ["13:00", "13:30", "14:00", "15:00"]


def test_cron_on_one_clock_is_one_pattern() -> None:
    """So many years are counted, not walked: also where they coincide."""
    found = schedule("* * * * * * | */2 * * * * * | 0 * 13 * FRI", "Europe/Berlin")
    assert isinstance(found, Cron)
    ticks_of_years = found.between(at("1990-01-01T00:00:00"), at("2030-01-01T00:00:00"))
    assert ticks_of_years is not None
    assert ticks_of_years.count == 14_610 * 86_400
    assert isinstance(schedule("0 1 * * * | * 2 * * *", "Europe/Berlin"), Several), "one of them is no fixed time"
    assert isinstance(schedule("0 1 * * * | * 2 * * *"), Cron), "which is the same on a clock that never changes"
    assert schedule("0 1 * * * | 0 1 * * *") == schedule("0 1 * * *")


def test_times_of_two_that_a_gap_moves_are_one_tick() -> None:
    found = schedule("15 2 * * * | 45 2 * * *", "Europe/Berlin")
    gap = at("2024-03-31T00:30:00")
    tick = found.next_after(gap)
    assert tick == at("2024-03-31T01:00:00")
    assert found.between(gap, tick) == Ticks(first=tick, last=tick, count=1)
    assert "02:15 is skipped" in moved(found, tick)
    beside = schedule("0 1 * * * | R/2024-03-30T02:30:00/P1D", "Europe/Berlin")
    assert "02:30 is skipped" in moved(beside, tick)
    assert moved(beside, at("2024-03-31T00:00:00")) == ""


# ---- refusals


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("0 9 * * * |", 12, "no schedule on one side"),
        ("| 0 9 * * *", 1, "no schedule on one side"),
        ("0 9 * * * || @daily", 12, "no schedule on one side"),
        ("0 9 * * * | 5 25 * * *", 15, "hour '25'"),
        ("61 9 * * * | 5 25 * * *", 1, "minute '61'"),
        ("@daily | TZ=Nope @daily", 10, "no time zone"),
        ("@daily | R/2026-01-01T00:00:00Z", 10, "three parts"),
        (" | ".join(["@daily"] * (limits.MAX_SCHEDULES_A_JOB + 1)), None, "9 schedules, more than 8"),
        ("@every 1s | * * * * * *", None, "those beside the fastest"),
        ("@every 4m | */30 * * * * *", None, "those beside the fastest"),
        ("*/9 * * * * | TZ=Asia/Tokyo */9 * * * * | @every 9m", None, "those beside the fastest"),
        ("R/2099-01-01T00:00:00Z/PT0.01S | @daily", None, "s apart"),
    ],
)
def test_what_is_refused_says_where(text: str, column: int | None, reason: str) -> None:
    error = refusal(text)
    assert (error.field, error.column) == ("schedule", column)
    assert reason in error.reason


def test_eight_are_taken_and_all_but_one_may_be_slow() -> None:
    check(spec_of(" | ".join(f"0 {hour} * * *" for hour in range(limits.MAX_SCHEDULES_A_JOB))), J)
    check(spec_of("@every 1s | */10 * * * *"), J)
    check(spec_of("* * * * * * | */5 * * * * *"), J)
    check(spec_of("* 0 9 * * * | @every 1s"), J)
    check(spec_of("@every 5m | TZ=Asia/Tokyo */5 * * * *"), J)


@given(st.text(alphabet="a |\n", max_size=12))
def test_pieces_are_where_they_are_said_to_be(text: str) -> None:
    with suppress(Invalid):
        words = split(text)
        assert all(text[word.column - 1 :].startswith(word.text) for word in words)
        assert len(words) == text.count("|") + 1


# ---- laws

ISO = st.sampled_from(
    ["R/2011-12-01T00:00:00/P1D", "R/2011-12-01T02:30:00/P7D", "R/2017-01-31T01:30:00Z/P1M",
     "R/2011-12-01T00:00:00Z/PT7H",
     "R/2018-01-01T00:00:00Z/PT30M", "@every 90s", "@every 1h", "@daily", "@at 2018-11-04T03:00:00Z", "@manually",
     "TZ=Europe/Berlin 30 2 * * *", "0 0 13 * FRI", "*/20 * * * *"]
)  # fmt: skip
PARTS = st.lists(EXPRESSIONS.map(lambda each: each.text) | ISO, min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(PARTS, st.sampled_from(ZONES), STARTS, st.integers(1, 60 * 24), st.sampled_from(["first", "both"]))
def test_they_tick_as_each_does(texts: list[str], zone: str, start: Instant, minutes: int, fold: str) -> None:
    sound = [text for text in texts if _is_sound(text, zone)]
    if not sound:
        return
    until = Instant(start + minutes * 60 * SECOND)
    spec = spec_of(" | ".join(sound), "" if any("TZ=" in text for text in sound) else zone, dst_fold=fold)
    each = [part for _, part in parts_of(spec, start, J)]
    expected = sorted({tick for part in each for tick in walk(part, start, 3 * minutes) if tick <= until})
    whole = schedule_of(spec, start, J)
    assert whole is not None
    assert [tick for tick in walk(whole, start, len(expected) + 1) if tick <= until] == expected
    ticks_of_all = Ticks(first=expected[0], last=expected[-1], count=len(expected)) if expected else None
    assert whole.between(start, until) == ticks_of_all


def _is_sound(text: str, zone: str) -> bool:
    return text.startswith(("R", "@", "TZ=")) or attempt(text, zone) is not None


@settings(max_examples=60, deadline=None)
@given(st.lists(EXPRESSIONS, min_size=2, max_size=5), st.sampled_from(ZONES), STARTS, st.integers(1, 900))
def test_patterns_are_counted_as_each_day_is(expressions: Any, zone: str, start: Instant, days: int) -> None:
    """Over a long time, by adding days up, which are counted by walking."""
    sound = [each.text for each in expressions if attempt(each.text, zone) is not None]
    if not sound:
        return
    whole = schedule(" | ".join(sound), zone)
    ends = [Instant(start + day * DAY) for day in range(days + 1)]
    parts = [whole.between(one, other) for one, other in pairwise(ends)]
    counted = whole.between(start, ends[-1])
    assert sum(part.count for part in parts if part) == (counted.count if counted else 0)


# ---- a job that has them


def test_a_job_runs_at_each_of_them_once() -> None:
    """Each minute of 2030's first hour, and at the third minute by another text."""
    spec = replace(SPEC, schedule=f"{SPEC.schedule} | @at 2030-01-01T00:03:00Z | @at 2030-01-01T00:01:30Z")
    job = after(None, create(0, spec))
    seen = []
    for _ in range(5):
        moment = seconds(job.next_tick)
        assert moment is not None
        seen.append(moment)
        (started,) = decide(job, ticks(moment))
        assert isinstance(started, e.RunStarted)
        job = after(job, ticks(moment), end(moment, started.run))
    assert seen == [60, 90, 120, 180, 240]


def test_what_passed_is_counted_once() -> None:
    spec = replace(SPEC, schedule=f"{SPEC.schedule} | */5 * * * *")
    (missed, started) = decide(after(None, create(1, spec)), ticks(301, down=True))
    assert isinstance(missed, e.TickMissed)
    assert (seconds(missed.first), seconds(missed.last), missed.count) == (60, 240, 4)
    assert isinstance(started, e.RunStarted)
    found = TickList(since=since_2030(0), until=since_2030(400), most=100)
    for event in (*decide(None, create(1, spec)), missed, started):
        found.take(event)
    assert [seconds(each.tick) for each in found.listed(None, since_2030(301))] == [60, 120, 180, 240, 300]


def test_a_start_of_one_that_has_passed_is_refused() -> None:
    spec = replace(SPEC, schedule=f"@daily | {SPEC.schedule}")
    error = refused(None, create(61, spec))
    assert isinstance(error, Invalid)
    assert "already passed" in error.reason
    assert names(decide(None, create(60, spec))) == "JobCreated"


# ---- what else an edit may change


def test_another_way_with_clock_changes_is_another_plan_whose_start_may_have_passed() -> None:
    spec = replace(SPEC, timezone="Europe/Berlin", schedule="R/2030-03-30T02:30:00/P1D")
    job = after(None, create(0, spec))
    skipping = replace(spec, ticks=TickPolicy(dst_gap="skip"))
    gap = at("2030-03-31T01:00:00") // SECOND - since_2030(0) // SECOND
    before = after(job, ticks(gap - 86_400 + 1800))
    assert seconds(before.next_tick) == gap
    edited = after(before, update(gap - 60, skipping))
    assert seconds(edited.next_tick) == gap - 1800 + 86_400
    assert edited.planned == since_2030(gap - 60)


def test_a_choice_is_the_jobs_own_and_outlives_an_edit() -> None:
    spec = replace(SPEC, schedule="~ ~ * * *")
    job = after(None, create(0, spec))
    assert seconds(job.next_tick) == (ord("j") % 24) * 3600 + (ord("j") % 60) * 60
    assert after(job, update(100, replace(spec, command="false"))).next_tick == job.next_tick
    other = decide(None, replace(create(0, spec), job=type(J)("k")))
    assert names(other) == "JobCreated"

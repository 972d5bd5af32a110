"""What a job chooses by `~`, and where in a text an error lies."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es.domain.cron import Cron, parse_cron
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant
from kala_es.domain.wall_pattern import WallPattern
from tests.domain.moments import FIRST, at, shown, walk

JOBS = [f"job-{i}" for i in range(600)]
THURSDAY = at("2026-01-01T00:00:00")


def pattern(text: str, job: str) -> WallPattern:
    schedule = parse_cron(text, "", FIRST, job=job)
    assert isinstance(schedule, Cron)
    assert isinstance(schedule.pattern, WallPattern)
    return schedule.pattern


def members(bits: int) -> list[int]:
    return [value for value in range(32) if bits >> value & 1]


@given(st.text(max_size=30))
def test_a_choice_alone_is_dkrons(job: str) -> None:
    """The sum of the name's code points, by the length of each field; days up to 28."""
    total = sum(map(ord, job))
    found = pattern("~ ~ ~ ~ ~ *", job)
    assert (found.seconds, found.minutes, found.hours) == ((total % 60,), (total % 60,), (total % 24,))
    assert members(found.days.numbers) == [total % 28 + 1]  # type: ignore[union-attr]
    assert members(found.days.months) == [total % 12 + 1]  # type: ignore[union-attr]
    assert members(pattern("0 0 * * ~", job).days.weekdays) == [total % 7]  # type: ignore[union-attr]


def test_the_choice_of_a_known_job() -> None:
    found = walk(parse_cron("~ ~ * * *", "Asia/Tokyo", FIRST, job="nightly"), THURSDAY, 2)
    assert sum(map(ord, "nightly")) == 767
    assert [shown(tick, "Asia/Tokyo") for tick in found] == ["2026-01-01T23:47:00+09:00", "2026-01-02T23:47:00+09:00"]


@given(st.text(max_size=30), st.integers(0, 59), st.integers(0, 59), st.integers(1, 70))
def test_a_choice_lies_within_its_range(job: str, one: int, other: int, step: int) -> None:
    low, high = sorted((one, other))
    (minute,) = pattern(f"{low}~{high} * * * *", job).minutes
    assert low <= minute <= high
    stepped = pattern(f"{low}~{high}/{step} * * * *", job).minutes
    assert low <= stepped[0] <= min(low + step - 1, high)
    assert stepped == tuple(range(stepped[0], high + 1, step))
    spread = pattern(f"~/{step} * * * *", job).minutes
    assert spread == tuple(range(spread[0], 60, step))
    assert spread[0] < step


def test_names_and_sunday_twice_over_are_values_too() -> None:
    assert {members(pattern("0 0 * * FRI~7", job).days.weekdays)[0] for job in JOBS} == {0, 5, 6}  # type: ignore[union-attr]
    assert {members(pattern("0 0 1 nov~DEC *", job).days.months)[0] for job in JOBS} == {11, 12}  # type: ignore[union-attr]


def test_choices_with_a_step_spread_the_jobs() -> None:
    """Dkron makes of `~/15` one minute of each hour, such as 45/15."""
    firsts = Counter(pattern("~/15 * * * *", job).minutes[0] for job in JOBS)
    assert sorted(firsts) == list(range(15))
    assert all(20 <= count <= 65 for count in firsts.values())
    assert all(len(pattern("~/15 * * * *", job).minutes) == 4 for job in JOBS)


def test_minute_and_hour_are_chosen_apart() -> None:
    chosen = {(p.minutes, p.hours) for p in (pattern("0~59 0~5 * * *", job) for job in JOBS)}
    assert len(chosen) > 250


@pytest.mark.parametrize(("text", "fixed"), [("~/15 * * * *", False), ("~ ~ * * *", True), ("0~10/5 3 * * *", True)])
def test_a_choice_with_a_step_goes_on_and_on(text: str, *, fixed: bool) -> None:
    schedule = parse_cron(text, "", FIRST, job="j")
    assert isinstance(schedule, Cron)
    assert schedule.fixed is fixed


def test_days_are_restricted_by_a_choice_but_not_by_all_of_them() -> None:
    assert pattern("0 0 ~ * ~", "j").days.either  # type: ignore[union-attr]
    assert pattern("0 0 ~/1 * 5", "j").days == pattern("0 0 * * 5", "j").days


def test_what_does_not_choose_is_the_same_for_all_jobs() -> None:
    assert parse_cron("0 9 * * *", "", Instant(0), job="a") is parse_cron("0 9 * * *", "", Instant(0), job="b")


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("61 * * * *", 1),
        ("  5  25 * * *", 6),
        ("0 0 1,2,32 * *", 9),
        ("0 0 1 1 mon,tue,wen", 17),
        ("* * * *", 8),
        ("* * * * * * *", 13),
        ("TZ=UTC 5 25 * * *", 10),
        ("TZ=Nope/Nope 5 5 * * *", 1),
        ("CRON_TZ=UTC @every 1x", 20),
        ("@every 1x", 8),
        ("@at noon", 5),
        ("@at 2030-02-30T00:00:00Z", 5),
        (" @sometimes", 2),
        (", * * * *", 1),
        ("*/0 * * * *", 1),
        ("0 5,9~3 * * *", 5),
    ],
)
def test_an_error_says_where_it_is(text: str, column: int) -> None:
    with pytest.raises(Invalid) as caught:
        parse_cron(text, "", FIRST)
    assert (caught.value.field, caught.value.column) == ("schedule", column)

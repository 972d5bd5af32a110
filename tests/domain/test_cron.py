"""Cron expressions, a case for each rule: what is read, what is refused and why, and what clock changes do."""

import pytest

from kala_es import limits
from kala_es.domain.cron import Cron, is_cron, parse_cron
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.schedule import Never, Once, Ticks
from tests.domain.moments import FIRST, LAST, START, at, attempt, shown, walk

THURSDAY = "2026-01-01T00:00:00"


def ticks(text: str, zone: str = "", *, after: str = THURSDAY, most: int = 3) -> list[str]:
    """The ticks after a moment, on the zone's wall clock, without its offset."""
    found = walk(parse_cron(text, zone, at(after)), at(after), most)
    return [shown(tick, zone or "UTC")[:19] for tick in found]


def refusal(text: str, zone: str = "") -> Invalid:
    with pytest.raises(Invalid) as caught:
        parse_cron(text, zone, at(THURSDAY))
    return caught.value


# ---- which grammar


@pytest.mark.parametrize(
    "text",
    ["* * * * *", "0 */5 * * * *", "@daily", " @every 5s", "TZ=UTC 0 0 * * *", "CRON_TZ=UTC @daily", "@", "1 2", "@R/"],
)
def test_a_cron_expression_is_told_by_its_words(text: str) -> None:
    assert is_cron(text)
    assert isinstance(attempt(text), Invalid)


@pytest.mark.parametrize(
    "text", ["", " ", "*", "R", f"R/{START}/P1D", f"R/{START}/P1D x", f"5R2/{START}/PT1S", "R 5 R"]
)
def test_all_else_is_meant_as_iso_8601(text: str) -> None:
    assert not is_cron(text)


# ---- fields


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 12 * * *", ["2026-01-01T12:30:00", "2026-01-02T12:30:00", "2026-01-03T12:30:00"]),
        ("5 30 12 * * *", ["2026-01-01T12:30:05", "2026-01-02T12:30:05", "2026-01-03T12:30:05"]),
        ("*/20 * * * *", ["2026-01-01T00:20:00", "2026-01-01T00:40:00", "2026-01-01T01:00:00"]),
        ("50/5 * * * *", ["2026-01-01T00:50:00", "2026-01-01T00:55:00", "2026-01-01T01:50:00"]),
        ("10-30/10 1,,2 * * *", ["2026-01-01T01:10:00", "2026-01-01T01:20:00", "2026-01-01T01:30:00"]),
        ("\t0 0  ? JUN-aug Mon ", ["2026-06-01T00:00:00", "2026-06-08T00:00:00", "2026-06-15T00:00:00"]),
        ("0 0 * * 7", ["2026-01-04T00:00:00", "2026-01-11T00:00:00", "2026-01-18T00:00:00"]),
        ("0 0 * * 6-7", ["2026-01-03T00:00:00", "2026-01-04T00:00:00", "2026-01-10T00:00:00"]),
        ("0 0 13 * 5", ["2026-01-02T00:00:00", "2026-01-09T00:00:00", "2026-01-13T00:00:00"]),
        ("0 0 */2 * 5", ["2026-01-02T00:00:00", "2026-01-03T00:00:00", "2026-01-05T00:00:00"]),
        ("0 0 */1 * 5", ["2026-01-02T00:00:00", "2026-01-09T00:00:00", "2026-01-16T00:00:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00:00", "2032-02-29T00:00:00", "2036-02-29T00:00:00"]),
        ("0 0 30 2 5", ["2026-02-06T00:00:00", "2026-02-13T00:00:00", "2026-02-20T00:00:00"]),
        ("@yearly", ["2027-01-01T00:00:00", "2028-01-01T00:00:00", "2029-01-01T00:00:00"]),
        ("@minutely", ["2026-01-01T00:01:00", "2026-01-01T00:02:00", "2026-01-01T00:03:00"]),
    ],
)
def test_what_an_expression_names(text: str, expected: list[str]) -> None:
    assert ticks(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("* * * *", "has 4"),
        ("* * * * * * *", "has 7"),
        ("TZ=UTC", "has 0"),
        ("60 * * * *", "minute '60'"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day of the month '0'"),
        ("* * 32 * *", "day of the month '32'"),
        ("* * * 13 *", "month '13'"),
        ("* * * * 8", "day of the week '8'"),
        ("* * * tue *", "month 'tue'"),
        ("60 * * * * *", "second '60'"),
        ("30-10 * * * *", "ends before it begins"),
        ("* * * * FRI-MON", "ends before it begins"),
        ("*/0 * * * *", "step of 0"),
        (", * * * *", "names none"),
        ("*-5 * * * *", "not of the form"),
        ("5-*/2 * * * *", "not of the form"),
        ("1-2-3 * * * *", "not of the form"),
        ("*/5/5 * * * *", "not of the form"),
        ("+5 * * * *", "not of the form"),
        ("-5 * * * *", "not of the form"),
        ("H * * * *", "not of the form"),
        ("~5 * * * *", "not of the form"),
        ("5~ * * * *", "not of the form"),
        ("~-5 * * * *", "not of the form"),
        ("1~2~3 * * * *", "not of the form"),
        ("20~10 * * * *", "ends before it begins"),
        ("1~60 * * * *", "not within"),
        ("~/0 * * * *", "step of 0"),
        ("0 0 L * *", "not of the form"),
        ("0 0 * * 5#2", "not of the form"),
        ("@DAILY", "none of @yearly"),
        ("@daily 5", "none of @yearly"),
        ("@every", "none of @yearly"),
        ("@every 1d", "units are h, m, s"),
        ("@every 5", "units are h, m, s"),
        ("@every .s", "units are h, m, s"),
        ("@every -", "units are h, m, s"),
        ("@every 5s!", "units are h, m, s"),
        ("@every 2562048h", "292 years"),
        ("@at 2030-01-02", "not like"),
        ("@at 2030-01-02T15:04:05", "not like"),
        ("@at 2030-02-30T15:04:05Z", "does not exist"),
        ("@at 2030-01-02T15:04:05+99:00", "within 24:00"),
        ("TZ=Nope/Nope @daily", "no time zone 'Nope/Nope'"),
        ("TZ= @daily", "no time zone ''"),
        ("* * * * " + "1," * limits.MAX_SCHEDULE_CHARS, "characters"),
    ],
)
def test_what_is_refused_says_why(text: str, reason: str) -> None:
    error = refusal(text)
    assert error.field == "schedule"
    assert reason in error.reason


def test_the_zone_is_the_expressions_or_the_jobs() -> None:
    noon = ["2026-01-01T12:00:00"]
    assert ticks("0 12 * * *", "Asia/Tokyo", most=1) == noon
    assert ticks("TZ=Asia/Tokyo 0 12 * * *", "Asia/Tokyo", most=1) == noon
    assert ticks("CRON_TZ=Asia/Tokyo 0 12 * * *", most=1) == ["2026-01-01T03:00:00"]
    assert ticks("@daily", "Asia/Tokyo", most=1) == ["2026-01-02T00:00:00"]
    assert refusal("0 12 * * *", "Nope").field == "timezone"
    assert "contradicts" in refusal("TZ=Asia/Tokyo 0 12 * * *", "UTC").reason


# ---- words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h30m10s", 5410), ("90s", 90), ("1.5h", 5400), (".5m", 30), ("1.s", 1), ("+5s", 5), ("1m1m", 120),
     ("500ms", 1), ("1.9s", 1), ("0s", 1), ("0", 1), ("-5s", 1), ("1500000\N{MICRO SIGN}s", 1), ("3000000us", 3),
     ("3000000\N{GREEK SMALL LETTER MU}s", 3), ("2000000000ns", 2), ("2562047h47m16s", 2562047 * 3600 + 47 * 60 + 16)],
)  # fmt: skip
def test_every_counts_whole_seconds_from_when_it_was_planned(text: str, seconds: int) -> None:
    planned = Instant(at(THURSDAY) + 700_000)
    schedule = parse_cron(f"@every {text}", "", planned)
    first = Instant(at(THURSDAY) + seconds * SECOND)
    assert schedule.next_after(FIRST) == first
    assert schedule.next_after(first) == (second := Instant(first + seconds * SECOND))
    assert schedule.between(planned, second) == Ticks(first=first, last=second, count=2)


def test_every_ends_with_the_calendar() -> None:
    schedule = parse_cron("@every 1s", "", Instant(LAST - 2 * SECOND))
    assert len(walk(schedule, FIRST, 9)) == 2
    assert parse_cron("@every 1h", "", LAST).next_after(FIRST) is None


def test_at_is_one_tick_and_manually_none() -> None:
    once = parse_cron("@at 2030-01-02T15:04:05.5+02:00", "Asia/Tokyo", FIRST)
    assert once == Once(at=at("2030-01-02T13:04:05.5"))
    never = parse_cron("@manually", "", FIRST)
    assert never == Never()
    assert never.next_after(FIRST) is None
    assert never.between(FIRST, LAST) is None


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 30~31 2 *", "0 0 31 4,jun,9,11 *"])
def test_days_that_no_month_has_never_come(text: str) -> None:
    schedule = parse_cron(text, "", FIRST, job="j")
    assert isinstance(schedule, Never)
    assert "never comes in the month" in schedule.why
    assert (schedule.next_after(FIRST), schedule.between(FIRST, LAST)) == (None, None)


# ---- when clocks change

BERLIN, NEW_YORK, SAO_PAULO, LORD_HOWE = "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe"


@pytest.mark.parametrize(
    ("text", "zone", "after", "expected"),
    [
        # fixed times in a gap: once, when it ends
        ("30 2 * * *", BERLIN, "2024-03-30T12:00", ["03-31T03:00+02:00", "04-01T02:30+02:00"]),
        ("*/20 30 2 * * *", BERLIN, "2024-03-30T12:00", ["03-31T03:00+02:00", "04-01T02:30+02:00"]),
        ("15,45 1-3 * * *", NEW_YORK, "2024-03-10T06:50", ["03-10T03:00-04:00", "03-10T03:15-04:00"]),
        ("0,30 2,3 * * *", BERLIN, "2024-03-30T12:00", ["03-31T03:00+02:00", "03-31T03:30+02:00"]),
        ("@daily", SAO_PAULO, "2018-11-03T12:00", ["11-04T01:00-02:00", "11-05T00:00-02:00"]),
        ("0 0 * * SUN", SAO_PAULO, "2018-11-03T12:00", ["11-04T01:00-02:00", "11-11T00:00-02:00"]),
        ("15 2 * * *", LORD_HOWE, "2024-10-05T12:00", ["10-06T02:30+11:00", "10-07T02:15+11:00"]),
        ("0 9 * * *", "Pacific/Apia", "2011-12-29T20:00", ["12-31T00:00+14:00", "12-31T09:00+14:00"]),
        # fixed times in an overlap: the first time round
        ("30 1 * * *", NEW_YORK, "2024-11-02T12:00", ["11-03T01:30-04:00", "11-04T01:30-05:00"]),
        ("30 1 * * *", NEW_YORK, "2024-11-03T05:31", ["11-04T01:30-05:00"]),
        ("0 2 * * *", NEW_YORK, "2024-11-03T05:31", ["11-03T02:00-05:00"]),
        ("@daily", "America/Havana", "2024-11-02T12:00", ["11-03T00:00-04:00", "11-04T00:00-05:00"]),
        # those that go on and on: as the clock shows them
        ("30 * * * *", BERLIN, "2024-03-31T00:00", ["03-31T01:30+01:00", "03-31T03:30+02:00"]),
        ("30 * * * *", BERLIN, "2024-10-27T00:00", ["10-27T02:30+02:00", "10-27T02:30+01:00", "10-27T03:30+01:00"]),
        ("*/30 2 * * *", BERLIN, "2024-03-30T12:00", ["04-01T02:00+02:00", "04-01T02:30+02:00"]),
        ("*/30 1 * * *", NEW_YORK, "2024-11-03T05:20", ["11-03T01:30-04:00", "11-03T01:00-05:00", "11-03T01:30-05:00"]),
        ("0/30 1 * * *", NEW_YORK, "2024-11-03T05:20", ["11-03T01:30-04:00", "11-03T01:00-05:00"]),
        ("0 */2 * * *", BERLIN, "2024-03-30T23:30", ["03-31T04:00+02:00"]),
        # a star that leaves one value is a fixed time
        ("30 */24 * * *", SAO_PAULO, "2018-11-03T12:00", ["11-04T01:00-02:00", "11-05T00:30-02:00"]),
        ("*/90 2 * * *", BERLIN, "2024-03-30T12:00", ["03-31T03:00+02:00", "04-01T02:00+02:00"]),
        # length is length
        ("@every 1h", BERLIN, "2024-03-31T00:30", ["03-31T03:30+02:00", "03-31T04:30+02:00"]),
    ],
)  # fmt: skip
def test_what_clock_changes_do(text: str, zone: str, after: str, expected: list[str]) -> None:
    found = walk(parse_cron(text, zone, at(after)), at(after), len(expected))
    assert [shown(tick, zone)[5:16] + shown(tick, zone)[19:] for tick in found] == expected


def test_a_change_at_a_years_end_counts_like_any_other() -> None:
    """Manila left out the last day of 1844, hours before the year of UTC ended."""
    before = at("1844-12-30T00:00:00")
    for text, count in (("0 * * * * *", 4320), ("0 0 3,9 * * *", 8)):
        schedule = parse_cron(text, "Asia/Manila", FIRST)
        found = walk(schedule, before, count)
        assert schedule.between(before, found[-1]) == Ticks(first=found[0], last=found[-1], count=count)


# ---- edges of the calendar


@pytest.mark.parametrize("zone", ["", BERLIN, "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_ticks_end_with_year_9999(zone: str) -> None:
    schedule = parse_cron("* * * * * *", zone, FIRST)
    last = schedule.between(at("9999-12-30T00:00:00"), LAST)
    assert last is not None
    assert last.last > at("9999-12-31T00:00:00")
    assert schedule.next_after(last.last) is None
    assert schedule.next_after(LAST) is None
    assert schedule.between(LAST, Instant(LAST + SECOND)) is None
    first = schedule.next_after(Instant(-(1 << 62)))
    assert first is not None
    assert FIRST <= first < at("0001-01-02T00:00:00")


def test_ticks_around_the_epoch() -> None:
    schedule = parse_cron("* * * * * *", "", FIRST)
    assert walk(schedule, Instant(-SECOND - 1), 3) == [-SECOND, 0, SECOND]
    assert schedule.between(Instant(-1), Instant(0)) == Ticks(first=Instant(0), last=Instant(0), count=1)


def test_many_years_are_counted_not_walked() -> None:
    schedule = parse_cron("* * * * * *", BERLIN, FIRST)
    found = schedule.between(at("1990-01-01T00:00:00"), at("2030-01-01T00:00:00"))
    assert found is not None
    assert found.count == (found.last - found.first) // SECOND + 1 == 14_610 * 86_400
    assert isinstance(schedule, Cron)
    assert not schedule.fixed

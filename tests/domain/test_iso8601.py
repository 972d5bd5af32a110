"""Schedules and durations of ISO 8601: what is read, what is refused, and when the ticks are due."""

from datetime import datetime

import pytest

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.iso8601 import parse_duration, parse_schedule
from kala_es.domain.schedule import Ticks
from tests.domain.moments import DAY, FIRST, HOUR, LAST, START, at, attempt, due, refusal, shown, walk

# ---- the repeat part


@pytest.mark.parametrize(("part", "ticks"), [("R0", 1), ("R1", 2), ("R2", 3), ("R007", 8), ("R000", 1), ("R12", 13)])
def test_repeats_come_after_the_first_tick(part: str, ticks: int) -> None:
    assert len(due(f"{part}/{START}/PT1S", most=50)) == ticks


@pytest.mark.parametrize("part", ["R", "R-1"])
def test_no_number_means_for_ever(part: str) -> None:
    schedule = parse_schedule(f"{part}/{START}/P1D", "")
    assert schedule.next_after(at("9999-12-30T00:00:00")) == at("9999-12-31T00:00:00")
    assert schedule.next_after(at("9999-12-31T00:00:00")) is None


@pytest.mark.parametrize(
    "part",
    [
        "",
        "5R2",
        "R2R9",
        "R+2",
        "R-5",
        "R-0",
        "R-01",
        "Rx",
        "R1.5",
        "RRR",
        "r",
        "r2",
        "R 2",
        " R2",
        "R2 ",
        "R\u0663",
        "2099",
        "R2\n",
        "R2147483648",
        "R" + "9" * 900,
        "∞",
        "@every",
    ],
)
def test_other_repeat_parts_are_refused(part: str) -> None:
    error = refusal(f"{part}/{START}/PT1S")
    assert error.field == "schedule"
    assert repr(part)[:20] in error.reason


def test_the_most_repeats() -> None:
    schedule = parse_schedule(f"R2147483647/{START}/PT0.001S", "")
    assert schedule.between(FIRST, LAST) == Ticks(
        first=at(START), last=Instant(at(START) + (2**31 - 1) * 1000), count=2**31
    )
    assert schedule.count == 2**31


@pytest.mark.parametrize(
    "text",
    [
        "",
        "R",
        f"R/{START}",
        f"R/{START}/PT1S/",
        f"/R/{START}/PT1S",
        "* * * * *",
        "@every 5s",
        f"{START}/PT1S",
        "///",
        f"R/{START}/2099-01-02T00:00:00Z",
        f"R/PT1S/{START}",
        f"R0/{START}/a/b",
        f"R0/{START}/" + "x" * 1000,
    ],
)
def test_other_shapes_are_refused(text: str) -> None:
    assert refusal(text).field == "schedule"


@pytest.mark.parametrize("rest", ["", "garbage", "PT0S", "-P1D", "P1Y"])
def test_a_single_tick_never_looks_at_its_interval(rest: str) -> None:
    schedule = parse_schedule(f"R0/{START}/{rest}", "Europe/Berlin")
    assert schedule.start == at(START)
    assert walk(schedule, FIRST, 5) == [at(START)]
    assert schedule.between(FIRST, LAST) == Ticks(first=at(START), last=at(START), count=1)


# ---- the start


@pytest.mark.parametrize(
    ("text", "timezone", "expected"),
    [
        ("2099-01-01T00:00:00Z", "", "2099-01-01T00:00:00"),
        ("2099-01-01T00:00:00", "", "2099-01-01T00:00:00"),
        ("2099-01-01T00:00:00", "Europe/Berlin", "2098-12-31T23:00:00"),
        ("2099-01-01T00:00:00Z", "Europe/Berlin", "2099-01-01T00:00:00"),
        ("2099-06-04T19:25:16.828696-07:00", "", "2099-06-05T02:25:16.828696"),
        ("2099-01-01T00:00:00.5Z", "", "2099-01-01T00:00:00.500000"),
        ("2099-01-01T00:00:00,123456789Z", "", "2099-01-01T00:00:00.123456"),
        ("2099-01-01T00:00:00.9999999", "", "2099-01-01T00:00:00.999999"),
        ("2099-01-01T00:00:00." + "9" * 500 + "Z", "", "2099-01-01T00:00:00.999999"),
        ("2099-01-01T00:00:00+24:00", "", "2098-12-31T00:00:00"),
        ("2099-01-01T00:00:00-24:00", "", "2099-01-02T00:00:00"),
        ("2099-01-01T00:00:00-00:00", "", "2099-01-01T00:00:00"),
        ("2099-01-01T00:00:00+05:45", "Asia/Kathmandu", "2098-12-31T18:15:00"),
        ("2096-02-29T23:59:59Z", "", "2096-02-29T23:59:59"),
        ("0001-01-01T00:00:00Z", "", "0001-01-01T00:00:00"),
        ("9999-12-31T23:59:59.999999Z", "", "9999-12-31T23:59:59.999999"),
    ],
)
def test_starts(text: str, timezone: str, expected: str) -> None:
    assert parse_schedule(f"R/{text}/PT1S", timezone).start == at(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2099-01-01",
        "2099-01-01 00:00:00Z",
        "20990101T000000Z",
        "2099-01-01T00:00:00+0000",
        "2099-01-01T00:00Z",
        "2099-01-01t00:00:00Z",
        "2099-01-01T00:00:00z",
        "2099-01-01T24:00:00Z",
        "2099-01-01T00:00:60Z",
        "2099-02-30T00:00:00Z",
        "2099-02-29T00:00:00Z",
        "2099-13-01T00:00:00Z",
        "2099-01-01T00:60:00Z",
        "2099-01-01T00:00:00.Z",
        "2099-01-01T00:00:00+24:01",
        "2099-01-01T00:00:00+25:00",
        "2099-01-01T00:00:00+01:60",
        "2099-01-01T00:00:00+01",
        "12099-01-01T00:00:00Z",
        "2099-W01-1T00:00:00Z",
        "2099-001T00:00:00Z",
        "0000-01-01",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "\u0662099-01-01T00:00:00Z",
        " 2099-01-01T00:00:00Z",
        "2099-01-01T00:00:00Z\n",
        "-2099-01-01T00:00:00Z",
        "2099-01-01T00:00:00ZZ",
        "now",
    ],
)
def test_other_starts_are_refused(text: str) -> None:
    for schedule in (f"R/{text}/PT1S", f"R0/{text}/"):
        error = refusal(schedule)
        assert error.field == "schedule"
        assert repr(text) in error.reason


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("timezone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_a_start_at_the_edge_of_the_calendar_never_crashes(text: str, timezone: str) -> None:
    match attempt(f"R/{text}/P1D", timezone):
        case Invalid(reason=reason):
            assert "outside the years" in reason
        case schedule:
            assert schedule.next_after(Instant(FIRST - 1)) == at(text)


# ---- the interval


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT10S", "2099-01-01T00:00:10"),
        ("PT0.5S", "2099-01-01T00:00:00.500000"),
        ("PT1.5S", "2099-01-01T00:00:01.500000"),
        ("PT1,5S", "2099-01-01T00:00:01.500000"),
        ("PT0.000001S", "2099-01-01T00:00:00.000001"),
        ("PT1.0000019S", "2099-01-01T00:00:01.000001"),
        ("PT90M", "2099-01-01T01:30:00"),
        ("PT0.5H", "2099-01-01T00:30:00"),
        ("P1D", "2099-01-02T00:00:00"),
        ("P0.5D", "2099-01-01T12:00:00"),
        ("P1.5D", "2099-01-02T12:00:00"),
        ("P2W", "2099-01-15T00:00:00"),
        ("P0.5W", "2099-01-04T12:00:00"),
        ("P2W3D", "2099-01-18T00:00:00"),
        ("P1M", "2099-02-01T00:00:00"),
        ("P1Y", "2100-01-01T00:00:00"),
        ("P1Y2W", "2100-01-15T00:00:00"),
        ("P1Y2M3W4DT5H6M7S", "2100-03-26T05:06:07"),
        ("P0YT1S", "2099-01-01T00:00:01"),
        ("P1DT10M10S", "2099-01-02T00:10:10"),
        ("P0001-02-03T04:05:06", "2100-03-04T04:05:06"),
        ("P0001-02-03T04:05:06.5", "2100-03-04T04:05:06.500000"),
        ("P7900Y", "9999-01-01T00:00:00"),
    ],
)
def test_intervals(text: str, expected: str) -> None:
    schedule = parse_schedule(f"R/{START}/{text}", "")
    assert [shown(tick) for tick in walk(schedule, schedule.start, 1)] == [expected + "+00:00"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not of the form"),
        ("P", "nothing after"),
        ("PT", "nothing after"),
        ("P1DT", "nothing after"),
        ("PT0S", "zero"),
        ("P0D", "zero"),
        ("PT0.0000009S", "microsecond"),
        ("-P1D", "negative"),
        ("P-1D", "negative"),
        ("PT-1S", "not of the form"),
        ("+P1D", "not of the form"),
        ("p1d", "upper case"),
        ("pt1s", "upper case"),
        ("P1DT1h", "upper case"),
        ("xxP1Dyy", "not of the form"),
        (" P1D", "not of the form"),
        ("P1D\n", "not of the form"),
        ("P1 D", "not of the form"),
        ("P1.5Y", "fraction of a year or month"),
        ("P0,5M", "fraction of a year or month"),
        ("PT1.5H30M", "before its last number"),
        ("P0.5DT1S", "before its last number"),
        ("P1D1W", "not of the form"),
        ("PT1S1M", "not of the form"),
        ("P1S", "not of the form"),
        ("PT1D", "not of the form"),
        ("PT1.S", "not of the form"),
        ("PT.5S", "not of the form"),
        ("PT1e3S", "not of the form"),
        ("P\u0661D", "not of the form"),
        ("DTT", "not of the form"),
        ("000D", "not of the form"),
        ("5s", "not of the form"),
        ("P0001-00-00T00:00:00", "cannot be read"),
        ("P0001-13-01T00:00:00", "cannot be read"),
        ("P0001-01-01T00:00:00Z", "not of the form"),
        ("P0001-001T00:00:00", "not of the form"),
        ("P0001-W01-1T00:00:00", "not of the form"),
        ("P00010101T000000", "not of the form"),
        ("P" + "9" * 20 + "D", "cannot be read"),
        ("PT" + "9" * 800 + "S", "cannot be read"),
    ],
)
def test_other_intervals_are_refused(text: str, word: str) -> None:
    error = refusal(f"R/{START}/{text}")
    assert error.field == "schedule"
    assert word in error.reason
    assert repr(text)[:40] in error.reason


@pytest.mark.parametrize("text", ["P8000Y", "P" + "9" * 800 + "Y", "P" + "9" * 800 + "M", "P3000000D", "P999999999D"])
@pytest.mark.parametrize("timezone", ["", "Asia/Tokyo"])
def test_an_interval_past_the_calendar_leaves_one_tick(text: str, timezone: str) -> None:
    assert parse_schedule(f"R/{START}/{text}", timezone).between(FIRST, LAST) == Ticks(
        first=at(START), last=at(START), count=1
    )


# ---- the zone


@pytest.mark.parametrize(
    "name",
    [
        "Nowhere/City",
        "../etc/passwd",
        "/etc/passwd",
        "localtime",
        "posixrules",
        "Europe",
        "Europe/",
        ".",
        "x\0y",
        "é",
        "\ud800",
        "Europe/Berlin ",
        " ",
        "leapseconds",
        "tzdata.zi",
        "zone.tab",
        "posix/Europe/Berlin",
        "a" * 5000,
        "right/Europe/Berlin",
        "Europe//Berlin",
        "+02:00",
        "Europe/Berlin\n",
    ],
)
def test_unknown_zones_are_refused(name: str) -> None:
    for text in (f"R/{START}/P1D", f"R0/{START}/"):
        error = refusal(text, name)
        assert error.field == "timezone"
        assert repr(name)[:40] in error.reason


@pytest.mark.parametrize("name", ["UTC", "Etc/GMT+5", "EST5EDT", "America/Argentina/Buenos_Aires", "Europe/Berlin"])
def test_known_zones(name: str) -> None:
    assert parse_schedule(f"R/{START}/P1D", name).start == at(START)


# ---- when the ticks are due


@pytest.mark.parametrize(
    ("text", "timezone", "expected"),
    [
        pytest.param("R/2027-01-31T12:00:00Z/P1M", "", ["01-31", "02-28", "03-31", "04-30", "05-31"], id="month end"),
        pytest.param("R/2027-07-31T12:00:00Z/P1M", "", ["07-31", "08-31", "09-30", "10-31", "11-30"], id="July"),
        pytest.param("R/2027-12-30T12:00:00Z/P2M", "", ["12-30", "02-29", "04-30", "06-30", "08-30"], id="to leap"),
        pytest.param("R/2028-02-29T12:00:00Z/P1Y", "", ["02-29", "02-28", "02-28", "02-28", "02-29"], id="leap year"),
        pytest.param("R/2096-02-29T12:00:00Z/P4Y", "", ["02-29", "02-28", "02-29", "02-29", "02-29"], id="2100"),
        pytest.param(
            "R/2027-01-31T12:00:00Z/P1M1D", "", ["01-31", "03-01", "04-02", "05-03", "06-04"], id="months, then days"
        ),
        pytest.param("R/2027-02-26T12:00:00Z/P1W", "", ["02-26", "03-05", "03-12", "03-19", "03-26"], id="weekly"),
    ],
)
def test_calendar_steps_count_from_the_start(text: str, timezone: str, expected: list[str]) -> None:
    assert [tick[5:10] for tick in due(text, timezone)] == expected


@pytest.mark.parametrize(
    ("text", "timezone", "expected"),
    [
        pytest.param(
            "R/2027-03-27T09:00:00/P1D",
            "Europe/Berlin",
            ["2027-03-27T09:00:00+01:00", "2027-03-28T09:00:00+02:00", "2027-03-29T09:00:00+02:00"],
            id="Berlin, spring, daily",
        ),
        pytest.param(
            "R/2027-03-27T09:00:00/PT24H",
            "Europe/Berlin",
            ["2027-03-27T09:00:00+01:00", "2027-03-28T10:00:00+02:00", "2027-03-29T10:00:00+02:00"],
            id="Berlin, spring, 24 hours",
        ),
        pytest.param(
            "R/2027-10-30T09:00:00/P1D",
            "Europe/Berlin",
            ["2027-10-30T09:00:00+02:00", "2027-10-31T09:00:00+01:00", "2027-11-01T09:00:00+01:00"],
            id="Berlin, autumn, daily",
        ),
        pytest.param(
            "R/2027-10-30T09:00:00/PT24H",
            "Europe/Berlin",
            ["2027-10-30T09:00:00+02:00", "2027-10-31T08:00:00+01:00", "2027-11-01T08:00:00+01:00"],
            id="Berlin, autumn, 24 hours",
        ),
        pytest.param(
            "R/2027-03-13T14:00:00Z/P1D",
            "America/New_York",
            ["2027-03-13T09:00:00-05:00", "2027-03-14T09:00:00-04:00", "2027-03-15T09:00:00-04:00"],
            id="New York, spring, daily, start in UTC",
        ),
        pytest.param(
            "R/2027-11-06T09:00:00-04:00/P1D",
            "America/New_York",
            ["2027-11-06T09:00:00-04:00", "2027-11-07T09:00:00-05:00", "2027-11-08T09:00:00-05:00"],
            id="New York, autumn, daily",
        ),
        pytest.param(
            "R/2027-11-06T09:00:00-04:00/PT24H",
            "America/New_York",
            ["2027-11-06T09:00:00-04:00", "2027-11-07T08:00:00-05:00", "2027-11-08T08:00:00-05:00"],
            id="New York, autumn, 24 hours",
        ),
        pytest.param(
            "R/2027-03-27T02:30:00/P1D",
            "Europe/Berlin",
            ["2027-03-27T02:30:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"],
            id="gap: when it ends",
        ),
        pytest.param(
            "R/2027-03-28T02:30:00/P1D",
            "Europe/Berlin",
            ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"],
            id="start in the gap keeps its wall clock",
        ),
        pytest.param(
            "R/2027-03-28T02:30:00/PT1H",
            "Europe/Berlin",
            ["2027-03-28T03:00:00+02:00", "2027-03-28T04:00:00+02:00"],
            id="start in the gap, hourly",
        ),
        pytest.param(
            "R/2027-10-30T02:30:00/P1D",
            "Europe/Berlin",
            ["2027-10-30T02:30:00+02:00", "2027-10-31T02:30:00+02:00", "2027-11-01T02:30:00+01:00"],
            id="fold: the first of the two",
        ),
        pytest.param(
            "R/2027-10-31T02:30:00+01:00/P1D",
            "Europe/Berlin",
            ["2027-10-31T02:30:00+01:00", "2027-11-01T02:30:00+01:00"],
            id="start names the second of the two",
        ),
        pytest.param(
            "R/2027-03-27T09:00:00/P1DT1H",
            "Europe/Berlin",
            ["2027-03-27T09:00:00+01:00", "2027-03-28T10:00:00+02:00", "2027-03-29T11:00:00+02:00"],
            id="hours come after the calendar",
        ),
        pytest.param(
            "R/2027-03-27T00:00:00/P0.5D",
            "Europe/Berlin",
            ["2027-03-27T00:00:00+01:00", "2027-03-27T12:00:00+01:00", "2027-03-28T00:00:00+01:00"],
            id="half a day is twelve hours",
        ),
        pytest.param(
            "R/2027-10-02T02:15:00/P1D",
            "Australia/Lord_Howe",
            ["2027-10-02T02:15:00+10:30", "2027-10-03T02:30:00+11:00", "2027-10-04T02:15:00+11:00"],
            id="Lord Howe: half an hour's gap",
        ),
        pytest.param(
            "R/2027-04-03T01:45:00/P1D",
            "Australia/Lord_Howe",
            ["2027-04-03T01:45:00+11:00", "2027-04-04T01:45:00+11:00", "2027-04-05T01:45:00+10:30"],
            id="Lord Howe: half an hour's fold",
        ),
        pytest.param(
            "R/2011-12-29T10:00:00/P1D",
            "Pacific/Apia",
            ["2011-12-29T10:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T10:00:00+14:00"],
            id="Apia: December 30 was left out",
        ),
        pytest.param(
            "R/2011-12-29T00:00:00/P1D",
            "Pacific/Apia",
            ["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"],
            id="Apia: two steps on one instant",
        ),
        pytest.param(
            "R/2011-11-30T10:00:00/P1M",
            "Pacific/Apia",
            ["2011-11-30T10:00:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-30T10:00:00+14:00"],
            id="Apia, monthly",
        ),
    ],
)
def test_wall_clocks(text: str, timezone: str, expected: list[str]) -> None:
    assert due(text, timezone, len(expected)) == expected


def test_the_fixed_offset_of_the_start_is_the_zone() -> None:
    # 2027-01-31 in +10:00 is still the 30th in UTC; the months are those of the start's own calendar.
    assert due("R/2027-01-31T05:00:00+10:00/P1M", most=3) == [
        "2027-01-30T19:00:00+00:00",
        "2027-02-27T19:00:00+00:00",
        "2027-03-30T19:00:00+00:00",
    ]


def test_a_left_out_day_is_counted_once() -> None:
    schedule = parse_schedule("R9/2011-12-25T00:00:00/P1D", "Pacific/Apia")
    ticks = walk(schedule, FIRST, 20)
    assert schedule.between(FIRST, LAST) == Ticks(first=ticks[0], last=ticks[-1], count=9)
    assert len(ticks) == 9
    for after in ticks:
        for until in ticks:
            found = schedule.between(after, until)
            assert (found.count if found else 0) == sum(after < tick <= until for tick in ticks)


def test_the_end_of_the_calendar() -> None:
    for timezone in ("", "UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"):
        for interval in ("P1D", "PT36H", "P1M", "P1Y", "P400Y", "P1DT1H", "P0.5D"):
            schedule = parse_schedule(f"R/9990-01-31T23:59:59Z/{interval}", timezone)
            whole = schedule.between(FIRST, LAST)
            assert whole is not None
            assert schedule.next_after(whole.last) is None
            assert schedule.next_after(Instant(whole.last - 1)) == whole.last
            assert schedule.next_after(LAST) is None


def test_a_century_of_seconds_is_not_walked() -> None:
    schedule = parse_schedule("R/2000-01-01T00:00:00Z/PT1S", "")
    found = schedule.between(Instant(at("2000-01-01T00:00:00") - 1), at("2100-01-01T00:00:00"))
    assert found == Ticks(first=at("2000-01-01T00:00:00"), last=at("2100-01-01T00:00:00"), count=36525 * 86400 + 1)


def test_a_millennium_of_days_in_a_zone() -> None:
    schedule = parse_schedule("R/2000-01-01T00:00:00/P1D", "Europe/Berlin")
    found = schedule.between(schedule.start, at("3000-01-01T00:00:00+01:00"))
    assert found is not None
    assert found.count == (datetime(3000, 1, 1) - datetime(2000, 1, 1)).days


# ---- durations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT0S", 0),
        ("P0D", 0),
        ("PT1M", 60 * SECOND),
        ("PT0.25S", SECOND // 4),
        ("PT1,5S", SECOND * 3 // 2),
        ("PT0.0000001S", 0),
        ("P1D", DAY),
        ("P1.5D", 36 * HOUR),
        ("P1W", 7 * DAY),
        ("P1M", 30 * DAY),
        ("P1Y", 365 * DAY),
        ("P1Y2M3DT4H5M6S", (365 + 60 + 3) * DAY + 4 * HOUR + 306 * SECOND),
        ("P10000Y", 3_650_000 * DAY),
    ],
)
def test_durations(text: str, expected: int) -> None:
    assert parse_duration(text, "epsilon") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "P1DT",
        "-PT1S",
        "P-1D",
        "+PT1S",
        "PT1S ",
        "pt1s",
        "1S",
        "asdf",
        "P0001-01-01T00:00:00",
        "P0.5Y",
        "P10001Y",
        "P999999999D",
        "P" + "9" * 50 + "D",
        "P" + "9" * 900 + "Y",
        "PT" + "9" * 100_000 + "S",
        "P1D/P1D",
    ],
)
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_duration(text, "timeout")
    assert caught.value.field == "timeout"
    assert repr(text)[:40] in caught.value.reason

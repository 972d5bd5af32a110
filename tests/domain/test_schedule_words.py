"""A schedule in words: a table of both grammars, and what holds for any text."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es.domain.bounds import Bounds
from kala_es.domain.cron import is_cron
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import JobId
from kala_es.domain.model import JobSpec
from kala_es.domain.plan import schedule_of
from kala_es.domain.schedule_words import Explained, explain
from kala_es.domain.tick_policy import TickPolicy
from tests.domain.moments import START, at
from tests.domain.test_cron_laws import EXPRESSIONS, ISO, LETTERS, NEARLY, ZONES, attempt

NOW = at("2026-01-01T00:00:00")
JOB = JobId("nightly")


def said(text: str, zone: str = "") -> Explained:
    return explain(JobSpec(name="n", schedule=text, timezone=zone), NOW, JOB)


CRON = [
    # times of day
    ("0 9 * * *", "at 09:00 every day"),
    ("0 9 * * 1-5", "at 09:00 on weekdays"),
    ("0 9 * * MON,TUE,WED,THU,FRI", "at 09:00 on weekdays"),
    ("0 9 * * 6,7", "at 09:00 on weekends"),
    ("0 9 * * 0", "at 09:00 on Sundays"),
    ("0 9 * * 1,3,5", "at 09:00 on Mondays, Wednesdays and Fridays"),
    ("0 9 * * 0,1", "at 09:00 on Mondays and Sundays"),
    ("0 9,17 * * *", "at 09:00 and 17:00 every day"),
    ("15,45 9,17 * * *", "at 09:15, 09:45, 17:15 and 17:45 every day"),
    ("30 0 9 * * *", "at 09:00:30 every day"),
    ("0,30 0 9 * * *", "at 09:00 and 09:00:30 every day"),
    ("0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00 every day"),
    ("~ ~ * * *", "at 23:47 every day"),
    ("~ 3 * * ~", "at 03:47 on Thursdays"),
    # hours
    ("0 * * * *", "every hour on the hour"),
    ("0 0-23 * * *", "every hour on the hour"),
    ("30 * * * *", "at minute 30 of every hour"),
    ("30 9-17 * * *", "every hour from 09:30 to 17:30"),
    ("0 */2 * * *", "every 2 hours from 00:00 to 22:00"),
    ("0 8-18/2 * * MON", "every 2 hours from 08:00 to 18:00 on Mondays"),
    ("0 1,2,3,5,8 * * *", "at minute 0 of hours 1 to 3, 5 and 8"),
    # minutes
    ("* * * * *", "every minute"),
    ("*/15 * * * *", "every 15 minutes"),
    ("0/15 * * * *", "every 15 minutes"),
    ("5/15 * * * *", "every 15 minutes from minute 5 on"),
    ("~/15 * * * *", "every 15 minutes from minute 10 on"),
    ("0,30 * * * *", "every 30 minutes"),
    ("*/7 * * * *", "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour"),
    ("5,20 * * * *", "at minutes 5 and 20 of every hour"),
    ("1-5,30 * * * *", "at minutes 1 to 5 and 30 of every hour"),
    ("*/15 9-17 * * 1-5", "every 15 minutes from 09:00 to 17:45 on weekdays"),
    ("5/15 9-17 * * *", "every 15 minutes from 09:05 to 17:50"),
    ("* 9 * * *", "every minute from 09:00 to 09:59"),
    ("*/10 9,12,15 * * *", "every 10 minutes in hours 9, 12 and 15"),
    ("1,2,4 1-9 * * *", "at minutes 1, 2 and 4 of hours 1 to 9"),
    # seconds
    ("* * * * * *", "every second"),
    ("*/10 * * * * *", "every 10 seconds"),
    ("30 * * * * *", "at second 30 of every minute"),
    ("5,10 * * * * *", "at seconds 5 and 10 of every minute"),
    ("* 0 9 * * *", "every second in minute 0 of hour 9"),
    ("*/10 * 9-17 * * *", "every 10 seconds in hours 9 to 17"),
    ("1,2,4 */30 * * * *", "at seconds 1, 2 and 4 of minutes 0 and 30 of every hour"),
    ("30 * 9 * * *", "at second 30 of every minute in hour 9"),
    # days
    ("0 0 1 * *", "at 00:00 on the 1st"),
    ("0 0 1,15 * *", "at 00:00 on the 1st and 15th"),
    ("0 0 2,3,11,12,13,22,23 * *", "at 00:00 on the 2nd, 3rd, 11th to 13th, 22nd and 23rd"),
    ("0 0 */2 * *", "at 00:00 on every 2nd day from the 1st on"),
    ("0 0 13 * FRI", "at 00:00 on the 13th and on Fridays"),
    ("0 0 1-31 * FRI", "at 00:00 every day"),
    ("0 0 1 1 *", "at 00:00 on the 1st of January"),
    ("0 0 1 */3 *", "at 00:00 on the 1st of January, April, July and October"),
    ("0 0 * 6-8 *", "at 00:00 every day in June, July and August"),
    ("0 0 * 6 MON", "at 00:00 on Mondays in June"),
    ("0 0 13 6 FRI", "at 00:00 on the 13th and on Fridays in June"),
    ("*/15 * * 12 *", "every 15 minutes in December"),
    # words
    ("@yearly", "at 00:00 on the 1st of January"),
    ("@monthly", "at 00:00 on the 1st"),
    ("@weekly", "at 00:00 on Sundays"),
    ("@daily", "at 00:00 every day"),
    ("@hourly", "every hour on the hour"),
    ("@minutely", "every minute"),
]


@pytest.mark.parametrize(("text", "words"), CRON)
def test_cron_in_words(text: str, words: str) -> None:
    assert said(text, "Asia/Tokyo") == Explained("cron", f"{words}, Asia/Tokyo")
    assert said(f"CRON_TZ=Asia/Tokyo {text}") == said(text, "Asia/Tokyo")
    assert said(text).words == f"{words}, UTC"


@pytest.mark.parametrize(
    ("text", "zone", "kind", "words"),
    [
        ("@every 90s", "", "every", "every 90 seconds, counted from when the schedule was set"),
        ("@every 1s", "", "every", "every second, counted from when the schedule was set"),
        ("@every 60s", "", "every", "every minute, counted from when the schedule was set"),
        ("@every 2h", "", "every", "every 2 hours, counted from when the schedule was set"),
        ("@every 24h", "", "every", "every day, counted from when the schedule was set"),
        ("@every 1h30m10s", "", "every",
         "every 1 hour, 30 minutes and 10 seconds, counted from when the schedule was set"),
        ("@at 2030-01-02T15:04:05+02:00", "Asia/Tokyo", "at", "once, at 2030-01-02 13:04:05, UTC"),
        ("@manually", "", "manually", "only when it is started by hand"),
        ("0 0 30 2 *", "", "cron", "never: the day of the month 30 never comes in the month 2"),
        ("R0/2030-01-02T15:04:05Z/", "", "iso8601", "once, at 2030-01-02 15:04:05, UTC"),
        ("R0/2030-01-02T15:04:05+05:30/", "", "iso8601", "once, at 2030-01-02 15:04:05, UTC+05:30"),
        ("R0/2030-01-02T15:04:05-03:00/", "Asia/Tokyo", "iso8601", "once, at 2030-01-03 03:04:05, Asia/Tokyo"),
        (f"R/{START}/P1D", "", "iso8601", "every day from 2099-01-01 00:00:00, UTC"),
        (f"R-1/{START}/P2W", "", "iso8601", "every 2 weeks from 2099-01-01 00:00:00, UTC"),
        (f"R1/{START}/P7D", "", "iso8601", "every week from 2099-01-01 00:00:00, UTC, twice"),
        (f"R5/{START}/P1Y", "", "iso8601", "every year from 2099-01-01 00:00:00, UTC, 6 times"),
        (f"R/{START}/P14M", "", "iso8601", "every 1 year and 2 months from 2099-01-01 00:00:00, UTC"),
        ("R/2099-01-31T02:30:00/P1M", "Europe/Berlin", "iso8601",
         "every month, or the month's last day, from 2099-01-31 02:30:00, Europe/Berlin"),
        (f"R/{START}/P1DT2H", "", "iso8601", "every 1 day and 2 hours from 2099-01-01 00:00:00, UTC"),
        (f"R/{START}/PT90S", "", "iso8601", "every 90 seconds from 2099-01-01 00:00:00, UTC"),
        (f"R/{START}/PT1.5S", "", "iso8601", "every 1.5 seconds from 2099-01-01 00:00:00, UTC"),
        (f"R/{START}/P10D", "", "iso8601", "every 10 days from 2099-01-01 00:00:00, UTC"),
        ("0 9 * * 1-5 | @every 1h", "Asia/Tokyo", "several",
         "at 09:00 on weekdays, Asia/Tokyo; and every hour, counted from when the schedule was set"),
        ("0 9 * * * | 0 17 * * *", "", "several", "at 09:00 every day, UTC; and at 17:00 every day, UTC"),
        ("", "", "now", "once, now"),
    ],
)  # fmt: skip
def test_the_others_in_words(text: str, zone: str, kind: str, words: str) -> None:
    assert said(text, zone) == (kind, words)


def test_what_is_done_about_clock_changes_changes_no_words() -> None:
    spec = JobSpec(
        name="n", schedule=f"R/{START}/P1D", timezone="Europe/Berlin", ticks=TickPolicy(dst_gap="skip", dst_fold="both")
    )
    assert explain(spec, NOW, JOB).words == "every day from 2099-01-01 01:00:00, Europe/Berlin"


def test_bounds_are_said_after_all() -> None:
    bounds = Bounds(starts_at=at("2030-01-01T00:00:00"), expires_at=at("2031-01-01T12:00:00"))
    found = explain(JobSpec(name="n", schedule="@daily | @hourly", bounds=bounds), NOW, JOB)
    assert found.words.endswith("; not before 2030-01-01 00:00:00, UTC; not after 2031-01-01 12:00:00, UTC")
    assert explain(JobSpec(name="n", schedule="@daily", bounds=bounds), NOW, JOB).kind == "cron"


def test_a_child_comes_after_its_parents() -> None:
    assert explain(JobSpec(name="n", parents=(JOB,)), NOW, JOB) == ("child", "after its parents")


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=40) | LETTERS | NEARLY | ISO | st.lists(NEARLY | ISO, max_size=4).map("|".join),
    st.sampled_from(["", *ZONES]) | st.text(max_size=20),
)
def test_nothing_but_invalid_is_raised_and_words_are_never_empty(text: str, zone: str) -> None:
    with suppress(Invalid):
        found = said(text, zone)
        assert found.words.strip()
        assert schedule_of(JobSpec(name="n", schedule=text, timezone=zone), NOW, JOB) is not None


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS, st.sampled_from(["", *ZONES]))
def test_any_expression_has_words(expression: object, zone: str) -> None:
    text = str(expression.text)  # type: ignore[attr-defined]
    if attempt(text, zone) is not None:
        found = said(text, zone)
        assert is_cron(text)
        assert found.kind == "cron"
        assert found.words.endswith(f", {zone or 'UTC'}")
        assert not found.words.startswith(",")
        assert "  " not in found.words

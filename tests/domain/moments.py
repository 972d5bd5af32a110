"""Moments and schedules as text, for tests."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.iso8601 import Repeating, parse_schedule
from kala_es.domain.schedule import Schedule

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
HOUR = 3600 * SECOND
DAY = 24 * HOUR
FIRST = Instant((datetime.min.replace(tzinfo=UTC) - EPOCH) // MICRO)
LAST = Instant((datetime.max.replace(tzinfo=UTC) - EPOCH) // MICRO)
START = "2099-01-01T00:00:00Z"


def at(text: str) -> Instant:
    """The instant of `2026-01-31T12:00:00`, in UTC when it names no offset."""
    moment = datetime.fromisoformat(text)
    return Instant(((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MICRO)


def shown(tick: Instant, zone: str = "UTC") -> str:
    """The zone's wall clock at a tick, with its offset."""
    return (EPOCH + tick * MICRO).astimezone(ZoneInfo(zone)).isoformat()


def walk(schedule: Schedule, after: Instant, most: int) -> list[Instant]:
    """Up to `most` ticks later than `after`, one by one."""
    ticks: list[Instant] = []
    while len(ticks) < most and (tick := schedule.next_after(ticks[-1] if ticks else after)) is not None:
        ticks.append(tick)
    return ticks


def due(text: str, timezone: str = "", most: int = 5) -> list[str]:
    """The first ticks, on the zone's wall clock."""
    return [shown(tick, timezone or "UTC") for tick in walk(parse_schedule(text, timezone), FIRST, most)]


def attempt(text: str, timezone: str = "") -> Repeating | Invalid:
    try:
        return parse_schedule(text, timezone)
    except Invalid as error:
        return error


def refusal(text: str, timezone: str = "") -> Invalid:
    result = attempt(text, timezone)
    assert isinstance(result, Invalid), result
    return result

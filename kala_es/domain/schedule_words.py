"""A schedule in English: "at 09:00 on weekdays, Asia/Tokyo".

What is said follows from what the schedule names, not from how it was written, so two writings of the same have the
same words. What a job chose by `~` is said as it fell out.
"""

from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from kala_es.domain.bounds import Bounds
from kala_es.domain.calendar_steps import CalendarSteps
from kala_es.domain.cron import Cron, is_cron
from kala_es.domain.cron_words import counted, english_list, pattern_words
from kala_es.domain.ids import SECOND, Instant, JobId, Micros
from kala_es.domain.iso8601 import Interval, Repeating
from kala_es.domain.model import JobSpec
from kala_es.domain.plan import parts_of
from kala_es.domain.schedule import Never, Once, Schedule
from kala_es.domain.wall_pattern import WallPattern

Kind = Literal["iso8601", "cron", "every", "at", "manually", "several", "now", "child"]
_EPOCH: Final = datetime(1970, 1, 1)
_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_LONG_SECONDS: Final = 120
_TIMES: Final = {1: "once", 2: "twice"}


class Explained(NamedTuple):
    """What kind of schedule it is, and what it says in words."""

    kind: Kind
    words: str


def explain(spec: JobSpec, planned: Instant, job: JobId) -> Explained:
    """When the job with this id, planned at `planned`, is due. Raises Invalid."""
    if spec.parents:
        return Explained("child", "after its parents")
    if not spec.schedule:
        return Explained("now", "once, now")
    parts = [_explain(text, schedule) for text, schedule in parts_of(spec, planned, job)]
    kind: Kind = parts[0].kind if len(parts) == 1 else "several"
    return Explained(kind, "; and ".join(part.words for part in parts) + _bounds_words(spec.bounds))


def _explain(text: str, schedule: Schedule) -> Explained:
    match schedule:
        case Cron(pattern=WallPattern() as pattern, zone=zone):
            return Explained("cron", f"{pattern_words(pattern)}, {zone or 'UTC'}")
        case Once(at=at):
            return Explained("at", f"once, at {_moment(_wall(at))}, UTC")
        case Repeating(length=length) if is_cron(text):
            return Explained("every", f"every {_single(_span(length))}, counted from when the schedule was set")
        case Repeating() | CalendarSteps():
            steps = schedule.steps if isinstance(schedule, CalendarSteps) else schedule
            return Explained("iso8601", _steps_words(text.partition("/")[0], steps))
        case Never(why=why) if why:
            return Explained("cron", f"never: {why}")
        case _:
            return Explained("manually", "only when it is started by hand")


def _steps_words(repeats: str, steps: Repeating) -> str:
    """`R[n]/start/interval`; `repeats` is its first part."""
    start = f"{_moment(steps.wall)}, {_clock_name(steps)}"
    times = 0 if repeats in ("R", "R-1") else int(repeats[1:]) + 1
    if times == 1:
        return f"once, at {start}"
    clamped = steps.interval.months and steps.wall.day > 28
    words = f"every {_single(_interval(steps.interval))}" + (", or the month's last day," if clamped else "")
    return f"{words} from {start}" + (f", {_TIMES.get(times) or f'{times} times'}" if times else "")


def _interval(interval: Interval) -> list[str]:
    """Its units, the largest first."""
    years, months = divmod(interval.months, 12)
    weeks, days = divmod(interval.days, 7) if interval.days % 7 == 0 else (0, interval.days)
    calendar = ((years, "year"), (months, "month"), (weeks, "week"), (days, "day"))
    return [counted(number, noun) for number, noun in calendar if number] + _span(interval.rest)


def _span(length: Micros) -> list[str]:
    """A length of time by its units."""
    seconds, micros = divmod(length, SECOND)
    if micros:
        fraction = f"{seconds}.{micros:06}".rstrip("0")
        return [f"{fraction} seconds"]
    if seconds < _LONG_SECONDS and seconds % 60:
        return [counted(seconds, "second")]
    found: list[str] = []
    for size, noun in _UNITS:
        number, seconds = divmod(seconds, size)
        found += [counted(number, noun)] if number else []
    return found


def _bounds_words(bounds: Bounds) -> str:
    """What is said of a schedule that counts for a while only."""
    ends = (("not before", bounds.starts_at), ("not after", bounds.expires_at))
    return "".join(f"; {when} {_moment(_wall(at))}, UTC" for when, at in ends if at is not None)


def _single(units: list[str]) -> str:
    """What comes after "every": `day`, `2 days`, `1 hour and 30 minutes`."""
    return units[0].removeprefix("1 ") if len(units) == 1 else english_list(units)


def _wall(at: Instant) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def _moment(wall: datetime) -> str:
    return wall.isoformat(" ")


def _clock_name(steps: Repeating) -> str:
    """The clock on which the start is said."""
    if steps.zone is not None or not steps.offset:
        return str(steps.zone or "UTC")
    sign, minutes = "-" if steps.offset < 0 else "+", abs(steps.offset) // (60 * SECOND)
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}"

"""The ticks that a change of clocks moves or names twice, each with a sentence that says so.

Only times of day are spoken of: what goes on and on, or is a length of time, goes on whatever a clock shows.
"""

from typing import Final

from kala_es.domain.bounds import Bounded
from kala_es.domain.calendar_steps import CalendarSteps, shift
from kala_es.domain.cron import Cron
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.iso8601 import Repeating
from kala_es.domain.offsets import Stretch, stretches
from kala_es.domain.schedule import Schedule
from kala_es.domain.several import Several, names
from kala_es.domain.wall_pattern import DAY_SECONDS

_TIMES: Final = ("the first time", "the second time")


def moved(schedule: Schedule | None, tick: Instant) -> str:
    """Why a tick of the schedule is at another moment than usual, or which of two it is; "" when it is as ever."""
    match schedule:
        case Bounded(schedule=whole):
            return moved(whole, tick)
        case Several(parts=parts):
            return next((why for part in parts if names(part, tick) and (why := moved(part, tick))), "")
        case Cron(fixed=True):
            return _of_pattern(schedule, tick)
        case CalendarSteps(steps=steps):
            return _of_step(steps, tick)
        case Repeating(interval=interval) if schedule.zone and (interval.months or interval.days):
            return _of_step(schedule, tick)
        case _:
            return ""


def _of_pattern(cron: Cron, tick: Instant) -> str:
    second = tick // SECOND
    for stretch, _, _ in stretches(cron.zone, second, second + 1):
        wall = second + stretch.ahead
        if second == stretch.begins and stretch.ahead > stretch.before and cron.on_change.gap == "run-after":
            skipped = cron.pattern.first_from(second + stretch.before)
            if skipped is not None and skipped < wall:
                return _skipped(skipped, wall, str(cron.zone))
        return _twice(stretch, wall, str(cron.zone))
    return ""


def _of_step(steps: Repeating, tick: Instant) -> str:
    """The tick is that of the last step which is not after it."""
    step = steps.passed(tick) - 1
    if step < 1:
        return ""
    gap, apart = shift(steps, step)
    base = (tick - step * steps.interval.rest) // SECOND
    wall = steps.wall_at(step)
    shown = (wall.hour * 60 + wall.minute) * 60 + wall.second
    for stretch, _, _ in stretches(steps.zone, base, base + 1):
        if gap:
            return _skipped(shown, base + stretch.ahead, str(steps.zone))
        return _twice(stretch, base + stretch.ahead, str(steps.zone)) if apart else ""
    return ""


def _skipped(wall: int, until: int, zone: str) -> str:
    return f"{_clock(wall)} is skipped by the clocks of {zone}, which are put forward to {_clock(until)}"


def _twice(stretch: Stretch, wall: int, zone: str) -> str:
    again = stretch.after < stretch.ahead and wall >= stretch.ends + stretch.after
    before = stretch.before > stretch.ahead and wall < stretch.begins + stretch.before
    if not (again or before):
        return ""
    return f"{_clock(wall)} comes twice on the clocks of {zone}; this is {_TIMES[not again]}"


def _clock(wall: int) -> str:
    """The time of day that a wall clock shows, with seconds if there are any."""
    minutes, second = divmod(wall % DAY_SECONDS, 60)
    text = f"{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{second:02}" if second else text

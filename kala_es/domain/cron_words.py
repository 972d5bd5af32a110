"""A pattern of wall clock times in English: "every 15 minutes from 09:00 to 17:45 on weekdays"."""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Final

from kala_es.domain.wall_pattern import AllDays, Days, WallPattern

_MOST_TIMES: Final = 4
"""So many times of a day are named one by one."""
_EVERY_DAY: Final = "every day"
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WEEKDAYS: Final = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_WORKING: Final = (1, 2, 3, 4, 5)
_WEEKEND: Final = (6, 7)
_ALL_NUMBERS: Final = tuple(range(1, 32))
_ALL_WEEKDAYS: Final = tuple(range(1, 8))
_ALL_MONTHS: Final = tuple(range(1, 13))


def pattern_words(pattern: WallPattern) -> str:
    """When a pattern's times are, without the zone."""
    assert isinstance(pattern.days, Days), f"one expression has one set of days, not {AllDays.__name__}"
    times, days = _times(pattern), _days(pattern.days)
    if _few(pattern):
        return f"{times} {days or _EVERY_DAY}"
    return f"{times} {days.removeprefix(_EVERY_DAY + ' ')}".rstrip()


def english_list(items: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def counted(number: int, noun: str) -> str:
    """`1 day`, `2 days`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# The times of a day


def _few(pattern: WallPattern) -> bool:
    return prod(map(len, (pattern.hours, pattern.minutes, pattern.seconds))) <= _MOST_TIMES


def _times(pattern: WallPattern) -> str:
    hours, minutes, seconds = pattern.hours, pattern.minutes, pattern.seconds
    if _few(pattern):
        return f"at {english_list([_clock(h, m, s) for h in hours for m in minutes for s in seconds])}"
    if seconds == (0,):
        return _minute_words(minutes, hours)
    every = _every(seconds, 60, "second")
    head = every or f"at {_numbered(seconds, 'second')}"
    if len(minutes) < 60:
        return f"{head} {'in' if every else 'of'} {_numbered(minutes, 'minute')} of {_hour_words(hours)}"
    head = head if every else f"{head} of every minute"
    return head if len(hours) == 24 else f"{head} in {_hour_words(hours)}"


def _minute_words(minutes: tuple[int, ...], hours: tuple[int, ...]) -> str:
    if len(minutes) == 1:
        return _hourly_words(minutes[0], hours)
    every = _every(minutes, 60, "minute")
    if not every:
        return f"at {_numbered(minutes, 'minute')} of {_hour_words(hours)}"
    if len(hours) == 24:
        return every
    if hours[-1] - hours[0] == len(hours) - 1:
        first, last = _clock(hours[0], minutes[0], 0), _clock(hours[-1], minutes[-1], 0)
        return f"{every.partition(' from ')[0]} from {first} to {last}"
    return f"{every} in {_hour_words(hours)}"


def _hourly_words(minute: int, hours: tuple[int, ...]) -> str:
    """One minute of more hours than are named one by one."""
    if len(hours) == 24:
        return f"at minute {minute} of every hour" if minute else "every hour on the hour"
    step = hours[1] - hours[0]
    if hours == tuple(range(hours[0], hours[-1] + 1, step)):
        every = "every hour" if step == 1 else f"every {step} hours"
        return f"{every} from {_clock(hours[0], minute, 0)} to {_clock(hours[-1], minute, 0)}"
    return f"at minute {minute} of {_hour_words(hours)}"


def _hour_words(hours: tuple[int, ...]) -> str:
    return "every hour" if len(hours) == 24 else _numbered(hours, "hour")


def _every(values: tuple[int, ...], size: int, noun: str) -> str:
    """Values that come evenly round and round, "" when they do not."""
    step = values[1] - values[0] if len(values) > 1 else size
    if size % step or values != tuple(range(values[0], size, step)) or len(values) != size // step or step == size:
        return ""
    if step == 1:
        return f"every {noun}"
    return f"every {step} {noun}s" + (f" from {noun} {values[0]} on" if values[0] else "")


def _numbered(values: tuple[int, ...], noun: str) -> str:
    """`minute 5`, `minutes 5 and 10 to 20`."""
    return f"{noun if len(values) == 1 else noun + 's'} {english_list(list(_runs(values, str)))}"


def _runs(values: tuple[int, ...], text: Callable[[int], str]) -> Iterator[str]:
    """Three and more in a row as `a to b`."""
    begin = 0
    for i, value in enumerate(values):
        if i + 1 < len(values) and values[i + 1] == value + 1:
            continue
        if i - begin >= 2:
            yield f"{text(values[begin])} to {text(value)}"
        else:
            yield from map(text, values[begin : i + 1])
        begin = i + 1


def _clock(hour: int, minute: int, second: int) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


# Its days


def _days(days: Days) -> str:
    """Which days, "" for all."""
    numbers, months = _members(days.numbers), _members(days.months)
    weekdays = tuple(sorted(value or 7 for value in _members(days.weekdays)))
    on = [_dates(numbers)] if numbers != _ALL_NUMBERS else []
    on += [_weekday_words(weekdays)] if weekdays != _ALL_WEEKDAYS else []
    if days.either and len(on) < 2:
        on = []
    if months == _ALL_MONTHS:
        return " and ".join(on)
    named = english_list([_MONTHS[month - 1] for month in months])
    dates_only = len(on) == 1 and numbers != _ALL_NUMBERS
    return f"{' and '.join(on) or _EVERY_DAY} {'of' if dates_only else 'in'} {named}"


def _members(bits: int) -> tuple[int, ...]:
    return tuple(value for value in range(bits.bit_length()) if bits >> value & 1)


def _dates(numbers: tuple[int, ...]) -> str:
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 0
    if len(numbers) > _MOST_TIMES and step > 1 and numbers == tuple(range(numbers[0], 32, step)):
        return f"on every {_ordinal(step)} day from the {_ordinal(numbers[0])} on"
    return f"on the {english_list(list(_runs(numbers, _ordinal)))}"


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number in (11, 12, 13) else ending}"


def _weekday_words(weekdays: tuple[int, ...]) -> str:
    if weekdays == _WORKING:
        return "on weekdays"
    if weekdays == _WEEKEND:
        return "on weekends"
    return f"on {english_list([_WEEKDAYS[weekday - 1] for weekday in weekdays])}"

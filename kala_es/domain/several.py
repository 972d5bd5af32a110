"""Several schedules of one job, written with `|` in between: their ticks together, a moment named twice being one.

- No text of either grammar has a `|`, so this changes the meaning of none. White space around a `|` is nothing.
- Cron expressions on the same clock are one pattern (wall_union.py), and are counted without walking. So is what no
  other schedule is beside; of those on different clocks all but the one with the most ticks are walked to be counted.
  Therefore those beside the fastest must be slow (`check_together`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final
from zoneinfo import ZoneInfo

from kala_es import limits
from kala_es.domain.clock_changes import AS_SHOWN, OnChange
from kala_es.domain.cron import Cron
from kala_es.domain.cron_fields import Word
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.iso8601 import Repeating
from kala_es.domain.schedule import Schedule, Ticks
from kala_es.domain.wall_pattern import WallPattern
from kala_es.domain.wall_union import union

SEPARATOR: Final = "|"
_BEGINNING: Final = Instant(-(1 << 62))
_YEAR: Final = 366 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """The ticks of all `parts`, made by `together`."""

    parts: tuple[Schedule, ...]

    def next_after(self, moment: Instant) -> Instant | None:
        """The first tick later than `moment`, or None when there is none."""
        found = (part.next_after(moment) for part in self.parts)
        return min((tick for tick in found if tick is not None), default=None)

    def between(self, after: Instant, until: Instant) -> Ticks | None:
        """The ticks t with after < t <= until, or None."""
        asked = ((part, part.between(after, until)) for part in self.parts)
        found = sorted(((ticks, part) for part, ticks in asked if ticks), key=lambda pair: -pair[0].count)
        if not found:
            return None
        count = found[0][0].count
        for i, (ticks, part) in enumerate(found[1:], 1):
            others = [other for _, other in found[:i]]
            count += sum(not any(names(other, tick) for other in others) for tick in _walk_of(part, ticks))
        return Ticks(
            first=min(ticks.first for ticks, _ in found), last=max(ticks.last for ticks, _ in found), count=count
        )


def split(text: str) -> list[Word]:
    """The texts of a job's schedules, and where each begins. Raises Invalid: there are too many, or one is empty."""
    pieces = text.split(SEPARATOR)
    if len(pieces) == 1:
        return [Word(text, 1)]
    if len(pieces) > limits.MAX_SCHEDULES_A_JOB:
        said = f"{len(pieces)} schedules, more than {limits.MAX_SCHEDULES_A_JOB}"
        raise Invalid("schedule", said)
    words: list[Word] = []
    column = 1
    for piece in pieces:
        if not piece.strip():
            raise Invalid("schedule", f"there is no schedule on one side of a {SEPARATOR!r}", column)
        words.append(Word(piece.strip(), column + len(piece) - len(piece.lstrip())))
        column += len(piece) + 1
    return words


def together(schedules: Iterable[Schedule]) -> Schedule:
    """Schedules as one. Cron expressions that go by the same clock in the same way become one pattern."""
    parts: list[Schedule] = []
    same: dict[tuple[ZoneInfo | None, OnChange], list[Cron]] = {}
    for schedule in schedules:
        if isinstance(schedule, Cron) and isinstance(schedule.pattern, WallPattern):
            on_change = schedule.on_change if schedule.zone else AS_SHOWN  # UTC's clock is never changed
            same.setdefault((schedule.zone, on_change), []).append(schedule)
        elif schedule not in parts:
            parts.append(schedule)
    for crons in same.values():
        patterns = tuple(cron.pattern for cron in crons if isinstance(cron.pattern, WallPattern))
        parts.append(crons[0] if len(set(patterns)) == 1 else replace(crons[0], pattern=union(patterns)))
    return parts[0] if len(parts) == 1 else Several(parts=tuple(parts))


def check_together(schedule: Several) -> None:
    """Raise Invalid unless those beside the fastest are slow enough to be walked."""
    beside = sorted(map(_in_a_year, schedule.parts))[:-1]
    if sum(beside) > _YEAR // limits.MIN_INTERVAL_BESIDE_SECONDS + len(beside):
        least = f"{limits.MIN_INTERVAL_BESIDE_SECONDS} s"
        said = f"of schedules on different clocks, those beside the fastest have ticks less than {least} apart"
        raise Invalid("schedule", said)


def _in_a_year(schedule: Schedule) -> int:
    """How many ticks the year after the first has."""
    first = schedule.next_after(_BEGINNING)
    if first is None:
        return 0
    ticks = schedule.between(Instant(first - 1), Instant(first + _YEAR * SECOND))
    return ticks.count if ticks else 0


def names(schedule: Schedule, tick: Instant) -> bool:
    """Whether the schedule has this tick."""
    return schedule.next_after(Instant(tick - 1)) == tick


def walk(schedule: Schedule, moment: Instant) -> Iterator[Instant]:
    """The ticks after a moment, one by one."""
    if isinstance(schedule, Repeating):
        yield from schedule.walk(moment)
        return
    while (tick := schedule.next_after(moment)) is not None:
        yield tick
        moment = tick


def _walk_of(schedule: Schedule, ticks: Ticks) -> Iterator[Instant]:
    """The ticks of a run of them."""
    for tick in walk(schedule, Instant(ticks.first - 1)):
        if tick > ticks.last:
            return
        yield tick

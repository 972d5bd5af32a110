"""ISO 8601 schedules whose days and months keep a zone's wall clock, when its changes are dealt with otherwise.

`Repeating` says what usually is: a step whose wall clock time is skipped is due when the gap ends, one whose time comes
twice the first time round. Here a skipped one may be left out, and the other one be due the second time, or both times.

- A step is judged by the wall clock time that its years, months, weeks and days lead to.
- The start is one tick, as it says. `R[n]` counts steps: one that is left out is not made up at the end.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kala_es.domain.clock_changes import USUAL, OnChange
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.iso8601 import Repeating, parse_schedule
from kala_es.domain.offsets import stretches
from kala_es.domain.schedule import Schedule, Ticks
from kala_es.domain.wall_pattern import DAY_SECONDS, END_WALL, FIRST_WALL

_EPOCH: Final = datetime(1970, 1, 1)
_MICRO: Final = timedelta(microseconds=1)
_AROUND: Final = 3 * DAY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarSteps:
    """The ticks of `steps` under `on_change`; `steps` keep to the wall clock of a zone."""

    steps: Repeating
    on_change: OnChange

    @property
    def start(self) -> Instant:
        """The first tick."""
        return self.steps.start

    def next_after(self, moment: Instant) -> Instant | None:
        """The first tick later than `moment`, or None when there is none."""
        for step in range(max(self.steps.passed(moment) - 1, 0), self.steps.count):
            for tick in self._of(step):
                if tick > moment:
                    return tick
        return None

    def between(self, after: Instant, until: Instant) -> Ticks | None:
        """The ticks t with after < t <= until, or None; never walks them one by one."""
        begin, end = max(self.steps.passed(after) - 1, 0), self.steps.passed(until)
        first, last = self.next_after(after), self._last(range(begin, end), until)
        if first is None or last is None or first > until or last <= after:
            return None
        count = end - begin + sum(len(self._of(step)) - 1 for step in self._unusual(begin, end))
        count -= sum(tick <= after for tick in self._of(begin)) + sum(tick > until for tick in self._of(end - 1))
        return Ticks(first=first, last=last, count=count)

    def _last(self, steps: range, until: Instant) -> Instant | None:
        """The last tick of some steps, not later than `until`."""
        found = (tick for step in reversed(steps) for tick in reversed(self._of(step)) if tick <= until)
        return next(found, None)

    def _of(self, step: int) -> tuple[Instant, ...]:
        """The ticks of a step: none, one or two."""
        usual, gap, apart = self.steps.tick(step), *self.shift(step)
        if step == 0 or not (gap or apart or step in self.steps.doubled):
            return (usual,)
        if step in self.steps.doubled or (gap and self.on_change.gap == "skip"):
            return ()
        second = Instant(usual + apart)
        if not apart or self.on_change.fold == "first":
            return (usual,)
        return (second,) if self.on_change.fold == "second" else (usual, second)

    def shift(self, step: int) -> tuple[bool, int]:
        """Whether the clock skips a step's time, and how much later it shows it again; 0 if it does not."""
        return shift(self.steps, step)

    def _unusual(self, begin: int, end: int) -> set[int]:
        """The steps from `begin` to before `end` whose time is skipped or comes twice, and those doubled."""
        found = {step for step in self.steps.doubled if begin <= step < end}
        for low, high in self._changes(begin, end):
            step = bisect_left(range(end), low, begin, key=self._wall)
            while step < end and self._wall(step) < high:
                found.add(step)
                step += 1
        return found

    def _changes(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """The wall times from the first to before the last that are skipped or come twice, around these steps."""
        low, high = (self._base(step) // SECOND for step in (begin, end - 1))
        around = max(low - _AROUND, FIRST_WALL), min(high + _AROUND, END_WALL)
        for stretch, _, _ in stretches(self.steps.zone, *around):
            if stretch.ahead != stretch.before:
                ends = sorted((stretch.before, stretch.ahead))
                yield (stretch.begins + ends[0]) * SECOND, (stretch.begins + ends[1]) * SECOND

    def _base(self, step: int) -> int:
        return self.steps.tick(step) - step * self.steps.interval.rest

    def _wall(self, step: int) -> int:
        return (self.steps.wall_at(step) - _EPOCH) // _MICRO


def shift(steps: Repeating, step: int) -> tuple[bool, int]:
    """Whether the zone's clock skips a step's time, and how much later it shows it again; 0 if it does not."""
    wall = steps.wall_at(step).replace(tzinfo=steps.zone)
    before, after = (wall.replace(fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return after > before, max((before - after) // _MICRO, 0)


def parse_steps(text: str, timezone: str, on_change: OnChange) -> Schedule:
    """The schedule `R[n]/start/interval`, as `parse_schedule` reads it, under `on_change`."""
    steps = parse_schedule(text, timezone)
    if on_change == USUAL or steps.zone is None or not (steps.interval.months or steps.interval.days):
        return steps
    return CalendarSteps(steps=steps, on_change=on_change)

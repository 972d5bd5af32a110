"""Demands a reason for each record that is not there: an event that is there must say why it was erased.

1. Output of a run that was trimmed or redacted: while the run was in flight, as many records as the event says. That
   of an imported run stands right before the event that says so, and nowhere else.
2. Anything at or before the newest base, which stands for it. What was there cannot be told any more.
3. What was left out of the archive that the log was made of, or is explained by what was cut off: while a run was in
   flight. How many these are cannot be told either.

A hole says how many records it was, and nothing of them: so it is their number that proves that they were output.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from operator import attrgetter
from typing import Final

import msgspec

from kala_es.domain import events as e
from kala_es.domain.ids import RunId
from kala_es.domain.trimming import BaseTaken, RunRedacted, RunsTrimmed, TrimmedRun
from kala_es.event_log import LogDamaged

Erased = tuple[int, int]
"""The position of the first, and how many."""


class Reasons(msgspec.Struct, frozen=True, kw_only=True):
    """Records that are not there for other reasons than that a run lost its output."""

    base: int = 0
    swept: int = 0
    """At or before the newest base."""
    left_out: int = 0


NO_REASONS: Final = Reasons()


@dataclass(slots=True)
class _Flight:
    """A run, from its start to its end. `there`: records of its output. `erased`: so many more are not there."""

    start: int
    end: int = 0
    there: int = 0
    erased: int = 0


class HoleCheck:
    """`look` takes the log in order, from `after` a position; `end` judges. Holes up to `left_out` have reason 3."""

    def __init__(self, *, after: int = 0, left_out: int = 0) -> None:
        self._after = after
        self._left_out_to = left_out
        self._base = 0
        self._holes: list[Erased] = []
        self._left_out: list[Erased] = []
        self._swept = 0
        self._open: dict[RunId, _Flight] = {}
        self._over: dict[RunId, _Flight] = {}
        """Runs that are over, and were in flight when something was erased."""
        self._explained: list[_Flight] = []
        self._ahead: dict[RunId, _Flight] = {}
        """Output that stands before its run is named: of runs that are imported in this commit."""

    def look(self, holes: Iterable[Erased], events: Iterable[tuple[int, e.Event]]) -> None:
        """Take what comes next."""
        waiting = deque(holes)
        for position, event in events:
            while waiting and waiting[0][0] < position:
                self._add(waiting.popleft())
            self._take(position, event)
        for hole in waiting:
            self._add(hole)

    def _add(self, hole: Erased) -> None:
        is_left_out = hole[0] <= self._left_out_to and (self._open or self._after)
        (self._left_out if is_left_out else self._holes).append(hole)

    def _take(self, position: int, event: e.Event) -> None:
        match event:
            case e.RunStarted():
                self._open[event.run] = _Flight(position)
            case e.OutputChunk():
                printing = self._open.get(event.run) or self._ahead.setdefault(event.run, _Flight(position - 1))
                printing.there += 1
            case e.RunImported():
                self._import(position, event)
            case e.RunFinished():
                flight = self._open.pop(event.run, None) or _Flight(self._after)
                flight.end = position
                if self._holes and self._holes[-1][0] > flight.start:
                    self._over[event.run] = flight
            case RunsTrimmed():
                for trimmed in event.runs:
                    self._explain(trimmed)
            case RunRedacted():
                self._explain(event.run)
            case BaseTaken():
                self._stand_for(min(event.base, position - 1))
            case _:
                pass

    def _import(self, position: int, event: e.RunImported) -> None:
        """Its output is the records before this one, whether they are there or not."""
        there = self._ahead.pop(event.run, _Flight(position)).there
        flight = _Flight(position - event.chunks - 1, position, there)
        first, count = self._holes[-1] if self._holes else (0, 0)
        others = max(flight.start + 1 - first, 0)
        if count <= others:
            return
        self._holes[-1:] = [(first, others)] if others else []
        own = (first + others, count - others)
        if position <= self._left_out_to:
            self._left_out.append(own)
        else:
            self._holes.append(own)
            self._over[event.run] = flight

    def _explain(self, trimmed: TrimmedRun) -> None:
        flight = self._over.pop(trimmed.run, None)
        if flight is not None:
            bound = trimmed.stdout_bytes + trimmed.stderr_bytes  # of events that do not say how many records
            flight.erased = trimmed.chunks - flight.there if trimmed.chunks else bound
            self._explained.append(flight)

    def _stand_for(self, base: int) -> None:
        """What is not there up to a base needs no other reason."""
        self._base = max(self._base, base)
        self._holes, swept = _cut(self._holes, self._base)
        self._left_out, more = _cut(self._left_out, self._base)
        self._swept += swept + more
        self._over = {run: flight for run, flight in self._over.items() if flight.end > self._base}
        self._explained = [flight for flight in self._explained if flight.end > self._base]

    def end(self) -> Reasons:
        """There is no more. Raises LogDamaged, with the position that nothing accounts for."""
        starts = deque(sorted(self._explained, key=attrgetter("start")))
        under_way: list[tuple[int, int, int]] = []
        for first, count in self._holes:
            while starts and starts[0].start < first:
                flight = starts.popleft()
                heappush(under_way, (flight.end, flight.start, flight.erased))
            _account(first, count, under_way)
        return Reasons(base=self._base, swept=self._swept, left_out=sum(count for _, count in self._left_out))


def _account(first: int, count: int, under_way: list[tuple[int, int, int]]) -> None:
    """Take a hole's records from the runs that were in flight then; from the one that ended first, first."""
    left = count
    while left:
        if not under_way:
            place = first + count - left
            raise LogDamaged(f"Position {place} was erased, and nothing in the log says why: no run lost output there.")
        end, start, erased = heappop(under_way)
        if end < first or erased <= 0:
            continue
        taken = min(left, erased)
        left -= taken
        heappush(under_way, (end, start, erased - taken))


def _cut(holes: list[Erased], base: int) -> tuple[list[Erased], int]:
    """What lies after a base, and how many records do not."""
    kept = [(max(first, base + 1), first + count) for first, count in holes if first + count - 1 > base]
    after = [(first, end - first) for first, end in kept]
    return after, sum(count for _, count in holes) - sum(count for _, count in after)

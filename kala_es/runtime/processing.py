"""Hands runs' output to the processors of their jobs, beside the job, from the log.

1. Nothing is handed over before it is durable. What is not yet handed over is in the fold: a restart goes on with it.
2. How far a handover is gets recorded every HANDOVER_NOTE_SECONDS while its run goes on, when the processor fails, and
   at its end: after a crash, what came since is handed over again.
3. One task for each receiver (a processor with one config) that has something to take, one part at a time, in turn
   among the runs: one that is slow or down holds up no other, and no job. A run that it fails for waits alone.
4. A part is read when its turn comes: what waits is in the log, not in memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from math import inf

import trio

from kala_es import limits
from kala_es.clock import Clock
from kala_es.domain import events as e
from kala_es.domain.handovers import Handover, failed, handed_over
from kala_es.domain.ids import SECOND, RunId
from kala_es.domain.processing import Config, Reached, stands_in
from kala_es.domain.values import replace
from kala_es.processor import FindProcessor, Part, Piece, ProcessorError
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.log_reader import LogReader
from kala_es.runtime.log_writer import LogWriter
from kala_es.runtime.parts import Assembly
from kala_es.runtime.receivers import Receivers

_GONE = "the output of this run is kept no longer"
_TOO_MANY = f"{limits.MAX_HANDOVERS} outputs are on their way to processors already"
_TOO_SLOW = f"it did not take a part within {limits.PROCESSOR_SECONDS:g} s"
_LEAVE_SECONDS = 5.0
"""What there is to hand over when the node stops is given this long, and then once more what is being handed over."""
_PAGE = 16
"""Events that are read at a time: with full chunks a quarter of a megabyte."""
_NEWS = (e.OutputChunk, e.AttemptFailed, e.RunFinished)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What hands over, and what it draws on. `complain` takes a line for the operator."""

    folds: Folds
    clock: Clock
    writer: LogWriter
    find: FindProcessor
    reader: LogReader
    complain: Callable[[str], None]


@dataclass(slots=True, eq=False)
class _Way:
    """A handover under way. It has its next turn at `due`, after a failure not before `not_before` (Trio's clock)."""

    run: RunId
    place: int
    reached: Reached
    noted: Reached
    """How far the log says that it is..."""
    noted_at: float
    """...and since when."""
    failures: int = 0
    not_before: float = -inf
    due: float = inf


class Processing:
    """`follow` takes every durable batch; `run` is its life."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._handovers = parts.folds.handovers
        self._ways: dict[tuple[RunId, int], _Way] = {}
        self._receivers: Receivers[tuple[str, Config], _Way] = Receivers(self._turn, at_once=limits.PROCESSORS_AT_ONCE)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Go on with what is not handed over yet, and with what comes, until cancelled."""
        await self._receivers.run(self._begin_all, task_status)

    def _begin_all(self) -> None:
        for handover in self._handovers:
            self._put(self._begin(handover), handover)

    def follow(self, batch: Sequence[Recorded]) -> None:
        """Take what runs have printed, and how they ended."""
        if not self._receivers.runs:
            return
        for recorded in batch:
            event = recorded.event
            if isinstance(event, e.RunStarted):
                for handover in list(self._handovers.of(event.run)):
                    self._welcome(handover)
            elif isinstance(event, _NEWS) and event.run in self._handovers.by_run:
                for handover in self._handovers.of(event.run):
                    way = self._ways.get((handover.run, handover.place))
                    if way is not None:
                        self._put(way, handover)

    def _welcome(self, handover: Handover) -> None:
        """A run began. When too much is on its way already, its output is not handed over."""
        if self._handovers.count <= limits.MAX_HANDOVERS:
            self._begin(handover)
        else:
            self._say(failed(handover, self._parts.clock.now(), _TOO_MANY, for_good=True))

    def _begin(self, handover: Handover) -> _Way:
        now, reached = trio.current_time(), handover.reached
        way = _Way(handover.run, handover.place, reached, reached, now, failures=handover.failures)
        if handover.next_at is not None:
            way.not_before = now + self._wait_until(handover.next_at)
        self._ways[way.run, way.place] = way
        return way

    def _wait_until(self, moment: int) -> float:
        """In seconds; never longer than the longest delay, however the wall clock jumps."""
        return min(max(moment - self._parts.clock.now(), 0) / SECOND, limits.MAX_PROCESSOR_DELAY_SECONDS)

    def _put(self, way: _Way, handover: Handover, *, delay: float = 0.0) -> None:
        """Let it have a turn."""
        due = max(trio.current_time() + delay, way.not_before)
        if way.due <= due or self._receivers.leaving:
            return
        way.due = due
        self._receivers.put((handover.processor, handover.config), due, way)

    async def _turn(self, due: float, way: _Way) -> None:
        """Hand over the next part, if there is one, and it has not had an earlier turn."""
        if due != way.due:
            return
        way.due = inf
        handover = self._handovers.get(way.run, way.place)
        if handover is None:
            return
        assembly = await self._assemble(handover, way.reached)
        if assembly is None:
            self._fail(way, handover, _GONE, for_good=True)
            return
        began = assembly.began
        if began is not None and abs(self._parts.clock.now() - began) < limits.PART_SECONDS * SECOND:
            assembly.shorten()
        part = assembly.part()
        if part is not None:
            reason = await self._process(part, handover)
            if reason:
                self._fail(way, handover, reason)
            else:
                self._go_on(way, handover, (part, assembly.reached()))
        elif began is not None:
            self._put(way, handover, delay=limits.PART_SECONDS)
        else:
            way.reached = replace(way.reached, position=assembly.position)

    async def _assemble(self, handover: Handover, reached: Reached) -> Assembly | None:
        """The next part, as far as it is known by now; None when its output is kept no longer."""
        output = stands_in(handover.processors, handover.place) is None
        assembly = Assembly(handover, reached, output=output)
        head, runs = self._parts.folds.position, self._parts.folds.runs
        while not assembly.is_full:
            run = runs.get(handover.run)
            if run is None or run.trimmed:
                return None
            events = await self._parts.reader.events(assembly.position, run=run, limit=_PAGE)
            run = runs.get(handover.run)
            if run is None or run.trimmed:  # meanwhile, so that some may be erased already
                return None
            known = [recorded for recorded in events if recorded.position <= head]
            if not known:
                break
            assembly.take(known)
        return assembly

    async def _process(self, part: Part, handover: Handover) -> str:
        """Why the processor did not take the part; "" when it did."""
        try:
            processor = await self._parts.find(handover.processor)
            if part.first:
                part = await self._in_place(part, handover)
            with trio.move_on_after(limits.PROCESSOR_SECONDS):
                await processor.process(part, dict(handover.config))
                return ""
        except ProcessorError as error:
            return str(error) or "it gave no reason"
        except Exception as bug:
            self._parts.complain(f"processor {handover.processor!r}: {bug!r}")
            return f"{type(bug).__name__}: {bug}"
        return _TOO_SLOW

    async def _in_place(self, part: Part, handover: Handover) -> Part:
        """The part, with the line of the processor that stands in for the output, if one does."""
        place = stands_in(handover.processors, handover.place)
        if place is None or part.end is None:
            return part
        name, config = handover.processors[place]
        line = (await self._parts.find(name)).stands_for(part, dict(config))
        return changed(part, pieces=(Piece("stdout", f"{line}\n".encode("utf-8", "replace"), part.end.at),))

    def _go_on(self, way: _Way, handover: Handover, taken: tuple[Part, Reached]) -> None:
        """The part was taken."""
        part, way.reached = taken
        over = part.end is not None and part.end.over
        if over:
            del self._ways[way.run, way.place]
        if over or way.failures or trio.current_time() - way.noted_at >= limits.HANDOVER_NOTE_SECONDS:
            self._note(way, handover, over=over)
        way.failures = 0
        if not over:
            self._put(way, handover)

    def _note(self, way: _Way, handover: Handover, *, over: bool = False) -> None:
        way.noted, way.noted_at = way.reached, trio.current_time()
        self._say(handed_over(handover, self._parts.clock.now(), way.reached, over=over))

    def _fail(self, way: _Way, handover: Handover, reason: str, *, for_good: bool = False) -> None:
        reason = reason.encode("utf-8", "replace").decode()
        present = replace(handover, reached=way.reached, failures=way.failures)
        event = failed(present, self._parts.clock.now(), reason, for_good=for_good)
        way.failures, way.noted, way.noted_at = event.failures, way.reached, trio.current_time()
        if event.next_at is None:
            del self._ways[way.run, way.place]
        else:
            way.not_before = trio.current_time() + self._wait_until(event.next_at)
            way.due = inf  # what came meanwhile waits too
            self._put(way, handover)
        self._say(event)

    def _say(self, event: e.HandoverEvent) -> None:
        self._parts.writer.submit(event, self._said)

    def _said(self, position: int | Exception) -> None:
        if isinstance(position, Exception):  # the node is ending; the next start hands it over again
            self._receivers.leaving = True

    async def leave(self) -> None:
        """Hand over what there is, not for long; then record how far that came, and hand over nothing more."""
        with trio.move_on_after(_LEAVE_SECONDS):
            while self._receivers.busy:
                await self._receivers.rest()
        await self._receivers.leave(_LEAVE_SECONDS)
        for way in list(self._ways.values()):
            handover = self._handovers.get(way.run, way.place)
            reached, noted = way.reached, way.noted
            if handover is not None and (reached.attempt, reached.offset) != (noted.attempt, noted.offset):
                self._note(way, handover)

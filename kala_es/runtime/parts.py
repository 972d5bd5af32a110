"""Makes the next part of a handover out of the run's events.

1. A part is of one attempt. It ends with the attempt, or is full, or ends with the last line that is whole by now.
2. What it leaves, the beginning of a line, stays in the log: `reached` says up to where the part goes, within a chunk
   if need be.
3. Without the output, which another processor's line stands for, a part is an attempt's end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import replace as changed

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.handovers import Handover
from kala_es.domain.processing import Reached
from kala_es.domain.values import replace
from kala_es.processor import End, Part, Piece
from kala_es.projections.recorded import Recorded


@dataclass(frozen=True, slots=True)
class _Taken:
    """A piece out of the chunk at `position`, and up to which of the chunk's bytes; `whole`: all of them."""

    position: int
    piece: Piece
    stop: int
    whole: bool


class Assembly:
    """A part that is put together: `take` the run's events, `shorten` it, and ask for the `part`."""

    def __init__(self, handover: Handover, reached: Reached, *, output: bool) -> None:
        self._handover = handover
        self._before = reached
        self._output = output
        self._cut = reached.cut
        self._taken: list[_Taken] = []
        self._seen = reached.position
        self._end: tuple[End, int, Reached] | None = None
        """How the attempt ended, its number, and how far the handover is after that."""
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Whether no further event changes it."""
        return self._end is not None or self.size >= limits.PART_BYTES

    @property
    def position(self) -> int:
        """Up to where it has seen the log."""
        return self._seen

    @property
    def began(self) -> int | None:
        """When the oldest output in it was printed."""
        return self._taken[0].piece.at if self._taken else None

    def take(self, events: Iterable[Recorded]) -> None:
        """Take the next events, of this run and others, up to where it is full."""
        for recorded in events:
            if self.is_full:
                return
            self._seen = recorded.position
            if getattr(recorded.event, "run", None) == self._handover.run:
                self._take(recorded.position, recorded.event)

    def _take(self, position: int, event: e.Event) -> None:
        match event:
            case e.OutputChunk() if self._output:
                self._take_chunk(position, event)
            case e.AttemptFailed(retrying=True):
                after = Reached(position=position, attempt=event.attempt + 1, previous=self._before.offset + self.size)
                self._end = _end(event, over=False), event.attempt, after
            case e.RunFinished():
                self._end = _end(event, over=True), event.attempts, Reached(position=position, attempt=event.attempts)

    def _take_chunk(self, position: int, chunk: e.OutputChunk) -> None:
        stop = min(len(chunk.content), self._cut + limits.PART_BYTES - self.size)
        piece = Piece(chunk.channel, chunk.content[self._cut : stop], chunk.at)
        self._taken.append(_Taken(position, piece, stop, stop == len(chunk.content)))
        self.size += len(piece.content)
        self._cut = 0

    def shorten(self) -> None:
        """Leave the beginning of a line that is not whole; of a part that is full only if it has a whole line."""
        if self._end is not None or (self.is_full and b"\n" not in b"".join(t.piece.content for t in self._taken)):
            return
        while self._taken:
            last = self._taken.pop()
            extra = len(last.piece.content) - (last.piece.content.rfind(b"\n") + 1)
            self.size -= extra
            if extra < len(last.piece.content):
                content = last.piece.content[: len(last.piece.content) - extra]
                piece = changed(last.piece, content=content)
                self._taken.append(_Taken(last.position, piece, last.stop - extra, last.whole and not extra))
                return

    def part(self) -> Part | None:
        """The part; None when there is nothing to hand over."""
        if not self._taken and self._end is None:
            return None
        before, handover = self._before, self._handover
        end, attempt = self._end[:2] if self._end else (None, before.attempt)
        is_present = attempt == before.attempt
        """Otherwise the run was given up before its next attempt: what ends has been handed over already."""
        return Part(
            job=handover.job,
            name=handover.name,
            run=handover.run,
            started=handover.started,
            attempt=attempt,
            offset=before.offset if is_present else before.previous,
            first=is_present and not before.offset,
            pieces=tuple(taken.piece for taken in self._taken),
            end=end,
        )

    def reached(self) -> Reached:
        """How far the handover is once the part is taken."""
        before = self._before
        if self._end is not None:
            return self._end[2]
        if self._taken:
            last = self._taken[-1]
            position, cut = (last.position, 0) if last.whole else (last.position - 1, last.stop)
            return replace(before, position=position, cut=cut, offset=before.offset + self.size)
        return before


def _end(event: e.AttemptFailed | e.RunFinished, *, over: bool) -> End:
    return End(
        at=event.at,
        outcome=event.outcome,
        over=over,
        exit_code=event.exit_code,
        signal=event.signal,
        reason=event.reason,
        dropped=event.stdout_dropped + event.stderr_dropped,
    )

"""Where each run's output stands in the log, so that any byte of it is found without reading what comes before.

Key: `o` run id, number of the chunk -> position, channel, its offset in the channel, its offset in all, length; the
line feeds before it in the channel and in all, and those in it.
Key: `go` run id, number of the chunk -> channel, those two offsets, and how many bytes were left out right before it.
Offsets and line feeds count over all attempts of the run, and what is recorded, not what was left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.ids import RunId
from kala_es.fold_store import FoldStore
from kala_es.projections.recorded import Changes

CHANNELS: Final = ("stdout", "stderr")
_ROW: Final = Struct(">QBQQIQQI")
_GAP: Final = Struct(">BQQQ")
_GAPS: Final = b"g"
_LINE_FEED: Final = b"\n"
_PAGE: Final = 256


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk's place. `offset` in its channel, `total` in both together; lengths in bytes. `lines` and `total_lines`
    are the line feeds before it, likewise; `feeds` are those in it."""

    position: int
    channel: str
    offset: int
    total: int
    length: int
    lines: int
    total_lines: int
    feeds: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Where `dropped` bytes of a channel were left out: at `offset` of the channel, at `total` of both together."""

    channel: str
    offset: int
    total: int
    dropped: int


@dataclass(slots=True)
class _Sizes:
    chunks: int = 0
    stdout: int = 0
    stderr: int = 0
    stdout_lines: int = 0
    stderr_lines: int = 0
    position: int = 0
    """Where the last chunk is; 0 when that is not known here."""


class Output:
    """The fold."""

    def __init__(self, store: FoldStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._live: dict[RunId, _Sizes] = {}
        self._ended: list[RunId] = []

    def apply(self, position: int, event: e.Event) -> None:
        """Fold one event."""
        if isinstance(event, e.OutputChunk):
            self._add(position, event)
        elif isinstance(event, e.RunStarted):
            self._live[event.run] = _Sizes()
        elif isinstance(event, e.RunFinished | e.RunImported):
            self._ended.append(event.run)

    def written(self) -> None:
        """The changes are in the store: what ended need not be remembered."""
        for run in self._ended:
            self._live.pop(run, None)
        self._ended.clear()

    def drop(self, run: RunId) -> None:
        """A run's output is kept no longer."""
        sizes = self._live.pop(run, None) or self._stored(run)
        self._changes.update((_key(run, number), None) for number in range(sizes.chunks))
        first, last = _GAPS + _key(run, 0), _GAPS + _key(run, _LAST)
        told = [key for key, _ in self._store.scan(first, last, limit=sizes.chunks)]
        self._changes.update((key, None) for key in (*told, *self._changes) if first <= key < last)

    def _add(self, position: int, chunk: e.OutputChunk) -> None:
        sizes = self._live.get(chunk.run)
        if sizes is None:
            sizes = self._live[chunk.run] = self._stored(chunk.run)
        length, feeds = len(chunk.content), chunk.content.count(_LINE_FEED)
        offset = sizes.stdout if chunk.channel == "stdout" else sizes.stderr
        lines = sizes.stdout_lines if chunk.channel == "stdout" else sizes.stderr_lines
        place = (position, CHANNELS.index(chunk.channel), offset, sizes.stdout + sizes.stderr, length)
        row = _ROW.pack(*place, lines, sizes.stdout_lines + sizes.stderr_lines, feeds)
        self._changes[_key(chunk.run, sizes.chunks)] = row
        if chunk.dropped:
            self._changes[_GAPS + _key(chunk.run, sizes.chunks)] = _GAP.pack(*place[1:4], chunk.dropped)
        sizes.chunks += 1
        sizes.position = position
        if chunk.channel == "stdout":
            sizes.stdout += length
            sizes.stdout_lines += feeds
        else:
            sizes.stderr += length
            sizes.stderr_lines += feeds

    def _stored(self, run: RunId) -> _Sizes:
        """A run's sizes from its last row of each channel."""
        sizes = _Sizes()
        for number, piece in self._newest(run):
            sizes.chunks = max(sizes.chunks, number + 1)
            sizes.position = piece.position
            own, other = piece.offset + piece.length, piece.total - piece.offset
            own_lines, other_lines = piece.lines + piece.feeds, piece.total_lines - piece.lines
            if piece.channel == "stdout":
                sizes.stdout, sizes.stderr = own, other
                sizes.stdout_lines, sizes.stderr_lines = own_lines, other_lines
            else:
                sizes.stdout, sizes.stderr = other, own
                sizes.stdout_lines, sizes.stderr_lines = other_lines, own_lines
        return sizes

    def _newest(self, run: RunId) -> Iterator[tuple[int, Piece]]:
        rows = self._store.scan(_key(run, 0), _key(run, _LAST), limit=1, reverse=True)
        for key, row in rows:
            yield int.from_bytes(key[-8:], "big"), _piece(row)

    def sizes(self, run: RunId) -> tuple[int, int]:
        """Bytes of stdout and of stderr that the run has written."""
        sizes = self._live.get(run) or self._stored(run)
        return sizes.stdout, sizes.stderr

    def line_feeds(self, run: RunId, channel: str | None = None) -> int:
        """Line feeds that the run has written to a channel, or to both together."""
        sizes = self._live.get(run) or self._stored(run)
        counts = {"stdout": sizes.stdout_lines, "stderr": sizes.stderr_lines}
        return counts[channel] if channel else sum(counts.values())

    def last_position(self, run: RunId) -> int:
        """Where the run's last chunk is; 0 when it has written nothing."""
        return (self._live.get(run) or self._stored(run)).position

    def gaps(self, run: RunId) -> list[Gap]:
        """Where something was left out before a chunk, in order. What was left out at an end is not among them."""
        rows = self._store.scan(_GAPS + _key(run, 0), _GAPS + _key(run, _LAST), limit=limits.MAX_GAPS)
        return [Gap(CHANNELS[row[0]], *_GAP.unpack(row)[1:]) for _, row in rows]

    def pieces(self, run: RunId, *, start: int = 0, channel: str | None = None) -> Iterator[Piece]:
        """The chunks that hold byte `start` and what follows it, of one channel or of both together."""
        number = self._find(run, lambda piece: bytes_before(piece, channel) <= start) if start else 0
        while rows := self._store.scan(_key(run, number), _key(run, _LAST), limit=_PAGE):
            for _, row in rows:
                piece = _piece(row)
                begins = piece.offset if channel else piece.total
                if channel in (None, piece.channel) and begins + piece.length > start:
                    yield piece
            number += len(rows)

    def feed(self, run: RunId, number: int, channel: str | None = None) -> Piece | None:
        """The chunk with the `number`-th line feed (from 1) of a channel, or of both; None if there are fewer."""
        if not 1 <= number <= self.line_feeds(run, channel):
            return None
        row = self._row(run, self._find(run, lambda piece: feeds_before(piece, channel) < number))
        return _piece(row) if row else None

    def _find(self, run: RunId, is_early: Callable[[Piece], bool]) -> int:
        """The number of the last chunk that is early: all before it are, and none after it. 0 if none is."""
        low, high = 0, next((n for n, _ in self._newest(run)), 0)
        while low < high:
            middle = (low + high + 1) // 2
            row = self._row(run, middle)
            if row and is_early(_piece(row)):
                low = middle
            else:
                high = middle - 1
        return low

    def _row(self, run: RunId, number: int) -> bytes | None:
        return self._store.get(_key(run, number))


_LAST: Final = (1 << 64) - 1


def bytes_before(piece: Piece, channel: str | None) -> int:
    """How many bytes of the channel (or of both) come before this chunk."""
    if channel is None:
        return piece.total
    return piece.offset if piece.channel == channel else piece.total - piece.offset


def feeds_before(piece: Piece, channel: str | None) -> int:
    """How many line feeds of the channel (or of both) come before this chunk."""
    if channel is None:
        return piece.total_lines
    return piece.lines if piece.channel == channel else piece.total_lines - piece.lines


def _key(run: RunId, number: int) -> bytes:
    return b"o" + run.encode() + b"\0" + number.to_bytes(8, "big")


def _piece(row: bytes) -> Piece:
    position, channel, *places = _ROW.unpack(row)
    return Piece(position, CHANNELS[channel], *places)

"""Where each run's output stands in the log, so that any byte of it is found without reading what comes before.

Key: `o` run id, number of the chunk -> position, channel, its offset in the channel, its offset in all, length.
Key: `go` run id, number of the chunk -> channel, those two offsets, and how many bytes were left out right before it.
Offsets count over all attempts of the run, and what is recorded, not what was left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.ids import RunId
from kala_es.fold_store import FoldStore
from kala_es.projections.recorded import Changes

CHANNELS: Final = ("stdout", "stderr")
_ROW: Final = Struct(">QBQQI")
_GAP: Final = Struct(">BQQQ")
_GAPS: Final = b"g"
_PAGE: Final = 256


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk's place. `offset` in its channel, `total` in both together; lengths in bytes."""

    position: int
    channel: str
    offset: int
    total: int
    length: int


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
        length = len(chunk.content)
        offset = sizes.stdout if chunk.channel == "stdout" else sizes.stderr
        row = _ROW.pack(position, CHANNELS.index(chunk.channel), offset, sizes.stdout + sizes.stderr, length)
        self._changes[_key(chunk.run, sizes.chunks)] = row
        if chunk.dropped:
            place = (CHANNELS.index(chunk.channel), offset, sizes.stdout + sizes.stderr)
            self._changes[_GAPS + _key(chunk.run, sizes.chunks)] = _GAP.pack(*place, chunk.dropped)
        sizes.chunks += 1
        sizes.position = position
        if chunk.channel == "stdout":
            sizes.stdout += length
        else:
            sizes.stderr += length

    def _stored(self, run: RunId) -> _Sizes:
        """A run's sizes from its last row of each channel."""
        sizes = _Sizes()
        for number, piece in self._newest(run):
            sizes.chunks = max(sizes.chunks, number + 1)
            sizes.position = piece.position
            if piece.channel == "stdout":
                sizes.stdout = piece.offset + piece.length
                sizes.stderr = piece.total - piece.offset
            else:
                sizes.stderr = piece.offset + piece.length
                sizes.stdout = piece.total - piece.offset
        return sizes

    def _newest(self, run: RunId) -> Iterator[tuple[int, Piece]]:
        rows = self._store.scan(_key(run, 0), _key(run, _LAST), limit=1, reverse=True)
        for key, row in rows:
            yield int.from_bytes(key[-8:], "big"), _piece(row)

    def sizes(self, run: RunId) -> tuple[int, int]:
        """Bytes of stdout and of stderr that the run has written."""
        sizes = self._live.get(run) or self._stored(run)
        return sizes.stdout, sizes.stderr

    def last_position(self, run: RunId) -> int:
        """Where the run's last chunk is; 0 when it has written nothing."""
        return (self._live.get(run) or self._stored(run)).position

    def gaps(self, run: RunId) -> list[Gap]:
        """Where something was left out before a chunk, in order. What was left out at an end is not among them."""
        rows = self._store.scan(_GAPS + _key(run, 0), _GAPS + _key(run, _LAST), limit=limits.MAX_GAPS)
        return [Gap(CHANNELS[row[0]], *_GAP.unpack(row)[1:]) for _, row in rows]

    def pieces(self, run: RunId, *, start: int = 0, channel: str | None = None) -> Iterator[Piece]:
        """The chunks that hold byte `start` and what follows it, of one channel or of both together."""
        number = self._find(run, start, channel)
        while rows := self._store.scan(_key(run, number), _key(run, _LAST), limit=_PAGE):
            for _, row in rows:
                piece = _piece(row)
                begins = piece.offset if channel else piece.total
                if channel in (None, piece.channel) and begins + piece.length > start:
                    yield piece
            number += len(rows)

    def _find(self, run: RunId, start: int, channel: str | None) -> int:
        """The number of a chunk at or before byte `start`: both offsets rise with the number."""
        if not start:
            return 0
        low, high = 0, next((n for n, _ in self._newest(run)), 0)
        while low < high:
            middle = (low + high + 1) // 2
            row = self._store.get(_key(run, middle))
            piece = _piece(row) if row else None
            if piece is not None and _before(piece, channel) <= start:
                low = middle
            else:
                high = middle - 1
        return low


_LAST: Final = (1 << 64) - 1


def _before(piece: Piece, channel: str | None) -> int:
    """How many bytes of the channel (or of both) come before this chunk."""
    if channel is None:
        return piece.total
    return piece.offset if piece.channel == channel else piece.total - piece.offset


def _key(run: RunId, number: int) -> bytes:
    return b"o" + run.encode() + b"\0" + number.to_bytes(8, "big")


def _piece(row: bytes) -> Piece:
    position, channel, offset, total, length = _ROW.unpack(row)
    return Piece(position, CHANNELS[channel], offset, total, length)

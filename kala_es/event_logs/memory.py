"""The event log in memory, for tests and simulations.

Rules: those of the port, durable meaning "as long as the object". Every await is a checkpoint, taken before anything
changes, so an append that is cancelled has not happened.
"""

from bisect import bisect_right
from collections.abc import Sequence

import trio

from kala_es.event_log import LogError, LogIsFull, NewRecord, Record

_RECORD_BYTES = 48
"""What a record is taken to cost beside its texts and its body."""


class MemoryEventLog:
    """Records by position, and the positions of each stream.

    `capacity_bytes` may be set at any time: an append that would not fit is refused, as on a full disk. None: endless.
    """

    def __init__(self, *, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self._records: dict[int, Record] = {}
        self._positions: list[int] = []
        """Of the records that are there."""
        self._head = 0
        self._streams: dict[str, list[int]] = {}
        self._size = 0
        self._closed = False
        self._appended = trio.lowlevel.ParkingLot()

    @property
    def head(self) -> int:
        """The last position; 0 while the log is empty."""
        return self._head

    @property
    def size_bytes(self) -> int:
        """What the records are taken to cost."""
        return self._size

    def reopened(self) -> "MemoryEventLog":
        """Another, open log with the same records: what a restart finds."""
        log = MemoryEventLog(capacity_bytes=self.capacity_bytes)
        log._records, log._positions, log._head = dict(self._records), list(self._positions), self._head
        log._streams = {stream: list(positions) for stream, positions in self._streams.items()}
        log._size = self._size
        return log

    async def append(self, batch: Sequence[NewRecord], *, reserve: int = 0) -> int:
        """Append `batch` (not empty) as one commit and give the position of its last record.

        Raises LogIsFull, LogError (closed), ValueError (empty).
        """
        if not batch:
            raise ValueError("An append needs at least one record.")
        await trio.lowlevel.checkpoint()
        self._check_open()
        size = sum(_size(record) for record in batch)
        if self.capacity_bytes is not None and self.capacity_bytes - self._size - size < reserve:
            raise LogIsFull(f"This append needs {size} bytes; {self._size} of {self.capacity_bytes} are taken.")
        for new in batch:
            self._add(new)
        self._size += size
        self._appended.unpark_all()
        return self.head

    def _add(self, new: NewRecord) -> None:
        position = self._head = self._head + 1
        self._records[position] = Record(position, new.stream, new.type, new.version, new.time, new.principal, new.body)
        self._positions.append(position)
        self._streams.setdefault(new.stream, []).append(position)

    async def read(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The next records after `after`, at most `limit`; of one stream if named. Raises LogError (closed)."""
        await trio.lowlevel.checkpoint()
        return self.read_now(after, limit=limit, stream=stream)

    def read_now(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The same, without a checkpoint."""
        self._check_open()
        positions = self._positions if stream is None else self._streams.get(stream, [])
        first = bisect_right(positions, after)
        return [self._records[position] for position in positions[first : first + limit]]

    async def trim(self, positions: Sequence[int]) -> None:
        """Erase these records (rising, the log's last not among them). Raises LogError (closed), ValueError."""
        if positions and positions[-1] >= self._head:
            raise ValueError("The last record cannot be erased: it says where the log ends.")
        await trio.lowlevel.checkpoint()
        self._check_open()
        erased = [self._records.pop(position) for position in positions if position in self._records]
        self._size -= sum(_size(record) for record in erased)
        self._positions = [position for position in self._positions if position in self._records]
        for stream in {record.stream for record in erased}:
            left = [position for position in self._streams[stream] if position in self._records]
            if left:
                self._streams[stream] = left
            else:
                del self._streams[stream]

    async def wait(self, after: int) -> int:
        """Return the last position as soon as it is greater than `after`. Raises LogError (closed)."""
        await trio.lowlevel.checkpoint()
        self._check_open()
        while self.head <= after:
            await self._appended.park()
            self._check_open()
        return self.head

    async def close(self) -> None:
        """Let go of the log; who waits gets LogError. Idempotent."""
        self._closed = True
        self._appended.unpark_all()
        await trio.lowlevel.checkpoint()

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("The log is closed.")


def _size(record: NewRecord | Record) -> int:
    return _RECORD_BYTES + len(record.stream) + len(record.type) + len(record.principal) + len(record.body)

"""Where each stream's records are: a key a record, in the fold store, and how far that goes."""

from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from typing import Final, Protocol

from kala_es.event_log import Record
from kala_es.fold_store import FoldsFull, FoldStore

FIRST: Final = b"\x01"
"""What the key of each row begins with."""
STREAM_PAGE: Final = 32
"""Records of a stream that are read at a time: each may be in another value."""
LOOK_PAGE: Final = 256
"""Records that are looked through at a time for those of a stream."""


class Values(Protocol):
    """What reads records by their positions: lmdb_file.py."""

    def page(self, after: int, limit: int) -> tuple[list[Record], int]:
        """The next records, and the position up to which that is all of them."""

    def fetch(self, positions: Iterable[int]) -> list[Record]:
        """The records at these positions that are there."""


class StreamIndex:
    """A fold of the log with this id: it may lag, and be lost. What it leads to may be erased since."""

    MARKER: Final = b"\x00indexed"

    def __init__(self, folds: FoldStore, log_id: bytes, head: int) -> None:
        self._folds = folds
        self._log_id = log_id
        marker = folds.get(self.MARKER) or bytes(8) + log_id
        self.position = int.from_bytes(marker[:8], "big")
        if marker[8:] != log_id or self.position > head:
            folds.clear()  # it is another log's, and so is whatever else is in it
            self.position = 0

    @classmethod
    def fits(cls, folds: FoldStore, log_id: bytes, head: int) -> bool:
        """Whether what is there is of this log: else it would be thrown away."""
        marker = folds.get(cls.MARKER) or b""
        return marker[8:] == log_id and int.from_bytes(marker[:8], "big") <= head

    def add(self, places: Iterable[tuple[int, str]], last: int) -> None:
        """Note the positions and streams of the records after `position`, up to `last`.

        Does nothing if there is no room: the index may lag.
        """
        keys: dict[str, bytes] = {}
        changes: list[tuple[bytes, bytes | None]] = []
        for position, stream in places:
            key = keys.get(stream) or keys.setdefault(stream, stream_key(stream))
            changes.append((row_key(key, position), b""))
        changes.append((self.MARKER, last.to_bytes(8, "big") + self._log_id))
        with suppress(FoldsFull):
            self._folds.write(changes)
            self.position = last

    def remove(self, places: Iterable[tuple[int, str]]) -> None:
        """Forget records that were erased. Does nothing if there is no room: they lead to holes."""
        with suppress(FoldsFull):
            self._folds.write((row_key(stream_key(stream), position), None) for position, stream in places)

    def positions(self, stream: str, after: int, limit: int) -> list[int]:
        """At most `limit` positions after `after`, up to `position`, of this stream (or of one with the same hash)."""
        key = stream_key(stream)
        start, stop = (row_key(key, end + 1) for end in (after, self.position))
        return [position_in(found) for found, _ in self._folds.scan(start, stop, limit=limit)]

    def ahead(self, stream: str, after: int, limit: int) -> tuple[list[int], int]:
        """Some of the stream's positions after `after`, which is before `position`, and up to where that is all."""
        most = min(limit, STREAM_PAGE)
        positions = self.positions(stream, after, most)
        return positions, positions[-1] if len(positions) == most else self.position

    def page(self, values: Values, stream: str, *, after: int, limit: int) -> tuple[list[Record], int]:
        """Some of the stream's records after `after`, at most `limit`, and the position up to which that is all."""
        if after < self.position:
            positions, last = self.ahead(stream, after, limit)
            return records_of(stream, values.fetch(positions)), last
        return looked_through(stream, values.page(after, LOOK_PAGE), limit)


def records_of(stream: str, records: Iterable[Record]) -> list[Record]:
    """Those of a stream."""
    return [record for record in records if record.stream == stream]


def looked_through(stream: str, page: tuple[list[Record], int], limit: int) -> tuple[list[Record], int]:
    """What a page of all records, up to a position, has of a stream: at most `limit`, and up to where that is all."""
    records, last = page
    matching = records_of(stream, records)[:limit]
    return matching, matching[-1].position if len(matching) == limit else last


def stream_key(stream: str) -> bytes:
    """What the keys of a stream's rows begin with."""
    return FIRST + blake2b(stream.encode(), digest_size=16).digest()


def row_key(stream: bytes, position: int) -> bytes:
    """The key of the row that leads to a record, given its stream's."""
    return stream + position.to_bytes(8, "big")


def position_in(key: bytes) -> int:
    """Where a row leads to."""
    return int.from_bytes(key[-8:], "big")

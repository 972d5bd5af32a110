"""Compares a directory's index of streams with its log: a row leads to each record, and none leads elsewhere.

What is erased may be led to still: a row of it does no harm.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import takewhile
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from kala_es.event_log import LogDamaged
from kala_es.event_logs.batch import Batch, Hole
from kala_es.event_logs.stream_index import FIRST, StreamIndex, position_in, row_key, stream_key

if TYPE_CHECKING:
    import lmdb

_MOST_KEYS: Final = 10_000
"""Streams whose keys are held."""


class IndexCheck:
    """`look` takes all values of the log, in order; `end` says whether the index has more than that."""

    def __init__(self, txn: "lmdb.Transaction[bytes]", log_id: bytes) -> None:
        marker = txn.get(StreamIndex.MARKER) or b""
        self._txn = txn
        self.until = int.from_bytes(marker[:8], "big") if marker[8:] == log_id else 0
        """Up to where the index goes; 0 when it is of another log, so that a start makes it anew."""
        self._keys: dict[str, bytes] = {}
        self._holes: list[Hole] = []
        self._records = 0

    def look(self, batch: Batch) -> None:
        """Find the row of each record. Raises LogDamaged."""
        if batch.first > self.until:
            return
        self._holes += batch.holes
        for position, row in zip(batch.positions, batch.rows, strict=True):
            if position > self.until:
                break
            if self._txn.get(row_key(self._key(row[0]), position)) is None:
                raise LogDamaged(f"The index of streams does not lead to position {position}, of {row[0]!r}.")
            self._records += 1

    def _key(self, stream: str) -> bytes:
        found = self._keys.get(stream)
        if found is None:
            if len(self._keys) == _MOST_KEYS:
                self._keys.clear()
            found = self._keys[stream] = stream_key(stream)
        return found

    def end(self) -> None:
        """There are no more values. Raises LogDamaged."""
        if not self.until or sum(1 for _ in self._rows()) == self._records:
            return
        seen = set[int]()
        for position in map(position_in, self._rows()):
            if self._is_erased(position):
                continue
            if position in seen or position > self.until:
                raise LogDamaged(f"The index of streams leads to position {position} from a stream that is not its.")
            seen.add(position)

    def _rows(self) -> Iterator[bytes]:
        with self._txn.cursor() as cursor:
            found = cursor.set_range(FIRST)
            keys = cursor.iternext(values=False) if found else iter(())
            yield from takewhile(lambda key: key.startswith(FIRST), keys)

    def _is_erased(self, position: int) -> bool:
        at = bisect_right(self._holes, position, key=attrgetter("first"))
        return at > 0 and position < self._holes[at - 1].first + self._holes[at - 1].count

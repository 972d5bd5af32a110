"""How one value of the log's file holds records: as they were appended, or with holes where some were erased.

A value is CBOR, [format, item...], then 4 bytes of CRC-32. An item is a record, [stream, type, version, time,
principal, body], or, in format 2, a hole, [count, digest]: so many records that were erased, and a BLAKE2b digest over
them. Two holes never stand side by side: they are one, and its digest is over theirs.
"""

import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, Final

import cbor2
import msgspec

from kala_es.event_log import LogDamaged, NewRecord, Record

WHOLE: Final = 1
WITH_HOLES: Final = 2
VALUE_BYTES: Final = 256 * 1024
"""Reading one record decodes its value, so a large append is cut into values of about this size."""
MOST_HOLE_BYTES: Final = 64
"""A value that is one hole is no longer; one that is longer is none."""
_DIGEST: Final = 32

Row = list[Any]
"""A record as it is stored: [stream, type, version, time, principal, body]."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """A value, decoded: the records at `first` to `last` that are there. `positions` has a place for each of `rows`."""

    first: int
    last: int
    positions: Sequence[int]
    rows: list[Row]

    def after(self, position: int, limit: int) -> list[Record]:
        """At most `limit` records after a position."""
        at = bisect_right(self.positions, position)
        pairs = zip(self.positions[at : at + limit], self.rows[at : at + limit], strict=True)
        return [Record(place, *row) for place, row in pairs]


NO_BATCH: Final = Batch(1, 0, range(1, 1), [])


def encode_batch(batch: Sequence[NewRecord]) -> bytes:
    """The value that holds these records."""
    rows = [(new.stream, new.type, new.version, new.time, new.principal, new.body) for new in batch]
    return _sealed([WHOLE, *rows])


def split(batch: Sequence[NewRecord]) -> Iterator[Sequence[NewRecord]]:
    """Cut so that each part's value is about VALUE_BYTES at most, or one record."""
    start = size = 0
    for at, new in enumerate(batch):
        # 32: the array, the numbers and the lengths. Letters beyond ASCII take more than is counted here.
        more = 32 + len(new.stream) + len(new.type) + len(new.principal) + len(new.body)
        if size and size + more > VALUE_BYTES:
            yield batch[start:at]
            start, size = at, 0
        size += more
    yield batch[start:]


def decode_batch(first: int, value: bytes) -> Batch:
    """The records of a value; `first` is its key. Raises LogDamaged."""
    items = _items(first, value)
    if not any(len(item) == 2 for item in items):
        last = first + len(items) - 1
        return Batch(first, last, range(first, last + 1), items)
    positions: list[int] = []
    rows: list[Row] = []
    position = first
    for item in items:
        if len(item) == 2:
            position += item[0]
            continue
        positions.append(position)
        rows.append(item)
        position += 1
    return Batch(first, position - 1, positions, rows)


def erase(first: int, value: bytes, wanted: "deque[int]") -> tuple[bytes | None, list[tuple[int, str]]]:
    """The value with holes at the positions `wanted`, which rise; None when there was nothing at any of them.

    Also what was erased: positions and streams. Takes those within the value out of `wanted`. Raises LogDamaged.
    """
    items: list[Row] = []
    erased: list[tuple[int, str]] = []
    position = first
    for item in _items(first, value):
        if len(item) == 2:
            _add(items, item)
        elif wanted and wanted[0] == position:
            erased.append((position, item[0]))
            _add(items, [1, _digest(cbor2.dumps(item))])
        else:
            items.append(item)
        position += item[0] if len(item) == 2 else 1
        while wanted and wanted[0] < position:
            wanted.popleft()
    return (_sealed([WITH_HOLES, *items]) if erased else None), erased


def only_hole(first: int, value: bytes) -> Row | None:
    """The hole that is all of a value; None when there is a record in it."""
    if len(value) > MOST_HOLE_BYTES:
        return None
    items = _items(first, value)
    return items[0] if len(items) == 1 and len(items[0]) == 2 else None


def joined(one: Row, other: Row) -> bytes:
    """The value that is one hole, made of two that were neighbours."""
    items = [one]
    _add(items, other)
    return _sealed([WITH_HOLES, *items])


def _add(items: list[Row], hole: Row) -> None:
    """Put a hole at the end; one that stands there already takes it in."""
    if items and len(items[-1]) == 2:
        before = items.pop()
        hole = [before[0] + hole[0], _digest(before[1] + hole[1])]
    items.append(hole)


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST).digest()


def _sealed(items: Sequence[Any]) -> bytes:
    body = cbor2.dumps(items)
    return body + zlib.crc32(body).to_bytes(4, "big")


def _items(first: int, value: bytes) -> list[Row]:
    body = value[:-4]
    if zlib.crc32(body) != int.from_bytes(value[-4:], "big"):
        raise LogDamaged(f"The records from position {first} on are damaged: their checksum does not fit.")
    items: list[Row]
    batch_format, *items = cbor2.loads(body)
    if batch_format not in (WHOLE, WITH_HOLES) or not items:
        raise LogDamaged(f"The records from position {first} on are in an unknown format, {batch_format!r}.")
    return items

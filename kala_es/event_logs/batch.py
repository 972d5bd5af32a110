"""How one value of the log's file holds records: as they were appended, or with holes where some were erased.

A value is CBOR, [format, digest, item...], then 4 bytes of CRC-32. The digest is the log's after the value's last
record (log_tree.py), or empty where it is not known. An item is a record, [stream, type, version, time, principal,
body], or a hole, [count, digests]: so many records that were erased, and the digests of the subtrees that they fill.
Two holes never stand side by side.

Older formats are read: 1, [1, record...], and 2, [2, item...], in which a hole has one digest over its records.
"""

import zlib
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any, Final

import cbor2
import msgspec

from kala_es import log_tree
from kala_es.event_log import LogDamaged, NewRecord, Record

WHOLE: Final = 1
WITH_HOLES: Final = 2
WITH_DIGEST: Final = 3
VALUE_BYTES: Final = 256 * 1024
"""Reading one record decodes its value, so a large append is cut into values of about this size."""
MOST_HOLE_BYTES: Final = 4096
"""A value that is one hole is no longer."""

_HEAD: Final = b"\x9f" + cbor2.dumps(WITH_DIGEST)
_END: Final = b"\xff"
"""An array of indefinite length, so that its items are encoded once, before the digest is known."""

Row = list[Any]
"""A record as it is stored: [stream, type, version, time, principal, body]."""


class Hole(msgspec.Struct, frozen=True, gc=False):
    """So many records that were erased, at `first` and after, and the digests of the subtrees that they fill."""

    first: int
    count: int
    digests: bytes


class Batch(msgspec.Struct, frozen=True, gc=False):
    """A value, decoded: the records at `first` to `last` that are there. `positions` has a place for each of `rows`."""

    first: int
    last: int
    positions: Sequence[int]
    rows: list[Row]
    holes: Sequence[Hole] = ()
    digest: bytes = b""

    def after(self, position: int, limit: int) -> list[Record]:
        """At most `limit` records after a position."""
        at = bisect_right(self.positions, position)
        pairs = zip(self.positions[at : at + limit], self.rows[at : at + limit], strict=True)
        return [Record(place, *row) for place, row in pairs]

    def extend(self, tree: log_tree.Span, stored: Sequence[bytes] | None = None) -> None:
        """Add what is here to the digests of all that was before; `stored` are the rows, if they are at hand as bytes.

        Raises LogDamaged when that is another log.
        """
        leaves = log_tree.leaves([cbor2.dumps(row) for row in self.rows] if stored is None else stored)
        at = 0
        for hole in self.holes:
            until = bisect_left(self.positions, hole.first)
            tree.add_leaves(leaves[at:until])
            tree.add_all(hole.digests, hole.count)
            at = until
        tree.add_leaves(leaves[at:])
        if self.digest and self.digest != tree.root():
            raise LogDamaged(
                f"The records at positions {self.first} to {self.last}, or earlier ones, were changed: "
                "the digest that was recorded with them does not fit."
            )


NO_BATCH: Final = Batch(1, 0, range(1, 1), [])


def encode_batch(rows: Sequence[bytes], digest: bytes) -> bytes:
    """The value that holds these records, given as rows, after which the log has this digest."""
    return _sealed(digest, rows)


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
    digest, items = _items(first, value)
    if 2 not in set(map(len, items)):
        last = first + len(items) - 1
        return Batch(first, last, range(first, last + 1), items, digest=digest)
    positions: list[int] = []
    rows: list[Row] = []
    holes: list[Hole] = []
    position = first
    for item in items:
        if len(item) == 2:
            holes.append(Hole(position, *item))
            position += item[0]
            continue
        positions.append(position)
        rows.append(item)
        position += 1
    return Batch(first, position - 1, positions, rows, holes, digest)


def erase(first: int, value: bytes, wanted: "deque[int]") -> tuple[bytes | None, list[tuple[int, str]]]:
    """The value with holes at the positions `wanted`, which rise; None when there was nothing at any of them.

    Also what was erased: positions and streams. Takes those within the value out of `wanted`. Raises LogDamaged.
    """
    digest, items = _items(first, value)
    left: list[Row] = []
    erased: list[tuple[int, str]] = []
    position = first
    for item in items:
        size = item[0] if len(item) == 2 else 1
        if len(item) == 2:
            _add(left, item, position)
        elif wanted and wanted[0] == position:
            erased.append((position, item[0]))
            _add(left, [1, log_tree.leaf(cbor2.dumps(item))], position)
        else:
            left.append(item)
        position += size
        while wanted and wanted[0] < position:
            wanted.popleft()
    return (_sealed(digest, map(cbor2.dumps, left)) if erased else None), erased


def only_hole(first: int, value: bytes) -> tuple[Hole, bytes] | None:
    """The hole that is all of a value, and the digest after it; None when there is a record in it."""
    if len(value) > MOST_HOLE_BYTES:
        return None
    digest, items = _items(first, value)
    return (Hole(first, *items[0]), digest) if len(items) == 1 and len(items[0]) == 2 else None


def encode_hole(*holes: Hole, digest: bytes) -> bytes:
    """The value that is one hole, made of some that are neighbours."""
    items: list[Row] = []
    for hole in holes:
        _add(items, [hole.count, hole.digests], hole.first)
    return _sealed(digest, map(cbor2.dumps, items))


def _add(items: list[Row], hole: Row, position: int) -> None:
    """Put a hole at the end; one that stands there already takes it in."""
    if items and len(items[-1]) == 2:
        count, digests = items.pop()
        span = log_tree.span_of(digests, count, position - 1 - count)
        span.add_all(hole[1], hole[0])
        hole = [count + hole[0], span.digests]
    items.append(hole)


def _sealed(digest: bytes, items: Iterable[bytes]) -> bytes:
    body = b"".join((_HEAD, cbor2.dumps(digest), *items, _END))
    return body + zlib.crc32(body).to_bytes(4, "big")


def _items(first: int, value: bytes) -> tuple[bytes, list[Row]]:
    """The digest and the items, as the present format has them."""
    body = value[:-4]
    # Of no bytes at all the checksum is zero, so that a value of nothing, or of zeros, would fit.
    if not body or zlib.crc32(body) != int.from_bytes(value[-4:], "big"):
        raise LogDamaged(f"The records from position {first} on are damaged: their checksum does not fit.")
    content = BytesIO(body)
    batch_format, *items = cbor2.load(content)
    if content.tell() != len(body):
        raise LogDamaged(f"The records from position {first} on are damaged: something follows them in their value.")
    if batch_format == WITH_DIGEST and len(items) > 1:
        return items[0], items[1:]
    if batch_format not in (WHOLE, WITH_HOLES) or not items:
        raise LogDamaged(f"The records from position {first} on are in an unknown format, {batch_format!r}.")
    if batch_format == WITH_HOLES:
        place = first - 1
        for item in items:
            if len(item) == 2:
                item[1] = log_tree.stand_in(item[1], item[0], place)
            place += item[0] if len(item) == 2 else 1
    return b"", items

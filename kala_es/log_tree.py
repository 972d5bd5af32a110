"""The digest of a log: a Merkle tree over its records, as RFC 9162 (Certificate Transparency) has it, with BLAKE2b.

A leaf's place is its record's position less one. A `Span` is what is known of the places from `first` on without a gap:
the digests of the largest complete subtrees that fit, from left to right. From place 0 on that is the whole log, and
folded from the right it is the log's digest. Elsewhere it is what is left of records that were erased.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

import cbor2

from kala_es.event_log import NewRecord, Record

DIGEST_BYTES: Final = 32
_LEAF: Final = b"\0"
_NODE: Final = b"\1"
_STAND_IN: Final = b"\2"
_SIZES: Final = (*range(1, 25), *range(24 + 2, 256 + 2), *range(256 + 3, 65536 + 3))
"""The bytes in which CBOR has a text, or bytes, of each length."""
_OTHERS: Final = 1 + 1 + 9
"""Those of a row's own head, of its version and of its time, as long as these are usual ones."""


def row(record: NewRecord | Record) -> bytes:
    """A record as it is stored and digested: the CBOR of [stream, type, version, time, principal, body]."""
    return cbor2.dumps((record.stream, record.type, record.version, record.time, record.principal, record.body))


def row_sizes(rows: Sequence[Sequence[Any]]) -> list[int]:
    """How many bytes the row of each of these records has, given their fields: without encoding them."""
    if not rows:
        return []
    streams, kinds, versions, times, principals, bodies = zip(*rows, strict=True)
    is_usual = min(versions) >= 0 and max(versions) < 24 and min(times) >> 32 > 0 and max(times) >> 64 == 0
    if not (is_usual and "".join(chain(streams, kinds, principals)).isascii()):
        return [len(cbor2.dumps(fields)) for fields in rows]
    try:
        parts = (map(_SIZES.__getitem__, map(len, texts)) for texts in (streams, kinds, principals, bodies))
        return [_OTHERS + a + b + c + d for a, b, c, d in zip(*parts, strict=True)]
    except IndexError:
        return [len(cbor2.dumps(fields)) for fields in rows]


def leaf(stored: bytes) -> bytes:
    """The digest of a record, given its row."""
    return _digest(_LEAF + stored)


def leaves(rows: Iterable[bytes]) -> list[bytes]:
    """The digests of records, given their rows."""
    return [blake2b(_LEAF + row, digest_size=DIGEST_BYTES).digest() for row in rows]


class Span:
    """Neighbouring places from `first` on, and the digests of the subtrees that they fill."""

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self.end = first
        """The place after the last."""
        self._subtrees: list[tuple[int, bytes]] = []
        """Sizes and digests."""

    def add(self, digest: bytes, size: int = 1) -> None:
        """Go on with the digest of a complete subtree of so many places."""
        start = self.end
        self.end += size
        while self._subtrees and self._subtrees[-1][0] == size and not (start - size) % (2 * size):
            _, left = self._subtrees.pop()
            digest = _digest(_NODE + left + digest)
            start -= size
            size *= 2
        self._subtrees.append((size, digest))

    def add_leaves(self, leaves: Sequence[bytes]) -> None:
        """Go on with these leaves: as `add` of each, but in less time."""
        at = 0
        for size in list(_sizes(self.end, len(leaves))):
            self.add(_complete(leaves[at : at + size]), size)
            at += size

    def add_all(self, digests: bytes, count: int) -> None:
        """Go on with `count` places, given the digests of the subtrees that they fill. Raises ValueError."""
        sizes = list(_sizes(self.end, count))
        if len(digests) != DIGEST_BYTES * len(sizes):
            raise ValueError(f"{count} places from {self.end} on are {len(sizes)} subtrees, not {len(digests)} bytes")
        for size, digest in zip(sizes, _cut(digests), strict=True):
            self.add(digest, size)

    @property
    def digests(self) -> bytes:
        """Those of the subtrees, one after the other."""
        return b"".join(digest for _, digest in self._subtrees)

    def root(self) -> bytes:
        """The digest of all places. Of a log: its digest after so many records."""
        if not self._subtrees:
            return _digest(b"")
        *others, (_, root) = self._subtrees
        for _, left in reversed(others):
            root = _digest(_NODE + left + root)
        return root

    def copy(self) -> "Span":
        """Another, which goes its own way."""
        other = Span(self.first)
        other.end = self.end
        other._subtrees = self._subtrees.copy()
        return other


def span_of(digests: bytes, count: int, first: int = 0) -> Span:
    """The span of which these are the `digests`. Raises ValueError."""
    span = Span(first)
    span.add_all(digests, count)
    return span


def stand_in(digest: bytes, count: int, first: int) -> bytes:
    """Digests for `count` places of which only one digest over all of them is known: in logs of format 2."""
    places = _places(first, count)
    return b"".join(_digest(b"%b%b%b%b" % (_STAND_IN, digest, _word(at), _word(size))) for at, size in places)


def _places(first: int, count: int) -> Iterator[tuple[int, int]]:
    """The largest complete subtrees within `count` places: where each begins, and its size."""
    end = first + count
    while first < end:
        size = 1 << ((end - first).bit_length() - 1)
        while first % size:
            size //= 2
        yield first, size
        first += size


def _sizes(first: int, count: int) -> Iterable[int]:
    return (size for _, size in _places(first, count))


def _complete(digests: Sequence[bytes]) -> bytes:
    """The digest of a complete subtree over these."""
    while len(digests) > 1:
        pairs = zip(digests[::2], digests[1::2], strict=True)
        digests = [blake2b(_NODE + left + right, digest_size=DIGEST_BYTES).digest() for left, right in pairs]
    return digests[0]


def _cut(digests: bytes) -> Iterator[bytes]:
    return (digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES))


def _word(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=DIGEST_BYTES).digest()

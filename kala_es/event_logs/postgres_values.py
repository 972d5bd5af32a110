"""Reads the values of a log in PostgreSQL: with no async and no policy, on one connection, by whichever thread.

What was read last is at hand, decoded: who reads on finds the next records there, so that the way to the server is not
gone for each of them. A value never changes but by an erasure, after which the caller has it forgotten.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Final

from kala_es import log_tree
from kala_es.event_log import LogDamaged, Record
from kala_es.event_logs.batch import Batch, decode_batch, only_hole
from kala_es.event_logs.postgres_session import Connection
from kala_es.limits import DATABASE_PAGE_BYTES

_LEAST_VALUES: Final = 32
_MOST_VALUES: Final = 512
_FROM: Final = """
SELECT first, last, value FROM (
    SELECT first, last, value, sum(octet_length(value)) OVER (ORDER BY first) - octet_length(value) AS before
    FROM (
        SELECT first, last, value FROM log
        WHERE first >= coalesce((SELECT first FROM log WHERE first <= %(position)s ORDER BY first DESC LIMIT 1), 1)
        ORDER BY first LIMIT %(count)s
    ) AS next
) AS sized
WHERE before < %(bytes)s ORDER BY first
"""
_COVERING: Final = """
SELECT DISTINCT ON (found.first) found.first, found.last, found.value, found.tree
FROM unnest(%b::bigint[]) AS wanted (position), LATERAL (
    SELECT first, last, value, tree FROM log WHERE first <= wanted.position ORDER BY first DESC LIMIT 1
) AS found
ORDER BY found.first
"""
_LAST: Final = "SELECT first, last, value, tree FROM log ORDER BY first DESC LIMIT 1"
Row = tuple[int, int, bytes, bytes | None]
"""A value with its first and its last position, and the digests of the log after it, if they are known."""


class Values:
    """What reads records by their positions: see stream_index.py."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._ahead: list[Batch] = []
        """Decoded; they follow each other."""

    def page(self, after: int, limit: int) -> tuple[list[Record], int]:
        """Some of the next records after `after`, at most `limit`, and the position up to which that is all of them."""
        found: list[Record] = []
        last = after
        for batch in self._from(after + 1, limit):
            found += batch.after(after, limit - len(found))
            if len(found) >= limit:
                return found, found[-1].position
            last = batch.last
        return found, last

    def fetch(self, positions: Iterable[int]) -> list[Record]:
        """The records at these positions, which rise, those that are not erased."""
        wanted = list(positions)
        batches = [decode_batch(row[0], row[2]) for row in covering(self.connection, wanted)]
        found: list[Record] = []
        for position in wanted:
            batch = _holding(batches, position)
            if batch is None:
                raise LogDamaged(f"The log is damaged: it ends before position {position}.")
            found += [record for record in batch.after(position - 1, 1) if record.position == position]
        return found

    def digest_at(self, position: int) -> bytes:
        """The log's digest at a position, where a row ends there; else nothing."""
        for first, last, value, _ in covering(self.connection, [position]):
            if last == position:
                return decode_batch(first, value).digest
        return b""

    def read_last(self) -> tuple[int, bytes]:
        """Where the log ended, as far as it was read last, and its digest there; 0 when nothing was."""
        return (self._ahead[-1].last, self._ahead[-1].digest) if self._ahead else (0, b"")

    def went_on_from(self, position: int, digest: bytes) -> bool:
        """Whether a log that had this digest at a position, where a row ended, may be this one by now.

        What was erased since says nothing.
        """
        for first, last, value, _ in covering(self.connection, [position] if position else []):
            if last == position:
                return decode_batch(first, value).digest == digest
            return last > position and only_hole(first, value) is not None
        return not position

    def forget(self) -> None:
        """Let go of what was decoded: it may be erased since."""
        self._ahead = []

    def _from(self, position: int, limit: int) -> Iterator[Batch]:
        """The batch that holds a position, and some that follow; none when the log ends before it."""
        ahead = self._ahead
        if not ahead or not ahead[0].first <= position <= ahead[-1].last:
            count = min(max(limit, _LEAST_VALUES), _MOST_VALUES)
            ahead = [
                decode_batch(first, value) for first, _, value in values_from(self.connection, position, count=count)
            ]
            _check_neighbours(ahead)
            self._ahead = ahead
        at = bisect_left(ahead, position, key=attrgetter("last"))
        yield from ahead[at:]


def values_from(connection: Connection, position: int, *, count: int = _MOST_VALUES) -> list[tuple[int, int, bytes]]:
    """The value that holds a position (the last, if that lies beyond) and those that follow, with their first and last
    positions: so many at most, and about as many bytes as a page has."""
    what = {"position": position, "count": count, "bytes": DATABASE_PAGE_BYTES}
    return connection.execute(_FROM, what, binary=True, prepare=True).fetchall()


def covering(connection: Connection, positions: Sequence[int]) -> list[Row]:
    """The rows that hold these positions, in order; the last one for what lies beyond."""
    if not positions:
        return []
    return connection.execute(_COVERING, [list(positions)], binary=True, prepare=True).fetchall()


def last_row(connection: Connection) -> Row | None:
    """The log's last row; None in an empty log."""
    row: Row | None = connection.execute(_LAST, binary=True, prepare=True).fetchone()
    return row


def last_tree(connection: Connection) -> log_tree.Span | None:
    """The digests of the whole log, as its last row has them; None where it has none. Raises LogDamaged."""
    row = last_row(connection)
    if row is None:
        return log_tree.Span()
    first, last, value, digests = row
    if digests is None:
        return None
    try:
        tree = log_tree.span_of(digests, last)
    except ValueError as error:
        raise LogDamaged(f"The digests that the log keeps are damaged: {error}.") from error
    batch = decode_batch(first, value)
    if batch.last != last or (batch.digest and batch.digest != tree.root()):
        raise LogDamaged("The log is damaged: its digests are not those of its last records.")
    return tree


def _holding(batches: Sequence[Batch], position: int) -> Batch | None:
    at = bisect_left(batches, position, key=attrgetter("last"))
    return batches[at] if at < len(batches) and batches[at].first <= position else None


def _check_neighbours(batches: Sequence[Batch]) -> None:
    for before, batch in pairwise(batches):
        if batch.first != before.last + 1:
            raise LogDamaged(f"The log is damaged: position {before.last} is followed by {batch.first}.")

"""A log as it is at one moment, read beside whoever has it open. Nothing in it is changed.

The moment lasts as long as it is held; meanwhile a server that appends finds no freed page of the log's file to use
again, and PostgreSQL removes no dead row.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Final, Protocol

import cbor2
import lmdb

from kala_es import archive, log_tree
from kala_es.event_log import LogDamaged, LogError
from kala_es.event_logs.batch import Batch, decode_batch
from kala_es.event_logs.check import LEFT_OUT, check_length, data_file, read_format, read_tree
from kala_es.event_logs.lmdb_reader import places
from kala_es.event_logs.postgres_place import Database, Place
from kala_es.mapped import make_table_of_readers

_INDEFINITE: Final = b"\x9f"
"""What a value of the present format begins with; its records follow the format's number and the digest."""
_AFTER: Final = 1 + 4
"""Bytes after its records: the end of the array, and the checksum."""


class NoSuchPosition(LogError):
    """The log ends before this position, or it is within erased records."""


class Values(Protocol):
    """All values of a log, as they were when it was opened. Raises LogDamaged, LogError."""

    log_id: bytes

    def last(self) -> tuple[int, bytes] | None:
        """The last value, with the position of its first record; None in an empty log."""

    def pairs(self, position: int) -> Iterator[tuple[int, bytes]]:
        """The value that holds a position, and those that follow; the last, if that lies beyond."""

    def noted(self) -> log_tree.Span | None:
        """The digests that a server would go on from; None: it would make them."""

    def left_out(self) -> int:
        """Up to here records may be missing that the log was made without; 0: none are."""


class Moment:
    """A log, as it was when it was opened. Made by `open_moment`."""

    def __init__(self, place: Place, values: Values) -> None:
        self._place = place
        self._values = values
        self.log_id = values.log_id
        self.noted = values.noted
        self.left_out = values.left_out
        found = values.last()
        last = decode_batch(*found) if found else None
        self.position = last.last if last else 0
        """Of the last record; 0 in an empty log."""
        self._digest = last.digest if last else b""

    def digest(self) -> bytes:
        """The log's digest. Of a log whose last commit is from before there were any it takes reading all of it."""
        return self._digest or self.tree_at(self.position).root()

    def batches(self, after: int = 0) -> Iterator[tuple[Batch, bytes]]:
        """The values that hold what comes after a position, decoded, each with its bytes. Raises LogDamaged."""
        last = None
        for batch, value in self._decoded(after + 1):
            if last is not None and batch.first != last + 1:
                raise LogDamaged(f"The log in {self._place} is damaged: position {last} is followed by {batch.first}.")
            last = batch.last
            if last > after:
                yield batch, value

    def holding(self, content: bytes) -> Iterator[Batch]:
        """The values in whose bytes this is, decoded; it may be a part of anything there. Raises LogDamaged."""
        for first, value in self._values.pairs(1):
            if content in value:
                yield decode_batch(first, value)

    def tree_at(self, position: int) -> log_tree.Span:
        """The digests of all places up to a position. Reads all before it. Raises NoSuchPosition, LogDamaged."""
        if position > self.position:
            raise NoSuchPosition(f"The log in {self._place} ends at position {self.position}, before {position}.")
        tree = log_tree.Span()
        for batch, value in self.batches() if position else ():
            if batch.last >= position:
                until(batch, position).extend(tree)
                break
            batch.extend(tree, rows_of(batch, value))
        return tree

    def _decoded(self, position: int) -> Iterator[tuple[Batch, bytes]]:
        for first, value in self._values.pairs(position):
            yield decode_batch(first, value), value


class _LmdbValues:
    """Those of a file."""

    def __init__(
        self, directory: Path, txn: "lmdb.Transaction[bytes]", meta: "lmdb._Database", *, log_id: bytes
    ) -> None:
        self._directory = directory
        self._txn = txn
        self._meta = meta
        self.log_id = log_id

    def last(self) -> tuple[int, bytes] | None:
        with _damage(self._directory), self._txn.cursor() as cursor:
            return (int.from_bytes(cursor.key(), "big"), cursor.value()) if cursor.last() else None

    def pairs(self, position: int) -> Iterator[tuple[int, bytes]]:
        with _damage(self._directory), self._txn.cursor() as cursor:
            for found, value in cursor.iternext() if _seek(cursor, position) else ():
                yield int.from_bytes(found, "big"), value

    def noted(self) -> log_tree.Span | None:
        return read_tree(self._txn, self._meta)

    def left_out(self) -> int:
        return int.from_bytes(self._txn.get(LEFT_OUT, b"", db=self._meta), "big")


def _seek(cursor: "lmdb.Cursor[bytes]", position: int) -> bool:
    """Go to the value that holds a position; to the last if it lies beyond. False: there is none."""
    key = position.to_bytes(8, "big")
    if not cursor.set_range(key):
        return cursor.last()
    return cursor.key() == key or cursor.prev() or cursor.first()


@contextmanager
def open_moment(place: Place) -> Iterator[Moment]:
    """The log in a directory or a database as it is now. Raises LogError, LogDamaged, LogIsNewer."""
    if isinstance(place, Database):
        from kala_es.event_logs.postgres_reader import open_values

        with open_values(place) as values:
            yield Moment(place, values)
        return
    with _open_file(place) as file:
        yield Moment(place, file)


@contextmanager
def _open_file(directory: Path) -> Iterator[_LmdbValues]:
    data = data_file(directory)
    if not data.exists() or not data.stat().st_size:
        raise LogError(f"There is no log in {directory}.")
    with _opened(directory) as env:
        with _damage(directory):
            check_length(env, directory)
            log_id = read_format(env)
            if log_id is None:
                raise LogDamaged(f"{data} holds no log.")
            records, meta = (env.open_db(name, create=False) for name in (b"records", b"meta"))
        with env.begin(db=records) as txn:
            yield _LmdbValues(directory, txn, meta, log_id=log_id)


@contextmanager
def _damage(directory: Path) -> Iterator[None]:
    """What LMDB finds wrong is damage of this log: who reads it may write another."""
    try:
        yield
    except lmdb.Error as error:
        raise LogDamaged(f"The log in {directory} is damaged: {error}.") from error


def _opened(directory: Path) -> lmdb.Environment:
    """The file, and LMDB's table of its readers: again, if `compact` exchanged them meanwhile."""
    place = data_file(directory).parent
    lock = os.access(place, os.W_OK)  # LMDB notes who reads; where it cannot, nobody writes either
    while True:
        make_table_of_readers(data_file(directory))
        before = places(directory)
        try:
            env = lmdb.open(os.fsencode(place), map_size=0, max_dbs=4, readonly=True, lock=lock, create=False)
        except lmdb.Error as error:
            raise LogDamaged(f"The log in {directory} cannot be opened: {error}.") from error
        if before == places(directory):
            return env
        env.close()


def until(batch: Batch, position: int) -> Batch:
    """What a value holds up to a position. Raises NoSuchPosition when that is within a hole."""
    if batch.last <= position:
        return batch
    for hole in batch.holes:
        if hole.first <= position < hole.first + hole.count - 1:
            raise NoSuchPosition(
                f"Position {position} is within erased records, {hole.first} to {hole.first + hole.count - 1}; "
                f"take {hole.first - 1} or {hole.first + hole.count - 1}."
            )
    kept = [place for place in batch.positions if place <= position]
    holes = [hole for hole in batch.holes if hole.first <= position]
    return Batch(batch.first, position, kept, batch.rows[: len(kept)], holes)


def since(batch: Batch, position: int) -> Batch:
    """What a value holds after a position. Raises NoSuchPosition when that is within a hole."""
    if batch.first > position:
        return batch
    until(batch, position)
    places = [place for place in batch.positions if place > position]
    holes = [hole for hole in batch.holes if hole.first > position]
    return Batch(position + 1, batch.last, places, batch.rows[len(batch.rows) - len(places) :], holes, batch.digest)


def rows_of(batch: Batch, value: bytes) -> list[bytes]:
    """The rows of a value's records, cut out of its bytes: to encode them takes longer. Raises LogDamaged.

    A batch that was cut has no bytes: its records are encoded.
    """
    if batch.holes or not value.startswith(_INDEFINITE):
        return [cbor2.dumps(row) for row in batch.rows]
    begin = len(_INDEFINITE) + 1 + len(cbor2.dumps(batch.digest))
    ends = list(accumulate(log_tree.row_sizes(batch.rows), initial=begin))
    if ends[-1] != len(value) - _AFTER:
        raise LogDamaged(f"The records from position {batch.first} on are damaged: they are not in the shortest form.")
    return [value[start:stop] for start, stop in pairwise(ends)]


def items_of(batch: Batch, value: bytes, *, without: Collection[str] = ()) -> Sequence[archive.Item]:
    """A value's rows and holes, in order; holes that meet are one. Records of types that are left out are holes."""
    rows = rows_of(batch, value)
    if not (batch.holes or without):
        return rows
    placed: list[tuple[int, archive.Item]] = [(hole.first, [hole.count, hole.digests]) for hole in batch.holes]
    for position, row, fields in zip(batch.positions, rows, batch.rows, strict=True):
        is_kept = fields[1] not in without
        placed.append((position, row if is_kept else [1, log_tree.leaf(row)]))
    return list(_joined(sorted(placed, key=itemgetter(0))))


def _joined(placed: Sequence[tuple[int, archive.Item]]) -> Iterator[archive.Item]:
    gap: log_tree.Span | None = None
    for position, item in placed:
        if isinstance(item, bytes):
            if gap is not None:
                yield [gap.end - gap.first, gap.digests]
                gap = None
            yield item
            continue
        gap = log_tree.Span(position - 1) if gap is None else gap
        gap.add_all(item[1], item[0])
    if gap is not None:
        yield [gap.end - gap.first, gap.digests]

"""The log's LMDB file and the lock on its directory: puts, reads and erasures, with no async and no policy.

A value's key is its first position. Erasing writes a value again; one of which nothing is left is joined with its
neighbours that are nothing but a hole either, so a long gap is one small value.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import lmdb

from kala_es import log_tree
from kala_es.event_log import LogDamaged, LogError, Record
from kala_es.event_logs.batch import NO_BATCH, Batch, decode_batch, encode_batch, encode_hole, erase, only_hole
from kala_es.event_logs.check import FORMAT, LEFT_OUT, batches, data_file, dump_tree, map_bytes, read_tree
from kala_es.event_logs.compact import Copy, remove_cut_off
from kala_es.limits import TRIM_BYTES


def open_env(directory: Path) -> lmdb.Environment:
    """Open the file of the log in a directory, or begin one, to write. Raises lmdb.Error, OSError."""
    remove_cut_off(directory)
    place = os.fsencode(data_file(directory).parent)
    return lmdb.open(place, map_size=map_bytes(directory), mode=0o600, max_dbs=4)


class LogFile:
    """The file, open. `log_id` tells the log from others; `lock` is the descriptor that holds the directory."""

    def __init__(self, env: lmdb.Environment, lock: int, log_id: bytes) -> None:
        self._env = env
        self._lock = lock
        self.log_id = log_id
        self._records = env.open_db(b"records", create=False)
        self._meta = env.open_db(b"meta", create=False)
        self._batch = NO_BATCH
        """The value that was decoded last: a page often ends within one."""
        with env.begin(db=self._records) as txn:
            last, tree = _last(txn), read_tree(txn, self._meta)
            self.left_out = int.from_bytes(txn.get(LEFT_OUT, b"", db=self._meta), "big")
            """Up to here records may be missing that the log was made without."""
        self.tree = self._carry_over() if tree is None else tree
        """The digests of all records."""
        if last.last != self.tree.end or (last.digest and last.digest != self.tree.root()):
            raise LogDamaged(f"The log in {env.path()} is damaged: its digests are not those of its last records.")

    def _carry_over(self) -> log_tree.Span:
        """Make the digests of a log from before there were any, and note that it has them, if that may be written."""
        tree = log_tree.Span()
        for batch in batches(self._env):
            batch.extend(tree)
        if not self._env.flags()["readonly"]:
            with self._env.begin(write=True, db=self._meta) as txn:
                txn.put(b"tree", dump_tree(tree))
                txn.put(b"format", str(FORMAT).encode())
        return tree

    def exchange(self, directory: Path, copy: Copy) -> None:
        """Go on in a copy, which has caught up. Raises lmdb.Error, OSError; then the file is closed."""
        self._env.close()
        copy.put_in_place()
        self._env = open_env(directory)
        self._records = self._env.open_db(b"records", create=False)
        self._meta = self._env.open_db(b"meta", create=False)
        self._batch = NO_BATCH

    def close(self) -> None:
        """Let go of the file."""
        self._env.close()

    def unlock(self) -> None:
        """Let go of the directory."""
        os.close(self._lock)

    def head(self) -> int:
        """The last position that is durable; 0 in an empty log."""
        with self._env.begin(db=self._records) as txn:
            return _last(txn).last

    def is_as_before(self, head: int) -> bool:
        """Whether LMDB still reads, and finds this head. After a failed write of its root it does not."""
        try:
            return self.head() == head
        except (lmdb.Error, LogDamaged):
            return False

    def put(self, parts: Sequence[Sequence[bytes]]) -> None:
        """Make records, given as rows, durable, all or none of them; each part becomes a value."""
        tree = self.tree.copy()
        pairs: list[tuple[bytes, bytes]] = []
        for rows in parts:
            key = (tree.end + 1).to_bytes(8, "big")
            tree.add_leaves(log_tree.leaves(rows))
            pairs.append((key, encode_batch(rows, tree.root())))
        self._env.reader_check()  # the pages that a reader saw which was killed would never be used again
        with self._env.begin(write=True, db=self._records) as txn:
            for key, value in pairs:
                if not txn.put(key, value, append=True):
                    raise LogError("the file holds a later record, which this process has not written")
            txn.put(b"tree", dump_tree(tree), db=self._meta)
        self.tree = tree

    def page(self, after: int, limit: int) -> tuple[list[Record], int]:
        """The next records after `after`, at most `limit`, and the position up to which that is all of them."""
        found: list[Record] = []
        last = after
        with self._env.begin(db=self._records) as txn:
            for batch in self._batches(txn, after + 1):
                found += batch.after(after, limit - len(found))
                if len(found) >= limit:
                    return found, found[-1].position
                last = batch.last
        return found, last

    def fetch(self, positions: Iterable[int]) -> list[Record]:
        """The records at these positions, those that are not erased. Raises LogDamaged when the file ends before."""
        found: list[Record] = []
        with self._env.begin(db=self._records) as txn:
            for position in positions:
                batch = next(self._batches(txn, position), None)
                if batch is None:
                    raise LogDamaged(f"The log in {self._env.path()} is damaged: it ends before position {position}.")
                found += [record for record in batch.after(position - 1, 1) if record.position == position]
        return found

    def _batches(self, txn: "lmdb.Transaction[bytes]", position: int) -> Iterator[Batch]:
        """The batch that holds `position`, and those that follow."""
        if self._batch.first <= position <= self._batch.last:
            yield self._batch
            position = self._batch.last + 1
        key = position.to_bytes(8, "big")
        with txn.cursor() as cursor:
            if not cursor.set_range(key):
                cursor.last()
            elif cursor.key() != key:
                cursor.prev()
            for found, value in cursor.iternext():
                batch = decode_batch(int.from_bytes(found, "big"), value)
                if batch.last >= position:  # else it is the last one, and the position lies beyond it
                    self._batch = batch
                    yield batch

    def trim(self, rest: "deque[int]") -> list[tuple[int, str]]:
        """Erase the first of the positions in `rest`, as many as one transaction holds, and take them out of it.

        Gives the positions and streams of what was there. When it raises nothing is erased.
        """
        erased: list[tuple[int, str]] = []
        wanted = deque(rest)
        size = 0
        with self._env.begin(write=True, db=self._records) as txn, txn.cursor() as cursor:
            while wanted and size < TRIM_BYTES:
                first, value = _value_at(cursor, wanted[0])
                size += len(value)
                fresh, gone = erase(first, value, wanted)
                erased += gone
                if fresh is not None:
                    _put(cursor, first, fresh)
        for _ in range(len(rest) - len(wanted)):
            rest.popleft()
        return erased

    def copy_in(self, directory: Path) -> Copy:
        """A copy of the file, to be begun."""
        return Copy(directory, self._env, (self._records, self._meta))

    def forget(self) -> None:
        """Let go of what was decoded: it may be erased since."""
        self._batch = NO_BATCH


def _last(txn: "lmdb.Transaction[bytes]") -> Batch:
    with txn.cursor() as cursor:
        return decode_batch(int.from_bytes(cursor.key(), "big"), cursor.value()) if cursor.last() else NO_BATCH


def _value_at(cursor: "lmdb.Cursor[bytes]", position: int) -> tuple[int, bytes]:
    """The first position and the bytes of the value that holds `position`."""
    key = position.to_bytes(8, "big")
    found = cursor.set_range(key)
    if not found:
        cursor.last()
    elif cursor.key() != key:
        cursor.prev()
    return int.from_bytes(cursor.key(), "big"), cursor.value()


def _put(cursor: "lmdb.Cursor[bytes]", first: int, value: bytes) -> None:
    """Write a value again, where the cursor stands; neighbours that are nothing but holes become one with it."""
    found = only_hole(first, value)
    if found is None:
        cursor.put(first.to_bytes(8, "big"), value)
        return
    hole, digest = found
    holes = [hole]
    after = hole.first + hole.count
    later = only_hole(after, cursor.value()) if cursor.set_key(after.to_bytes(8, "big")) else None
    if later is not None:
        holes.append(later[0])
        digest = later[1]
        cursor.delete()
    cursor.set_key(first.to_bytes(8, "big"))
    earlier = only_hole(int.from_bytes(cursor.key(), "big"), cursor.value()) if cursor.prev() else None
    if earlier is not None:
        holes.insert(0, earlier[0])
        cursor.set_key(first.to_bytes(8, "big"))
        cursor.delete()
    cursor.put(holes[0].first.to_bytes(8, "big"), encode_hole(*holes, digest=digest))

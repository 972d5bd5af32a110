"""Gives room back: copies the log's file without its free pages, and puts the copy in its place.

The copy is made in `log/compact/`, beside appends that go on; what they add meanwhile is caught up with. Then it is
synced and renamed over the file. Whatever cuts this off before the rename leaves the log as it was, and the copy is
removed by the next.

It is filled value by value. LMDB's own copy takes whole pages over, and the unused end of one may hold what was erased.

The log's own file is read with handles that are open already: `Environment.open_db` without a transaction waits for the
writer while it holds the interpreter's lock, which a writer in another thread needs to go on.

LMDB's table of those who read (`lock.mdb`) also says which of the file's two roots is the newer. While another process
reads it outlives the exchange, and would be wrong about the copy: so it goes with the file that it is of.
"""

import os
import shutil
from itertools import islice
from pathlib import Path
from typing import Final

import lmdb

from kala_es.event_log import LogDamaged, LogIsFull
from kala_es.event_logs.check import data_file, lock_file, map_bytes, sync_names
from kala_es.limits import DISK_RESERVE_BYTES

_VALUES_AT_A_TIME: Final = 256


class Copy:
    """A copy of the log in `directory`, in the making. `env` is the log's own file, open, with its records and meta."""

    def __init__(
        self, directory: Path, env: lmdb.Environment, databases: tuple["lmdb._Database", "lmdb._Database"]
    ) -> None:
        self._directory = directory
        self._env = env
        self._records, self._meta = databases
        self._place = fresh_place(directory)
        self._fresh: lmdb.Environment | None = None

    def begin(self) -> None:
        """Make an empty copy. Raises LogIsFull, lmdb.Error, OSError."""
        self.discard()
        needed, free = _used_bytes(self._env), shutil.disk_usage(self._directory).free
        if free - needed < DISK_RESERVE_BYTES:
            raise LogIsFull(f"A copy of the log takes {needed} bytes; {free} are free.")
        self._place.mkdir(mode=0o700)
        place, size = os.fsencode(self._place), map_bytes(self._directory)
        self._fresh = lmdb.open(place, map_size=size, mode=0o600, max_dbs=4, sync=False)
        with self._env.begin(db=self._meta) as there, self._fresh.begin(write=True) as here:
            self._fresh.open_db(b"records", txn=here)
            here.cursor(self._fresh.open_db(b"meta", txn=here)).putmulti(there.cursor())

    def catch_up(self) -> bool:
        """Copy some of what is there and not copied yet; whether that was all. Durable when it says so."""
        assert self._fresh is not None
        with self._env.begin(db=self._records) as there, self._fresh.begin(write=True) as here:
            target = self._fresh.open_db(b"records", txn=here, create=False)
            with here.cursor(db=target) as cursor, there.cursor() as source:
                last = cursor.key() if cursor.last() else b""
                found = source.set_range(last + b"\0")
                some = islice(source, _VALUES_AT_A_TIME) if found else ()
                if cursor.putmulti(some, append=True)[0] == _VALUES_AT_A_TIME:
                    return False
            here.put(b"tree", there.get(b"tree", b"", db=self._meta), db=self._fresh.open_db(b"meta", txn=here))
        self._fresh.sync(True)
        return True

    def put_in_place(self) -> None:
        """Make the copy, which has caught up, the log. The log's own file must be closed by now."""
        assert self._fresh is not None
        self._fresh.close()
        self._fresh = None
        exchange(self._directory)

    def check(self) -> None:
        """Raise LogDamaged unless the copy, which has caught up, ends as the log does and has as many values."""
        assert self._fresh is not None
        records, meta = (self._fresh.open_db(name, create=False) for name in (b"records", b"meta"))
        if _shape(self._env, self._records, self._meta) != _shape(self._fresh, records, meta):
            raise LogDamaged(f"The copy of the log in {self._directory} is not like it.")

    def discard(self) -> None:
        """Remove the copy, if it is there."""
        if self._fresh is not None:
            self._fresh.close()
            self._fresh = None
        shutil.rmtree(self._place, ignore_errors=True)


def remove_cut_off(directory: Path) -> None:
    """Remove what was left of a file in the making that was cut off, perhaps between the exchange and its end.

    Raises OSError.
    """
    place = fresh_place(directory)
    if place.exists():
        lock_file(directory).unlink(missing_ok=True)
        shutil.rmtree(place)


def exchange(directory: Path) -> None:
    """Put the file that was made into the place of the log's, which nobody here has open. Raises OSError."""
    data, fresh = data_file(directory), fresh_place(directory)
    (fresh / data.name).replace(data)
    lock_file(directory).unlink(missing_ok=True)
    sync_names(data.parent)
    shutil.rmtree(fresh, ignore_errors=True)


def fresh_place(directory: Path) -> Path:
    """The directory of a file that is made to take the place of the log's."""
    return data_file(directory).parent / "compact"


def _used_bytes(env: lmdb.Environment) -> int:
    stat = env.stat()
    with env.begin() as txn:
        stats = [stat, *(txn.stat(env.open_db(name, txn=txn, create=False)) for name in (b"records", b"meta"))]
    return int(stat["psize"]) * sum(s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"] for s in stats)


def _shape(env: lmdb.Environment, records: "lmdb._Database", meta: "lmdb._Database") -> tuple[int, bytes, bytes, bytes]:
    with env.begin(db=records) as txn, txn.cursor() as cursor:
        last = (cursor.key(), cursor.value()) if cursor.last() else (b"", b"")
        return (int(txn.stat(records)["entries"]), *last, txn.get(b"tree", b"", db=meta))

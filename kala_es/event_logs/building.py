"""Makes a log's file of values that are there already: those of another log, or of an archive.

It is made where a compacted one is, and takes the place of what is there as that does (compact.py), when it is whole
and durable: whatever cuts this off leaves the directory with the log that it had, or none, and who opens that removes
the rest. The directory is held (`lock`) meanwhile.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import lmdb

from kala_es import log_tree
from kala_es.event_log import LogError, LogIsFull
from kala_es.event_logs.check import (
    CLOSED,
    FORMAT,
    LEFT_OUT,
    data_file,
    dump_tree,
    map_bytes,
    say,
    says_full,
    sync_names,
)
from kala_es.event_logs.compact import exchange, fresh_place, remove_cut_off
from kala_es.event_logs.lmdb import hold
from kala_es.limits import DISK_RESERVE_BYTES

_TOGETHER_BYTES: Final = 8 * 1024 * 1024
"""So much is put in one transaction."""


class Building:
    """A log in the making. Made by `build`."""

    def __init__(self, env: lmdb.Environment, directory: Path) -> None:
        self._env = env
        self._directory = directory
        self._waiting: list[tuple[bytes, bytes]] = []
        self._size = 0

    def put(self, first: int, value: bytes) -> None:
        """Add a value (batch.py) whose first record has this position; they rise. Raises LogIsFull."""
        self._waiting.append((first.to_bytes(8, "big"), value))
        self._size += len(value)
        if self._size >= _TOGETHER_BYTES:
            self._write()

    def _write(self) -> None:
        disk = os.statvfs(self._directory)
        if disk.f_bavail * disk.f_frsize - self._size < DISK_RESERVE_BYTES:
            raise LogIsFull(f"There is no room in {self._directory} for a log that is being made.")
        with self._env.begin(write=True) as txn:
            records = self._env.open_db(b"records", txn=txn)
            for pair in self._waiting:
                txn.put(*pair, append=True, db=records)
        self._waiting, self._size = [], 0

    def finish(self, log_id: bytes, tree: log_tree.Span, *, left_out: int = 0) -> None:
        """Make it durable, with the digests of all its records. Up to `left_out` some are missing without a reason."""
        self._write()
        with self._env.begin(write=True) as txn:
            meta = self._env.open_db(b"meta", txn=txn)
            txn.put(b"format", str(FORMAT).encode(), db=meta)
            txn.put(b"id", log_id, db=meta)
            txn.put(b"tree", dump_tree(tree), db=meta)
            if left_out:
                txn.put(LEFT_OUT, left_out.to_bytes(8, "big"), db=meta)
        self._env.sync(True)


@contextmanager
def build(directory: Path) -> Iterator[Building]:
    """A log in the making, for a directory that nobody else uses; on leaving it takes the place of what is there.

    Raises LogInUse, LogIsFull, LogError; then, and on any other exception, what is there is left as it is.
    """
    data = data_file(directory)
    begun = [place for place in (directory, *directory.parents) if not place.exists()]
    data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = hold(directory)
    fresh = fresh_place(directory)
    try:
        remove_cut_off(directory)
        fresh.mkdir(mode=0o700)
        with _open(fresh / data.name, directory) as env:
            yield Building(env, directory)
        exchange(directory)
        for parent in (directory, directory.absolute().parent):
            sync_names(parent)
        say(directory, CLOSED)
        sync_names(directory)
    except (lmdb.Error, OSError) as error:
        if says_full(error, fresh / data.name, 0):
            raise LogIsFull(f"There is no room for a log in {directory}: {error}.") from error
        raise LogError(f"No log can be made in {directory}: {error}.") from error
    finally:
        if (fresh / data.name).exists():  # else it was exchanged
            shutil.rmtree(fresh, ignore_errors=True)
        if not data.exists():
            _leave_nothing(directory, begun)
        os.close(lock)


def _leave_nothing(directory: Path, begun: list[Path]) -> None:
    """Remove what was begun where there is no log, and the directories that were made for it."""
    with suppress(OSError):  # something else is there
        data_file(directory).parent.rmdir()
        (directory / "lock").unlink()
        for place in begun:
            place.rmdir()


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Nobody else uses the log in a directory meanwhile. Raises LogInUse."""
    lock = hold(directory)
    try:
        yield
    finally:
        os.close(lock)


def move_in(made: Path, directory: Path) -> None:
    """Let the log in `made`, which is closed and durable, take the place of that in a directory, which is held.

    Raises OSError. Whatever cuts this off leaves the one log or the other.
    """
    remove_cut_off(directory)
    fresh = fresh_place(directory)
    fresh.mkdir(mode=0o700)
    data_file(made).replace(fresh / data_file(made).name)
    exchange(directory)


def _open(file: Path, directory: Path) -> lmdb.Environment:
    size = map_bytes(directory)
    return lmdb.open(os.fsencode(file), subdir=False, lock=False, map_size=size, mode=0o600, max_dbs=4, sync=False)

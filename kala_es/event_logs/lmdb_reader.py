"""A log's file read by another process than its server's, which may run meanwhile. Nothing is written.

It is in LMDB's table of readers, so no page that it reads is used again; a transaction lasts for one page of records.
When `compact` puts another file and table in their place, what was read meanwhile is read again, from that file.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import lmdb

from kala_es.event_log import LogDamaged, LogError, LogIsNewer, Record
from kala_es.event_logs.check import check_length, data_file, lock_file, map_bytes, read_format
from kala_es.event_logs.lmdb_file import LogFile
from kala_es.event_logs.stream_index import StreamIndex, looked_through
from kala_es.fold_store import FoldStore
from kala_es.mapped import make_table_of_readers

_PAGE: Final = 512
Places = tuple[int | None, int | None]
Read = TypeVar("Read")


class LogReader:
    """What is durable in the log of `directory`. Raises LogError, LogDamaged, LogIsNewer.

    `folds`, if they are of this log, help to find the records of a stream; without them all are looked through.
    """

    def __init__(self, directory: Path, folds: FoldStore | None = None) -> None:
        self._directory = directory
        self._file, self._places = self._open()
        head, self._folds, self._index = self.head, None, None
        if folds is not None and StreamIndex.fits(folds, self.log_id, head):
            self._folds, self._index = folds, StreamIndex(folds, self.log_id, head)

    @property
    def head(self) -> int:
        """The last position that is durable by now."""
        return self._read(LogFile.head)

    @property
    def indexed(self) -> int:
        """The position up to which `of_stream` finds a stream's records; 0 without folds."""
        return 0 if self._index is None else self._index.position

    @property
    def folds(self) -> FoldStore | None:
        """The folds, if they are of this log."""
        return self._folds

    @property
    def log_id(self) -> bytes:
        """What tells the log from others."""
        return self._file.log_id

    @property
    def left_out(self) -> int:
        """Up to here records may be missing that the log was made without; 0: none are."""
        return self._file.left_out

    def read_now(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The next records after position `after`, at most `limit`; of one stream if named. Empty at the end."""
        found: list[Record] = []
        while len(found) < limit:
            page, last = self._read(partial(self._page, after=after, limit=limit - len(found), stream=stream))
            found += page
            if last == after:
                break
            after = last
        return found

    def of_stream(self, stream: str, after: int, *, limit: int) -> list[Record]:
        """The next records of a stream after `after` and up to `indexed`, at most `limit`. Empty at the end."""
        found: list[Record] = []
        while len(found) < limit and after < self.indexed:
            read = partial(self._page, after=after, limit=limit - len(found), stream=stream)
            page, after = self._read(read)
            found += page
        return found

    def _page(self, file: LogFile, *, after: int, limit: int, stream: str | None) -> tuple[list[Record], int]:
        if stream is None:
            return file.page(after, min(limit, _PAGE))
        if self._index is not None:
            return self._index.page(file, stream, after=after, limit=limit)
        return looked_through(stream, file.page(after, _PAGE), limit)

    def _read(self, read: Callable[[LogFile], Read]) -> Read:
        """What is read of the file that has the log's name, before and after."""
        while True:
            with self._named():
                try:
                    found = read(self._file)
                except (lmdb.Error, LogDamaged):
                    if self._places == places(self._directory):
                        raise
                else:
                    if self._places == places(self._directory):
                        return found
                self._file.close()
            self._file, self._places = self._open()

    def _open(self) -> tuple[LogFile, Places]:
        """The file, and which one it is; again, if it was exchanged while it was opened."""
        while True:
            before = places(self._directory)
            if before[0] is None:
                raise LogError(f"there is no log in {self._directory}")
            with self._named():
                file = _opened(self._directory)
            if before == places(self._directory):
                return file, before
            file.close()

    def wait(self, seconds: float) -> None:
        """So long: a file tells nobody that it has grown."""
        time.sleep(seconds)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Faults of the file, as the port has them."""
        try:
            yield
        except lmdb.VersionMismatchError as error:
            raise LogIsNewer(
                f"The log in {self._directory} was written by another version of LMDB: {error}."
            ) from error
        except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.PageNotFoundError) as error:
            raise LogDamaged(f"The log in {self._directory} is damaged: {error}.") from error
        except (lmdb.Error, OSError) as error:
            raise LogError(f"The log in {self._directory} cannot be read: {error}.") from error


def places(directory: Path) -> Places:
    """Which file has the log's name, and which one LMDB's table of its readers."""
    return _inode(data_file(directory)), _inode(lock_file(directory))


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _opened(directory: Path) -> LogFile:
    env = _env(directory)
    try:
        check_length(env, directory)
        log_id = read_format(env)
        if log_id is None:
            raise LogError(f"there is no log in {directory}")
        return LogFile(env, -1, log_id)
    except BaseException:
        env.close()
        raise


def _env(directory: Path) -> lmdb.Environment:
    place, size = os.fsencode(data_file(directory).parent), map_bytes(directory)
    make_table_of_readers(data_file(directory))
    try:
        return lmdb.open(place, map_size=size, max_dbs=4, readonly=True, create=False)
    except lmdb.ReadonlyError:  # nobody can write here, so nobody does
        return lmdb.open(place, map_size=size, max_dbs=4, readonly=True, create=False, lock=False)

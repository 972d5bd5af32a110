"""A log's file read by another process than its server's, which may run meanwhile. Nothing is written.

It is in LMDB's table of readers, so no page that it reads is used again; a transaction lasts for one page of records.
When `compact` puts another file in its place, the next page is read from that one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from kala_es.event_log import LogDamaged, LogError, LogIsNewer, Record
from kala_es.event_logs.check import data_file, map_bytes, read_format
from kala_es.event_logs.lmdb_file import LogFile
from kala_es.event_logs.stream_index import StreamIndex
from kala_es.fold_store import FoldStore

_PAGE = 512


class LogReader:
    """What is durable in the log of `directory`. Raises LogError, LogDamaged, LogIsNewer.

    `folds`, if they are of this log, help to find the records of a stream; without them all are looked through.
    """

    def __init__(self, directory: Path, folds: FoldStore | None = None) -> None:
        self._directory = directory
        self._inode = 0
        with self._named():
            self._file = self._open()
            head, log_id = self._file.head(), self._file.log_id
        is_ours = folds is not None and StreamIndex.fits(folds, log_id, head)
        self._index = StreamIndex(folds, log_id, head) if folds is not None and is_ours else None

    @property
    def head(self) -> int:
        """The last position that is durable by now."""
        with self._named():
            return self._current().head()

    @property
    def log_id(self) -> bytes:
        """What tells the log from others."""
        return self._file.log_id

    def read_now(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The next records after position `after`, at most `limit`; of one stream if named. Empty at the end."""
        found: list[Record] = []
        while len(found) < limit:
            with self._named():
                page, last = self._page(after, limit - len(found), stream)
            found += page
            if last == after:
                break
            after = last
        return found

    def _page(self, after: int, limit: int, stream: str | None) -> tuple[list[Record], int]:
        file = self._current()
        if stream is None:
            return file.page(after, min(limit, _PAGE))
        if self._index is not None:
            return self._index.page(file, stream, after=after, limit=limit)
        page, last = file.page(after, _PAGE)
        matching = [record for record in page if record.stream == stream][:limit]
        return matching, matching[-1].position if len(matching) == limit else last

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _current(self) -> LogFile:
        """The file that has the log's name by now."""
        if data_file(self._directory).stat().st_ino != self._inode:
            self._file.close()
            self._file = self._open()
        return self._file

    def _open(self) -> LogFile:
        data = data_file(self._directory)
        if not data.exists():
            raise LogError(f"there is no log in {self._directory}")
        self._inode = data.stat().st_ino
        env = _env(self._directory)
        try:
            log_id = read_format(env)
            if log_id is None:
                raise LogError(f"there is no log in {self._directory}")
            return LogFile(env, -1, log_id)
        except BaseException:
            env.close()
            raise

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


def _env(directory: Path) -> lmdb.Environment:
    place, size = os.fspath(data_file(directory).parent), map_bytes(directory)
    try:
        return lmdb.open(place, map_size=size, max_dbs=4, readonly=True, create=False)
    except lmdb.ReadonlyError:  # nobody can write here, so nobody does
        return lmdb.open(place, map_size=size, max_dbs=4, readonly=True, create=False, lock=False)

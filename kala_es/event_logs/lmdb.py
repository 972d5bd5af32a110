"""The event log in an LMDB file: one value and one fsync for each append.

Rules:
1. A value holds one append's records, or a part of about VALUE_BYTES of a large one. All values of an append are put in
   one transaction, on a worker thread, which LMDB has made durable when it ends. Begun, it is not cancelled.
2. No read transaction is held across an await: an open one keeps freed pages from being used again.
3. What finds a stream's records is a fold, kept in the fold store: it may lag (the rest is scanned) and be lost (it is
   rebuilt), and the record that it leads to is checked.
4. After a write error that is not "no room" the log takes no more appends: memory may be ahead of the disk.
5. `lock` is held (flock) while the log is open. `opened` names the boot of the machine meanwhile; if the next open is
   on another boot, the file is checked first (check.py, which also says how the file is laid out).
"""

import fcntl
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, TypeVar

import lmdb
import trio

from kala_es import log_tree
from kala_es.event_log import LogDamaged, LogError, LogInUse, LogIsFull, LogIsNewer, NewRecord, Record
from kala_es.event_logs.batch import split
from kala_es.event_logs.check import (
    CLOSED,
    FAILED,
    begin,
    boot_id,
    check_in_child,
    data_file,
    gone,
    read_format,
    say,
    says_full,
    was_machine_crash,
)
from kala_es.event_logs.compact import Copy
from kala_es.event_logs.lmdb_file import LogFile, open_env
from kala_es.event_logs.stream_index import StreamIndex
from kala_es.fold_store import FoldsFull, FoldStore
from kala_es.limits import TRIM_BYTES

Source = TypeVar("Source")
Result = TypeVar("Result")
_FREE_SECONDS: Final = 0.2
"""For this long the disk is taken to have as much room as it had, less what was appended."""
_PAGE: Final = 256
"""Records that are read between two checkpoints."""
_INDEX_PAGE: Final = 2048
"""Records that are indexed between two checkpoints."""
_DAMAGE: Final = (lmdb.InvalidError, lmdb.CorruptedError, lmdb.PageNotFoundError)


def open_log(directory: Path, folds: FoldStore) -> "LmdbEventLog":
    """Open the log in `directory`, or begin one there; `folds` gets the index of its streams.

    Raises LogInUse, LogIsNewer, LogDamaged, LogIsFull (no room to begin), LogError, and the fold store's FoldsError.
    After a crash of the machine this reads the whole log. `folds` stays the caller's to close.
    """
    with ExitStack() as undo:
        try:
            log = _open(directory, folds, undo)
        except (lmdb.Error, OSError, FoldsFull) as error:
            raise _refusal(error, directory) from error
        undo.pop_all()
        return log


def _open(directory: Path, folds: FoldStore, undo: ExitStack) -> "LmdbEventLog":
    data = data_file(directory)
    data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = hold(directory)
    undo.callback(os.close, lock)
    if was_machine_crash(directory):
        check_in_child(directory)
    begin(directory)
    env = open_env(directory)
    undo.callback(env.close)
    log_id = read_format(env)
    if log_id is None:
        raise gone(directory)
    say(directory, boot_id())
    return LmdbEventLog(directory, LogFile(env, lock, log_id), folds)


def hold(directory: Path) -> int:
    """Lock the directory of a log; the descriptor that holds it. Raises LogInUse."""
    while True:
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
            os.close(lock)
            raise LogInUse(f"The log in {directory} is in use by process {holder or 'unknown'}.") from None
        if os.fstat(lock).st_nlink:
            break
        os.close(lock)  # who held it before has removed it: nobody else would meet us there
    with suppress(OSError):  # on a full disk the holder stays nameless
        os.pwrite(lock, f"{os.getpid():<19}\n".encode(), 0)
    return lock


def _refusal(error: lmdb.Error | OSError | FoldsFull, directory: Path) -> LogError:
    if isinstance(error, FoldsFull) or says_full(error, data_file(directory), 0):
        return LogIsFull(f"There is no room to open the log in {directory}: {error}.")
    if isinstance(error, lmdb.VersionMismatchError):
        return LogIsNewer(f"The log in {directory} was written by another version of LMDB: {error}.")
    if isinstance(error, _DAMAGE):
        return LogDamaged(f"The log in {directory} is damaged: {error}.")
    return LogError(f"The log in {directory} cannot be opened: {error}.")


class LmdbEventLog:
    """The port. Made by `open_log`; used by one trio run."""

    def __init__(self, directory: Path, file: LogFile, folds: FoldStore) -> None:
        self._directory = directory
        self._file = file
        self._head = file.head()
        self._index = StreamIndex(folds, file.log_id, self._head)
        while self._index_page():
            pass
        self._ended: str | None = None
        """Why there are no more appends."""
        self._closed = False
        self._turn = trio.Lock()
        self._thread = trio.CapacityLimiter(1)
        self._rewriting = trio.Lock()
        """Held while records are erased, or the file is copied: the one would undo the other."""
        self._appended = trio.lowlevel.ParkingLot()
        self._free_bytes = 0
        self._free_until = 0.0

    @property
    def head(self) -> int:
        """The last durable position; 0 while the log is empty."""
        return self._head

    @property
    def digest(self) -> bytes:
        """The digest of all that is durable: of the records up to `head`."""
        return self._file.tree.root()

    @property
    def left_out(self) -> int:
        """Up to here records may be missing that the log was made without; 0: none are."""
        return self._file.left_out

    @property
    def size_bytes(self) -> int:
        """The size of the log's file."""
        return data_file(self._directory).stat().st_size

    @property
    def unindexed(self) -> int:
        """Records that reads of a stream have to scan: 0, or more while the fold store has no room."""
        return self._head - self._index.position

    async def append(self, batch: Sequence[NewRecord], *, reserve: int = 0) -> int:
        """Make `batch` (not empty) durable as one commit and give the position of its last record.

        Refused (LogIsFull) unless `reserve` bytes would stay free. LogError: the log is closed, or has failed for good.
        Cancelled: either before it began, or not at all.
        """
        records = tuple(batch)
        if not records:
            raise ValueError("An append needs at least one record.")
        parts: list[list[bytes]] = []
        for part in split(records):
            parts.append([log_tree.row(record) for record in part])
            if len(part) < len(records):
                await trio.lowlevel.checkpoint()
        async with self._turn:
            self._check_writable()
            self._take_room(_size(parts), reserve)
            with trio.CancelScope(shield=True):
                await self._put(parts)
                self._head += len(records)
                self._appended.unpark_all()
                while self._index_page(records):
                    await trio.lowlevel.checkpoint()
            return self._head

    async def _put(self, parts: list[list[bytes]]) -> None:
        try:
            await self._on_thread(self._file.put, parts)
        except Exception as error:
            raise self._failed(error, _size(parts)) from error

    async def _on_thread(self, write: Callable[[Source], Result], what: Source) -> Result:
        try:
            return await trio.to_thread.run_sync(write, what, limiter=self._thread)
        except RuntimeError:  # the system has no thread to spare, so nothing was written: the loop itself waits
            return write(what)

    def _failed(self, error: Exception, size: int) -> LogError:
        if self._file.is_as_before(self._head) and says_full(error, data_file(self._directory), size):
            return LogIsFull(f"There is no room for {size} more bytes of log in {self._directory}: {error}.")
        self._ended = f"The log in {self._directory} takes no more records, because writing failed: {error}."
        with suppress(OSError):  # not written, the boot stays: then only another boot has the log checked
            say(self._directory, FAILED)
        return LogError(self._ended)

    def _take_room(self, size: int, reserve: int) -> None:
        if not reserve:
            return
        if time.monotonic() >= self._free_until:
            disk = os.statvfs(self._directory)
            self._free_bytes = disk.f_bavail * disk.f_frsize
            self._free_until = time.monotonic() + _FREE_SECONDS
        if self._free_bytes - size < reserve:
            raise LogIsFull(
                f"The disk of {self._directory} has {self._free_bytes} bytes free; after this append of {size} "
                f"there would be less than {reserve}."
            )
        self._free_bytes -= size

    def _index_page(self, records: Sequence[NewRecord] = ()) -> bool:
        """Index some of the records that are not, `records` being the last; whether there are more, and room."""
        before, lag = self._index.position, self.unindexed
        if lag:
            if lag <= len(records):
                fresh = records[-lag:][:_INDEX_PAGE]
                self._index.add(enumerate([record.stream for record in fresh], before + 1), before + len(fresh))
            else:
                page, last = self._file.page(before, _INDEX_PAGE)
                self._index.add([(record.position, record.stream) for record in page], last)
        return before < self._index.position < self._head

    async def read(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The next records after position `after`, at most `limit`; of one stream if named.

        Empty at the end. Raises LogError, LogDamaged. Holds those records and one value in memory.
        """
        found: list[Record] = []
        await trio.lowlevel.checkpoint()
        for page in self._pages(after, limit, stream):
            found += page
            if len(found) < limit:
                await trio.lowlevel.checkpoint()
        return found

    def read_now(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The same, without a checkpoint: for start-up, when nothing else is to run."""
        return [record for page in self._pages(after, limit, stream) for record in page]

    def _pages(self, after: int, limit: int, stream: str | None) -> Iterator[list[Record]]:
        self._check_open()
        while limit > 0 and after < self._head:
            try:
                page, last = self._page(after, limit, stream)
            except lmdb.Error as error:
                raise LogError(f"The log in {self._directory} cannot be read: {error}.") from error
            if last == after:
                raise LogDamaged(
                    f"The log in {self._directory} is damaged: its file ends at position {last}, before {self._head}."
                )
            after, limit = last, limit - len(page)
            yield page
            self._check_open()

    def _page(self, after: int, limit: int, stream: str | None) -> tuple[list[Record], int]:
        """Some of the records after `after`, at most `limit`, and the position up to which that is all of them."""
        if stream is None:
            return self._file.page(after, min(limit, _PAGE))
        return self._index.page(self._file, stream, after=after, limit=limit)

    async def trim(self, positions: Sequence[int]) -> None:
        """Erase these records (rising, the log's last not among them). Raises LogError, LogIsFull, ValueError.

        A step at a time, each durable and in its turn among the appends.
        """
        if positions and positions[-1] >= self._head:
            raise ValueError("The last record cannot be erased: it says where the log ends.")
        await trio.lowlevel.checkpoint()
        rest = deque(positions)
        async with self._rewriting:
            while rest:
                async with self._turn:
                    self._check_writable()
                    with trio.CancelScope(shield=True):
                        await self._trim_step(rest)

    async def _trim_step(self, rest: "deque[int]") -> None:
        try:
            erased = await self._on_thread(self._file.trim, rest)
        except Exception as error:
            raise self._failed(error, TRIM_BYTES) from error
        finally:
            self._file.forget()
        self._index.remove(erased)

    async def wait(self, after: int) -> int:
        """Return the last position as soon as it is greater than `after`. Raises LogError when the log is closed."""
        await trio.lowlevel.checkpoint()
        self._check_open()
        while self._head <= after:
            await self._appended.park()
            self._check_open()
        return self._head

    async def close(self) -> None:
        """Let go of the log, after the append that is under way; who waits gets LogError. Idempotent."""
        with trio.CancelScope(shield=True):
            async with self._turn:
                if not self._closed:
                    self._closed = True
                    self._appended.unpark_all()
                    self._file.close()
                    if self._ended is None:
                        with suppress(OSError):  # not written: the boot stays, and another boot has the log checked
                            say(self._directory, CLOSED)
                    self._file.unlock()
        await trio.lowlevel.checkpoint()

    async def compact(self) -> tuple[int, int]:
        """Go on in a copy of the file that has no free pages; the file's size in bytes before and after.

        Appends wait only while the last of them are copied and the file is exchanged. Raises LogIsFull, LogError.
        """
        async with self._rewriting:
            self._check_writable()
            before, copy = self.size_bytes, self._file.copy_in(self._directory)
            with trio.CancelScope(shield=True):
                try:
                    await trio.to_thread.run_sync(copy.begin)
                    while not await trio.to_thread.run_sync(copy.catch_up):
                        pass
                    async with self._turn:
                        self._check_writable()
                        while not await trio.to_thread.run_sync(copy.catch_up, limiter=self._thread):
                            pass
                        copy.check()
                        self._exchange(copy)
                except (lmdb.Error, OSError, RuntimeError) as error:  # RuntimeError: there is no thread to spare
                    raise LogError(f"The log in {self._directory} could not be copied: {error}.") from error
                finally:
                    copy.discard()
            return before, self.size_bytes

    def _exchange(self, copy: Copy) -> None:
        """In the writer's turn, and without an await: no read may meet a closed file."""
        try:
            self._file.exchange(self._directory, copy)
        except (lmdb.Error, OSError) as error:
            raise self._failed(error, 0) from error

    def _check_writable(self) -> None:
        self._check_open()
        if self._ended is not None:
            raise LogError(self._ended)

    def _check_open(self) -> None:
        if self._closed:
            raise LogError(f"The log in {self._directory} is closed.")


def _size(parts: Sequence[Sequence[bytes]]) -> int:
    """What records take, about, in bytes."""
    return sum(len(row) for rows in parts for row in rows)

"""The fold store in an LMDB file that is never waited for: no fsync, so a write costs what memory costs.

Rules:
1. After kill -9 the page cache still holds every write, in order: the store is whole.
2. After a crash of the machine it may hold anything, and LMDB would read it: it is deleted unopened. `folds/boot` names
   the machine's boot (and the process) while the store is open, and says "closed" after a close that reached the disk.
3. `folds/boot` is locked (flock) while the store is open: one process at a time.
4. A store that LMDB fails to read is marked, and the next open finds it empty: a restart is the repair.
5. No transaction is held between calls.
"""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby, islice, takewhile
from pathlib import Path
from typing import Final, cast
from uuid import uuid4

import lmdb

from kala_es.fold_store import FoldsError, FoldsFull, FoldsInUse
from kala_es.limits import LOG_MAP_BYTES

MAX_KEY_BYTES: Final = 500
_CLOSED: Final = "closed"
_BROKEN: Final = "broken"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MOST_MAP_BYTES: Final = 1 << 45
"""Some network disks claim exabytes; an address space has 128 TiB."""
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LmdbFoldStore:
    """The port's calls, each one transaction on the calling thread. Made by `open_folds`."""

    def __init__(self, env: lmdb.Environment, directory: Path, boot: int) -> None:
        self._env = env
        self._directory = directory
        self._boot = boot
        self._open = True
        self._broken = False

    def get(self, key: bytes) -> bytes | None:
        """The value, or None. Raises FoldsError."""
        try:
            with self._env.begin() as txn:
                return txn.get(key) if key else None
        except lmdb.Error as error:
            raise self._failed(error) from error

    def scan(self, start: bytes, stop: bytes, *, limit: int, reverse: bool = False) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs with start <= key < stop, from the low end or, reversed, the high end.

        Raises FoldsError.
        """
        try:
            with self._env.begin() as txn, txn.cursor() as cursor:
                return pairs(cursor, (start, stop), limit=limit, reverse=reverse)
        except lmdb.Error as error:
            raise self._failed(error) from error

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put each pair, in order; None removes the key.

        Raises ValueError for a key of a wrong length, FoldsFull, FoldsError; then nothing is changed.
        """
        try:
            self._env.reader_check()  # the pages that a reader saw which was killed would never be used again
            with self._env.begin(write=True) as txn:
                _apply(txn, changes)
        except lmdb.Error as error:
            raise self._failed(error) from error

    def clear(self) -> None:
        """Remove everything."""
        try:
            main = self._env.open_db()
            with self._env.begin(write=True) as txn:
                txn.drop(main, delete=False)
        except lmdb.Error as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the store. Idempotent. Waits for the disk, so that the next open may trust the file."""
        if not self._open:
            return
        self._open = False
        try:
            # Where this fails the boot id stays: after a crash of the machine the store is then opened empty.
            with suppress(lmdb.Error, OSError):
                self._env.sync(True)
                _sync_names(self._directory)
                _write_boot(self._boot, _BROKEN if self._broken else _CLOSED)
        finally:
            self._env.close()
            os.close(self._boot)

    def _failed(self, error: lmdb.Error) -> FoldsError:
        refusal = _refusal(error, self._directory)
        if self._open and not isinstance(refusal, FoldsFull):
            self._broken = True
            with suppress(OSError):  # the refusal is what matters; `close` tries again
                _write_boot(self._boot, _BROKEN)
        return refusal


def open_folds(directory: Path) -> LmdbFoldStore:
    """Open (or begin) the store in `directory`/folds; empty if the machine crashed while it was open, or it is broken.

    Raises FoldsInUse, FoldsFull, FoldsError.
    """
    folds = directory / "folds"
    try:
        folds.mkdir(mode=0o700, parents=True, exist_ok=True)
        boot = os.open(folds / "boot", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _refusal(error, folds) from error
    try:
        _lock(boot, directory)
        return LmdbFoldStore(_open_env(folds, boot), folds, boot)
    except (lmdb.Error, OSError) as error:
        os.close(boot)
        raise _refusal(error, folds) from error
    except FoldsInUse:
        os.close(boot)
        raise


def _lock(boot: int, directory: Path) -> None:
    try:
        fcntl.flock(boot, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _read_boot(boot)[1]
        raise FoldsInUse(f"The folds in {directory} are in use by process {holder or 'unknown'}.") from None


def _open_env(folds: Path, boot: int) -> lmdb.Environment:
    this_boot = _boot_id()
    if _read_boot(boot)[0] not in (_CLOSED, this_boot):
        _delete(folds)
    try:
        env = _lmdb(folds)
    except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError, lmdb.PageNotFoundError):
        _delete(folds)
        env = _lmdb(folds)
    try:
        # Before the first write: "closed" must not be what a crash leaves beside half of one.
        _write_boot(boot, this_boot)
    except OSError:
        env.close()
        raise
    return env


def _lmdb(folds: Path) -> lmdb.Environment:
    disk = os.statvfs(folds)
    size = min(max(LOG_MAP_BYTES, 4 * disk.f_blocks * disk.f_frsize), _MOST_MAP_BYTES) & -65536
    return lmdb.open(os.fsencode(folds), map_size=size, mode=0o600, sync=False, metasync=False)


def _delete(folds: Path) -> None:
    for name in ("data.mdb", "lock.mdb"):
        (folds / name).unlink(missing_ok=True)


def _sync_names(folds: Path) -> None:
    """So that no file which was deleted comes back beside a "closed"."""
    descriptor = os.open(folds, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return str(uuid4())  # unknown: then only a clean close is trusted


def _read_boot(boot: int) -> tuple[str, str]:
    """The boot (or word) and the process id that are in the file; empty if there are none."""
    word, _, process = os.pread(boot, 100, 0).decode("ascii", "replace").partition("\n")
    return word.strip(), process.strip()


def _write_boot(boot: int, word: str) -> None:
    """In place and of one width, so that it needs no room on a full disk; a torn word names no boot, which is safe."""
    os.pwrite(boot, f"{word:<36}\n{os.getpid():<19}\n".encode(), 0)
    os.fsync(boot)


def is_trusted(folds: Path) -> bool:
    """Whether a store is there, and whole: it is open in this boot of the machine, or was closed."""
    try:
        boot = os.open(folds / "boot", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _read_boot(boot)[0] in (_CLOSED, _boot_id())
    finally:
        os.close(boot)


def pairs(
    cursor: "lmdb.Cursor[bytes]", within: tuple[bytes, bytes], *, limit: int, reverse: bool
) -> list[tuple[bytes, bytes]]:
    """At most `limit` pairs from the first of two keys to before the second, from the low end or the high one."""
    return list(islice(_pairs(cursor, *within, reverse=reverse), limit))


def _pairs(cursor: "lmdb.Cursor[bytes]", start: bytes, stop: bytes, *, reverse: bool) -> Iterable[tuple[bytes, bytes]]:
    # An iterator on a cursor that found nothing would begin at the file's other end.
    if reverse:
        found = cursor.prev() if cursor.set_range(stop) else cursor.last()
        return takewhile(lambda pair: pair[0] >= start, cursor.iterprev()) if found else ()
    found = cursor.set_range(start)
    return takewhile(lambda pair: pair[0] < stop, cursor.iternext()) if found else ()


def _apply(txn: "lmdb.Transaction[bytes]", changes: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Those that put something and are neighbours are put together: that takes less time than each on its own."""
    pairs = list(changes)
    for size in {len(key) for key, _ in pairs}:
        if not 1 <= size <= MAX_KEY_BYTES:
            raise ValueError(f"A key is 1 to {MAX_KEY_BYTES} bytes; this one has {size}.")
    with txn.cursor() as cursor:
        for is_gone, some in groupby(pairs, key=_is_gone):
            if is_gone:
                for key, _ in some:
                    txn.delete(key)
            else:
                cursor.putmulti(cast("Iterator[tuple[bytes, bytes]]", some))


def _is_gone(change: tuple[bytes, bytes | None]) -> bool:
    return change[1] is None


def _refusal(error: lmdb.Error | OSError, folds: Path) -> FoldsError:
    code = error.code if isinstance(error, lmdb.Error) else error.errno
    # LMDB says EIO for a write that a full disk cut short; no other EIO comes from a write that is not waited for.
    if isinstance(error, lmdb.MapFullError) or code in (*_NO_ROOM, errno.EIO):
        return FoldsFull(f"There is no room to write in {folds}: {error}.")
    return FoldsError(f"The folds in {folds} cannot be used: {error}.")

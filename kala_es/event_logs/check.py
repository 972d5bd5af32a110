"""How a log lies in its directory, and the check of one that a crash of the machine may have damaged.

`log/data.mdb` is the LMDB file. Its database "meta" has the `format`, the log's `id` and its `tree` (how many records,
8 bytes, and the digests of log_tree.py); "records" has the values, which batch.py describes. A value's key is the
position of its first record (8 bytes, big-endian). A crash may leave `log/begun.mdb`, half of an empty log. `opened`
says "closed", or names the machine's boot while the log is open. `lock` is locked meanwhile and holds a process id.

`python -m kala_es.event_logs.check DIRECTORY` prints a sentence and exits 0 (whole), 1 (damaged) or 3 (newer). It is a
process of its own, because LMDB maps the file: a page that is missing is met as a signal, which no `except` catches.
It reads every page and every record, and changes nothing.
"""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

import lmdb
import lmdb.verify

from kala_es import log_tree
from kala_es.event_log import LogDamaged, LogError, LogIsFull, LogIsNewer, Record
from kala_es.event_logs.batch import Batch, decode_batch
from kala_es.limits import LOG_MAP_BYTES
from kala_es.mapped import is_short

FORMAT: Final = 3
"""The file's layout; a higher one is left alone. Those below 3 have no digests."""
LEFT_OUT: Final = b"left out"
"""In `meta`: up to this position (8 bytes) an imported or restored log has holes for which it has no reason."""
CLOSED: Final = "closed"
FAILED: Final = "failed"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_NEWER_EXIT: Final = 3
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MOST_MAP_BYTES: Final = 1 << 45
"""Some network disks claim exabytes; an address space has 128 TiB."""


def data_file(directory: Path) -> Path:
    """Where the log that is kept in `directory` has its bytes."""
    return directory / "log" / "data.mdb"


def lock_file(directory: Path) -> Path:
    """Where LMDB notes who reads them."""
    return directory / "log" / "lock.mdb"


def boot_id() -> str:
    """What the machine's present boot is called; 36 letters."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return str(uuid4())  # unknown: then only a clean close is trusted


def say(directory: Path, word: str) -> None:
    """Write `opened`: CLOSED, FAILED (writing failed for good) or the boot. Durable.

    In place and of one width, so that it needs no room on a full disk. A torn word names no boot: the log is checked.
    """
    descriptor = os.open(directory / "opened", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, f"{word:<36}\n".encode(), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def was_machine_crash(directory: Path) -> bool:
    """Whether the log in `directory` was left open by another boot of the machine (or after a failed write).

    To be asked before the log is opened. Folds that are not fsynced cannot be trusted then.
    """
    if not data_file(directory).exists():
        return False
    try:
        word = (directory / "opened").read_text(errors="replace").strip()
    except FileNotFoundError:
        word = ""
    return word not in (CLOSED, boot_id())


def read_format(env: lmdb.Environment) -> bytes | None:
    """The id of the log in `env`, or None if nothing is in it yet. Raises LogIsNewer, LogDamaged."""
    try:
        meta = env.open_db(b"meta", create=False)
    except lmdb.NotFoundError:
        if env.stat()["entries"]:
            raise LogDamaged(f"{env.path()} holds something that is not a log.") from None
        return None
    with env.begin(db=meta) as txn:
        stored, log_id = txn.get(b"format", b""), txn.get(b"id", b"")
    if not stored.isdigit() or not log_id:
        raise LogDamaged(f"The log in {env.path()} does not say its format.")
    if int(stored) > FORMAT:
        raise LogIsNewer(f"The log in {env.path()} has format {int(stored)}; this version reads up to {FORMAT}.")
    return log_id


def begin(directory: Path) -> None:
    """Begin a log in `directory`, if nothing is there. Raises LogDamaged (it is gone), LogIsFull, lmdb.Error, OSError.

    It is made under another name and gets its own when it is durable: a crash of the machine leaves a log or none.
    """
    data = data_file(directory)
    if data.exists() and data.stat().st_size:
        return
    if (directory / "opened").exists():
        raise gone(directory)
    begun = data.with_name("begun.mdb")
    begun.unlink(missing_ok=True)
    try:
        _write_empty(begun)
    except lmdb.Error as error:
        if says_full(error, begun, 8192):
            raise LogIsFull(f"There is no room to open the log in {directory}: {error}.") from error
        raise
    begun.replace(data)
    for parent in (data.parent, directory, directory.absolute().parent):
        sync_names(parent)
    say(directory, boot_id())
    sync_names(directory)


def gone(directory: Path) -> LogDamaged:
    """The log has been here."""
    return LogDamaged(f"The log in {directory} is gone: it has been open before, and now there is nothing in it.")


def _write_empty(file: Path) -> None:
    with (
        lmdb.open(os.fsencode(file), subdir=False, lock=False, mode=0o600, max_dbs=4) as env,
        env.begin(write=True) as txn,
    ):
        env.open_db(b"records", txn=txn)
        meta = env.open_db(b"meta", txn=txn)
        txn.put(b"format", str(FORMAT).encode(), db=meta)
        txn.put(b"id", uuid4().bytes, db=meta)
        txn.put(b"tree", dump_tree(log_tree.Span()), db=meta)


def sync_names(directory: Path) -> None:
    """Make the names of the files in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def map_bytes(directory: Path) -> int:
    """Address space for the file: more than the disk, because to widen it later would end every reader."""
    disk = os.statvfs(directory)
    return min(max(LOG_MAP_BYTES, 4 * disk.f_blocks * disk.f_frsize), _MOST_MAP_BYTES) & -65536


def says_full(error: Exception, data: Path, size: int) -> bool:
    """Whether a write of `size` bytes to the log's file failed for want of room."""
    code = error.code if isinstance(error, lmdb.Error) else getattr(error, "errno", None)
    if isinstance(error, lmdb.MapFullError) or code in _NO_ROOM:
        return True
    if code != errno.EIO:
        return False
    # LMDB says EIO, as of a broken disk, of a write that was cut short. So ask whether the file can still grow:
    # at its end, which LMDB does not use yet; if it can, later appends use what this takes.
    try:
        with open(data, "r+b") as file:
            os.posix_fallocate(file.fileno(), data.stat().st_size, size + 65536)
    except OSError as refusal:
        return refusal.errno in _NO_ROOM
    return False


def check_in_child(directory: Path) -> None:
    """Run the check and raise what it found: LogDamaged, LogIsNewer, or LogError if it could not be run."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "kala_es.event_logs.check", os.fspath(directory)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    sentence = done.stdout.strip()
    if done.returncode < 0:
        raise LogDamaged(
            f"The log in {directory} is damaged: its check died by {signal.Signals(-done.returncode).name}."
        )
    if done.returncode and not sentence:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise LogError(f"The log in {directory} could not be checked: {why}.")
    if done.returncode:
        raise (LogIsNewer if done.returncode == _NEWER_EXIT else LogDamaged)(sentence)


def check(directory: Path) -> int:
    """Read everything and give the last position. Raises LogDamaged, LogIsNewer; a signal may end the process."""
    data = data_file(directory)
    if not data.exists() or not data.stat().st_size:
        return 0
    # map_size 0: as large as the file says. No lock file: whoever asks holds the directory's lock.
    with lmdb.open(os.fsencode(data.parent), map_size=0, max_dbs=4, readonly=True, lock=False, create=False) as env:
        if read_format(env) is None:
            return 0
        _check_pages(data)
        return _check_records(env)


def check_length(env: lmdb.Environment, directory: Path) -> None:
    """Raise LogDamaged if the file in `env` was cut off. Where nothing uses the last pages, all are read."""
    data = data_file(directory)
    while is_short(env, data):
        commit = env.info()["last_txnid"]
        try:
            _check_pages(data)
        except (LogDamaged, lmdb.verify.VerifyError) as error:
            if env.info()["last_txnid"] == commit:  # else a server wrote meanwhile
                raise LogDamaged(f"The log in {directory} is damaged: its file is cut off.") from error
        else:
            return


def _check_pages(data: Path) -> None:
    """A page that is in use and also listed as free would be overwritten later, by an append."""
    problems = lmdb.verify.verify(os.fspath(data), subdir=False)  # type: ignore[no-untyped-call]
    for problem in problems:
        if "a leak" not in problem:  # pages that nothing uses: room lost, no record
            raise LogDamaged(f"The log in {data.parent} is damaged: {problem}.")


def _check_records(env: lmdb.Environment) -> int:
    meta = env.open_db(b"meta", create=False)
    with env.begin() as txn:
        noted = read_tree(txn, meta)
    tree = log_tree.Span()
    for batch in batches(env):
        for position, row in zip(batch.positions, batch.rows, strict=True):
            _check_row(Record(position, *row))
        batch.extend(tree)
    if noted is not None and (noted.end, noted.digests) != (tree.end, tree.digests):
        raise LogDamaged(f"The log in {env.path()} is damaged: its digests, at position {noted.end}, are of another.")
    return tree.end


def batches(env: lmdb.Environment) -> Iterator[Batch]:
    """All values of a log, which follow each other. Raises LogDamaged. No other transaction of the thread meanwhile."""
    last = 0
    with env.begin(db=env.open_db(b"records", create=False)) as txn, txn.cursor() as cursor:
        for key, value in cursor.iternext():
            first = int.from_bytes(key, "big")
            if len(key) != 8 or first != last + 1:
                raise LogDamaged(f"The log in {env.path()} is damaged: position {last + 1} is followed by {key.hex()}.")
            batch = decode_batch(first, value)
            last = batch.last
            yield batch


def dump_tree(tree: log_tree.Span) -> bytes:
    """The digests of a whole log, as `meta` has them."""
    return tree.end.to_bytes(8, "big") + tree.digests


def read_tree(txn: "lmdb.Transaction[bytes]", meta: "lmdb._Database") -> log_tree.Span | None:
    """Those that `meta` has; None in a log from before there were any. Raises LogDamaged."""
    noted = txn.get(b"tree", db=meta)
    if noted is None:
        return None
    try:
        return log_tree.span_of(noted[8:], int.from_bytes(noted[:8], "big"))
    except ValueError as error:
        raise LogDamaged(f"The digests that the log keeps are damaged: {error}.") from error


def _check_row(record: Record) -> None:
    texts = isinstance(record.stream, str) and isinstance(record.type, str) and isinstance(record.principal, str)
    numbers = isinstance(record.version, int) and isinstance(record.time, int)
    if not (texts and numbers and isinstance(record.body, bytes)):
        raise LogDamaged(f"The record at position {record.position} is not one.")


def main(argv: Sequence[str]) -> int:
    """Check the log in the directory that `argv` names; print a sentence and give the exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a signal is an expected answer here, not one to keep
    try:
        last = check(Path(argv[0]))
    except LogIsNewer as error:
        print(error)
        return _NEWER_EXIT
    except (LogDamaged, lmdb.Error, lmdb.verify.VerifyError, ValueError, TypeError, EOFError) as error:
        print(error if isinstance(error, LogDamaged) else f"The log in {argv[0]} is damaged: {error}.")
        return 1
    print(f"The log in {argv[0]} is whole: {last} records.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

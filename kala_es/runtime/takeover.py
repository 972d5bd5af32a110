"""An archive that becomes the log of a server that runs: made ready beside its log, and put into its place.

1. It is made by a process of its own, `python -m kala_es.runtime.takeover PLACE`, which reads it from standard input: a
   directory in which a node has started, as far as reading goes. What a node could not read is refused before
   anything here is touched. The process says what it made, or fails with a sentence on standard error.
2. One rename makes it the log, or one transaction of the database that has the log: while nobody has that open, and
   only if it has no record. Whatever cuts this off, the empty log is there or all of the archive's.
3. What was folded goes with it. If it gets lost the next start folds anew.
"""

import os
import select
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO, Final

import msgspec
import trio

from kala_es import archive
from kala_es.domain.errors import Conflict
from kala_es.event_log import LogAway, LogDamaged, LogError, LogIsFull
from kala_es.event_logs.building import held, move_in
from kala_es.event_logs.lmdb import LmdbEventLog, open_log
from kala_es.event_logs.postgres_place import Database
from kala_es.fold_store import FoldsError, FoldsFull
from kala_es.fold_stores.lmdb import open_folds
from kala_es.projections import snapshot
from kala_es.projections.folds import Folds
from kala_es.replay.exporting import NO_ROOM_EXIT
from kala_es.replay.jobs_of import REFUSED_EXIT
from kala_es.replay.log_file import Moment, open_moment
from kala_es.runtime.rebuilding import import_into
from kala_es.runtime.recovery import replay

_FOLDED: Final = ("folds", "snapshot.cbor")


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive has, and what its log says at its end. `output` as its header has it."""

    position: int
    digest: bytes
    records: int
    erased: int
    output: bool
    jobs: int


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A log that was made of an archive, in a place of its own."""

    place: Path
    made: Made


def new_place(directory: Path) -> Path:
    """A place in a data directory for a log that is coming. Raises OSError."""
    top = _top(directory)
    top.mkdir(mode=0o700, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=top))


def discard(place: Path) -> None:
    """Remove what is there; nothing, if it has become the log."""
    shutil.rmtree(place, ignore_errors=True)
    with suppress(OSError):  # another one is coming
        place.parent.rmdir()


def remove_left(directory: Path) -> None:
    """Remove what servers have left that were cut off. To be asked when the directory is held."""
    shutil.rmtree(_top(directory), ignore_errors=True)


def _top(directory: Path) -> Path:
    return directory / "incoming"


def put_in_place(place: Path, directory: Path) -> None:
    """Make what was made in a place the log of a directory. Raises Conflict, LogError, OSError."""
    with held(directory):
        with open_moment(directory) as here:
            if here.position:
                raise Conflict(f"the log is no longer empty, it is at position {here.position}; nothing was imported")
        move_in(place, directory)
    _move_folds(place, directory)
    discard(place)


def put_in_database(place: Path, directory: Path, database: Database) -> None:
    """Make what was made in a place the log of a database, whose folds are in a directory. Raises Conflict, LogError.

    An answer that is lost leaves open what became of it. So it is looked at.
    """
    with open_moment(place) as made:
        try:
            _copy(made, database)
        except LogAway:
            if not _is_there(made, database):
                raise
    _move_folds(place, directory)
    discard(place)


def _copy(made: Moment, database: Database) -> None:
    from kala_es.event_logs.postgres_building import build

    with build(database) as building:
        if building.head:
            raise Conflict(f"the log is no longer empty, it is at position {building.head}; nothing was imported")
        for batch, value in made.batches():
            building.put(batch.first, value)
        building.finish(made.log_id, made.tree_at(made.position), left_out=made.left_out())


def _is_there(made: Moment, database: Database) -> bool:
    with open_moment(database) as there:
        return (there.log_id, there.position) == (made.log_id, made.position)


def _move_folds(place: Path, directory: Path) -> None:
    with suppress(OSError):
        for name in _FOLDED:
            _remove(directory / name)
            (place / name).replace(directory / name)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def make(file: IO[bytes], place: Path) -> Made:
    """Make a log of an archive of a whole log. Raises ArchiveRefused, LogError, FoldsError."""
    header = next(archive.read(file))
    assert isinstance(header, archive.Header)
    if header.after:
        raise LogError(f"The archive goes on after position {header.after}; this server's log is empty.")
    file.seek(0)
    end = import_into(file, place)
    jobs = trio.run(_start, place)
    return Made(
        position=end.position,
        digest=end.digest,
        records=end.records,
        erased=end.erased,
        output=header.output,
        jobs=jobs,
    )


async def _start(place: Path) -> int:
    """Read the log in a place as a node does, and save what that folds; how many jobs there are."""
    store = open_folds(place)
    try:
        log = open_log(place, store)
        try:
            folds = Folds(store)
            await _replay(log, folds)
            if folds.position:
                last = log.read_now(folds.position - 1, limit=1)[0]
                parts = list(snapshot.freeze(folds, snapshot.anchor_of(last.body)))
                snapshot.write(place / "snapshot.cbor", snapshot.sealed(parts))
            return folds.stats.jobs
        finally:
            await log.close()
    finally:
        store.close()


async def _replay(log: LmdbEventLog, folds: Folds) -> None:
    try:
        await replay(log, folds, head=log.head)
    except (LogError, FoldsError, OSError):
        raise
    except Exception as error:
        raise LogDamaged(f"No server can start on this log: {error!r}.") from error


def end_with_reader(output: IO[bytes]) -> None:
    """End the process once nobody reads this any more, or at once: the server that wanted it was killed, and the next
    one removes what is left. Where the output is no pipe that never comes."""
    watch = select.poll()
    watch.register(output, 0)  # an error is told unasked

    def end_after(milliseconds: int | None) -> None:
        if watch.poll(milliseconds):
            os._exit(1)

    end_after(0)  # before anything is made: to be loaded took a while
    Thread(target=end_after, args=(None,), daemon=True).start()


def main(argv: Sequence[str]) -> int:
    """Make a log of the archive on standard input, and say what it has; the exit code."""
    end_with_reader(sys.stdout.buffer)
    try:
        made = make(sys.stdin.buffer, Path(argv[0]))
    except (LogIsFull, FoldsFull) as error:
        print(error, file=sys.stderr)
        return NO_ROOM_EXIT
    except (archive.ArchiveRefused, LogError) as error:
        print(error, file=sys.stderr)
        return REFUSED_EXIT
    sys.stdout.buffer.write(msgspec.msgpack.encode(made))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Where a node keeps what it knows: log and folds in one directory, or the log in a database, or all in memory."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import trio

from kala_es import limits
from kala_es.event_log import EventLog, LogError, LogInUse
from kala_es.event_logs.check import data_file
from kala_es.event_logs.lmdb import open_log
from kala_es.event_logs.memory import MemoryEventLog
from kala_es.event_logs.postgres_place import ELSEWHERE, Database, Place, database_of
from kala_es.fold_store import FoldsInUse, FoldStore
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.replay.log_file import open_moment
from kala_es.replay.moments import Source
from kala_es.runtime import takeover
from kala_es.runtime.compaction import Compact
from kala_es.settings import Settings


class Away(Protocol):
    """A log that is in a database, which may be away."""

    @property
    def away(self) -> str | None:
        """Why nothing can be written, or read, at present; None: it can."""

    @property
    def refusing(self) -> str | None:
        """The same, once that lasts for so long that it is not to be waited for."""

    def hurry(self) -> None:
        """Put off what can be."""

    def give_up(self) -> None:
        """Wait for it no longer."""


class _Kept(EventLog, Source, Protocol):
    """A log that outlives the process."""

    @property
    def left_out(self) -> int:
        """Up to here records may be missing that the log was made without."""

    @property
    def size_bytes(self) -> int:
        """What it takes."""

    async def compact(self) -> tuple[int, int]:
        """Give back what is free in it; its size before and after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where a node keeps what it knows. `source` is what the log holds, `head` its last position.
    `place` is where the log is, `directory` where the folds are; these and `snapshot` are None when nothing outlives
    the process. Up to `left_out` records may be missing that the log was made without."""

    log: EventLog
    source: Source
    folds: FoldStore
    snapshot: Path | None = None
    compact: Compact | None = None
    place: Place | None = None
    directory: Path | None = None
    away: Away | None = None
    left_out: int = 0
    log_bytes: Callable[[], int | None] = lambda: None
    """What the log takes; None when it is in memory."""

    def head(self) -> int:
        """The log's last position."""
        return self.source.head

    def refusing(self) -> str | None:
        """Why the log is not to be waited for at present; None: it is there, or may be back soon."""
        return None if self.away is None else self.away.refusing

    def takes_work(self) -> bool:
        """Whether the log is there, and there is room on the disk here."""
        if self.away is not None and self.away.away is not None:
            return False
        return self.directory is None or shutil.disk_usage(self.directory).free >= limits.DISK_RESERVE_BYTES

    async def give_up_after(self, asked: trio.Event) -> None:
        """Once that is asked, wait no longer for a log that is away: the node ends, and its agent keeps what runs."""
        await asked.wait()
        if self.away is None:
            return
        self.away.hurry()
        while True:
            await trio.sleep(limits.LEAVE_SECONDS)
            if self.away.refusing is not None:
                self.away.give_up()

    @property
    def snapshots(self) -> Path | None:
        """The directory of snapshots of the past."""
        return self.snapshot.with_name("snapshots") if self.snapshot else None

    @property
    def redacting(self) -> Path | None:
        """The file that is there while the log may have bytes of a redacted run. It goes where a log's file goes."""
        if isinstance(self.place, Path):
            return data_file(self.place).with_name("redacting")
        return self.directory / "redacting" if self.directory else None


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Storage]:
    """Open what the settings name. Raises LogError, OSError, SettingError."""
    if not settings.persist:
        memory = MemoryEventLog()
        yield Storage(log=memory, source=memory, folds=MemoryFoldStore())
        return
    database = database_of(settings)
    settings.data.mkdir(parents=True, exist_ok=True)
    try:
        folds = open_folds(settings.data)
    except FoldsInUse:
        raise LogInUse(f"the data directory {settings.data} is in use by another process") from None
    try:
        takeover.remove_left(settings.data)
        opened = _in_file(settings, folds) if database is None else _in_database(database, settings, folds)
        async with opened as storage:
            yield storage
    finally:
        folds.close()


@asynccontextmanager
async def _in_file(settings: Settings, folds: FoldStore) -> AsyncIterator[Storage]:
    directory = settings.data.absolute()
    _check_none_is_elsewhere(directory, folds)
    log = await trio.to_thread.run_sync(open_log, settings.data, folds)
    try:
        yield _storage(log, folds, place=directory, directory=directory)
    finally:
        with trio.CancelScope(shield=True):
            await log.close()


@asynccontextmanager
async def _in_database(database: Database, settings: Settings, folds: FoldStore) -> AsyncIterator[Storage]:
    from kala_es.event_logs import postgres

    directory = settings.data.absolute()
    may_begin = partial(_check_none_is_left_behind, directory, database)
    log = await trio.to_thread.run_sync(partial(postgres.open_log, database, folds, may_begin=may_begin))
    try:
        async with trio.open_nursery() as watching:
            watching.start_soon(log.keep_watch)
            yield _storage(log, folds, place=database, directory=directory, away=log)
            watching.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await log.close()


def _storage(log: _Kept, folds: FoldStore, *, place: Place, directory: Path, away: Away | None = None) -> Storage:
    return Storage(
        log=log,
        source=log,
        folds=folds,
        snapshot=directory / "snapshot.cbor",
        compact=log.compact,
        place=place,
        directory=directory,
        away=away,
        left_out=log.left_out,
        log_bytes=lambda: log.size_bytes,
    )


def _check_none_is_elsewhere(directory: Path, folds: FoldStore) -> None:
    """Nobody means to begin anew who only does not say any more where the log is. Raises LogError."""
    elsewhere = folds.get(ELSEWHERE)
    if elsewhere is not None and not data_file(directory).exists():
        raise LogError(
            f"{directory} has no log, and what else is there is of the log in {elsewhere.decode()}: say where it is "
            "(--log URL), or name another --data to begin anew."
        )


def _check_none_is_left_behind(directory: Path, database: Database) -> None:
    """Nobody means to begin anew who only says where the log is to be from now on. Raises LogError."""
    if not data_file(directory).exists():
        return
    with open_moment(directory) as here:
        if here.position:
            raise LogError(
                f"The log in {database} is empty, and {directory} has a log that ends at position {here.position}: "
                f"take it along (kala-es export FILE --data {directory}; kala-es import FILE --log URL), or name "
                "another --data to begin anew."
            )


@asynccontextmanager
async def agent_place(settings: Settings) -> AsyncIterator[Path]:
    """The directory in which the agent listens: the data directory, or one that is gone with this process."""
    if settings.persist:
        yield settings.data
        return
    with tempfile.TemporaryDirectory(prefix="kala-es-") as directory:
        yield Path(directory)

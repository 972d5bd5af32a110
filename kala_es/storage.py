"""Where a node keeps what it knows: the log and the folds in one directory, or in memory."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from kala_es.event_log import EventLog, LogInUse, Record
from kala_es.event_logs.check import data_file
from kala_es.event_logs.lmdb import open_log
from kala_es.event_logs.memory import MemoryEventLog
from kala_es.fold_store import FoldsInUse, FoldStore
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.replay.moments import Source
from kala_es.runtime import takeover
from kala_es.runtime.compaction import Compact
from kala_es.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where a node keeps what it knows. `source` is what the log holds, `head` its last position.
    `snapshot` and `directory` are None when nothing outlives the process. Up to `left_out` records may be missing that
    the log was made without."""

    log: EventLog
    source: Source
    folds: FoldStore
    snapshot: Path | None = None
    compact: Compact | None = None
    directory: Path | None = None
    left_out: int = 0

    def head(self) -> int:
        """The log's last position."""
        return self.source.head

    def record(self, position: int) -> Record:
        """The record at a position."""
        return self.source.read_now(position - 1, limit=1)[0]

    def log_bytes(self) -> int | None:
        """What the log's file takes; None when it is in memory."""
        return data_file(self.directory).stat().st_size if self.directory else None

    @property
    def snapshots(self) -> Path | None:
        """The directory of snapshots of the past."""
        return self.snapshot.with_name("snapshots") if self.snapshot else None

    @property
    def redacting(self) -> Path | None:
        """The file that is there while the log's file may have bytes of a redacted run; it goes where the log goes."""
        return data_file(self.directory).with_name("redacting") if self.directory else None


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Storage]:
    """Open what the settings name. Raises LogError, OSError."""
    if not settings.persist:
        memory = MemoryEventLog()
        yield Storage(log=memory, source=memory, folds=MemoryFoldStore())
        return
    settings.data.mkdir(parents=True, exist_ok=True)
    try:
        folds = open_folds(settings.data)
    except FoldsInUse:
        raise LogInUse(f"the data directory {settings.data} is in use by another process") from None
    try:
        takeover.remove_left(settings.data)
        log = await trio.to_thread.run_sync(open_log, settings.data, folds)
        try:
            yield Storage(
                log=log,
                source=log,
                folds=folds,
                snapshot=settings.data.absolute() / "snapshot.cbor",
                compact=log.compact,
                directory=settings.data.absolute(),
                left_out=log.left_out,
            )
        finally:
            with trio.CancelScope(shield=True):
                await log.close()
    finally:
        folds.close()


@asynccontextmanager
async def agent_place(settings: Settings) -> AsyncIterator[Path]:
    """The directory in which the agent listens: the data directory, or one that is gone with this process."""
    if settings.persist:
        yield settings.data
        return
    with tempfile.TemporaryDirectory(prefix="kala-es-") as directory:
        yield Path(directory)

"""Gives the disk back what was erased from the log: of a node that runs, or of a place that no node has open."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from kala_es.domain.errors import Forbidden, LogFull, Unavailable
from kala_es.event_log import LogError, LogIsFull
from kala_es.event_logs.check import data_file
from kala_es.event_logs.lmdb import open_log
from kala_es.event_logs.postgres_place import Database, Place
from kala_es.fold_stores.lmdb import open_folds

Compact = Callable[[], Awaitable[tuple[int, int]]]
"""Compacts the log; its file's size in bytes before and after."""


async def compact_running(compact: Compact | None) -> tuple[int, int]:
    """Compact the log of this node. Raises Forbidden (it has no file), LogFull, Unavailable."""
    if compact is None:
        raise Forbidden("this server keeps everything in memory; there is no file to make smaller")
    try:
        return await compact()
    except LogIsFull as error:
        raise LogFull(str(error)) from error
    except LogError as error:
        raise Unavailable(str(error)) from error


async def compact_stopped(place: Place) -> tuple[int, int]:
    """Compact the log in a directory or a database. Raises LogError, FoldsError, OSError."""
    if isinstance(place, Database):
        from kala_es.event_logs.postgres_holder import compact_held

        return await trio.to_thread.run_sync(compact_held, place)
    return await _compact_file(place)


async def _compact_file(directory: Path) -> tuple[int, int]:
    if not data_file(directory).exists():
        raise LogError(f"There is no log in {directory}.")
    folds = open_folds(directory)
    try:
        log = await trio.to_thread.run_sync(open_log, directory, folds)
        try:
            return await log.compact()
        finally:
            await log.close()
    finally:
        folds.close()

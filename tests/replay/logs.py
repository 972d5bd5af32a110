"""Logs in directories for tests: filled, erased from in places, and read again."""

from collections.abc import Sequence
from pathlib import Path

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.event_log import NewRecord
from kala_es.event_logs.lmdb import LmdbEventLog, open_log
from kala_es.fold_stores.memory import MemoryFoldStore


def new(number: int, size: int = 20) -> NewRecord:
    """A record of about this size; every third is of a run's output."""
    job, run, at = JobId(f"{number % 5}"), RunId(f"r{number}"), Instant(1_700_000_000_000_000 + number)
    text = f"{number:04}" * (size // 4)
    if number % 3 != 2:
        return codec.encode(e.StatusReported(job=job, at=at, run=run, status=text), "álice")
    content = text.encode()
    chunk = e.OutputChunk(job=job, at=at, run=run, attempt=1, sequence=1, channel="stdout", offset=0, content=content)
    return codec.encode(chunk, "álice")


def opened(directory: Path) -> LmdbEventLog:
    """The log in a directory, or a new one."""
    directory.mkdir(exist_ok=True)
    return open_log(directory, MemoryFoldStore())


async def fill(directory: Path, count: int, *, erase: Sequence[int] = (), size: int = 20) -> tuple[int, bytes]:
    """Append so many records in commits of nine, then erase some; the head and the digest."""
    log = opened(directory)
    head = log.head
    for first in range(head, head + count, 9):
        await log.append([new(number, size) for number in range(first, min(first + 9, head + count))])
    await log.trim(erase)
    await log.close()
    return log.head, log.digest


async def contents(directory: Path) -> tuple[int, bytes, list[object]]:
    """Head, digest and all records."""
    log = opened(directory)
    try:
        return log.head, log.digest, [*await log.read(0, limit=1 << 30)]
    finally:
        await log.close()

"""Bases: the state of everything at a position, written into the log, so that older facts may be erased.

1. The parts are appended one small commit at a time, beside what else is written; `BaseTaken`, the last, makes them
   count. Parts without it are rubbish.
2. What is frozen is one moment's: frozen values, noted at once and encoded at leisure.
3. A base is a truth: when it cannot be read, the log is damaged.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

import trio

from kala_es import codec, limits
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.model import Job
from kala_es.domain.trimming import BasePart, BaseTaken
from kala_es.event_log import EventLog
from kala_es.projections import snapshot
from kala_es.projections.folds import Folds
from kala_es.runtime.log_writer import LogWriter

_PAGE = 16


async def take_base(folds: Folds, writer: LogWriter, now: Callable[[], Instant]) -> int:
    """Write a base of the folds as they are now; the position of its last record. Raises Unavailable."""
    base, forgotten, number = folds.position, folds.history.sums.forgotten, 0
    digest = blake2b(digest_size=32)
    for content in _parts(snapshot.freeze(folds, b"")):
        number += 1
        digest.update(content)
        await writer.append([BasePart(at=now(), base=base, number=number, content=content)])
    taken = BaseTaken(at=now(), base=base, parts=number, digest=digest.digest(), forgotten=forgotten)
    return await writer.append([taken])


def _parts(contents: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, those of large jobs in several records."""
    for content in contents:
        for start in range(0, len(content), limits.BASE_PART_BYTES):
            yield content[start : start + limits.BASE_PART_BYTES]


async def newest_base(log: EventLog) -> BaseTaken | None:
    """The base that counts, if there is one."""
    newest, position = None, 0
    while page := await log.read(position, limit=_PAGE, stream=codec.BASES_STREAM):
        position = page[-1].position
        event = codec.decode(page[-1])
        assert isinstance(event, BaseTaken)
        newest = event
    return newest


async def load_base(log: EventLog, base: BaseTaken, folds: Folds) -> None:
    """Fill empty folds from a base. Raises LogDamaged."""
    for _ in snapshot.filling_base(folds, await _content(log, base), base):
        pass


async def job_at(log: EventLog, folds: Folds, job: JobId) -> tuple[Job | None, int]:
    """A job's state by the newest base, and the position from which its facts go on."""
    while (base := folds.base) is not None:
        content = await _content(log, base)
        if base is folds.base:  # else its parts may be erased by now
            return snapshot.job_in(content, job), base.base
    return None, 0


async def _content(log: EventLog, base: BaseTaken) -> bytes:
    parts: list[bytes] = []
    position = base.base
    while page := await log.read(position, limit=_PAGE, stream=codec.base_stream(base.base)):
        position = page[-1].position
        for record in page:
            event = codec.decode(record)
            assert isinstance(event, BasePart)
            parts.append(event.content)
        await trio.lowlevel.checkpoint()
    return b"".join(parts[: base.parts])

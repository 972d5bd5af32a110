"""Redacts a run: erases what it printed, and leaves who asked for it, when and why.

1. The event is durable before a byte is erased; a redaction that was cut off is finished by the next start.
2. Erased records leave their bytes in pages of the file that are free then: so the file is copied without those, which
   is what makes a leaked secret go away.
3. A mark is durable before a byte is erased, and goes when that copy is in place: where it is left, the next start
   makes the copy.
4. Asked again, it does again what may be left of that.
"""

from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol

import trio

from kala_es import codec, limits
from kala_es.clock import Clock
from kala_es.domain.errors import Conflict, Invalid, LogFull, NotFound, Unavailable
from kala_es.domain.events import OutputChunk
from kala_es.domain.ids import RunId
from kala_es.domain.trimming import RunRedacted, TrimmedRun
from kala_es.event_log import EventLog, LogIsFull, Record
from kala_es.event_logs.check import sync_names
from kala_es.projections.folds import Folds
from kala_es.projections.runs import RunSummary
from kala_es.runtime.compaction import Compact, compact_running
from kala_es.runtime.log_writer import LogWriter

_PAGE: Final = 256
"""With full chunks four megabytes."""
_FULL_SECONDS: Final = 5.0


class Disk(Protocol):
    """Where the log is."""

    @property
    def log(self) -> EventLog:
        """The log."""

    @property
    def compact(self) -> Compact | None:
        """Makes its file anew, without what is free in it; None: there is no file."""

    @property
    def redacting(self) -> Path | None:
        """The mark (3)."""


class Redactor:
    """Erases what was printed: when it is asked to, and what is left of that at a start."""

    def __init__(self, folds: Folds, disk: Disk, *, clock: Clock, writer: LogWriter) -> None:
        self._folds = folds
        self._clock = clock
        self._log = disk.log
        self._writer = writer
        self._compact = disk.compact
        self._mark = disk.redacting
        self._was_marked = self._mark is not None and self._mark.exists()  # before anyone can ask this one for more
        self._going = 0

    async def redact(self, run: RunId, reason: str, by: str) -> None:
        """Erase the output of a run that is over. Raises NotFound, Conflict, Invalid, LogFull, Unavailable."""
        if not 0 < len(reason) <= limits.MAX_REASON_CHARS:
            raise Invalid("reason", f"must have 1 to {limits.MAX_REASON_CHARS} characters")
        summary = self._folds.runs.get(run)
        if summary is None:
            raise NotFound(f"there is no run {run!r}")
        if summary.outcome is None:
            raise Conflict("the run is in flight; wait for its end, or cancel it")
        position = await self._say(summary, reason, by) if summary.redacted is None else summary.redacted.position
        await self._get_rid([(run, position)])

    async def finish(self) -> None:
        """Do what a redaction has left that was cut off. A full disk is waited for."""
        left = [each for each in await self._redacted() if await self._has_left(*each)]
        while left or self._was_marked:
            try:
                return await self._get_rid(left)
            except (LogFull, Unavailable):
                await self._clock.sleep(_FULL_SECONDS)

    async def _redacted(self) -> list[tuple[RunId, int]]:
        """All runs that were ever redacted, and at which position."""
        found, after = list[tuple[RunId, int]](), 0
        while page := await self._log.read(after, limit=_PAGE, stream=codec.REDACTIONS_STREAM):
            after = page[-1].position
            for record in page:
                event = codec.decode(record)
                assert isinstance(event, RunRedacted)
                found.append((event.run.run, record.position))
        return found

    async def _has_left(self, run: RunId, before: int) -> bool:
        return any(record.position < before for record in await self._chunks(run, 0, limit=1))

    async def _get_rid(self, runs: Sequence[tuple[RunId, int]]) -> None:
        """Erase what runs printed before a position, from the log and from its file. Raises LogFull, Unavailable."""
        self._going += 1
        try:
            if self._mark is not None:
                await trio.to_thread.run_sync(_put_mark, self._mark)
            for run, before in runs:
                await self._erase(run, before)
            if self._compact is not None:
                await compact_running(self._compact)
        except LogIsFull as error:
            raise LogFull(str(error)) from error
        except OSError as error:
            raise Unavailable(f"the redaction is not whole: {error}") from error
        finally:
            self._going -= 1
        if self._mark is not None and not self._going:  # else another one's bytes may be in the file
            await trio.to_thread.run_sync(partial(self._mark.unlink, missing_ok=True))

    async def _say(self, run: RunSummary, reason: str, by: str) -> int:
        """Record it; at which position."""
        digest, chunks = await self._digest(run) if run.output_digest is None else (run.output_digest, 0)
        sizes = {"stdout_bytes": run.stdout_bytes, "stderr_bytes": run.stderr_bytes}
        erased = TrimmedRun(run=run.id, digest=digest, **sizes, chunks=chunks)
        event = RunRedacted(job=run.job, at=self._clock.now(), run=erased, reason=reason, by=by)
        return await self._writer.append([event], by)

    async def _digest(self, run: RunSummary) -> tuple[bytes, int]:
        """What its output is, and in how many records."""
        digest, after, chunks = blake2b(digest_size=32), run.position - 1, 0
        while page := await self._chunks(run.id, after):
            after = page[-1].position
            chunks += len(page)
            for record in page:
                chunk = codec.decode(record)
                assert isinstance(chunk, OutputChunk)
                digest.update(chunk.content)
        return digest.digest(), chunks

    async def _erase(self, run: RunId, before: int) -> None:
        after = 0
        while page := await self._chunks(run, after):
            after = page[-1].position
            positions = [record.position for record in page if record.position < before]
            if positions:
                await self._log.trim(positions)

    async def _chunks(self, run: RunId, after: int, *, limit: int = _PAGE) -> list[Record]:
        return await self._log.read(after, limit=limit, stream=codec.run_stream(run))


def _put_mark(mark: Path) -> None:
    """Durable when it returns. Raises OSError."""
    if not mark.exists():
        mark.touch(mode=0o600)
        sync_names(mark.parent)

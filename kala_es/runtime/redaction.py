"""Redacts a run: erases what it printed, and leaves who asked for it, when and why.

1. The event is durable before a byte is erased; a redaction that was cut off is finished by the next start.
2. Erased records leave their bytes in pages of the file that are free then: so the file is copied without those, which
   is what makes a leaked secret go away.
3. Asked again, it does again what may be left of that.
"""

from hashlib import blake2b
from typing import Final

from kala_es import codec, limits
from kala_es.clock import Clock
from kala_es.domain.errors import Conflict, Invalid, LogFull, NotFound
from kala_es.domain.events import OutputChunk
from kala_es.domain.ids import RunId
from kala_es.domain.trimming import RunRedacted, TrimmedRun
from kala_es.event_log import EventLog, LogIsFull, Record
from kala_es.projections.folds import Folds
from kala_es.projections.runs import RunSummary
from kala_es.runtime.compaction import Compact, compact_running
from kala_es.runtime.log_writer import LogWriter

_PAGE: Final = 256
"""With full chunks four megabytes."""
_FULL_SECONDS: Final = 5.0


class Redactor:
    """`compact` is None where nothing outlives the process."""

    def __init__(
        self, folds: Folds, *, clock: Clock, log: EventLog, writer: LogWriter, compact: Compact | None
    ) -> None:
        self._folds = folds
        self._clock = clock
        self._log = log
        self._writer = writer
        self._compact = compact

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
        try:
            await self._erase(run, position)
        except LogIsFull as error:
            raise LogFull(str(error)) from error
        if self._compact is not None:
            await compact_running(self._compact)

    async def finish(self) -> None:
        """Erase what a redaction has left that was cut off. A full disk is waited for."""
        after = 0
        while page := await self._log.read(after, limit=_PAGE, stream=codec.REDACTIONS_STREAM):
            after = page[-1].position
            for record in page:
                event = codec.decode(record)
                assert isinstance(event, RunRedacted)
                await self._finish(event.run.run, record.position)

    async def _finish(self, run: RunId, position: int) -> None:
        while True:
            try:
                return await self._erase(run, position)
            except LogIsFull:
                await self._clock.sleep(_FULL_SECONDS)

    async def _say(self, run: RunSummary, reason: str, by: str) -> int:
        """Record it; at which position."""
        digest, chunks = await self._digest(run) if run.output_digest is None else (run.output_digest, 0)
        sizes = {"stdout_bytes": run.stdout_bytes, "stderr_bytes": run.stderr_bytes}
        erased = TrimmedRun(run=run.id, digest=digest, **sizes, chunks=chunks)
        event = RunRedacted(job=run.job, at=self._clock.now(), run=erased, reason=reason, by=by)
        return await self._writer.append([event], by)

    async def _digest(self, run: RunSummary) -> tuple[bytes, int]:
        """What its output is, and in how many records."""
        digest, after, chunks = blake2b(digest_size=32), run.position, 0
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

    async def _chunks(self, run: RunId, after: int) -> list[Record]:
        return await self._log.read(after, limit=_PAGE, stream=codec.run_stream(run))

"""What the log is read for while the node lives: a run's output, and the events after a position."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from kala_es import codec
from kala_es.domain.errors import Gone
from kala_es.domain.events import OutputChunk
from kala_es.domain.ids import JobId, RunId
from kala_es.event_log import EventLog
from kala_es.projections.folds import Folds
from kala_es.projections.output import Piece, bytes_before
from kala_es.projections.recorded import Recorded
from kala_es.projections.runs import RunSummary

_READ_PAGE = 256
OUTPUT_GONE = "the output of this run is kept no longer; its summary has its sizes and its digest"


class LogReader:
    """The folds say where in the log output stands."""

    def __init__(self, log: EventLog, folds: Folds) -> None:
        self._log = log
        self._folds = folds

    async def output(
        self, run: RunId, *, channel: str | None = None, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """A run's output bytes [start, stop), of one channel or of both as they came, piece by piece.

        Raises Gone when the run is trimmed meanwhile.
        """
        async with aclosing(self.chunks(run, channel=channel, start=start)) as chunks:
            async for piece, chunk in chunks:
                begins = bytes_before(piece, channel)
                if stop is not None and begins >= stop:
                    return
                end = None if stop is None else stop - begins
                yield chunk.content[max(start - begins, 0) : end]

    async def chunks(
        self, run: RunId, *, channel: str | None = None, start: int = 0
    ) -> AsyncGenerator[tuple[Piece, OutputChunk], None]:
        """The chunks that hold byte `start` and what follows it, each with its place. Raises Gone, likewise."""
        for piece in self._folds.output.pieces(run, start=start, channel=channel):
            records = await self._log.read(piece.position - 1, limit=1)
            if not records or records[0].position != piece.position:
                raise Gone(OUTPUT_GONE)
            chunk = codec.decode(records[0])
            assert isinstance(chunk, OutputChunk)
            yield piece, chunk

    def line_feed(self, run: RunId, number: int, channel: str | None = None) -> Piece | None:
        """Where the chunk with the `number`-th line feed of a run's output is, from 1; None when there are fewer."""
        return self._folds.output.feed(run, number, channel)

    async def events(self, after: int, *, run: RunSummary | None = None, limit: int = _READ_PAGE) -> list[Recorded]:
        """The next durable events after a position: of all jobs, or of one run (its output, and its job's events)."""
        if run is None:
            return await self._read(after, limit=limit, stream=None)
        after = max(after, run.position - 1)
        output = await self._read(after, limit=limit, stream=codec.run_stream(run.id))
        facts = await self._read(after, limit=limit, stream=codec.job_stream(run.job))
        last = min([page[-1].position for page in (output, facts) if len(page) == limit], default=None)
        merged = sorted((*output, *facts), key=lambda r: r.position)
        return [r for r in merged if last is None or r.position <= last]

    async def facts(self, after: int, *, job: JobId, limit: int = _READ_PAGE) -> list[Recorded]:
        """The next durable events of a job, those of its runs among them, but no output."""
        return await self._read(after, limit=limit, stream=codec.job_stream(job))

    async def _read(self, after: int, *, limit: int, stream: str | None) -> list[Recorded]:
        records = await self._log.read(after, limit=limit, stream=stream)
        return [Recorded(r.position, codec.decode(r), r.principal) for r in records]

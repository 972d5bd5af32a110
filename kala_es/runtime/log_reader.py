"""What the log is read for while the node lives: a run's output, and the events after a position."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from kala_es import codec, limits
from kala_es.domain.errors import Gone
from kala_es.domain.events import OutputChunk
from kala_es.domain.ids import JobId, RunId
from kala_es.event_log import EventLog
from kala_es.projections.folds import Folds
from kala_es.projections.output import Piece, bytes_before
from kala_es.projections.recorded import Recorded
from kala_es.projections.runs import RunSummary

_READ_PAGE = 256
_LOOK_PAGE = 64
OUTPUT_GONE = "the output of this run is kept no longer; its summary has its sizes and its digest"
OUTPUT_LEFT_OUT = "the output of this run is not here: this log was made of an archive that leaves output out"


class LogReader:
    """The folds say where in the log output stands. Up to `left_out` records may be missing that the log was made
    without."""

    def __init__(self, log: EventLog, folds: Folds, *, left_out: int = 0) -> None:
        self._log = log
        self._folds = folds
        self._left_out = left_out

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

    async def is_left_out(self, run: RunSummary) -> bool:
        """Whether the log was made without the output of this run: nothing is there of what it printed up to then, and
        records are missing between its start and its end. Where runs overlap these may be another one's."""
        if run.position > self._left_out:
            return False
        piece = next(self._folds.output.pieces(run.id), None)
        if piece is not None and piece.position <= self._left_out:
            return False
        return await self._lacks(run.position, min(run.end_position or self._left_out, self._left_out))

    async def _lacks(self, first: int, last: int) -> bool:
        """Whether a record is missing between two positions. Of very many it is taken for granted."""
        position = first - 1
        while position < last and position - first < limits.MAX_LOOKED_AT_FOR_OUTPUT:
            page = await self._log.read(position, limit=min(_LOOK_PAGE, last - position))
            if not page or page[-1].position != position + len(page):
                return True
            position = page[-1].position
        return position < last

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

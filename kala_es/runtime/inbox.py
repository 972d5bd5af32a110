"""What the agent reports, on its way to the log: output as it is, ends through the job's actor.

An end is told after the last chunk of its attempt was queued, and both go through the one writer in order: so a
run's end never stands before its output.
"""

from collections.abc import Callable
from functools import partial

from kala_es.clock import Clock
from kala_es.domain.commands import Command, EndAttempt
from kala_es.domain.events import OutputChunk
from kala_es.domain.ids import JobId, RunId
from kala_es.link import Chunk, Ended, Key
from kala_es.projections.folds import Folds
from kala_es.runtime.log_writer import LogWriter
from kala_es.runtime.order_book import OrderBook

LOST = "the agent that carried it out is gone"


class Inbox:
    """`take` never waits: the agent keeps few chunks unacknowledged, so what waits here is bounded."""

    def __init__(
        self, folds: Folds, book: OrderBook, *, clock: Clock, writer: LogWriter, tell: Callable[[Command], None]
    ) -> None:
        self._folds = folds
        self._clock = clock
        self._book = book
        self._writer = writer
        self._tell = tell
        self.ending = ""
        """When not empty the node is stopping: ends are final, and cancelled ones have this reason."""

    def take(self, message: Chunk | Ended) -> None:
        """Take a message of the agent. Raises OutOfOrder when it left something out."""
        key = message.run, message.attempt
        if key not in self._book:  # it has its end already: its pipes must not be held up
            if isinstance(message, Chunk):
                self._book.acknowledge(key, message.sequence)
            else:
                self._book.settle(key)
            return
        job = self._folds.busy.job_of(RunId(message.run))
        if job is None or not self._book.is_new(message):
            return
        if isinstance(message, Chunk):
            self._record(job, message)
        else:
            self._tell(self._end(job, message))

    def lose(self, key: Key) -> None:
        """An attempt went with its agent."""
        run, attempt = RunId(key[0]), key[1]
        job, now = self._folds.busy.job_of(run), self._clock.now()
        if job is None:
            self._book.settle(key)
            return
        final = bool(self.ending)
        self._tell(EndAttempt(job=job, at=now, run=run, attempt=attempt, outcome="lost", reason=LOST, final=final))

    def _record(self, job: JobId, chunk: Chunk) -> None:
        event = OutputChunk(
            job=job,
            at=chunk.at,
            run=RunId(chunk.run),
            attempt=chunk.attempt,
            sequence=chunk.sequence,
            channel=chunk.channel,
            offset=chunk.offset,
            content=chunk.content,
            dropped=chunk.dropped,
        )
        self._writer.submit(event, partial(self._recorded, chunk))

    def _recorded(self, chunk: Chunk, result: int | Exception) -> None:
        """A chunk that could not be recorded is not acknowledged: the writer has failed and the node is ending."""
        if not isinstance(result, Exception):
            self._book.acknowledge((chunk.run, chunk.attempt), chunk.sequence)

    def _end(self, job: JobId, ended: Ended) -> EndAttempt:
        end = ended.end
        stopped = bool(self.ending) and end.outcome == "cancelled"
        return EndAttempt(
            job=job,
            at=ended.at,
            run=RunId(ended.run),
            attempt=ended.attempt,
            outcome=end.outcome,
            exit_code=end.exit_code,
            signal=end.signal,
            reason=self.ending if stopped else end.reason,
            final=bool(self.ending),
            stdout_dropped=end.stdout_dropped,
            stderr_dropped=end.stderr_dropped,
        )

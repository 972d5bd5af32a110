"""The attempts of a run, each with the end of its output.

1. A run of one attempt is told by its summary, and its output is read from its end: that is nearly all of them.
2. Of a run with more the log is read from its start to its end: its facts, and its output by attempt.
3. An attempt's output is at most so many bytes, its last ones; its size is all that it printed, dropped bytes included.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from kala_es.dialects.dkron_runs import Execution
from kala_es.domain import events as e
from kala_es.domain.errors import Gone
from kala_es.domain.ids import Instant
from kala_es.projections.runs import RunSummary
from kala_es.web.runs import as_now, output_of
from kala_es.web.site import Site

_PAGE = 64


async def attempts_of(site: Site, run: RunSummary, most: int) -> list[Execution]:
    """A run's attempts, the first first; of each at most `most` bytes of output."""
    trimmed = run.trimmed or await site.scheduler.reader.is_left_out(run)
    if run.attempts == 1:
        return [replace(await _only(site, as_now(site, run), most), trimmed=trimmed)]
    telling = _Telling(run=run, most=0 if run.trimmed else most)
    async with aclosing(_facts(site, run)) as facts:
        async for event in facts:
            telling.tell(event)
    return [replace(each, trimmed=trimmed) for each in telling.found.values()]


async def _only(site: Site, run: RunSummary, most: int) -> Execution:
    there = 0 if run.trimmed else run.stdout_bytes + run.stderr_bytes
    try:
        output = await output_of(site, run, (max(there - most, 0), there))
    except Gone:  # trimmed this moment
        output = bytearray()
    return replace(
        _begun(run, 1, run.started),
        ended=run.ended,
        outcome=run.outcome,
        exit_code=run.exit_code,
        reason=run.reason,
        output=bytes(output),
        size=run.stdout_bytes + run.stderr_bytes + run.stdout_dropped + run.stderr_dropped,
    )


def _begun(run: RunSummary, attempt: int, started: Instant) -> Execution:
    return Execution(job=run.job, run=run.id, attempt=attempt, group=run.started, started=started)


async def _facts(site: Site, run: RunSummary) -> AsyncGenerator[e.Event, None]:
    """What the log has of the run, up to its end."""
    position = run.position - 1
    while page := await site.scheduler.reader.events(position, run=run, limit=_PAGE):
        for recorded in page:
            position = recorded.position
            if getattr(recorded.event, "run", None) == run.id:
                yield recorded.event
            if run.end_position and position >= run.end_position:
                return


class _Telling:
    """What a run's events tell of its attempts, by number."""

    def __init__(self, *, run: RunSummary, most: int) -> None:
        self.found: dict[int, Execution] = {1: _begun(run, 1, run.started)}
        self._run = run
        self._most = most

    def tell(self, event: e.Event) -> None:
        """The next event."""
        match event:
            case e.OutputChunk() if event.attempt in self.found:
                self._print(event)
            case e.AttemptStarted():
                self.found[event.attempt] = _begun(self._run, event.attempt, event.at)
            case e.AttemptFailed() if event.attempt in self.found:
                self._end(event.attempt, event)
                if event.retrying and event.retry_at is None:
                    self.found[event.attempt + 1] = _begun(self._run, event.attempt + 1, event.at)
            case e.RunFinished() if event.outcome == "succeeded" and event.attempts in self.found:
                self._end(event.attempts, event)

    def _print(self, chunk: e.OutputChunk) -> None:
        before = self.found[chunk.attempt]
        output = (before.output + chunk.content)[-self._most :] if self._most else b""
        self.found[chunk.attempt] = replace(before, output=output, size=before.size + len(chunk.content))

    def _end(self, attempt: int, event: e.AttemptFailed | e.RunFinished) -> None:
        before = self.found[attempt]
        self.found[attempt] = replace(
            before,
            ended=event.at,
            outcome=event.outcome,
            exit_code=event.exit_code,
            reason=event.reason,
            size=before.size + event.stdout_dropped + event.stderr_dropped,
        )

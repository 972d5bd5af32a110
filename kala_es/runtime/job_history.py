"""What became of a job and why, read from its stream of the log a page at a time, while others have their turn."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from kala_es import codec, limits
from kala_es.domain.changes import CHANGE_NAMES, CHANGES, Change, Link, definition_after
from kala_es.domain.errors import Invalid, NotFound
from kala_es.domain.events import AttemptFailed, JobCreated, JobDeleted, JobUpdated, RunSkipped
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.model import JobDraft
from kala_es.event_log import EventLog
from kala_es.projections.runs import Runs, RunSummary

_PAGE: Final = 64
"""Of the largest definitions this is tens of megabytes."""
_SLICE: Final = 32
_WHOLE: Final = frozenset(kind.__name__ for kind in (JobCreated, JobUpdated, JobDeleted))
"""After these the definition is known, whatever it was before."""


class JobHistory:
    """The changes of jobs, also of deleted ones, and the runs that led to a run."""

    def __init__(self, log: EventLog, runs: Runs) -> None:
        self._log = log
        self._runs = runs

    async def changes(self, job: JobId, *, after: int = 0) -> AsyncGenerator[Change, None]:
        """All changes of a job and of its namesakes before it, oldest first; those after a position at least."""
        draft, position = await self._known_at(job, after)
        while page := await self._log.read(position, limit=_PAGE, stream=codec.job_stream(job)):
            for record in page:
                if record.type in CHANGE_NAMES:
                    event = codec.decode(record)
                    assert isinstance(event, CHANGES)
                    before, draft = draft, definition_after(draft, event)
                    yield Change(
                        position=record.position, principal=record.principal, event=event, before=before, after=draft
                    )
            position = page[-1].position

    async def _known_at(self, job: JobId, after: int) -> tuple[JobDraft | None, int]:
        """The definition at a position if its record says all of it, and the position; else nothing, and the start."""
        for record in await self._log.read(max(after - 1, 0), limit=1, stream=codec.job_stream(job)):
            if record.position == after and record.type in _WHOLE:
                event = codec.decode(record)
                assert isinstance(event, CHANGES)
                return definition_after(None, event), after
        return None, 0

    async def check(self, job: JobId) -> None:
        """Raise NotFound when there never was such a job."""
        if not await self._log.read(0, limit=1, stream=codec.job_stream(job)):
            raise NotFound(f"there is no job {job!r}, and never was")

    async def slices(self, job: JobId, *, after: int) -> AsyncGenerator[list[Change], None]:
        """The changes after a position, some at a time."""
        found: list[Change] = []
        async with aclosing(self.changes(job, after=after)) as changes:
            async for change in changes:
                if change.position > after:
                    found.append(change)
                if len(found) == _SLICE:
                    yield found
                    found = []
        yield found

    async def definition_at(self, job: JobId, position: int) -> JobDraft:
        """The definition after the record at a position. Raises NotFound, Invalid when there was none then."""
        draft: JobDraft | None = None
        was_there = False
        async with aclosing(self.changes(job)) as changes:
            async for change in changes:
                was_there = True
                if change.position > position:
                    break
                draft = change.after
        if not was_there:
            raise NotFound(f"there is no job {job!r}, and never was")
        if draft is None:
            raise Invalid("position", f"there was no job {job!r} at position {position}")
        return draft

    async def skipped(self, job: JobId, run: RunId) -> list[Link]:
        """The same of a run that was asked for and did not begin: only its job's stream knows of it."""
        position = 0
        while page := await self._log.read(position, limit=_PAGE, stream=codec.job_stream(job)):
            for record in page:
                event = codec.decode(record) if record.type == RunSkipped.__name__ else None
                if isinstance(event, RunSkipped) and event.run == run:
                    return [_skipped(event, record.principal), *(self.chain(event.after) if event.after else ())]
            position = page[-1].position
        return []

    async def retried(self, run: RunId) -> tuple[AttemptFailed, ...]:
        """The attempts of a run that were tried again, the first of them."""
        summary, found = self._runs.get(run), list[AttemptFailed]()
        if summary is None or summary.imported is not None:
            return ()
        most = min(summary.attempts - (summary.retry_at is None), limits.MAX_CAUSES)
        position, stream = summary.position, codec.job_stream(summary.job)
        while len(found) < most and (page := await self._log.read(position, limit=_PAGE, stream=stream)):
            failed = [codec.decode(record) for record in page if record.type == AttemptFailed.__name__]
            found += [x for x in failed if isinstance(x, AttemptFailed) and x.run == run and x.retrying]
            position = page[-1].position
        return tuple(found[:most])

    def chain(self, run: RunId) -> list[Link]:
        """A run, the one whose end caused it, and so on up to the root; those that are not forgotten."""
        links: list[Link] = []
        following: RunId | None = run
        while following is not None and len(links) < limits.MAX_CAUSES:
            summary = self._runs.get(following)
            if summary is None:
                break
            links.append(_link(summary))
            following = summary.after
        return links


def _skipped(event: RunSkipped, principal: str) -> Link:
    return Link(
        run=event.run,
        job=event.job,
        cause=event.cause,
        principal=principal,
        started=event.at,
        attempts=0,
        tick=event.tick,
        outcome="skipped",
        reason=event.reason,
    )


def _link(run: RunSummary) -> Link:
    return Link(
        run=run.id,
        job=run.job,
        cause=run.cause,
        principal=run.principal,
        started=run.started,
        attempts=run.attempts,
        tick=run.tick,
        ended=run.ended,
        outcome=run.outcome,
        reason=run.reason,
    )

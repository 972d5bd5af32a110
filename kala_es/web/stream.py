"""Live streams (text/event-stream): one run's output and state, or all events; resumable at any position.

1. A reader follows the live topic first, then reads the log up to where the topic begins, then the topic: so
   nothing is missed and nothing comes twice.
2. A reader that falls behind what the topic holds reads the log again; it slows nobody down.
3. Only events that are folded are sent, so that what a stream tells can also be asked for.
4. Output is told only while it is kept: what was trimmed or redacted is told by no stream, also before it is erased.
5. A frame is encoded once for all readers. Several go out in one send; at most SSE_SEND_BYTES wait for one reader.
"""

from bisect import bisect_left
from contextlib import aclosing
from typing import Final, Protocol, get_args

import trio

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.trimming import BasePart, BaseTaken, RunRedacted, RunsForgotten, RunsTrimmed
from kala_es.projections.recorded import Recorded
from kala_es.projections.runs import RunSummary
from kala_es.runtime.broadcaster import ALL, Entry, Topic
from kala_es.runtime.scheduler import Scheduler
from kala_es.web.exchange import NO_CONTENT, Parts, Request, Response
from kala_es.web.frames import event_frame, output_frame, state_frame
from kala_es.web.parameters import checked, choice, choices
from kala_es.web.runs import run_of
from kala_es.web.site import Site
from kala_es.web.sse import OPENING, PING, answer_stream

_RUN_PAGE: Final = 16
"""Events of one run in a page of the log: with full chunks a quarter of a megabyte."""
_PAGE: Final = 64
"""The same of all jobs together, most of which are small."""
_LAST_POSITION: Final = (1 << 63) - 1
EVENT_TYPES: Final = tuple(
    kind.__name__
    for kind in get_args(
        e.JobEvent
        | e.OutputChunk
        | e.NoticeEvent
        | e.HandoverEvent
        | e.ServerEvent
        | RunsTrimmed
        | RunRedacted
        | RunsForgotten
    )
)
OF_NOBODY: Final = (e.RequestAnswered, BasePart, BaseTaken)
"""What no stream tells: it is of no job."""


class Source(Protocol):
    """What a stream tells."""

    topic: str

    async def read(self, after: int) -> list[Recorded]:
        """The next events of the log, folded or not; empty at its end."""

    def wants(self, event: e.Event) -> bool:
        """Whether the stream tells this event."""

    def encode(self, recorded: Recorded) -> bytes:
        """The event's frame, the same for every reader of the topic."""

    def ends_with(self, event: e.Event) -> bool:
        """Whether this event is the stream's last."""

    def is_over(self) -> bool:
        """Whether nothing more can come."""


def _is_kept(event: e.Event, scheduler: Scheduler) -> bool:
    """Whether it may be told. Output of a run that is trimmed may not, though the log or a topic may still have it."""
    if not isinstance(event, e.OutputChunk):
        return True
    run = scheduler.folds.runs.get(event.run)
    return run is not None and not run.trimmed


class RunSource:
    """One run: output, changes of state, the end."""

    def __init__(self, scheduler: Scheduler, run: RunSummary) -> None:
        self.topic: str = run.id
        self._scheduler = scheduler
        self._run = run
        self._bases: dict[tuple[int, str], int] = {}

    async def read(self, after: int) -> list[Recorded]:
        """The next events of the run and its job."""
        return await self._scheduler.reader.events(after, run=self._run, limit=_RUN_PAGE)

    def wants(self, event: e.Event) -> bool:
        """All that is about this run."""
        return getattr(event, "run", None) == self._run.id and _is_kept(event, self._scheduler)

    def encode(self, recorded: Recorded) -> bytes:
        """Output, a state, or the end."""
        event = recorded.event
        if isinstance(event, e.OutputChunk):
            return output_frame(recorded.position, event, self._offset(recorded.position, event))
        return state_frame(recorded.position, event)

    def _offset(self, position: int, chunk: e.OutputChunk) -> int:
        """A chunk counts within its attempt; the attempts before it have written `base` bytes to its channel."""
        key = (chunk.attempt, chunk.channel)
        base = 0 if chunk.attempt == 1 else self._bases.get(key)
        if base is None:
            base = self._bases[key] = self._find(position) - chunk.offset
        return base + chunk.offset

    def _find(self, position: int) -> int:
        """The offset, over the whole run, of the chunk at a position."""
        output = self._scheduler.folds.output

        def position_of(byte: int) -> int:
            return next(output.pieces(self._run.id, start=byte)).position

        first = bisect_left(range(sum(output.sizes(self._run.id))), position, key=position_of)
        return next(output.pieces(self._run.id, start=first)).offset

    def ends_with(self, event: e.Event) -> bool:
        """The run's end is the last."""
        return isinstance(event, e.RunFinished | e.RunImported)

    def is_over(self) -> bool:
        """The run has ended."""
        run = self._scheduler.folds.runs.get(self._run.id)
        return run is None or run.outcome is not None


class AllSource:
    """Every event of a job or of some types, or of all, without `output` if that is asked for; but not what requests
    were answered, nor bases: of no job."""

    topic = ALL

    def __init__(
        self, scheduler: Scheduler, job: str | None, kinds: frozenset[str] | None, *, output: bool = True
    ) -> None:
        self._scheduler = scheduler
        self._job = job
        self._kinds = kinds
        self._unwanted = OF_NOBODY if output else (*OF_NOBODY, e.OutputChunk)

    async def read(self, after: int) -> list[Recorded]:
        """The next events."""
        return await self._scheduler.reader.events(after, limit=_PAGE)

    def wants(self, event: e.Event) -> bool:
        """What the filters let through."""
        if self._kinds is not None and type(event).__name__ not in self._kinds:
            return False
        if isinstance(event, self._unwanted):
            return False
        return self._job in (None, getattr(event, "job", None)) and _is_kept(event, self._scheduler)

    def encode(self, recorded: Recorded) -> bytes:
        """The event, whole."""
        return event_frame(recorded)

    def ends_with(self, event: e.Event) -> bool:
        """No event is the last."""
        return False

    def is_over(self) -> bool:
        """It never is."""
        return False


class Reader:
    """One reader's place in a stream."""

    def __init__(self, source: Source, topic: Topic, scheduler: Scheduler) -> None:
        self._source = source
        self._topic = topic
        self._scheduler = scheduler
        self._here = 0
        self._page: list[Entry] = []
        self._ping_at = 0.0
        self._ended = False

    async def read(self, after: int) -> Parts:
        """The frames of what comes after a position, several in one part."""
        self._here = after
        self._ping_at = trio.current_time() + limits.SSE_HEARTBEAT_SECONDS
        while not self._ended:
            entries = self._page or self._topic.after(self._here)
            if entries is None:
                await self._turn_page()
            elif entries:
                part = self._take(entries)
                del entries  # what a slow reader keeps from being freed is only what is being sent
                if part:
                    yield part
                    self._ping_at = trio.current_time() + limits.SSE_HEARTBEAT_SECONDS
            elif self._source.is_over():
                return
            else:
                with trio.move_on_at(self._ping_at):
                    await self._topic.wait()
            if trio.current_time() >= self._ping_at:
                yield PING
                self._ping_at = trio.current_time() + limits.SSE_HEARTBEAT_SECONDS

    async def _turn_page(self) -> None:
        """The log's next page; at its end the topic begins."""
        since = self._topic.since
        found = await self._source.read(self._here)
        folded = self._scheduler.folds.position
        self._page = [Entry(recorded) for recorded in found if recorded.position <= folded]
        if not self._page:
            self._here = max(self._here, since)

    def _take(self, entries: list[Entry]) -> bytes:
        """The frames of the first few entries; the reader's place is after them."""
        frames: list[bytes] = []
        size = taken = 0
        for entry in entries:
            recorded = entry.recorded
            self._here = recorded.position
            taken += 1
            if self._source.wants(recorded.event):
                if entry.frame is None:
                    entry.frame = self._source.encode(recorded)
                frames.append(entry.frame)
                size += len(entry.frame)
                self._ended = self._source.ends_with(recorded.event)
            if size >= limits.SSE_SEND_BYTES or self._ended:
                break
        self._page = self._page[taken:]
        return b"".join(frames)


async def _stream(site: Site, source: Source, after: int) -> Parts:
    scheduler = site.scheduler
    with scheduler.broadcaster.follow(source.topic) as topic:
        yield OPENING
        async with aclosing(Reader(source, topic, scheduler).read(after)) as parts:
            async for part in parts:
                yield part


def _opened(site: Site, source: Source, after: int) -> Response:
    return answer_stream(site, _stream(site, source, after))


def _after(request: Request, head: int) -> int | None:
    """The position to resume from: the last event that the client has seen, or the one that it names. Raises Invalid,
    also for one beyond the log's end: who saw that in another log would wait for it, and miss what comes before."""
    for text, name in ((request.headers.get("last-event-id"), "Last-Event-ID"), (request.query.get("after"), "after")):
        if text:
            return checked(text, name, (0, head))
    return None


async def stream_run(request: Request, site: Site) -> Response:
    """GET /job/{id}/executions/{run}/stream/: from its beginning, or resumed. Resumed after its end: 204, no more."""
    run = run_of(request, site)
    after = _after(request, site.scheduler.folds.position if run.outcome is None else _LAST_POSITION)
    source = RunSource(site.scheduler, run)
    if after and run.outcome is not None and after >= run.end_position:
        return NO_CONTENT
    return _opened(site, source, after or 0)


async def stream_events(request: Request, site: Site) -> Response:
    """GET /events/: from now on, or after a position."""
    kinds = choices(request, "type", EVENT_TYPES)
    after = _after(request, site.scheduler.folds.position)
    output = choice(request, "output", ("all", "none")) != "none"
    source = AllSource(site.scheduler, request.query.get("job"), kinds, output=output)
    return _opened(site, source, site.scheduler.folds.position if after is None else after)

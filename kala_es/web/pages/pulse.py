"""One heartbeat for all open pages: what has changed, made once a second at most and sent to each as the same bytes.

1. Nothing is computed while nobody looks, nor for each who does: the first who asks in a second has the frame made.
2. A frame says what changed in the last few beats, so one that is missed is no loss: all of what changed after the
   position `since` is in it. A page that is of an earlier one was away for too long, and reads itself anew.
3. Of jobs that changed the rows are in the frame, at most so many; `more` says that there are others.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, get_args

import msgspec
import trio

from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.projections.recent import Hour
from kala_es.runtime.broadcaster import ALL, Topic
from kala_es.runtime.scheduler import Scheduler
from kala_es.web.pages import now as present
from kala_es.web.pages.coming import coming_ticks
from kala_es.web.pages.job_rows import rows_of
from kala_es.web.pages.words import iso

BEAT_SECONDS: Final = 1.0
_BEATS_TOLD: Final = 3
_MOST_JOBS: Final = 100
_COMING_SECONDS: Final = 10.0
COMING_TICKS: Final = 60
COMING_WITHIN: Final = 24 * 3600 * SECOND
_OF_JOBS: Final = get_args(e.JobEvent)


class Pulse:
    """The heart. It beats while it is followed."""

    def __init__(self) -> None:
        self.readers = 0
        self.next_at = 0.0
        """When there may be another frame, by Trio's clock."""
        self._lock = trio.Lock()
        self._undo = ExitStack()
        self._topic: Topic | None = None
        self._seen = 0
        self._number = 0
        self._frame = b""
        self._changed: deque[set[JobId] | None] = deque(maxlen=_BEATS_TOLD)
        self._looks = 0
        self._frames: deque[tuple[int, int]] = deque()
        """Of the last frames, at which look each was made, and up to which position."""
        self._stirred = False
        self._watching = present.Watching()
        self._running: list[present.InFlight] = []
        self._coming_at = 0.0

    @contextmanager
    def follow(self, scheduler: Scheduler) -> Iterator[None]:
        """Have it beat."""
        if not self.readers:
            self._topic = self._undo.enter_context(scheduler.broadcaster.follow(ALL))
            self._seen = scheduler.folds.position
            self._changed.clear()
            self._frames = deque([(self._looks, self._seen)])
            self._coming_at = self.next_at = 0.0
        self.readers += 1
        try:
            yield
        finally:
            self.readers -= 1
            if not self.readers:
                self._topic = None
                self._undo.close()

    async def beat(self, scheduler: Scheduler, *, ready: bool) -> bytes:
        """The newest frame; the same bytes as long as there is nothing new to say."""
        async with self._lock:
            if trio.current_time() >= self.next_at:
                self.next_at = trio.current_time() + BEAT_SECONDS
                await self._make(scheduler, ready=ready)
        return self._frame

    async def _make(self, scheduler: Scheduler, *, ready: bool) -> None:
        self._note_changes(scheduler.folds.position)
        coming_is_due = trio.current_time() >= self._coming_at
        running = await self._watching.look(scheduler)
        if not (self._stirred or coming_is_due or running != self._running):
            return
        self._stirred, self._running = False, running
        self._number += 1
        content = self._content(scheduler, running, ready=ready) | {"since": self._since()}
        self._frames.append((self._looks, self._seen))
        if coming_is_due:
            content["coming"] = self._coming(scheduler)
        self._frame = _encoded(content, self._number)

    def _since(self) -> int:
        """The position of the newest frame after which every look is told of: a look without a frame saw no change."""
        while len(self._frames) > 1 and self._frames[1][0] <= self._looks - _BEATS_TOLD:
            self._frames.popleft()
        return self._frames[0][1]

    def _note_changes(self, position: int) -> None:
        """Which jobs changed since the last beat; None when it cannot be told."""
        assert self._topic is not None
        self._looks += 1
        entries = self._topic.after(self._seen)
        if entries is None:
            self._changed.append(None)
        else:
            fresh = [entry.recorded.event for entry in entries if entry.recorded.position <= position]
            self._changed.append({event.job for event in fresh if isinstance(event, _OF_JOBS)})
            self._stirred |= any(not isinstance(event, e.OutputChunk) for event in fresh)
        self._stirred |= any(self._changed) or None in self._changed
        self._seen = position

    def _content(self, scheduler: Scheduler, running: list[present.InFlight], *, ready: bool) -> dict[str, Any]:
        folds, now = scheduler.folds, scheduler.clock.now()
        changed = set[JobId]().union(*(jobs for jobs in self._changed if jobs))
        some = sorted(changed)[:_MOST_JOBS]
        there = [job for job in map(folds.jobs.get, some) if job is not None]
        content = {
            "beat": self._number,
            "now": iso(now),
            **present.figures(scheduler, ready=ready).plain(),
            "flights": [flight.plain() for flight in running],
            "hours": [[number, *columns(hour)] for number, hour in present.last_hours(folds, now)],
            "rows": dict.fromkeys(some) | {row.job.id: row.patch() for row in rows_of(folds, there)},
            "more": len(changed) > len(some) or None in self._changed,
        }
        if changed or None in self._changed:
            content["failures"] = [failure.plain() for failure in present.failures(folds)]
        return content

    def _coming(self, scheduler: Scheduler) -> list[dict[str, Any]]:
        self._coming_at = trio.current_time() + _COMING_SECONDS
        now = scheduler.clock.now()
        ticks = coming_ticks(scheduler.folds, (now, Instant(now + COMING_WITHIN)), most=COMING_TICKS)
        return [tick.plain() for tick in ticks]


def columns(hour: Hour) -> tuple[int, int, int]:
    """An hour in the chart: succeeded, failed, and what started nothing or was cancelled."""
    failed = hour.failed + hour.timed_out + hour.lost
    return hour.succeeded, failed, hour.skipped + hour.missed + hour.cancelled


def _encoded(content: dict[str, Any], number: int) -> bytes:
    try:
        text = msgspec.json.encode(content)
    except (TypeError, ValueError, OverflowError):  # a lone surrogate, from a name that was no UTF-8
        text = msgspec.json.encode(_mended(content))
    return b"id: %d\nevent: beat\ndata: %b\n\n" % (number, text)


def _mended(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_mended(key): _mended(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_mended(inner) for inner in value]
        case _:
            return value

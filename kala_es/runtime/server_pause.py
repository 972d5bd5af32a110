"""The pause of the whole server: begun and ended by whoever asks, or ended by the clock.

While it lasts every job's ticks are skipped as they come. Its end wakes the jobs that owe runs; they take turns.
"""

from collections.abc import Sequence

import trio

from kala_es.clock import Clock
from kala_es.domain import events as e
from kala_es.domain.errors import Unavailable
from kala_es.domain.ids import SECOND
from kala_es.domain.job import check_pause
from kala_es.projections.folds import Folds
from kala_es.runtime.job_actor import plan
from kala_es.runtime.log_writer import LogWriter
from kala_es.runtime.timetable import Timetable

_LONGEST_WAIT_SECONDS = 1.0
_SLICE = 2_000


class ServerPause:
    """The one owner of the server's stream of events."""

    def __init__(self, folds: Folds, *, clock: Clock, writer: LogWriter, timetable: Timetable) -> None:
        self._folds = folds
        self._clock = clock
        self._writer = writer
        self._timetable = timetable
        self._turn = trio.Lock()
        self._changed = trio.Event()

    async def pause(self, event: e.ServerPaused, receipt: e.RequestAnswered | None = None) -> None:
        """Pause the server, unless it is paused just so. Raises Invalid, LogFull, Unavailable."""
        check_pause(event.reason, event.until, event.at)
        async with self._turn:
            now = self._folds.server_pause
            same = now is not None and (now.reason, now.until) == (event.reason, event.until)
            await self._record(() if same else (event,), event.by, receipt=receipt)

    async def resume(self, event: e.ServerResumed, receipt: e.RequestAnswered | None = None) -> None:
        """End the pause, if there is one. Raises LogFull, Unavailable."""
        async with self._turn:
            await self._record((event,) if self._folds.server_pause else (), event.by, receipt=receipt)

    async def _record(
        self,
        events: Sequence[e.ServerEvent],
        principal: str = "",
        *,
        receipt: e.RequestAnswered | None = None,
        asked: bool = True,
    ) -> None:
        """Who asks is refused when the disk is full; the clock waits for room."""
        facts = (*events, receipt) if receipt else (*events,)
        if facts:
            await self._writer.append(facts, principal, may_wait=not asked)
        if events:
            self._changed.set()
            await self._wake_jobs()

    async def _wake_jobs(self) -> None:
        """Plan anew the jobs that owe runs; the others are due at their ticks, paused or not."""
        for i, (job_id, job) in enumerate(list(self._folds.jobs.by_id.items()), 1):
            if job.owed is not None:
                plan(self._timetable, self._folds, job_id)
            if i % _SLICE == 0:
                await trio.lowlevel.checkpoint()

    async def end_if_over(self) -> None:
        """Record the end of a pause whose time is over."""
        async with self._turn:
            pause, now = self._folds.server_pause, self._clock.now()
            if pause is not None and pause.is_over(now):
                await self._record((e.ServerResumed(at=now),), asked=False)

    async def run(self) -> None:
        """End each pause when its time is over, until cancelled."""
        while True:
            try:
                await self.end_if_over()
            except Unavailable:  # the log has failed, and the node is ending
                return
            self._changed = trio.Event()
            with trio.move_on_after(self._wait()):
                await self._changed.wait()

    def _wait(self) -> float:
        """The wall clock may jump meanwhile, so not too long."""
        pause = self._folds.server_pause
        if pause is None or pause.until is None:
            return float("inf")
        return min(max((pause.until - self._clock.now()) / SECOND, 0.0), _LONGEST_WAIT_SECONDS)

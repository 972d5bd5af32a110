"""Runs that take longer than expected: one timer each, while they are in flight and someone wants to hear of it.

The wait is by the monotonic clock, then the wall clock is asked; what the job's definition says at that moment counts.
A restart begins anew with what is in flight, and knows what was due already by its id.
"""

from collections.abc import Sequence
from heapq import heappop, heappush

import trio

from kala_es.clock import Clock
from kala_es.domain import events as e
from kala_es.domain.errors import Unavailable
from kala_es.domain.ids import SECOND, JobId, RunId
from kala_es.domain.model import Run
from kala_es.domain.notices import bounded, overdue, overdue_at
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.log_writer import LogWriter

_LONGEST_WAIT_SECONDS = 3600.0
_FEW = 64


class Overdue:
    """`follow` takes every durable batch; `run` is its life."""

    def __init__(self, folds: Folds, *, clock: Clock, writer: LogWriter) -> None:
        self._folds = folds
        self._clock = clock
        self._writer = writer
        self._heap: list[tuple[float, RunId, JobId]] = []
        self._changed = trio.Event()

    def follow(self, batch: Sequence[Recorded]) -> None:
        """Watch the runs that began, and those whose job was edited."""
        for recorded in batch:
            event = recorded.event
            if isinstance(event, e.RunStarted | e.JobUpdated):
                job = self._folds.jobs.by_id.get(event.job)
                for run in job.runs if job else ():
                    if isinstance(event, e.JobUpdated) or run.id == event.run:
                        self._watch(event.job, run)

    def _watch(self, job: JobId, run: Run) -> None:
        """Set a timer for when the run will be late, if anybody wants to hear of that."""
        at = overdue_at(self._folds.jobs.by_id[job].spec.notify, run)
        if at is not None:
            wait = max(at - self._clock.now(), 0) / SECOND
            heappush(self._heap, (trio.current_time() + wait, run.id, job))
            self._drop_stale()
            self._changed.set()

    def _drop_stale(self) -> None:
        """Timers of runs that ended, and all but a run's earliest, stay until they come up or are the most."""
        busy = self._folds.busy
        if len(self._heap) > 2 * len(busy) + _FEW:
            earliest = {timer[1]: timer for timer in sorted(self._heap, reverse=True) if timer[1] in busy}
            self._heap = sorted(earliest.values())

    async def run(self) -> None:
        """Have notices made of the runs that take too long, until cancelled or the log takes no more."""
        for job, run in self._folds.busy:
            self._watch(job, run)
        while True:
            while self._heap and self._heap[0][0] <= trio.current_time():
                _, run_id, job_id = heappop(self._heap)
                if not await self._is_late(job_id, run_id):
                    return
            self._changed = trio.Event()
            with trio.move_on_at(self._heap[0][0] if self._heap else trio.current_time() + _LONGEST_WAIT_SECONDS):
                await self._changed.wait()

    async def _is_late(self, job_id: JobId, run_id: RunId) -> bool:
        """Record what this calls for; False when the log takes no more: the node is ending."""
        job = self._folds.jobs.by_id.get(job_id)
        run = job.run(run_id) if job else None
        at = overdue_at(job.spec.notify, run) if job and run else None
        if job is None or run is None or at is None:
            return True
        if at > self._clock.now():  # the definition or the wall clock was changed meanwhile
            self._watch(job_id, run)
            return True
        notices = [n for n in overdue(job, run, self._clock.now()) if self._folds.notices.get(n.notice) is None]
        try:
            if notices:
                await self._writer.append(bounded(notices, self._folds.watch))
        except Unavailable:
            return False
        return True

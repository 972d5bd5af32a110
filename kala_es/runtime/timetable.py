"""The due times of all jobs, in one heap. Tells a job's actor when a tick is due; never early.

Due times are wall time. The wait is by the monotonic clock, at most a second at a time, and the wall clock is read
again after it, so a wall clock that jumps (NTP, suspend) moves what is due and fires nothing twice.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush

import trio

from kala_es.clock import Clock
from kala_es.domain.ids import SECOND, Instant, JobId

_LONGEST_WAIT_SECONDS = 1.0
_WAIT_WITHOUT_TICKS_SECONDS = 60.0
_TOLD_A_TURN = 50


class Timetable:
    """`due` is called with each job whose next tick has come."""

    def __init__(self, clock: Clock, due: Callable[[JobId], None]) -> None:
        self._clock = clock
        self._due = due
        self._heap: list[tuple[Instant, JobId]] = []
        self._planned: dict[JobId, Instant] = {}
        self._held: dict[JobId, float] = {}
        self._put_off: dict[JobId, Instant] = {}
        self._changed = trio.Event()

    def hold(self, job: JobId, seconds: float) -> None:
        """Have whatever is planned for the job wait so long, by the monotonic clock: answering its tick has failed."""
        self._held[job] = trio.current_time() + seconds
        self._changed.set()

    def plan(self, job: JobId, tick: Instant | None) -> None:
        """Set, move or (None) remove a job's next tick."""
        if job in self._held:
            if tick is not None:
                self._put_off[job] = tick
                return
            del self._held[job]
            self._put_off.pop(job, None)
        if self._planned.get(job) == tick:
            return
        if tick is None:
            del self._planned[job]
            self._drop_stale()
            return
        self._planned[job] = tick
        earliest = not self._heap or tick < self._heap[0][0]
        heappush(self._heap, (tick, job))
        self._drop_stale()
        if earliest:
            self._changed.set()

    def _drop_stale(self) -> None:
        """Entries that were moved stay in the heap until they come up, or until they are the most of it."""
        if len(self._heap) > 2 * len(self._planned) + 64:
            self._heap = [(tick, job) for job, tick in self._planned.items()]
            heapify(self._heap)

    def __len__(self) -> int:
        """How many jobs have a next tick."""
        return len(self._planned)

    def first(self) -> Instant | None:
        """The earliest tick of all."""
        while self._heap and self._planned.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    async def run(self) -> None:
        """Fire due ticks until cancelled."""
        while True:
            self._release()
            first, now = self.first(), self._clock.now()
            if first is not None and first <= now:
                self._fire(now)
                await trio.lowlevel.checkpoint()
                continue
            self._changed = trio.Event()
            with trio.move_on_after(self._wait(first, now)):
                await self._changed.wait()

    def _wait(self, first: Instant | None, now: Instant) -> float:
        wait = _WAIT_WITHOUT_TICKS_SECONDS
        if first is not None:
            wait = min((first - now) / SECOND, _LONGEST_WAIT_SECONDS)
        return max(0.0, min([wait, *(until - trio.current_time() for until in self._held.values())]))

    def _release(self) -> None:
        """What was held long enough is planned as it should have been."""
        for job in [job for job, until in self._held.items() if until <= trio.current_time()]:
            del self._held[job]
            if job in self._put_off:
                self.plan(job, self._put_off.pop(job))

    def _fire(self, now: Instant) -> None:
        """A job that is told drops out; it is planned again when its tick has been answered. Of many that are due at
        once only some are told in one turn: so the first run before the last has been thought of."""
        for _ in range(_TOLD_A_TURN):
            first = self.first()
            if first is None or first > now:
                return
            _, job = heappop(self._heap)
            del self._planned[job]
            self._due(job)

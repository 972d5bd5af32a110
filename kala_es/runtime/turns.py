"""Jobs whose ticks passed take turns, so many a second over the whole node: after a stop or a pause nothing floods.

1. A job that is on time is never held up.
2. The turns of one second may be taken at once; who comes later waits in line, by the monotonic clock.
3. What the last stop left open is answered as missed while the server was down, also when its turn comes later.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import trio

from kala_es import limits
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.domain.model import Job, MissReason

_LATE: Final = 5 * SECOND
"""A tick that is later than this was held up by more than a busy moment."""
_TURN_SECONDS: Final = 1 / limits.CATCH_UP_STARTS_PER_SECOND


class Turns:
    """The line. `go` is called with each job when its turn has come."""

    def __init__(self, go: Callable[[JobId], None]) -> None:
        self._go = go
        self._line: deque[JobId] = deque()
        self._waiting: set[JobId] = set()
        self._next = 0.0
        self._joined = trio.Event()
        self._left: set[JobId] = set()
        self._started = Instant(0)

    def begin(self, at: Instant, left: Iterable[JobId]) -> None:
        """The node starts, and the last stop left ticks of these jobs open."""
        self._started = at
        self._left = set(left)

    def take(self, job: Job, due: Instant, now: Instant) -> None:
        """Let the job, woken for what was due at `due`, go now or when it has its turn."""
        if job.id in self._waiting:
            return
        late = job.owed is not None or job.id in self._left or now - due >= _LATE
        if not late or (not self._line and self._is_free()):
            self._go(job.id)
            return
        self._line.append(job.id)
        self._waiting.add(job.id)
        self._joined.set()

    def _is_free(self) -> bool:
        """Whether there is a turn to be had, which is then taken."""
        now = trio.current_time()
        if self._next > now + 1 - _TURN_SECONDS / 2:
            return False
        self._next = max(self._next, now) + _TURN_SECONDS
        return True

    def gap(self, job: JobId, due: Callable[[], Instant]) -> MissReason | None:
        """Why the job's ticks passed, when the last stop left them open. To be asked once; `due` says since when."""
        if job not in self._left:
            return None
        self._left.discard(job)
        return "the server was down" if due() <= self._started else None

    async def run(self) -> None:
        """Call those in line, until cancelled."""
        while True:
            while self._line:
                if not self._is_free():
                    await trio.sleep(_TURN_SECONDS)
                    continue
                job = self._line.popleft()
                self._waiting.discard(job)
                self._go(job)
            self._joined = trio.Event()
            await self._joined.wait()

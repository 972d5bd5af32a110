"""The pace of work that can wait: it takes its share of the loop's time, in steps that others hardly notice.

1. After a step of JANITOR_STEP_MS it pauses, so that it has JANITOR_SHARE of the time at most; JANITOR_SHARE_BEHIND
   when it did not come to an end for JANITOR_BEHIND_SECONDS.
2. Where a pause took longer than it was to, others had that time: so much longer may the next step be. On a loop that
   is busy the steps are about as long as the others' turns, and no longer than JANITOR_LONGEST_STEP_MS.
3. Time in which it waited for something was no work.
"""

from collections.abc import Awaitable
from time import perf_counter
from typing import TypeVar

import trio

from kala_es import limits

Result = TypeVar("Result")
_SHORTEST_STEP = limits.JANITOR_STEP_MS / 1_000
_LONGEST_STEP = limits.JANITOR_LONGEST_STEP_MS / 1_000


class Pace:
    """One task's. It calls `pause` as often as it can, and waits by `wait_for`."""

    def __init__(self) -> None:
        self._began = perf_counter()
        """Since when it works without having waited..."""
        self._worked = 0.0
        """...and how long it did before, since it last paused."""
        self._step = _SHORTEST_STEP
        self._first = self._began
        """Since when there was always something to do."""

    def begin(self) -> None:
        """It was idle until now."""
        self._first = self._began = perf_counter()
        self._worked, self._step = 0.0, _SHORTEST_STEP

    async def wait_for(self, what: Awaitable[Result]) -> Result:
        """Wait for something: that is no work."""
        self._worked += perf_counter() - self._began
        try:
            return await what
        finally:
            self._began = perf_counter()

    async def pause(self) -> None:
        """Let others have their share, if this step is over."""
        paused = perf_counter()
        worked = self._worked + paused - self._began
        if worked < self._step:
            return
        behind = paused - self._first > limits.JANITOR_BEHIND_SECONDS
        idle_for_work = 1 / (limits.JANITOR_SHARE_BEHIND if behind else limits.JANITOR_SHARE) - 1
        beyond = worked - self._step
        await trio.sleep((_SHORTEST_STEP + beyond) * idle_for_work)
        self._began, self._worked = perf_counter(), 0.0
        earned = (self._began - paused) / idle_for_work - beyond
        self._step = min(max(earned, _SHORTEST_STEP), _LONGEST_STEP)

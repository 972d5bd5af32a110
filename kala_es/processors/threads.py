"""Threads for processors whose calls block, one for each place at a time: a place that hangs keeps only its own.

1. A thread cannot be ended. Cancelled, it is left to itself, and its place is taken until its call returns: what comes
   for that place meanwhile waits, and has no thread of its own to hang.
2. They are none of Trio's usual threads: there are few of those, and the node cannot stop without them.
3. There are at most `limits.PROCESSOR_THREADS`; when these are taken, a further place is refused.
"""

from collections.abc import Callable, Hashable

import trio

from kala_es import limits
from kala_es.processor import ProcessorError


class Threads:
    """The places that are taken, or waited for."""

    def __init__(self) -> None:
        self._turns: dict[Hashable, trio.CapacityLimiter] = {}

    async def run(self, place: Hashable, act: Callable[[], None]) -> None:
        """Call it on the thread of a place. Raises ProcessorError, and whatever it raises."""
        await trio.to_thread.run_sync(act, limiter=self._turn(place), abandon_on_cancel=True)

    def _turn(self, place: Hashable) -> trio.CapacityLimiter:
        if place not in self._turns:
            self._turns = {place: turn for place, turn in self._turns.items() if turn.borrowed_tokens}
            if len(self._turns) >= limits.PROCESSOR_THREADS:
                raise ProcessorError(f"{limits.PROCESSOR_THREADS} threads of processors are taken, or hang")
            self._turns[place] = trio.CapacityLimiter(1)
        return self._turns[place]

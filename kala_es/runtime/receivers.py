"""Hands things to receivers when they are due: to each one at a time, and to so many receivers at once.

1. A receiver has a task as long as something waits for it. One that is slow or down holds up no other.
2. What is due at one moment is handed over in the order in which it came.
3. Once it is `leaving`, nothing more is handed over; what is being handed over goes on.
"""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

import trio

Receiver = TypeVar("Receiver", bound=Hashable)
Item = TypeVar("Item")


@dataclass(slots=True)
class _Queue(Generic[Item]):
    """What waits for one receiver: when (by Trio's clock), in which order, what."""

    heap: list[tuple[float, int, Item]] = field(default_factory=list)
    news: trio.Event = field(default_factory=trio.Event)


class Receivers(Generic[Receiver, Item]):
    """`hand_over` is given when an item was due, and the item. `run` is its life."""

    def __init__(self, hand_over: Callable[[float, Item], Awaitable[None]], *, at_once: int) -> None:
        self._hand_over = hand_over
        self._queues: dict[Receiver, _Queue[Item]] = {}
        self._order = count()
        self._places = trio.CapacityLimiter(at_once)
        self._nursery: trio.Nursery | None = None
        self._rested = trio.Event()
        self.leaving = False

    @property
    def runs(self) -> bool:
        """Whether something can be put."""
        return self._nursery is not None

    @property
    def at_work(self) -> bool:
        """Whether something is being handed over."""
        return bool(self._places.borrowed_tokens)

    @property
    def busy(self) -> bool:
        """Whether something is being handed over, or is due."""
        now = trio.current_time()
        return self.at_work or any(queue.heap and queue.heap[0][0] <= now for queue in self._queues.values())

    async def run(self, begin: Callable[[], None], task_status: trio.TaskStatus[None]) -> None:
        """Hand over what `begin` puts, and what comes, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            begin()
            task_status.started()
            await trio.sleep_forever()

    def put(self, receiver: Receiver, due: float, item: Item) -> None:
        """Have an item handed over when it is due, by Trio's clock."""
        assert self._nursery is not None
        queue = self._queues.get(receiver)
        if queue is None:
            queue = self._queues[receiver] = _Queue()
            self._nursery.start_soon(self._serve, receiver, queue)
        heappush(queue.heap, (due, next(self._order), item))
        queue.news.set()

    async def _serve(self, receiver: Receiver, queue: _Queue[Item]) -> None:
        """Hand over what waits for a receiver until nothing does."""
        while queue.heap and not self.leaving:
            due = queue.heap[0][0]
            if due > trio.current_time():
                queue.news = trio.Event()
                with trio.move_on_at(due):
                    await queue.news.wait()
                continue
            async with self._places:
                due, _, item = heappop(queue.heap)
                if not self.leaving:
                    await self._hand_over(due, item)
            self._rested.set()
        del self._queues[receiver]

    async def rest(self) -> None:
        """Until the next time that something has been handed over."""
        self._rested = trio.Event()
        await self._rested.wait()

    async def leave(self, seconds: float) -> None:
        """Hand over nothing more; wait, at most so long, until what is being handed over is over."""
        self.leaving = True
        with trio.move_on_after(seconds):
            while self.at_work:
                await self.rest()

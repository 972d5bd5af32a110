"""Actors: an object with a bounded mailbox, and a Trio task only while there is something to do.

1. Messages are handled one at a time, in the order in which they came.
2. Every ask is answered, with a result or an exception; also when its asker has left, the message is handled.
3. A parked actor is no task and holds no message; its owner may forget it.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

from kala_es.domain.errors import Overloaded

Result = TypeVar("Result")
Message = TypeVar("Message")


class Reply(Generic[Result]):
    """A result on its way to one or several waiters."""

    __slots__ = ("_done", "_error", "_result")

    def __init__(self) -> None:
        self._done = trio.Event()
        self._result: list[Result] = []
        self._error: BaseException | None = None

    def set(self, result: Result) -> None:
        """Answer. The first answer counts."""
        if not self._done.is_set():
            self._result.append(result)
            self._done.set()

    def fail(self, error: BaseException) -> None:
        """Answer with an exception."""
        if not self._done.is_set():
            self._error = error
            self._done.set()

    async def wait(self) -> Result:
        """The result, or the exception raised. Leaving early changes nothing for others."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]


class Actor(Generic[Message]):
    """A mailbox and the task that empties it, started in `nursery` when a message comes."""

    __slots__ = ("_handle", "_mailbox", "_nursery", "_on_parked", "_running")

    def __init__(
        self,
        nursery: trio.Nursery,
        handle: Callable[[Message], Awaitable[None]],
        on_parked: Callable[[], None],
    ) -> None:
        self._nursery = nursery
        self._handle = handle
        self._on_parked = on_parked
        self._mailbox: deque[Message] = deque()
        self._running = False

    def put(self, message: Message, limit: int | None = None) -> None:
        """Queue a message. Raises Overloaded when `limit` messages wait already."""
        if limit is not None and len(self._mailbox) >= limit:
            raise Overloaded(f"{limit} requests for this job are waiting")
        self._mailbox.append(message)
        if not self._running:
            self._running = True
            self._nursery.start_soon(self._run)

    async def _run(self) -> None:
        while self._mailbox:
            await self._handle(self._mailbox.popleft())
        self._running = False
        self._on_parked()

"""Output on its way from a pipe to whoever takes it, in chunks."""

import math
from collections.abc import Awaitable, Callable

import trio

from kala_es import limits
from kala_es.executor import Channel, Emit

_PATIENCE_SECONDS = 0.1
"""When a chunk waits for longer, the end of the process is looked out for meanwhile."""


class Chunks:
    """What was read and not yet taken: bytes of one channel, cut into chunks from the front. `meanwhile` is to be done
    while a chunk has to wait."""

    __slots__ = ("_at", "_channel", "_content", "_emit", "_meanwhile", "due")

    def __init__(self, emit: Emit, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._emit = emit
        self._meanwhile = meanwhile
        self._channel: Channel = "stdout"
        self._content = b""
        self._at = 0
        self.due = math.inf
        """When a chunk that is not full must leave, by Trio's clock."""

    async def add(self, content: bytes) -> None:
        """Keep these; let full chunks go. Cancelled, it has kept them, and no chunk is lost or doubled."""
        if self._content:
            content = self._content[self._at :] + content
        else:
            self.due = trio.current_time() + limits.CHUNK_SECONDS
        self._content, self._at = content, 0
        while len(self._content) - self._at >= limits.CHUNK_BYTES:
            await self._let_one_go()
            self.due = trio.current_time() + limits.CHUNK_SECONDS if self._content else math.inf

    async def flush(self) -> None:
        """Let all go."""
        while self._content:
            await self._let_one_go()
        self.due = math.inf

    async def turn_to(self, channel: Channel) -> None:
        """What follows is of this channel."""
        if channel != self._channel:
            await self.flush()
            self._channel = channel

    async def _let_one_go(self) -> None:
        piece = self._content[self._at : self._at + limits.CHUNK_BYTES]
        with trio.move_on_after(_PATIENCE_SECONDS) as patience:
            await self._emit(self._channel, piece)
        if patience.cancelled_caught:  # then it has taken nothing
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._meanwhile)
                await self._emit(self._channel, piece)
                nursery.cancel_scope.cancel()
        self._at += len(piece)
        if self._at == len(self._content):
            self._content, self._at = b"", 0

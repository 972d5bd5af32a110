"""One end of a connection over a Unix socket: messages out in batches, messages in as they come.

What one turn of the loop sends leaves in one write. When the other end does not read and much waits to be sent, the
connection is given up, and what it would have brought is brought by the next one, which begins with a list.
"""

import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

import trio

from kala_es import limits
from kala_es.link import LinkDown, Message
from kala_es.links.frames import Frames, Garbled, encode

_READ_BYTES: Final = 256 * 1024
_GOODBYE_SECONDS: Final = 2.0
_CREDENTIALS: Final = struct.Struct("3i")
Received = TypeVar("Received")


class Wire(Generic[Received]):
    """`flush` is to run beside its user, from beginning to end. `is_fresh`: the other end has just been started."""

    def __init__(self, ours: trio.socket.SocketType, frames: Frames[Received], *, is_fresh: bool = False) -> None:
        self.is_fresh = is_fresh
        self._socket = ours
        self._frames = frames
        self._queue: list[bytes] = []
        self._queued = 0
        self._moved = trio.current_time()
        """When something left for the last time, or nothing waited to."""
        self._news = trio.Event()
        self._sent = trio.Event()
        self._flushes = True
        self._scope = trio.CancelScope()
        self._why = "the connection was closed"

    def send(self, message: Message) -> None:
        """Queue a message; never waits. Raises TooLarge."""
        frame = encode(message)
        if not self._queued:
            self._moved = trio.current_time()
        self._queue.append(frame)
        self._queued += len(frame)
        stalled = trio.current_time() - self._moved > limits.LINK_STALLED_SECONDS
        if stalled and self._queued > limits.MAX_LINK_BYTES:
            self._give_up("the other end does not read")
        self._news.set()

    async def flush(self) -> None:
        """Send what is queued, until the connection is over."""
        try:
            with self._scope:
                while True:
                    await self._news.wait()
                    self._news = trio.Event()
                    await self._send_queued()
                    self._sent.set()
        finally:  # ended from outside it leaves the rest to `close`
            self._flushes = False
            self._sent.set()

    async def _send_queued(self) -> None:
        while self._queue:
            content, self._queue = b"".join(self._queue), []
            rest = memoryview(content)
            try:
                while rest:
                    rest = rest[await self._socket.send(rest) :]
                    self._moved = trio.current_time()
            except OSError as error:
                self._give_up(f"sending failed: {error.strerror}")
                return
            finally:
                self._queued -= len(content) - len(rest)
                if rest:
                    self._queue.insert(0, bytes(rest))

    async def receive(self) -> Sequence[Received]:
        """The next messages, one at least. Raises LinkDown."""
        while True:
            try:
                content = await self._socket.recv(_READ_BYTES)
                messages = self._frames.feed(content)
            except (OSError, trio.ClosedResourceError, Garbled) as error:
                self._give_up(str(error))
                raise LinkDown(self._why) from error
            if messages:
                return messages
            if not content:
                self._give_up("the other end is gone")
                raise LinkDown(self._why)

    def _give_up(self, why: str) -> None:
        if not self._scope.cancel_called:
            self._why = why
            self._scope.cancel()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        """Send what is queued, if that is possible soon, and hang up. Idempotent."""
        if not self._scope.cancel_called and self._queued:
            with trio.move_on_after(_GOODBYE_SECONDS):
                if self._flushes:
                    self._sent = trio.Event()
                    await self._sent.wait()
                await self._send_queued()
        self._give_up("the connection was closed")
        self._socket.close()
        await trio.lowlevel.checkpoint()


def is_ours(connected: Any) -> bool:
    """Whether the other end of a Unix socket runs as our user."""
    content = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(content)
    return bool(user == os.geteuid())

"""One client's connection: hypercorn's HTTP/1.1 on a Trio stream, with fewer task switches a request.

What differs from hypercorn's own TCPServer:
1. The idle timeout is the deadline of the connection's one scope, not a task that is stopped and started anew.
2. Writing takes no lock, tries the socket before it waits for it, and sends an answer's head with its body's first.
3. A request's task is done when its app is: what it did not read is not waited for.
4. HTTP/1.1 only: no upgrade to HTTP/2, whose buffers have no limit in hypercorn.
5. Before it is closed on our side its input is drained for a moment: a client that still sends its request's body
   would find a reset in place of the answer.
"""

import os
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any, Final

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from kala_es import limits
from kala_es.web.asgi import App

_RECEIVE_BYTES: Final = 64 * 1024
_LINGER_SECONDS: Final = 2.0
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


class Protocol(H11Protocol):
    """HTTP/1.1, and nothing that a client would upgrade it to but a WebSocket."""

    corked = False
    """Whether what is sent now may wait for what follows it: an answer's head, for its body."""
    endless = False
    """Whether the answer is a stream that its reader will come back for."""

    async def stream_send(self, event: StreamEvent) -> None:
        """Take a request's answer, an event at a time."""
        self.corked = isinstance(event, Response)
        if isinstance(event, Response):
            self.endless = any(n == b"content-type" and v.startswith(b"text/event-stream") for n, v in event.headers)
        await super().stream_send(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        """No HTTP/2."""


class Incoming:
    """A request's messages on their way to its app. The last, that the client has left, never waits for room."""

    def __init__(self, room: int) -> None:
        self._give, self._take = trio.open_memory_channel[Any](room)
        self._last: Any = None

    async def put(self, message: Any) -> None:
        """Pass a message on, unless nobody reads any more."""
        if message["type"].endswith(".disconnect"):
            self._last = message
            self._give.close()
            return
        try:
            self._give.send_nowait(message)
        except trio.WouldBlock:
            with suppress(*_GONE):
                await self._give.send(message)
        except _GONE:
            return

    async def receive(self) -> Any:
        """The next message; after the last, the last."""
        try:
            return await self._take.receive()
        except trio.EndOfChannel:
            return self._last

    def close(self) -> None:
        """Nobody reads any more."""
        self._take.close()


class Tasks:
    """The tasks of a connection's requests, one at a time."""

    def __init__(self, nursery: trio.Nursery, complain: Callable[[str], None]) -> None:
        self._nursery = nursery
        self._complain = complain

    async def spawn_app(self, app: App, config: Config, *request: Any) -> Callable[[Any], Awaitable[None]]:
        """Start the app for a request, its scope and where it sends; gives where its messages are put."""
        scope, send = request
        incoming = Incoming(config.max_app_queue_size)
        self._nursery.start_soon(self._run, app, scope, (incoming, send))
        return incoming.put

    async def _run(self, app: App, scope: Any, ends: tuple[Incoming, Callable[[Any], Awaitable[None]]]) -> None:
        incoming, send = ends
        try:
            await app(scope, incoming.receive, send)
        except Exception as bug:
            self._complain(f"{scope.get('method')} {scope['path']}:\n{''.join(traceback.format_exception(bug))}")
        finally:
            incoming.close()
        await send(None)

    def spawn(self, func: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Start any task of the protocol's."""
        self._nursery.start_soon(func, *args)


class Connection:
    """A client's connection. `run` returns when it is over, and never raises but for a cancellation."""

    def __init__(self, app: App, stream: trio.SocketStream, *, config: Config, context: WorkerContext) -> None:
        self._app = app
        self._stream = stream
        self._config = config
        self._context = context
        self._scope = trio.CancelScope()
        self._held = b""
        self._idle = True
        self._ending = False
        self._protocol: Protocol

    async def run(self, complain: Callable[[str], None]) -> None:
        """Serve until the client or the server has had enough."""
        try:
            async with trio.open_nursery() as nursery:
                self._protocol = self._make_protocol(Tasks(nursery, complain))
                with self._scope:
                    await self._read()
                if self._ending:
                    await self._linger()
                await self._protocol.handle(Closed())
        except Exception as bug:
            complain(f"a connection:\n{''.join(traceback.format_exception(bug))}")
        finally:
            self._stream.socket.close()

    def _make_protocol(self, tasks: Tasks) -> Protocol:
        socket, peer = self._stream.socket, None
        with suppress(OSError):  # it may be gone already
            peer = parse_socket_addr(socket.family, socket.getpeername())
        own = parse_socket_addr(socket.family, socket.getsockname())
        state = ConnectionState({})
        self._be_idle()
        arguments: Any = (self._app, self._config, self._context, tasks, state, False, peer, own, self.send)
        return Protocol(*arguments)

    def retire(self) -> None:
        """The server is stopping: end now, or with the answer to a request that is under way and has an end."""
        if self._idle or self._protocol.endless:
            self._scope.cancel()

    def _be_idle(self) -> None:
        self._idle = True
        self._scope.deadline = trio.current_time() + self._config.keep_alive_timeout

    async def _read(self) -> None:
        while True:
            try:
                data = await self._stream.receive_some(_RECEIVE_BYTES)
            except _GONE:
                return
            if self._idle:
                self._scope.deadline = min(self._scope.deadline, trio.current_time() + limits.REQUEST_HEAD_SECONDS)
            await self._protocol.handle(RawData(bytes(data)))
            if not data:
                return

    async def send(self, event: Event) -> None:
        """What the protocol has to say: bytes, that it is over, that it waits for a request or no longer does."""
        if isinstance(event, RawData):
            data = self._held + event.data
            self._held = data if self._protocol.corked else b""
            if data and not self._protocol.corked:
                await self._write(data)
        elif isinstance(event, Closed):
            await self._end()
            await self._protocol.handle(Closed())
        elif isinstance(event, Updated):
            if event.idle:
                self._be_idle()
            else:
                self._idle = False
                self._scope.deadline = inf

    async def _write(self, data: bytes) -> None:
        """All of it, or the connection is over: what was cut off can not be mended."""
        whole = False
        try:
            sent = self._write_now(data)
            if sent < len(data):
                await self._stream.send_all(memoryview(data)[sent:])
            whole = True
        except (*_GONE, OSError):
            await self._protocol.handle(Closed())
        finally:
            if not whole:
                self._scope.cancel()

    def _write_now(self, data: bytes) -> int:
        """As much as the socket takes at once."""
        socket = self._stream.socket
        if self._ending:
            raise trio.ClosedResourceError
        try:
            return os.write(socket.fileno(), data)
        except BlockingIOError:
            return 0

    async def _end(self) -> None:
        """No more from us; the reader sees to the rest."""
        self._ending = True
        with suppress(*_GONE, OSError, trio.BusyResourceError):
            self._stream.socket.shutdown(trio.socket.SHUT_WR)
        self._scope.cancel()

    async def _linger(self) -> None:
        with suppress(*_GONE), trio.move_on_after(_LINGER_SECONDS):
            while await self._stream.receive_some(_RECEIVE_BYTES):
                pass

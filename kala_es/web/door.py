"""The ASGI app that stays while nodes come and go: the way in to the app of the node that lives.

1. While it is closed every request is answered 503, with when to ask again.
2. Before a node goes nobody comes in, and who is inside gets a moment to leave; then a request is cut off, answered 503
   if it has no answer yet. Who has the node go stays inside, and is answered when the next one is there.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from kala_es.domain.errors import Overloaded
from kala_es.web.asgi import App, Message, Receive, Send, send_response
from kala_es.web.exchange import refuse

_AWAY: Final = refuse(503, "the server takes over the log of an archive; ask again", ("Retry-After", "1"))


class Door:
    """Give it to an ASGI server. Closed, until it is opened for the first time."""

    def __init__(self) -> None:
        self._app: App | None = None
        self._inside: dict[trio.lowlevel.Task, trio.CancelScope] = {}
        self._left = trio.lowlevel.ParkingLot()

    def open(self, app: App) -> None:
        """Let requests in to this app."""
        self._app = app

    @asynccontextmanager
    async def closing(self, *, but: trio.lowlevel.Task, seconds: float) -> AsyncIterator[None]:
        """Close it, and have all leave but one within so many seconds. Any fault opens it again.

        Raises Overloaded when somebody stays.
        """
        app, self._app = self._app, None
        try:
            await self._empty(but, seconds)
            for task in self._inside.keys() - {but}:
                self._inside[task].cancel()
            await self._empty(but, seconds)
            if self._inside.keys() - {but}:
                raise Overloaded("requests are under way that cannot be ended")
            yield
        except BaseException:
            self._app = app
            raise

    async def _empty(self, but: trio.lowlevel.Task, seconds: float) -> None:
        with trio.move_on_after(seconds):
            while self._inside.keys() - {but}:
                await self._left.park()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve as ASGI has it."""
        if scope["type"] == "lifespan":
            await _outlast(receive, send)
        elif self._app is not None:
            await self._enter(self._app, scope, (receive, send))
        elif scope["type"] == "http":
            await send_response(send, _AWAY)
        else:
            await send({"type": "websocket.close"})

    async def _enter(self, app: App, scope: Message, ends: tuple[Receive, Send]) -> None:
        receive, send = ends
        task, begun = trio.lowlevel.current_task(), False

        async def answer(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        with trio.CancelScope() as inside:
            self._inside[task] = inside
            try:
                await app(scope, receive, answer)
            finally:
                del self._inside[task]
                self._left.unpark_all()
        if inside.cancelled_caught and not begun:
            await send_response(send, _AWAY)


async def _outlast(receive: Receive, send: Send) -> None:
    """ASGI's lifespan is that of the server, not of a node."""
    while True:
        asked = (await receive())["type"]
        await send({"type": f"{asked}.complete"})
        if asked == "lifespan.shutdown":
            return

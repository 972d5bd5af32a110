"""The agent and the nodes that come and go: introductions, whose turn it is, and when the agent ends.

1. One node at a time; a new one takes the place of the one before it.
2. What is no message of the link ends the connection, never the agent.
3. The agent ends when its node has said that it shall not outlive it and is gone; when it was told Bye and holds
   nothing; and when it holds nothing and nobody has come for a while.
"""

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from kala_es import limits
from kala_es.agent.attempts import Agent
from kala_es.link import CAPABILITIES, VERSION, Bye, Hello, LinkDown, ToAgent, Welcome
from kala_es.links.frames import from_node
from kala_es.links.wire import Wire, is_ours

_SETTLE_SECONDS = 2.0
"""So long an agent that ends waits for its node to record the last ends."""
_ACCEPT_PAUSE_SECONDS = 0.1
_WORD_SECONDS = 10.0
"""A connection that has not said Hello by then is closed."""


@dataclass(slots=True)
class Serving:
    """One life of an agent. `adopt` takes the environment and the limit of open files of each node that comes;
    `listen_anew` gives another socket to listen on when the one before cannot be found any more."""

    agent: Agent
    adopt: Callable[[tuple[tuple[bytes, bytes], ...], int], None]
    listen_anew: Callable[[], trio.socket.SocketType | None] = lambda: None
    life: str = field(default_factory=lambda: str(uuid.uuid4()))
    _since: int | None = None
    _present: trio.CancelScope | None = None
    _gone: trio.Event = field(default_factory=trio.Event)
    _left: trio.Event = field(default_factory=trio.Event)
    _over: trio.Event = field(default_factory=trio.Event)
    _farewell: bool = False

    async def serve(self, listener: trio.socket.SocketType, first: trio.socket.SocketType | None) -> None:
        """Attend to nodes until the agent's life is over; what runs then is ended, and the node is told."""
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as working:
                await working.start(self.agent.run)
                nursery.start_soon(self._linger)
                if first is not None:
                    nursery.start_soon(self._attend, first)
                nursery.start_soon(self._listen, listener, nursery)
                await self._over.wait()
                working.cancel_scope.cancel()
            if self._present is not None:
                with trio.move_on_after(_SETTLE_SECONDS):
                    await self.agent.empty()
            nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """End what runs, and then the agent's life."""
        self._over.set()

    async def _listen(self, listener: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        """Take the nodes that call, also when somebody has removed the socket by which they find us."""
        while True:
            with listener:
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(self._accept, listener, nursery)
                    following = await self._unfound()
                    accepting.cancel_scope.cancel()
            listener = following

    async def _unfound(self) -> trio.socket.SocketType:
        """The socket to listen on once no node is here and none would find us; looked for at once when one has left."""
        while True:
            while self._present is not None:
                self._left = trio.Event()
                await self._left.wait()
            if (following := self.listen_anew()) is not None:
                return following
            await trio.sleep(limits.AGENT_FOUND_SECONDS)

    async def _accept(self, listener: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        while True:
            try:
                connected, _ = await listener.accept()
            except OSError:  # no file to spare for it; who calls is not lost
                await trio.sleep(_ACCEPT_PAUSE_SECONDS)
                continue
            if is_ours(connected):
                nursery.start_soon(self._attend, connected)
            else:
                connected.close()

    async def _linger(self) -> None:
        """End when there is nothing to stay for."""
        while not self._over.is_set():
            await self.agent.empty()
            with trio.move_on_after(0 if self._farewell else limits.AGENT_LINGER_SECONDS) as patience:
                while self._present is None:
                    await self._came_or_went()
            if patience.cancelled_caught and not len(self.agent.ledger):
                self._over.set()
            elif self._present is not None:
                await self._came_or_went()

    async def _came_or_went(self) -> None:
        self._gone = trio.Event()
        await self._gone.wait()

    async def _attend(self, connected: trio.socket.SocketType) -> None:
        """Serve one node, from its Hello to its end."""
        wire: Wire[ToAgent] = Wire(connected, from_node())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.flush)
            try:
                with suppress(LinkDown, trio.TooSlowError):  # who says nothing, or nonsense, is hung up on
                    await self._hear_out(wire)
            finally:
                with trio.CancelScope(shield=True):
                    await wire.close()

    async def _hear_out(self, wire: Wire[ToAgent]) -> None:
        with trio.fail_after(_WORD_SECONDS):
            hello, *rest = await wire.receive()
        if isinstance(hello, Hello) and not self._over.is_set():
            self._welcome(hello, wire)
            if hello.version == VERSION:
                await self._serve_node(hello, wire, rest)

    def _welcome(self, hello: Hello, wire: Wire[ToAgent]) -> None:
        if self._since is None:
            self._since = hello.position
        wire.send(Welcome(VERSION, self.life, os.getpid(), self._since, CAPABILITIES))

    async def _serve_node(self, hello: Hello, wire: Wire[ToAgent], messages: list[ToAgent]) -> None:
        """Do as the node says, while it is there and no other has come."""
        if self._present is not None:
            self._present.cancel()
        self.adopt(hello.environment, hello.open_files)
        self._farewell = False
        with trio.CancelScope() as present:
            self._present = present
            self._gone.set()
            self.agent.connect(wire.send)
            try:
                while True:
                    for message in messages:
                        self._hear(message)
                    messages = list(await wire.receive())
            finally:
                if self._present is present:
                    self._present = None
                    self.agent.disconnect()
                    self._left.set()
                    self._gone.set()
                    if not hello.outlives:
                        self._over.set()

    def _hear(self, message: ToAgent) -> None:
        if isinstance(message, Bye):
            self._farewell = True
        elif isinstance(message, Hello):
            raise LinkDown("a second Hello")
        else:
            self.agent.send(message)

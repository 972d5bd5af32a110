"""The link's adapter without a process or bytes: an agent in a nursery of the test's, on the test's clock."""

from collections import deque
from collections.abc import Sequence

import trio

from kala_es.agent.attempts import Agent
from kala_es.clock import TrioClock
from kala_es.executor import Executor
from kala_es.link import CAPABILITIES, VERSION, Bye, Hello, Key, LinkDown, ToAgent, ToNode, Welcome


class LocalLink:
    """The link's adapter to an agent that lives beside the node's tasks. `nursery` is the agent's: while that lives, it
    outlives its nodes."""

    def __init__(self, shell: Executor, clock: TrioClock, nursery: trio.Nursery) -> None:
        self._shell = shell
        self.clock = clock
        self._nursery = nursery
        self._agent: Agent | None = None
        self._life = 0
        self._since = 0
        self._scope = trio.CancelScope()
        self._connection: LocalConnection | None = None

    async def connect(self, nursery: trio.Nursery) -> "LocalConnection":
        """A connection to the agent that lives, or to a new one."""
        is_fresh = self._agent is None
        if self._agent is None:
            self._agent = Agent(self._shell, self._shell, self.clock)
            self._life += 1
            self._since = -1
            self._scope = trio.CancelScope()
            await self._nursery.start(self._live, self._agent)
        if self._connection is not None:
            self._connection.hang_up()
        self._connection = LocalConnection(self, self._agent, is_fresh=is_fresh)
        return self._connection

    async def _live(self, agent: Agent, *, task_status: trio.TaskStatus[None]) -> None:
        with self._scope:
            await agent.run(task_status=task_status)

    def greet(self, hello: Hello) -> Welcome:
        """The agent's first word."""
        if self._since < 0:
            self._since = hello.position
        return Welcome(VERSION, f"agent {self._life}", self._life, self._since, CAPABILITIES)

    def held(self) -> set[Key]:
        """The attempts that the agent holds: it carries them out, or owes their ends."""
        return set() if self._agent is None else self._agent.ledger.keys()

    def hang_up(self) -> None:
        """The connection is down; both ends live."""
        if self._connection is not None:
            self._connection.hang_up()

    def kill(self) -> None:
        """The agent and all that it runs are gone, without a word."""
        self._agent = None
        self._scope.cancel()
        if self._connection is not None:
            self._connection.hang_up()


class LocalConnection:
    """A connection without bytes."""

    def __init__(self, link: LocalLink, agent: Agent, *, is_fresh: bool) -> None:
        self.is_fresh = is_fresh
        self._link = link
        self._agent = agent
        self._messages: deque[ToNode] = deque()
        self._news = trio.Event()
        self._down = False

    def send(self, message: ToAgent) -> None:
        """Hand it to the agent at once."""
        if self._down:
            return
        if isinstance(message, Hello):
            self._agent.connect(self._report)
            self._report(self._link.greet(message))
        elif not isinstance(message, Bye):
            self._agent.send(message)

    def _report(self, message: ToNode) -> None:
        if not self._down:
            self._messages.append(message)
            self._news.set()

    async def receive(self) -> Sequence[ToNode]:
        """The next messages."""
        while not self._messages:
            if self._down:
                raise LinkDown("the agent is gone")
            await self._news.wait()
            self._news = trio.Event()
        found = list(self._messages)
        self._messages.clear()
        return found

    def hang_up(self) -> None:
        """It brings no more."""
        if not self._down:
            self._down = True
            self._agent.disconnect()
            self._news.set()

    async def close(self) -> None:
        """Hang up."""
        self.hang_up()
        await trio.lowlevel.checkpoint()

"""The node's line to its agent, on MockClock: how soon it calls again, and what it says of it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from kala_es.domain.ids import Instant
from kala_es.link import VERSION, Acknowledge, Attempt, Chunk, Hello, Key, LinkDown, Listed, ToAgent, ToNode, Welcome
from kala_es.runtime.agent_line import AgentLine
from kala_es.runtime.order_book import OrderBook, OutOfOrder


class Brief:
    """A link whose connections are down so many seconds after the meeting; then it brings `last`, if there is one."""

    def __init__(
        self,
        seconds: float,
        last: ToNode | None = None,
        *,
        is_fresh: bool = False,
        is_mute: bool = False,
        has: Sequence[Attempt] = (),
    ) -> None:
        self.is_fresh = is_fresh
        self._is_mute = is_mute
        self.calls: list[float] = []
        self.heard: list[tuple[float, ToAgent]] = []
        self._seconds = seconds
        self._last = last
        self._met = False
        self._has = tuple(has)

    async def connect(self, nursery: trio.Nursery) -> "Brief":
        """As the port says."""
        await trio.lowlevel.checkpoint()
        self.calls.append(trio.current_time())
        self._met = False
        return self

    def send(self, message: ToAgent) -> None:
        """Nobody listens."""
        self.heard.append((trio.current_time(), message))

    async def receive(self) -> Sequence[ToNode]:
        """The introduction, then the end."""
        if self._is_mute:
            await trio.lowlevel.checkpoint()
            raise LinkDown("cut")
        if not self._met:
            self._met = True
            return [Welcome(VERSION, "a", 1, 0), Listed(self._has)]
        await trio.sleep(self._seconds)
        if self._last is None:
            raise LinkDown("cut")
        return [self._last]

    async def close(self) -> None:
        """Nothing to let go of."""
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def calling(
    link: Brief, lost: Callable[[Key], None] = lambda _: None, *, away: float = 0.0
) -> AsyncIterator[list[str]]:
    """A line that calls; what it complains of. Its book has an attempt of an earlier life of the node.

    For so long the log is `away` each time that it is to be read.
    """
    complaints: list[str] = []

    def take(_: object) -> None:
        raise OutOfOrder("a gap")

    async def durable(_: object) -> int:
        await trio.sleep(away)
        return 4

    book = OrderBook(lost=lost)
    book.inherit(("old", 1), 0, lambda: None)
    hello = Hello(VERSION, 0)
    line = AgentLine(link, book, hello=lambda: hello, durable=durable, take=take, complain=complaints.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(line.run)
        yield complaints
        nursery.cancel_scope.cancel()


async def test_connections_that_do_not_last_are_made_ever_more_slowly_and_complained_of(autojump_clock):
    link = Brief(0.01)
    async with calling(link) as complaints:
        await trio.sleep(60)
    assert 10 < len(link.calls) < 20
    assert complaints[0] == "no agent: cut"
    assert len(complaints) == len(link.calls) - 2


async def test_an_agent_that_leaves_something_out_each_time_is_not_called_without_a_pause(autojump_clock):
    link = Brief(0.01, Chunk("r", 1, 5, "stdout", 0, b"x", Instant(0)))
    async with calling(link) as complaints:
        await trio.sleep(60)
    assert 10 < len(link.calls) < 20
    assert set(complaints) == {"the agent is hung up on: a gap"}


async def test_after_a_connection_that_lasted_the_next_is_made_at_once(autojump_clock):
    link = Brief(3.0)
    async with calling(link) as complaints:
        await trio.sleep(10)
    assert [round(at, 1) - round(link.calls[0], 1) for at in link.calls] == [0, 3, 6, 9]
    assert complaints == []


async def test_an_agent_that_was_started_and_did_not_get_to_work_makes_nothing_lost(autojump_clock):
    lost: list[Key] = []
    async with calling(Brief(3.0, is_fresh=True, is_mute=True), lost.append):
        await trio.sleep(10)
    assert lost == []


async def test_an_agent_that_was_started_and_is_at_work_makes_lost_what_another_had(autojump_clock):
    lost: list[Key] = []
    async with calling(Brief(3.0, is_fresh=True), lost.append):
        await trio.sleep(10)
    assert lost == [("old", 1)]


async def test_an_agent_that_comes_back_waits_until_the_log_can_be_read(autojump_clock):
    lost: list[Key] = []
    link = Brief(30.0, has=[Attempt("old", 1)])
    async with calling(link, lost.append, away=20.0) as complaints:
        await trio.sleep(40)
    [acknowledged] = [(at - link.calls[0], said) for at, said in link.heard if isinstance(said, Acknowledge)]
    assert acknowledged == (20.0, Acknowledge("old", 1, 4))
    assert (lost, complaints, len(link.calls)) == ([], [], 1)

"""An agent and the nodes that call: who is heard, who is hung up on, when it ends. Over socket pairs, on MockClock."""

import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing

from kala_es import limits
from kala_es.agent.attempts import Agent
from kala_es.agent.serving import Serving
from kala_es.clock import SystemClock
from kala_es.executor import AttemptEnd, Emit, Local, Order
from kala_es.link import (
    Bye,
    Cancel,
    Chunk,
    Ended,
    Hello,
    LinkDown,
    List,
    Listed,
    Message,
    Resume,
    Settle,
    Start,
    ToNode,
    Welcome,
)
from kala_es.links.frames import encode, from_agent, from_node
from kala_es.links.place import SOCKET, dial, is_listed, listen
from kala_es.links.wire import Wire


class Patient:
    """Writes a byte, and ends when cancelled."""

    async def execute(self, order: Order, emit: Emit) -> AttemptEnd:
        await emit("stdout", b"x")
        await trio.sleep_forever()
        raise AssertionError


@dataclass
class Call:
    """A node's connection."""

    wire: Wire[ToNode]

    async def hello(self, *, outlives: bool = True) -> Welcome:
        self.wire.send(Hello(1, 7, outlives))
        (welcome,) = await self.wire.receive()
        assert isinstance(welcome, Welcome)
        return welcome

    async def until(self, kind: type[ToNode]) -> ToNode:
        """The next message of this kind."""
        while True:
            for message in await self.wire.receive():
                if isinstance(message, kind):
                    return message


@dataclass
class Office:
    """An agent that serves in a directory."""

    directory: Path
    nursery: trio.Nursery
    over: trio.Event
    serving: Serving
    calls: list[Call] = field(default_factory=list)

    def call(self) -> Call:
        connected = dial(self.directory)
        assert connected is not None
        wire: Wire[ToNode] = Wire(trio.socket.from_stdlib_socket(connected), from_agent())
        self.nursery.start_soon(wire.flush)
        self.calls.append(Call(wire))
        return self.calls[-1]


@asynccontextmanager
async def office(directory: Path) -> AsyncIterator[Office]:
    """An agent at work; whatever happens, it is over within a while."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            serving = Serving(
                Agent(Patient(), Patient(), SystemClock()),
                lambda environment, files: None,
                lambda: None if is_listed(directory) else trio.socket.from_stdlib_socket(listen(directory)),
            )
            listener = trio.socket.from_stdlib_socket(listen(directory))
            over = trio.Event()

            async def serve() -> None:
                await serving.serve(listener, None)
                over.set()

            nursery.start_soon(serve)
            agent = Office(directory, nursery, over, serving)
            try:
                yield agent
            finally:
                with trio.CancelScope(shield=True):
                    for call in agent.calls:
                        await call.wire.close()
                nursery.cancel_scope.cancel()


def start(run: str) -> Start:
    return Start(Order(run=run, attempt=1, work=Local(command_line="")))


async def test_a_node_is_welcomed_and_told_what_it_asks(tmp_path: Path) -> None:
    async with office(tmp_path) as agent:
        node = agent.call()
        welcome = await node.hello()
        assert (welcome.version, welcome.since) == (1, 7)
        for message in (start("r"), List()):
            node.wire.send(message)
        listed = await node.until(Listed)
        assert isinstance(listed, Listed)
        assert [(each.run, each.ended) for each in listed.attempts] == [("r", False)]
        node.wire.send(Resume())
        assert isinstance(await node.until(Chunk), Chunk)
        node.wire.send(Cancel("r", 1))
        assert isinstance(await node.until(Ended), Ended)


async def test_the_next_node_finds_what_the_one_before_left(tmp_path: Path) -> None:
    async with office(tmp_path) as agent:
        first = agent.call()
        life = (await first.hello()).agent
        first.wire.send(start("r"))
        first.wire.send(Resume())
        await first.until(Chunk)
        second = agent.call()
        assert (await second.hello()).agent == life
        with pytest.raises(LinkDown):
            await first.until(Ended)
        second.wire.send(Resume())
        chunk = await second.until(Chunk)
        assert isinstance(chunk, Chunk)
        assert (chunk.run, chunk.sequence, chunk.content) == ("r", 1, b"x")


async def test_nonsense_ends_the_call_and_not_the_agent(tmp_path: Path) -> None:
    chance = random.Random(7)
    valid: list[Message] = [
        start("r"),
        List(),
        Resume(),
        Settle("r", 1),
        Cancel("x", 2),
        Bye(),
        Hello(1, 2),
    ]
    async with office(tmp_path) as agent:
        keeper = agent.call()
        await keeper.hello()
        keeper.wire.send(start("kept"))
        for number in range(60):
            call = agent.call()
            if number % 2:
                await call.hello()
            for message in chance.sample(valid, 3):
                call.wire.send(message)
            call.wire._queue.append(chance.randbytes(chance.randint(4, 40)))
            call.wire._news.set()
            await call.wire.close()
        node = agent.call()
        await node.hello()
        node.wire.send(List())
        listed = await node.until(Listed)
        assert isinstance(listed, Listed)
        assert "kept" in {each.run for each in listed.attempts}


async def test_another_version_is_told_ours_and_hung_up_on(tmp_path: Path) -> None:
    async with office(tmp_path) as agent:
        call = agent.call()
        call.wire.send(Hello(99, 7))
        assert await call.until(Welcome)
        with pytest.raises(LinkDown):
            await call.until(Ended)


async def test_who_says_nothing_is_hung_up_on(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with office(tmp_path) as agent:
        call = agent.call()
        with pytest.raises(LinkDown):
            await call.until(Welcome)


async def test_it_ends_when_it_holds_nothing_and_nobody_comes(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with office(tmp_path) as agent:
        node = agent.call()
        await node.hello()
        await trio.sleep(2 * limits.AGENT_LINGER_SECONDS)
        assert not agent.over.is_set()
        await node.wire.close()
        await agent.over.wait()
        assert dial(tmp_path) is None


@pytest.mark.parametrize("is_present", [True, False])
async def test_it_is_found_again_when_its_socket_was_removed(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, is_present: bool
) -> None:
    async with office(tmp_path) as agent:
        first = agent.call()
        await first.hello()
        first.wire.send(start("r"))
        if is_present:
            (tmp_path / SOCKET).unlink()
            await first.wire.close()
        else:
            await first.wire.close()
            await trio.testing.wait_all_tasks_blocked(0.1)
            (tmp_path / SOCKET).unlink()
        await trio.sleep(2 * limits.AGENT_FOUND_SECONDS)
        second = agent.call()
        await second.hello()
        second.wire.send(List())
        listed = await second.until(Listed)
        assert isinstance(listed, Listed)
        assert [each.run for each in listed.attempts] == ["r"]


async def test_it_stays_while_it_holds_something(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with office(tmp_path) as agent:
        node = agent.call()
        await node.hello()
        for message in (start("r"), Bye()):
            node.wire.send(message)
        await node.wire.close()
        await trio.sleep(2 * limits.AGENT_LINGER_SECONDS)
        assert not agent.over.is_set()
        second = agent.call()
        await second.hello()
        second.wire.send(Cancel("r", 1))
        second.wire.send(Resume())
        await second.until(Ended)
        second.wire.send(Settle("r", 1))
        second.wire.send(Bye())
        await second.wire.close()
        await agent.over.wait()


async def test_told_bye_it_ends_at_once_when_it_holds_nothing(tmp_path: Path) -> None:
    async with office(tmp_path) as agent:
        node = agent.call()
        await node.hello()
        node.wire.send(Bye())
        await node.wire.close()
        await agent.over.wait()


async def test_it_goes_with_a_node_that_it_shall_not_outlive(tmp_path: Path) -> None:
    async with office(tmp_path) as agent:
        node = agent.call()
        await node.hello(outlives=False)
        node.wire.send(start("r"))
        await node.wire.close()
        await agent.over.wait()
        assert agent.serving.agent.running == 0


async def test_stopped_it_says_how_its_attempts_ended(tmp_path: Path) -> None:
    async with office(tmp_path) as agent:
        node = agent.call()
        await node.hello()
        node.wire.send(start("r"))
        node.wire.send(Resume())
        await node.until(Chunk)
        agent.serving.stop()
        ended = await node.until(Ended)
        assert isinstance(ended, Ended)
        assert (ended.end.outcome, ended.end.reason) == ("lost", "the agent that carried it out was stopped")
        node.wire.send(Settle("r", 1))
        await agent.over.wait()


async def test_a_connection_whose_other_end_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_LINK_BYTES", 100_000)
    monkeypatch.setattr(limits, "LINK_STALLED_SECONDS", -1.0)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    async with trio.open_nursery() as nursery:
        wire: Wire[ToNode] = Wire(trio.socket.from_stdlib_socket(ours), from_agent())
        nursery.start_soon(wire.flush)
        for _ in range(1 + 200_000 // len(encode(start("r")))):
            wire.send(start("r"))
        with pytest.raises(LinkDown, match="does not read"):
            await wire.receive()
    theirs.close()
    await wire.close()


async def test_much_at_once_is_no_stall(autojump_clock) -> None:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    large = Start(Order(run="r", attempt=1, work=Local(command_line="x" * 1_000_000)))
    count = 2 + limits.MAX_LINK_BYTES // 1_000_000
    async with trio.open_nursery() as nursery:
        sender: Wire[ToNode] = Wire(trio.socket.from_stdlib_socket(ours), from_agent())
        reader = Wire(trio.socket.from_stdlib_socket(theirs), from_node())
        nursery.start_soon(sender.flush)
        await trio.sleep(limits.LINK_STALLED_SECONDS + 1)
        for _ in range(count):
            sender.send(large)
        received = 0
        while received < count:
            received += len(await reader.receive())
        await sender.close()
        await reader.close()


async def test_what_is_under_way_leaves_before_the_connection_is_closed() -> None:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    sender: Wire[ToNode] = Wire(trio.socket.from_stdlib_socket(ours), from_agent())
    reader = Wire(trio.socket.from_stdlib_socket(theirs), from_node())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.flush)
        sender.send(Start(Order(run="r", attempt=1, work=Local(command_line="x" * 1_000_000))))
        await trio.testing.wait_all_tasks_blocked()  # the socket is full, nothing else waits
        nursery.start_soon(sender.close)
        (received,) = await reader.receive()
        assert isinstance(received, Start)
        await reader.close()

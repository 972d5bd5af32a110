"""A connection that ends together with what keeps it still says its last word."""

import socket

import trio

from kala_es.link import Bye, Hello, ToAgent
from kala_es.links.frames import from_agent, from_node
from kala_es.links.wire import Wire


async def test_what_was_said_last_arrives_though_everything_ends_at_once() -> None:
    for turns in (0, 1):
        ours, theirs = map(trio.socket.from_stdlib_socket, socket.socketpair())
        wire, other = Wire(ours, from_agent()), Wire(theirs, from_node())
        said: list[ToAgent] = [Hello(1, 7), Bye()]
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.flush)
            for _ in range(turns):
                await trio.testing.wait_all_tasks_blocked()
            for message in said:
                wire.send(message)
            nursery.cancel_scope.cancel()
        await wire.close()
        assert trio.current_time() - begun < 1.5, "it waited for nobody"
        heard: list[ToAgent] = []
        while len(heard) < len(said):
            heard += await other.receive()
        assert heard == said
        await other.close()


async def test_a_last_word_that_is_long_arrives_whole() -> None:
    ours, theirs = map(trio.socket.from_stdlib_socket, socket.socketpair())
    wire, other = Wire(ours, from_agent()), Wire(theirs, from_node())
    said = Hello(1, 7, environment=((b"LONG", b"x" * 4_000_000),))
    heard: list[ToAgent] = []

    async def hear() -> None:
        heard.extend(await other.receive())

    async with trio.open_nursery() as hearing:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.flush)
            wire.send(said)
            await trio.testing.wait_all_tasks_blocked()  # a part of it is on its way
            nursery.cancel_scope.cancel()
        hearing.start_soon(hear)
        await wire.close()
    assert heard == [said]
    await other.close()

"""The way in that stays while nodes come and go: closed, it sends away; before it closes it has everybody leave."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio

from kala_es.domain.errors import Overloaded
from kala_es.web.asgi import App
from kala_es.web.door import Door

SCOPE = {"type": "http", "method": "GET", "path": "/"}


class Caller:
    """Requests through a door, each in a task of its own, and what they were sent."""

    def __init__(self, door: Door, nursery: trio.Nursery) -> None:
        self.door = door
        self.nursery = nursery

    async def call(self, **scope: Any) -> "Call":
        call = Call()
        self.nursery.start_soon(call.run, self.door, {**SCOPE, **scope})
        await trio.testing.wait_all_tasks_blocked()
        return call


class Call:
    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.over = trio.Event()

    async def run(self, door: Door, scope: Any) -> None:
        async def send(message: Any) -> None:
            self.sent.append(message)

        await door(scope, trio.sleep_forever, send)
        self.over.set()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


def app(*, status: int = 200, begins: bool = True, work: Callable[[], Any] = trio.lowlevel.checkpoint) -> App:
    """It begins its answer, works, and ends it."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if begins:
            await send({"type": "http.response.start", "status": status, "headers": []})
        await work()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return serve


async def test_a_closed_door_sends_away_with_when_to_come_again() -> None:
    door = Door()
    async with trio.open_nursery() as nursery:
        caller = Caller(door, nursery)
        away = await caller.call()
        assert (away.status, (b"retry-after", b"1") in away.sent[0]["headers"]) == (503, True)
        assert (await caller.call(type="websocket")).sent == [{"type": "websocket.close"}]
        door.open(app(status=204))
        assert (await caller.call()).status == 204


async def test_who_asked_stays_and_the_others_leave_before_it_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    door, closed = Door(), trio.Event()
    door.open(app(work=partial(trio.sleep, 2)))
    async with trio.open_nursery() as nursery:
        caller = Caller(door, nursery)
        ending = await caller.call()

        async def exchange() -> None:
            async with door.closing(but=trio.lowlevel.current_task(), seconds=3):
                closed.set()
            door.open(app(status=201))

        door.open(app(begins=False, work=exchange))
        asker = await caller.call()
        assert ((await caller.call()).status, closed.is_set()) == (503, False)
        await closed.wait()
        assert ending.over.is_set()
        assert len(ending.sent) == 2
        await asker.over.wait()
        assert [message["type"] for message in asker.sent] == ["http.response.body"]
        assert (await caller.call()).status == 201


async def test_who_does_not_leave_is_cut_off(autojump_clock: trio.testing.MockClock) -> None:
    door, asker = Door(), trio.lowlevel.current_task()
    async with trio.open_nursery() as nursery:
        caller = Caller(door, nursery)
        door.open(app(work=trio.sleep_forever))
        begun = await caller.call()
        door.open(app(begins=False, work=trio.sleep_forever))
        unbegun = await caller.call()
        async with door.closing(but=asker, seconds=3):
            assert begun.over.is_set()
            assert [message["type"] for message in begun.sent] == ["http.response.start"]
            assert unbegun.status == 503
            assert trio.current_time() == 3


async def test_it_opens_again_when_somebody_stays_or_it_goes_wrong(autojump_clock: trio.testing.MockClock) -> None:
    async def stay() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

    door, asker = Door(), trio.lowlevel.current_task()
    async with trio.open_nursery() as nursery:
        caller = Caller(door, nursery)
        door.open(app(work=stay))
        await caller.call()
        with pytest.raises(Overloaded, match="cannot be ended"):
            async with door.closing(but=asker, seconds=3):
                raise AssertionError("somebody is inside")
        door.open(app(status=202))
        assert (await caller.call()).status == 202
        await trio.sleep(60)
        with pytest.raises(ZeroDivisionError):
            async with door.closing(but=asker, seconds=3):
                raise ZeroDivisionError
        assert (await caller.call()).status == 202


async def test_the_lifespan_is_the_servers() -> None:
    asked, sent = iter(("lifespan.startup", "lifespan.shutdown")), []

    async def receive() -> Any:
        await trio.lowlevel.checkpoint()
        return {"type": next(asked)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await Door()({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

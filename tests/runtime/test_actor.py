"""Actors: one message at a time, in order; every ask is answered; a parked actor is no task."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from kala_es.actor import Actor, Reply
from kala_es.domain.errors import NotFound, Overloaded


def make_actor(
    nursery: trio.Nursery, handle: Callable[[int], Awaitable[None]], parked: list[bool] | None = None
) -> Actor[int]:
    return Actor(nursery, handle, lambda: parked.append(True) if parked is not None else None)


async def test_messages_are_handled_one_at_a_time_in_the_order_in_which_they_came(autojump_clock):
    seen: list[str] = []

    async def handle(message: int) -> None:
        seen.append(f"begin {message}")
        await trio.sleep(1 / (message + 1))
        seen.append(f"end {message}")

    async with trio.open_nursery() as nursery:
        actor = make_actor(nursery, handle)
        for message in range(5):
            actor.put(message)
            await trio.sleep(0.3)
    assert seen == [f"{what} {message}" for message in range(5) for what in ("begin", "end")]


async def test_a_message_put_while_another_is_handled_waits_for_it(autojump_clock):
    seen: list[int] = []

    async def handle(message: int) -> None:
        if message < 3:
            actor.put(message + 1)
            await trio.sleep(1)
        seen.append(message)

    async with trio.open_nursery() as nursery:
        actor = make_actor(nursery, handle)
        actor.put(0)
    assert seen == [0, 1, 2, 3]


async def test_a_full_mailbox_refuses_and_what_it_holds_is_still_handled(autojump_clock):
    seen: list[int] = []

    async def handle(message: int) -> None:
        await trio.sleep(1)
        seen.append(message)

    async with trio.open_nursery() as nursery:
        actor = make_actor(nursery, handle)
        actor.put(0, 2)
        await trio.testing.wait_all_tasks_blocked()
        actor.put(1, 2)
        actor.put(2, 2)
        with pytest.raises(Overloaded, match="2 requests"):
            actor.put(3, 2)
        actor.put(4)
        with pytest.raises(Overloaded):
            actor.put(5, 3)
    assert seen == [0, 1, 2, 4]


async def test_a_parked_actor_is_no_task_and_wakes_again(autojump_clock):
    seen: list[int] = []
    parked: list[bool] = []

    async def handle(message: int) -> None:
        await trio.sleep(1)
        seen.append(message)

    async with trio.open_nursery() as nursery:
        actor = make_actor(nursery, handle, parked)
        assert not nursery.child_tasks
        for round_ in range(1, 4):
            actor.put(round_)
            actor.put(round_ * 10)
            assert len(nursery.child_tasks) == 1
            await trio.sleep(5)
            assert not nursery.child_tasks
            assert len(parked) == round_
    assert seen == [1, 10, 2, 20, 3, 30]


async def test_on_parked_is_called_when_a_new_actor_may_take_over(autojump_clock):
    """Between the last look into the mailbox and `on_parked` nothing can be put: no message falls into a gap."""
    handled: list[int] = []
    actors: dict[str, Actor[int]] = {}

    async def handle(message: int) -> None:
        await trio.lowlevel.checkpoint()
        handled.append(message)

    async with trio.open_nursery() as nursery:
        for message in range(200):
            actor = actors.get("a")
            if actor is None:
                actor = actors["a"] = Actor(nursery, handle, lambda: actors.pop("a") and None)
            actor.put(message)
            for _ in range(message % 4):
                await trio.lowlevel.checkpoint()
    assert handled == list(range(200))
    assert not actors


async def test_every_waiter_gets_the_one_answer(autojump_clock):
    reply: Reply[str] = Reply()
    got: list[str] = []

    async def wait() -> None:
        got.append(await reply.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        reply.set("first")
        reply.set("second")
        reply.fail(NotFound("third"))
    assert got == ["first", "first"]
    assert await reply.wait() == "first"


async def test_an_exception_is_an_answer_and_the_first_counts():
    reply: Reply[str] = Reply()
    reply.fail(NotFound("there is none"))
    reply.set("late")
    for _ in range(2):
        with pytest.raises(NotFound, match="there is none"):
            await reply.wait()


async def test_a_message_is_handled_also_when_its_asker_has_left(autojump_clock):
    handled: list[int] = []

    async def handle(message: int) -> None:
        await trio.sleep(5)
        handled.append(message)
        replies[message].set(message)

    async with trio.open_nursery() as nursery:
        actor = make_actor(nursery, handle)
        replies: list[Reply[int]] = [Reply(), Reply()]
        actor.put(0)
        actor.put(1)
        with trio.move_on_after(1) as leaving:
            await replies[0].wait()
        assert leaving.cancelled_caught
        assert await replies[1].wait() == 1
    assert handled == [0, 1]


async def test_what_a_handler_raises_ends_the_nursery(autojump_clock):
    """Supervision is the handler's: an actor swallows nothing."""

    async def handle(message: int) -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError):
        async with trio.open_nursery() as nursery:
            make_actor(nursery, handle).put(0)
            await trio.sleep_forever()

"""A node and its agent part and meet again, on MockClock: what goes on, what is lost, what is ordered anew."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from kala_es.clock import TrioClock
from kala_es.domain import events as e
from kala_es.domain.commands import StartRun
from kala_es.domain.ids import JobId
from kala_es.executor import Order
from kala_es.link import LinkDown
from kala_es.runtime.inbox import LOST
from kala_es.runtime.orders import Orders
from kala_es.runtime.scheduler import Origin
from tests.local_link import LocalConnection, LocalLink
from tests.nodes import FAILS, HANGS, MONDAY, RunningNode, Script, ScriptedShell, restarted, start_node

TALKS = Script(seconds=40, output=tuple(("stdout", b"%d\n" % number) for number in range(30)), exit_code=3)
FAR = "R/2099-01-01T00:00:00Z/P1D"


@asynccontextmanager
async def world() -> AsyncIterator[tuple[trio.Nursery, LocalLink, ScriptedShell]]:
    """A machine: its agent outlives its nodes."""
    shell = ScriptedShell({"talks": TALKS, "hangs": HANGS, "fails": FAILS})
    clock = TrioClock(MONDAY)
    async with trio.open_nursery() as nursery:
        yield nursery, LocalLink(shell, clock, nursery), shell
        nursery.cancel_scope.cancel()


async def begin(machine: tuple[trio.Nursery, LocalLink, ScriptedShell], before: RunningNode | None = None):
    """A node on this machine, after another one if there was one."""
    nursery, link, shell = machine
    storage = restarted(before.storage) if before else None
    return await start_node(nursery, storage, shell=shell, clock=link.clock, link=link)


async def test_a_run_goes_on_over_crashes_of_the_node_and_none_of_its_output_is_missing(autojump_clock):
    async with world() as machine:
        node = await begin(machine)
        await node.create("j", command="talks", schedule=FAR)
        await node.run_by_hand("j")
        for pause in (3.0, 11.0, 0.5):
            await trio.sleep(pause)
            await node.crash()
            await trio.sleep(pause)
            node = await begin(machine, node)
        (end,) = await node.ends("j")
        await node.idle()
        assert (end.outcome, end.exit_code, end.attempts) == ("failed", 3, 1)
        assert b"".join(x.content for x in node.events(e.OutputChunk)) == b"".join(piece for _, piece in TALKS.output)
        assert len(machine[2].orders) == 1
        assert machine[1].held() == set()


async def test_an_end_that_came_while_no_node_was_there_has_its_time(autojump_clock):
    async with world() as machine:
        node = await begin(machine)
        await node.create("j", command="talks", schedule=FAR)
        await node.run_by_hand("j")
        (started,) = node.events(e.RunStarted)
        await node.crash()
        await trio.sleep(3600)
        node = await begin(machine, node)
        (end,) = await node.ends("j")
        assert 39e6 < end.at - started.at < 41e6
        assert [x.sequence for x in node.events(e.OutputChunk)] == list(range(1, 31))


async def test_what_a_dead_agent_carried_out_is_lost_at_once_and_tried_again_by_the_next(autojump_clock):
    async with world() as machine:
        node = await begin(machine)
        await node.create("once", command="hangs", schedule=FAR)
        await node.create("twice", command="talks", schedule=FAR, retries=1)
        for job in ("once", "twice"):
            await node.run_by_hand(job)
        await trio.sleep(5)
        began = trio.current_time()
        machine[1].kill()
        (lost,) = await node.ends("once")
        assert trio.current_time() - began < 1
        assert (lost.outcome, lost.reason) == ("lost", LOST)
        (end,) = await node.ends("twice")
        assert (end.outcome, end.exit_code, end.attempts) == ("failed", 3, 2)
        assert [x.outcome for x in node.events(e.AttemptFailed, job="twice")] == ["lost", "failed"]


async def test_an_order_that_did_not_reach_the_agent_is_carried_out_after_the_crash(autojump_clock):
    async with world() as machine:
        node = await begin(machine)
        await node.create("j", command="fails", schedule=FAR)
        node.log.off_after = len(node.log.appends) + 1  # the run's start is durable, and nobody is told
        async with trio.open_nursery() as asking:
            asking.start_soon(node.attend, lambda: node.run_by_hand("j"))
            await node.gone.wait()
            asking.cancel_scope.cancel()
        assert machine[2].orders == []
        node = await begin(machine, node)
        (end,) = await node.ends("j")
        assert (end.outcome, len(machine[2].orders)) == ("failed", 1)


async def test_a_cancel_that_did_not_reach_the_agent_does_so_after_the_crash(autojump_clock):
    async with world() as machine:
        node = await begin(machine)
        await node.create("j", command="hangs", schedule=FAR)
        run = await node.run_by_hand("j")
        await trio.sleep(1)
        node.log.off_after = len(node.log.appends) + 1
        async with trio.open_nursery() as asking:
            asking.start_soon(node.attend, lambda: node.cancel(run))
            await node.gone.wait()
            asking.cancel_scope.cancel()
        node = await begin(machine, node)
        (end,) = await node.ends("j")
        assert end.outcome == "cancelled"


async def test_a_stop_that_leaves_hands_the_run_to_the_next_start(autojump_clock):
    async with world() as machine:
        node = await begin(machine)
        await node.create("j", command="talks", schedule=FAR)
        await node.run_by_hand("j")
        await trio.sleep(7)
        await node.stop(how="leave")
        assert node.events(e.RunFinished) == []
        node = await begin(machine, node)
        (end,) = await node.ends("j")
        assert (end.outcome, end.attempts) == ("failed", 1)


async def test_a_consequence_that_is_asked_for_again_after_its_end_starts_nothing(autojump_clock):
    async with world() as machine:
        node = await begin(machine)
        await node.create("handler", schedule=FAR)
        await node.create("j", command="fails", schedule=FAR, on_failure_job="handler")
        root = await node.run_whole("j")
        (started,) = node.events(e.RunStarted, job="handler")
        node.node.registry.tell(
            StartRun(
                job=JobId("handler"), at=started.at, run=started.run, cause="on-failure", root=root, after=started.after
            )
        )
        await node.idle()
        assert node.events(e.RunStarted, job="handler") == [started]


class Cut(LocalLink):
    """A link that may be cut: its agent lives and cannot be reached."""

    is_cut = False

    async def connect(self, nursery: trio.Nursery) -> LocalConnection:
        if self.is_cut:
            raise LinkDown("cut")
        return await super().connect(nursery)

    def cut(self) -> None:
        self.is_cut = True
        self.hang_up()


async def test_an_order_that_is_made_anew_is_not_made_of_a_namesake(autojump_clock):
    async with world() as (nursery, link, shell):
        machine = (nursery, Cut(shell, link.clock, nursery), shell)
        node = await begin(machine)
        await node.create("j", command="fails", schedule=FAR)
        machine[1].cut()
        await node.run_by_hand("j")
        await node.scheduler.delete(JobId("j"), Origin())
        await trio.sleep(1)
        await node.create("j", command="talks", schedule=FAR)
        await node.crash()
        machine[1].is_cut = False
        node = await begin(machine, node)
        (end,) = await node.ends("j")
        assert (end.outcome, end.reason) == ("failed", "its job was deleted before an agent heard of it")
        assert shell.orders == []


async def test_a_bug_met_while_an_order_is_made_anew_is_the_end_of_its_run_alone(
    autojump_clock, monkeypatch: pytest.MonkeyPatch
):
    async with world() as (nursery, link, shell):
        machine = (nursery, Cut(shell, link.clock, nursery), shell)
        node = await begin(machine)
        for job in ("j", "k"):
            await node.create(job, command="fails", schedule=FAR)
        machine[1].cut()
        await node.run_by_hand("j")
        await node.crash()
        machine[1].is_cut = False
        monkeypatch.setattr(Orders, "order", no_order)
        node = await begin(machine, node)
        (end,) = await node.ends("j")
        assert (end.outcome, end.reason) == ("failed", "it could not be ordered: ZeroDivisionError('a bug')")
        monkeypatch.undo()
        await node.run_by_hand("k")
        await node.ends("k")


async def test_a_bug_met_while_a_retry_is_ordered_leaves_nothing_with_the_agent(
    autojump_clock, monkeypatch: pytest.MonkeyPatch
):
    async with world() as machine:
        node = await begin(machine)
        await node.create("j", command="talks", schedule=FAR, retries=1)
        await node.run_by_hand("j")
        monkeypatch.setattr(Orders, "order", no_order)
        (end,) = await node.ends("j")
        await node.idle()
        assert (end.attempts, end.reason) == (2, "it could not be ordered: ZeroDivisionError('a bug')")
        assert machine[1].held() == set()
        assert len(node.node.book) == 0


def no_order(*_: object) -> Order:
    raise ZeroDivisionError("a bug")

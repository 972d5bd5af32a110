"""Retries that wait, in a whole node: in time, over a restart, over a stop, and given up."""

import pytest
import trio

from kala_es.domain import events as e
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND
from kala_es.domain.terms import AttemptTerms
from kala_es.runtime.scheduler import Origin
from tests.nodes import FAILS, HANGS, MONDAY, SUCCEEDS, RunningNode, ScriptedShell, restarted, running_node

DELAYED = AttemptTerms(retry_delay="PT10S", retry_backoff=2.0, retry_max_delay="PT30S")
FAR = "R/2099-01-01T00:00:00Z/PT1H"


def attempts(node: RunningNode) -> list[float]:
    """When attempts after the first began, in seconds since the test's beginning."""
    return [(event.at - MONDAY) / SECOND for event in node.events(e.AttemptStarted)]


def shown(moments: list[float]) -> list[int]:
    return [round(moment) for moment in moments]


async def test_each_retry_waits_longer_up_to_the_cap(autojump_clock):
    async with running_node(shell=ScriptedShell({"fails": FAILS})) as node:
        await node.create("a", command="fails", schedule=FAR, retries=4, terms=DELAYED)
        run = await node.run_whole("a")
        assert shown(attempts(node)) == [10, 30, 60, 90]
        failures = node.events(e.AttemptFailed)
        assert [failure.retry_at is not None for failure in failures] == [True] * 4 + [False]
        for failure, began in zip(failures, node.events(e.AttemptStarted), strict=False):
            assert failure.retry_at is not None
            assert failure.retry_at <= began.at < failure.retry_at + SECOND
        assert [order.attempt for order in node.shell.orders] == [1, 2, 3, 4, 5]
        assert dict(node.shell.orders[1].identity)["KALA_CAUSE"] == "retry"
        summary = node.scheduler.run(run)
        assert (summary.attempts, summary.outcome, summary.retry_at) == (5, "failed", None)


async def test_a_run_says_when_it_goes_on(autojump_clock):
    async with running_node(shell=ScriptedShell({"at last": (FAILS, SUCCEEDS)})) as node:
        await node.create("a", command="at last", schedule=FAR, retries=1, terms=DELAYED)
        run = await node.run_by_hand("a")
        await node.until(lambda: bool(node.events(e.AttemptFailed)))
        summary = node.scheduler.run(run)
        assert (summary.attempts, summary.outcome) == (1, None)
        assert summary.retry_at == node.job("a").runs[0].retry_at == node.events(e.AttemptFailed)[0].retry_at
        (end,) = await node.ends("a")
        assert (end.outcome, end.attempts) == ("succeeded", 2)
        assert node.scheduler.run(run).attempts == 2


@pytest.mark.parametrize("down_seconds", [2, 60])
async def test_a_run_that_waits_goes_on_after_a_crash(autojump_clock, down_seconds):
    shell = ScriptedShell({"at last": (FAILS, SUCCEEDS)})
    async with running_node(shell=shell) as node:
        await node.create("a", command="at last", schedule=FAR, retries=1, terms=DELAYED)
        await node.run_by_hand("a")
        await node.until(lambda: bool(node.events(e.AttemptFailed)))
        await node.crash()
    await trio.sleep(down_seconds)
    async with running_node(restarted(node.storage), shell=shell, clock=node.clock) as node:
        (end,) = await node.ends("a")
        assert (end.outcome, end.attempts) == ("succeeded", 2)
        assert shown(attempts(node)) == [max(10, down_seconds)]


async def test_a_lost_attempt_is_retried_with_its_delay(autojump_clock):
    shell = ScriptedShell({"hangs once": (HANGS, SUCCEEDS)})
    async with running_node(shell=shell) as node:
        await node.create("a", command="hangs once", schedule=FAR, retries=1, terms=DELAYED)
        await node.run_by_hand("a")
        await trio.sleep(5)
        await node.crash()
    async with running_node(restarted(node.storage), shell=shell, clock=node.clock) as node:
        (end,) = await node.ends("a")
        assert (end.outcome, end.attempts) == ("succeeded", 2)
        assert shown(attempts(node)) == [15]


async def test_a_stop_does_not_wait_for_it_and_leaves_it_to_the_next_start(autojump_clock):
    shell = ScriptedShell({"at last": (FAILS, SUCCEEDS)})
    async with running_node(shell=shell) as node:
        await node.create("a", command="at last", schedule=FAR, retries=1, terms=DELAYED)
        await node.run_by_hand("a")
        await node.until(lambda: bool(node.events(e.AttemptFailed)))
        began = trio.current_time()
        await node.stop(grace=3600.0)
        assert trio.current_time() - began < 1
        assert node.events(e.RunFinished) == []
    async with running_node(restarted(node.storage), shell=shell, clock=node.clock) as node:
        assert [end.outcome for end in await node.ends("a")] == ["succeeded"]


async def test_a_disabled_job_s_run_goes_on(autojump_clock):
    async with running_node(shell=ScriptedShell({"at last": (FAILS, SUCCEEDS)})) as node:
        await node.create("a", command="at last", schedule=FAR, retries=1, terms=DELAYED)
        await node.run_by_hand("a")
        await node.until(lambda: bool(node.events(e.AttemptFailed)))
        await node.scheduler.disable(node.job("a").id, Origin())
        assert [end.outcome for end in await node.ends("a")] == ["succeeded"]


async def test_cancelled_while_it_waits_it_ends_at_once(autojump_clock):
    async with running_node(shell=ScriptedShell({"fails": FAILS})) as node:
        await node.create("a", command="fails", schedule=FAR, retries=5, terms=DELAYED)
        run = await node.run_by_hand("a")
        await node.until(lambda: bool(node.events(e.AttemptFailed)))
        await node.scheduler.cancel(run, Origin())
        assert [end.outcome for end in node.events(e.RunFinished)] == ["cancelled"]
        await trio.sleep(100)
        assert len(node.shell.orders) == 1


async def test_deleted_while_it_waits_it_ends_with_its_job(autojump_clock):
    async with running_node(shell=ScriptedShell({"fails": FAILS})) as node:
        await node.create("h")
        await node.create("a", command="fails", schedule=FAR, retries=5, terms=DELAYED, on_failure_job="h")
        run = await node.run_by_hand("a")
        await node.until(lambda: bool(node.events(e.AttemptFailed)))
        await node.scheduler.delete(node.job("a").id, Origin())
        await node.scheduler.tree_end(run)
        assert node.scheduler.run(run).outcome == "cancelled"
        await trio.sleep(100)
        assert not len(node.node.folds.busy)


async def test_who_an_attempt_cannot_be_is_refused_before_anything_is_recorded(autojump_clock):
    async with running_node() as node:
        await node.create("a", schedule=FAR)
        unknown = AttemptTerms(user="no-such-user")
        for asked in (node.create("b", terms=unknown), node.update("a", schedule=FAR, terms=unknown)):
            with pytest.raises(Invalid) as refusal:
                await asked
            assert refusal.value.field == "user"
        assert len(node.history()) == 1

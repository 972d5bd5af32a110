"""Clearing a job's history on a whole node: what goes, what stays, and that a replay of the rest is what it knew."""

from typing import Any, Final

import pytest
import trio

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.commands import ClearHistory
from kala_es.domain.errors import NotFound
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.model import NOTHING_DONE
from kala_es.domain.trimming import BaseTaken, RunsForgotten, RunsTrimmed
from kala_es.runtime.scheduler import Origin, Rules
from tests.nodes import RunningNode, ScriptedShell, restarted, running_node, start_node
from tests.receivers import ScriptedNotifier
from tests.runtime.test_retention import (
    SCRIPTS,
    Story,
    check_replay,
    elsewhere,
    few,
    has_output,
    keep,
    power_failed,
    runs,
    tidied,
)

__all__ = ["few"]
FAR: Final = "R/2099-01-01T00:00:00Z/P1D"
J: Final = JobId("j")


async def make(node: RunningNode, job: str = "j", **fields: Any) -> None:
    await node.create(job, **{"command": "talks", "schedule": FAR, **fields})


async def clear(node: RunningNode, job: str = "j") -> None:
    await node.scheduler.clear(JobId(job), Origin(principal="ann"))


def known(node: RunningNode, job: str = "j") -> list[RunId]:
    return [run.id for run in node.node.folds.runs.of_job(JobId(job), limit=1_000)]


async def test_all_runs_that_are_over_go_with_their_output_and_the_counters_begin_anew(autojump_clock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await make(node)
        await make(node, "jj")
        made, others = await runs(node, "j", 5), await runs(node, "jj", 2)
        await clear(node)
        assert known(node) == []
        assert not any(has_output(node, run) for run in made)
        for run in made:
            with pytest.raises(NotFound):
                node.scheduler.run(run)
        assert node.job("j").counters == NOTHING_DONE
        assert node.node.folds.stats.success_count == 2
        past = node.node.folds.history.of(J)
        assert (past.kept, past.trimmed, past.clearing, past.forgetting, past.forgotten) == (0, 0, 0, 0, 5)
        assert known(node, "jj") == others
        assert all(has_output(node, run) for run in others)
        await check_replay(node)
        after = await node.run_whole("j")
        await tidied(node)
        assert known(node) == [after]
        assert node.job("j").counters.success_count == 1
        (cleared,) = [r for r in node.history() if isinstance(r.event, e.HistoryCleared)]
        assert cleared.principal == "ann"
        await check_replay(node)


async def test_what_runs_stays_and_counts_when_it_ends(autojump_clock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await make(node, command="hangs")
        await make(node, "k")
        going = await node.run_by_hand("j")
        await clear(node)
        assert known(node) == [going]
        await node.scheduler.cancel(going, Origin())
        await node.until(lambda: not node.job("j").runs)
        await tidied(node)
        assert node.scheduler.run(going).outcome == "cancelled"
        assert node.job("j").counters.error_count == 1
        await check_replay(node)
        await clear(node)
        assert known(node) == []
        await check_replay(node)


async def test_a_run_whose_tree_is_open_is_not_waited_for_and_goes_when_that_is_over(autojump_clock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await make(node)
        await make(node, "c", command="hangs", parents=["j"], schedule="")
        first = await node.run_by_hand("j")
        await node.ends("j", 1)
        before = trio.current_time()
        await clear(node)
        assert trio.current_time() - before < 5
        assert known(node) == [first]
        assert node.job("j").counters == NOTHING_DONE
        ((_, child),) = node.node.folds.busy
        await node.scheduler.cancel(child.id, Origin())
        await node.until(lambda: known(node) == [])
        assert known(node, "c") == [child.id]
        await check_replay(node)


async def test_trimmed_and_imported_runs_go_too_and_a_base_may_stand_for_all(autojump_clock, few) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=2)) as node:
        await make(node)
        await node.scheduler.importer.take(elsewhere("j", 4), "")
        await runs(node, "j", 6)
        await tidied(node)
        assert node.events(RunsTrimmed)
        for _ in range(3):
            await clear(node)
            await node.until(lambda: known(node) == [])
            await check_replay(node)
            await runs(node, "j", 6)
        await tidied(node)
        assert node.events(BaseTaken)
        assert node.job("j").counters.success_count == 6
        await check_replay(node)


async def test_more_than_one_round_and_more_than_one_note(autojump_clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TRIM_RUNS", 3), ("TRIM_COMMIT_RUNS", 2), ("FORGET_RUNS", 2)):
        monkeypatch.setattr(limits, name, value)
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await make(node)
        await runs(node, "j", 8)
        await clear(node)
        assert known(node) == []
        assert len(node.events(RunsForgotten)) == 5
        await check_replay(node)


async def test_a_job_that_is_not_there_has_no_history_to_clear(autojump_clock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        with pytest.raises(NotFound):
            await clear(node, "nobody")
        await make(node)
        await clear(node)
        await clear(node)
        await check_replay(node)


async def test_it_is_taken_when_the_disk_has_no_room_for_new_work(autojump_clock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await make(node)
        await runs(node, "j", 3)
        node.log.room = "low"
        await clear(node)
        assert known(node) == []


# Crashes


async def test_a_crash_right_after_it_was_said_leaves_the_rest_to_the_next_start(autojump_clock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await make(node)
        await runs(node, "j", 5)
        await node.node.registry.ask(ClearHistory(job=J, at=node.clock.now()))
        storage = node.storage
        await node.stop()
    async with running_node(restarted(storage), shell=ScriptedShell(SCRIPTS)) as node:
        await tidied(node)
        assert known(node) == []
        assert node.job("j").counters == NOTHING_DONE
        await check_replay(node)


class ClearingStory(Story):
    """A life in which histories are cleared, cut off at the n-th write."""

    async def live(self, nursery: trio.Nursery) -> RunningNode:
        shell, notifier = ScriptedShell(SCRIPTS), ScriptedNotifier()
        node = await start_node(nursery, self.storage, shell=shell, rules=Rules(), notifier=notifier)

        async def work() -> None:
            await make(node)
            await make(node, "c", parents=["j"], schedule="")
            await node.scheduler.importer.take(elsewhere("c", 3), "")
            for _ in range(2):
                for _ in range(4):
                    await node.run_whole("j")
                await clear(node)
                await clear(node, "c")
            await tidied(node)

        with trio.CancelScope():
            await node.attend(work)
        return node


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
async def test_the_power_may_fail_at_any_write(part: int, autojump_clock, few) -> None:
    async def check(node: RunningNode) -> None:
        assert known(node) == known(node, "c") == []
        await check_replay(node)

    writes = 1 + part
    while await power_failed(ClearingStory(writes), check):
        writes += 2 * (1 if writes < 40 else 3)
    assert writes > 60

"""Commands to several jobs in one commit: all or nothing, whatever goes wrong, and nothing is lost meanwhile."""

from functools import partial

import pytest
import trio

from kala_es.domain import events as e
from kala_es.domain.commands import Command, UpdateJob
from kala_es.domain.declared import Declaration, Step
from kala_es.domain.errors import Conflict, LogFull, Overloaded, Refusal
from kala_es.domain.ids import JobId
from kala_es.domain.job import decide
from kala_es.domain.model import Job, JobDraft, JobSpec
from kala_es.runtime.scheduler import Origin
from tests.nodes import RunningNode, Script, ScriptedShell, memory_storage, restarted, running_node

FAR = "R/2099-01-01T00:00:00Z/P1D"


def declaration(name: str, *jobs: str, command: str = "succeeds", prune: bool = False) -> Declaration:
    spec = JobSpec(name=name, command=command, schedule=FAR, managed_by="apply")
    drafts = tuple(JobDraft(id=JobId(job), spec=spec) for job in jobs)
    return Declaration(jobs=drafts, managed_by="apply", prune=prune)


async def apply(node: RunningNode, asked: Declaration) -> list[Step]:
    return await node.scheduler.apply(asked, Origin())


def names(node: RunningNode) -> list[str]:
    return [job.spec.name for job in node.scheduler.jobs()]


async def test_it_is_one_append(autojump_clock):
    async with running_node() as node:
        await apply(node, declaration("old", "a", "b"))
        before = len(node.log.appends)
        await apply(node, declaration("new", "a", "c", prune=True))
        assert node.log.appends[before:] == [3]


@pytest.mark.parametrize("room", ["low", "none"])
async def test_on_a_full_disk_nothing_changes_and_later_it_does(autojump_clock, room):
    async with running_node() as node:
        await apply(node, declaration("old", "a", "b"))
        node.log.room = room
        with pytest.raises(LogFull):
            await apply(node, declaration("new", "a", "b", "c"))
        assert names(node) == ["old", "old"]
        node.log.room = "enough"
        await apply(node, declaration("new", "a", "b", "c"))
        assert names(node) == ["new", "new", "new"]


async def test_jobs_are_deleted_also_when_the_disk_is_nearly_full(autojump_clock):
    async with running_node() as node:
        await apply(node, declaration("old", "a", "b"))
        node.log.room = "low"
        await apply(node, declaration("old", "a", prune=True))
        assert names(node) == ["old"]


@pytest.mark.parametrize("durable", [True, False])
async def test_a_crash_leaves_all_or_nothing(autojump_clock, durable):
    storage = memory_storage()
    async with running_node(storage) as node:
        await apply(node, declaration("old", "a", "b"))
        at = len(node.log.appends) + 1
        node.log.off_after, node.log.off_before = (at, 0) if durable else (0, at)
        await node.attend(partial(_try, node, declaration("new", "a", "b", "c")))
    async with running_node(restarted(storage)) as node:
        assert names(node) in ([["new"] * 3] if durable else [["old"] * 2])


async def _try(node: RunningNode, asked: Declaration) -> None:
    try:
        await apply(node, asked)
    except Refusal:
        return


async def test_a_bug_in_one_jobs_rules_is_its_own_and_nobodys_job_changes(autojump_clock):
    calls: list[str] = []

    def buggy(job: Job | None, command: Command) -> tuple[e.JobEvent, ...]:
        if isinstance(command, UpdateJob) and command.job == "b":
            calls.append("b")
            if len(calls) == 2:  # the first time it is planned, the second time its actor decides
                raise ZeroDivisionError
        return decide(job, command)

    async with running_node(decide=buggy) as node:
        await apply(node, declaration("old", "a", "b", "c"))
        with pytest.raises(Conflict, match="another job of the request met a bug"):
            await apply(node, declaration("new", "a", "b", "c"))
        assert names(node) == ["old", "old", "old"]
        await apply(node, declaration("new", "a", "b", "c"))
        assert names(node) == ["new", "new", "new"]


async def test_runs_that_end_meanwhile_and_asks_that_wait_are_carried_out(autojump_clock):
    shell = ScriptedShell({"second": Script(seconds=1.0)})
    async with running_node(shell=shell) as node:
        await apply(node, declaration("old", "a", "b", command="second"))
        node.log.delay = lambda: 0.6
        runs = [await node.run_by_hand(job) for job in ("a", "b")]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(apply, node, declaration("new", "a", "b", command="second"))
            await trio.sleep(0.1)
            nursery.start_soon(node.scheduler.disable, JobId("a"), Origin())
        for run in runs:
            await node.scheduler.tree_end(run)
            assert node.scheduler.run(run).outcome == "succeeded"
        assert names(node) == ["new", "new"]
        assert node.job("a").disabled


async def test_a_full_mailbox_refuses_the_whole(autojump_clock, monkeypatch):
    async with running_node() as node:
        await apply(node, declaration("old", "a", "b"))
        node.log.delay = lambda: 1.0
        monkeypatch.setattr("kala_es.limits.MAX_MAILBOX", 1)
        async with trio.open_nursery() as nursery:
            for ask in (node.scheduler.disable, node.scheduler.enable):
                nursery.start_soon(ask, JobId("b"), Origin())
                await trio.sleep(0.1)
            with pytest.raises(Overloaded):
                await apply(node, declaration("new", "a", "b"))
        assert names(node) == ["old", "old"]
        node.log.delay = None
        await apply(node, declaration("new", "a", "b"))
        assert names(node) == ["new", "new"]

"""Runs of elsewhere on a whole node: taken once, told like others, kept like others; and nothing comes of them."""

from collections.abc import Sequence
from copy import copy
from hashlib import blake2b
from typing import Any

import pytest
import trio

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.errors import Conflict, Invalid, NotFound
from kala_es.domain.ids import SECOND, Instant, JobId, RunId, run_imported
from kala_es.domain.imported_runs import ImportedRun, ImportReport, RunImport
from kala_es.domain.notify import Notify, Target
from kala_es.domain.trimming import BaseTaken, RunsForgotten
from kala_es.domain.values import replace
from kala_es.runtime.scheduler import Origin
from tests.nodes import MONDAY, RunningNode, ScriptedShell, restarted, running_node
from tests.runtime.test_retention import SCRIPTS, check_replay, few, has_output, keep, kinds, tidied

__all__ = ["few"]
J = JobId("j")
FAR = "R/2099-01-01T00:00:00Z/P1D"


def past(*seconds: int, output: bytes = b"words", **fields: Any) -> tuple[ImportedRun, ...]:
    """Runs that began so many seconds before the test's Monday."""
    runs: list[ImportedRun] = []
    for ago in seconds:
        name, started = f"x{ago}", Instant(MONDAY - ago * SECOND)
        run = run_imported(J, "nextkala", name)
        ended = Instant(started + SECOND)
        made = ImportedRun(id=run, execution=name, started=started, ended=ended, outcome="failed", output=output)
        runs.append(replace(made, **fields))
    return tuple(runs)


async def take(node: RunningNode, runs: Sequence[ImportedRun], *, dry_run: bool = False) -> ImportReport:
    asked = RunImport(job=J, source="nextkala", runs=tuple(runs), dry_run=dry_run)
    return await node.scheduler.importer.take(asked, "ann")


async def text(node: RunningNode, run: RunId) -> bytes:
    return b"".join([piece async for piece in node.scheduler.reader.output(run)])


async def test_the_second_time_changes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await node.create("j", command="talks", schedule=FAR)
        runs = past(50, 40, output=b"x" * 40_000)
        assert await take(node, runs, dry_run=True) == ImportReport(taken=("x50", "x40"))
        assert not node.events(e.RunImported)
        assert await take(node, (*runs, runs[0])) == ImportReport(taken=("x50", "x40"), known=1)
        head = node.log.records.head
        assert await take(node, runs) == await take(node, runs, dry_run=True) == ImportReport(known=2)
        assert node.log.records.head == head
        assert await take(node, past(50, 45)) == ImportReport(taken=("x45",), known=1)
        listed = [run.imported.execution for run in node.node.folds.runs.of_job(J, limit=9) if run.imported]
        assert listed == ["x50", "x45", "x40"]
        assert await text(node, runs[0].id) == b"x" * 40_000
        assert {recorded.principal for recorded in node.history()[1:]} == {"ann"}
        await check_replay(node)


async def test_two_who_import_at_once_take_each_run_once(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await node.create("j", command="talks", schedule=FAR)
        runs = past(*range(100, 40, -1))
        async with trio.open_nursery() as nursery:
            for part in (runs, runs[30:], runs[:30]):
                nursery.start_soon(take, node, part)
        assert len(node.events(e.RunImported)) == len({event.run for event in node.events(e.RunImported)}) == 60
        await check_replay(node)


async def test_nothing_comes_of_them(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        told = Notify(targets=(Target(to="https://example.com/hook", when=("failure", "first-failure")),))
        await node.create("h", command="talks", schedule=FAR)
        await node.create("j", command="talks", schedule=FAR, retries=3, on_failure_job="h", notify=told)
        await node.create("c", command="talks", parents=["j"], dependency_policy="any")
        before = node.job("j"), copy(node.node.folds.stats)
        await take(node, past(50, outcome="failed"))
        await take(node, past(40, outcome="succeeded"))
        await tidied(node)
        assert (node.job("j"), node.node.folds.stats) == before
        assert not node.events(e.RunStarted, e.NoticeDue)
        assert len(node.node.folds.busy) == 0
        with pytest.raises(Conflict):
            await node.cancel(past(50)[0].id)
        state, storage = node.job("j"), node.storage
        await node.stop()
    async with running_node(restarted(storage), shell=ScriptedShell(SCRIPTS)) as node:
        await tidied(node)
        assert node.job("j") == state
        assert not node.events(e.RunStarted)
        await check_replay(node)


async def test_what_cannot_be_taken_is_refused_whole(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        with pytest.raises(NotFound):
            await take(node, past(50))
        with pytest.raises(NotFound):
            await take(node, past(50), dry_run=True)
        await node.create("j", command="talks", schedule=FAR)
        mixed = (*past(50), *past(-5))
        with pytest.raises(Invalid, match="ahead") as refused:
            await take(node, mixed)
        assert refused.value.field == "executions.x-5.ended_at"
        report = await take(node, mixed, dry_run=True)
        assert (report.taken, [r.execution for r in report.refused]) == (("x50",), ["x-5"])
        assert not node.events(e.RunImported)
        await node.scheduler.delete(J, Origin())
        with pytest.raises(NotFound):
            await take(node, past(50))


async def test_they_are_kept_like_others_and_what_was_forgotten_does_not_come_back(
    autojump_clock: trio.testing.MockClock, few: None
) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=1)) as node:
        await node.create("j", command="talks", schedule=FAR)
        runs = past(*range(90, 10, -10))
        assert len((await take(node, runs)).taken) == 8
        await tidied(node)
        there = [run.id for run in runs if node.node.folds.runs.get(run.id) is not None]
        assert there == [run.id for run in runs[5:]]
        assert [node.scheduler.run(run).trimmed for run in there] == [True, True, False]
        assert node.scheduler.run(there[0]).output_digest == blake2b(b"words", digest_size=32).digest()
        assert not has_output(node, there[0])
        assert node.events(RunsForgotten)
        assert node.events(BaseTaken)
        assert kinds(node).count("RunImported") == 3, "what tells of those forgotten is erased"
        assert await take(node, runs) == ImportReport(known=8)
        assert (await take(node, (*past(95), *past(15)))).taken == ("x15",)
        await tidied(node)
        await check_replay(node)


async def test_what_is_too_old_loses_its_output_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(seconds=60)) as node:
        await node.create("j", command="talks", schedule=FAR)
        runs = past(1_000, 900, 5)
        await take(node, runs)
        await tidied(node)
        assert [node.scheduler.run(run.id).trimmed for run in runs] == [True, True, False]
        assert await take(node, runs) == ImportReport(known=3)


async def test_one_can_be_redacted(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await node.create("j", command="talks", schedule=FAR)
        (run,) = past(50, output=b"secret" * limits.CHUNK_BYTES)
        await take(node, [run])
        await node.scheduler.redact(run.id, "a secret", Origin())
        assert not has_output(node, run.id)
        digest = blake2b(run.output, digest_size=32).digest()
        assert node.scheduler.run(run.id).output_digest == digest
        assert await take(node, [run]) == ImportReport(known=1)
        await check_replay(node)

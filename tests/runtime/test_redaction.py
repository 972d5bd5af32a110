"""A run is redacted: the event first, then its bytes, whatever fails in between."""

import time
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
import trio

from kala_es.domain.errors import Conflict, Invalid, LogFull, NotFound
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.trimming import RunRedacted, TrimmedRun
from kala_es.event_log import LogIsFull
from kala_es.runtime.scheduler import Origin
from kala_es.storage import Storage
from tests.nodes import (
    HANGS,
    RunningNode,
    Script,
    ScriptedShell,
    memory_storage,
    restarted,
    running_node,
    start_node,
)
from tests.runtime.test_retention import check_replay, has_output, runs

TALKS = Script(seconds=1, output=(("stdout", b"some "), ("stderr", b"words")))
SCRIPTS = {"talks": TALKS, "hangs": HANGS}
FAR = "R/2099-01-01T00:00:00Z/P1D"
WHO = Origin(principal="alice")


async def talked(node: RunningNode, count: int = 2) -> list[RunId]:
    await node.create("j", command="talks", schedule=FAR)
    return await runs(node, "j", count)


async def test_its_output_is_gone_and_who_asked_stays(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        first, second = await talked(node)
        await node.scheduler.redact(first, "a secret", WHO)
        summary = node.scheduler.run(first)
        assert summary.redacted is not None
        assert (summary.redacted.reason, summary.redacted.by) == ("a secret", "alice")
        assert summary.output_digest == blake2b(b"some words", digest_size=32).digest()
        assert (has_output(node, first), has_output(node, second)) == (False, True)
        assert node.node.folds.history.of(JobId("j")).trimmed == 1
        await check_replay(node)


async def test_asked_again_it_says_nothing_more(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        (run,) = await talked(node, 1)
        await node.scheduler.redact(run, "a secret", WHO)
        await node.scheduler.redact(run, "another", WHO)
        assert [event.reason for event in node.events(RunRedacted)] == ["a secret"]


async def test_what_cannot_be_redacted_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        (run,) = await talked(node, 1)
        await node.create("h", command="hangs", schedule=FAR)
        hanging = await node.run_by_hand("h")
        asked: list[tuple[Any, str, type[Exception]]] = [
            (hanging, "x", Conflict),
            ("none", "x", NotFound),
            (run, "", Invalid),
            (run, "x" * 1_001, Invalid),
        ]
        for which, reason, error in asked:
            with pytest.raises(error):
                await node.scheduler.redact(which, reason, WHO)
        assert not node.events(RunRedacted)


async def test_what_a_crash_has_left_is_erased_by_the_next_start(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        node = await start_node(nursery, shell=ScriptedShell(SCRIPTS))
        (run,) = await talked(node, 1)

        async def without_power(positions: Sequence[int]) -> None:
            node.log.power_off()
            await trio.lowlevel.checkpoint()

        node.log.trim = without_power  # type: ignore[method-assign]
        await node.attend(lambda: node.scheduler.redact(run, "a secret", WHO))
        assert node.gone.is_set()
        assert has_output(node, run)
        again = await start_node(nursery, restarted(node.storage), shell=ScriptedShell(SCRIPTS))
        await trio.sleep(1)
        assert not has_output(again, run)
        assert again.scheduler.run(run).redacted is not None
        await check_replay(again)
        await again.leave()


class Disk:
    """Compacts, unless it is full or its power fails; what is there of redacted output afterwards is gone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.compactions = 0
        self.full = 0
        (directory / "log").mkdir()

    def under(self, storage: Storage) -> Storage:
        return replace(storage, place=self.directory, compact=self.compact)

    async def compact(self) -> tuple[int, int]:
        await trio.lowlevel.checkpoint()
        if self.full:
            self.full -= 1
            raise LogIsFull("there is no room")
        self.compactions += 1
        return 2, 1

    async def cleared(self, compactions: int) -> None:
        """Until that many are done, and the mark is gone: threads do it, in real time, while the node's clock jumps."""
        for _ in range(3_000):
            if self.compactions and not self.is_marked:
                break
            await trio.to_thread.run_sync(time.sleep, 0.01)
        assert (self.compactions, self.is_marked) == (compactions, False)

    @property
    def is_marked(self) -> bool:
        return (self.directory / "log" / "redacting").exists()


async def test_a_redaction_is_marked_until_its_bytes_are_gone(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    disk = Disk(tmp_path)
    async with running_node(disk.under(memory_storage()), shell=ScriptedShell(SCRIPTS)) as node:
        (run,) = await talked(node, 1)
        disk.full = 1
        with pytest.raises(LogFull):
            await node.scheduler.redact(run, "a secret", WHO)
        assert (has_output(node, run), disk.is_marked, disk.compactions) == (False, True, 0)
        await node.scheduler.redact(run, "a secret", WHO)
        assert (disk.is_marked, disk.compactions) == (False, 1)


async def test_a_start_compacts_where_a_redaction_was_cut_off_before_that(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    disk = Disk(tmp_path)
    async with trio.open_nursery() as nursery:
        node = await start_node(nursery, disk.under(memory_storage()), shell=ScriptedShell(SCRIPTS))
        (run,) = await talked(node, 1)
        disk.full = 3
        with pytest.raises(LogFull):
            await node.scheduler.redact(run, "a secret", WHO)
        await node.crash()
        again = await start_node(nursery, disk.under(restarted(node.storage)), shell=ScriptedShell(SCRIPTS))
        await disk.cleared(compactions=1)
        assert disk.full == 0
        await again.crash()
        third = await start_node(nursery, disk.under(restarted(again.storage)), shell=ScriptedShell(SCRIPTS))
        await trio.sleep(60)
        assert disk.compactions == 1
        await third.leave()


async def test_a_start_compacts_when_it_had_to_erase(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Its mark is not there: the redaction was cut off before, or a part of the directory was copied."""
    disk = Disk(tmp_path)
    async with trio.open_nursery() as nursery:
        node = await start_node(nursery, shell=ScriptedShell(SCRIPTS))
        (run,) = await talked(node, 1)
        erased = TrimmedRun(run=run, digest=b"d" * 32, stdout_bytes=5, stderr_bytes=5)
        redacted = RunRedacted(job=JobId("j"), at=node.clock.now(), run=erased, reason="a secret")
        await node.node.writer.append([redacted], "")
        await node.crash()
        again = await start_node(nursery, disk.under(restarted(node.storage)), shell=ScriptedShell(SCRIPTS))
        await disk.cleared(compactions=1)
        assert not has_output(again, run)
        await again.leave()

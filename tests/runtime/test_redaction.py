"""A run is redacted: the event first, then its bytes, whatever fails in between."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import pytest
import trio

from kala_es.domain.errors import Conflict, Invalid, NotFound
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.trimming import RunRedacted
from kala_es.runtime.scheduler import Origin
from tests.nodes import HANGS, RunningNode, Script, ScriptedShell, restarted, running_node, start_node
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

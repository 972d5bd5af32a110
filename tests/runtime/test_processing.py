"""Output handed to processors by a whole node, on a clock that the test moves: order, failures, crashes, limits."""

from collections import deque
from typing import Any, Final

import pytest
import trio

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, RunId
from kala_es.domain.retention import Kept
from kala_es.executor import Channel
from kala_es.runtime.scheduler import Rules
from tests.nodes import (
    FAILS,
    HANGS,
    MONDAY,
    RunningNode,
    Script,
    ScriptedShell,
    copied,
    iso,
    memory_storage,
    restarted,
    running_node,
)
from tests.taking import ScriptedProcessor

LATER: Final = f"R/{iso(MONDAY + 10**9 * SECOND)}/P1D"
"""A schedule whose ticks no test sees: its job runs by hand."""
INK: Final = (("ink", ()),)


def printing(*pieces: bytes, seconds: float = 0.0, exit_code: int = 0) -> Script:
    output: tuple[tuple[Channel, bytes], ...] = tuple(("stdout", piece) for piece in pieces)
    return Script(seconds=seconds, output=output, exit_code=exit_code)


def shell(*scripts: Script) -> ScriptedShell:
    return ScriptedShell({"prints": scripts})


async def make(node: RunningNode, job: str = "a", **fields: Any) -> None:
    await node.create(job, **{"command": "prints", "schedule": LATER, "processors": INK, **fields})


async def handed_over(node: RunningNode, count: int = 1) -> list[e.OutputHandedOver]:
    """Wait until so many handovers are over."""
    await node.until(lambda: sum(event.over for event in node.events(e.OutputHandedOver)) >= count)
    return node.events(e.OutputHandedOver)


async def test_output_is_handed_over_while_the_run_goes_on(autojump_clock):
    ink = ScriptedProcessor()
    async with running_node(
        shell=shell(printing(b"one\ntwo", b"\nthree", seconds=30)), processors={"ink": ink}
    ) as node:
        await make(node, name="n")
        run = await node.run_by_hand("a")
        await trio.sleep(15)
        assert ink.output(run) == {1: b"one\ntwo"}
        assert ink.ends(run) == []
        await handed_over(node)
        assert ink.output(run) == {1: b"one\ntwo\nthree"}
        assert ink.ends(run) == [(1, "succeeded", True)]
        assert node.node.folds.handovers.count == 0
    assert [part.first for part in ink.parts] == [True, *[False] * (len(ink.parts) - 1)]
    assert {(part.job, part.name, part.started) for part in ink.parts} == {("a", "n", MONDAY)}


async def test_a_line_is_handed_over_whole_unless_the_rest_takes_its_time(autojump_clock):
    ink = ScriptedProcessor()
    pieces = [b"on", b"e\ntw", b"o\nthr", b"ee\n"]
    async with running_node(shell=shell(printing(*pieces, seconds=2)), processors={"ink": ink}) as node:
        await make(node)
        run = await node.run_whole("a")
        await handed_over(node)
        assert [part.content for part in ink.parts] == [b"one\n", b"two\n", b"three\n", b""]
        assert ink.output(run) == {1: b"".join(pieces)}


async def test_nothing_is_handed_over_before_it_is_durable(autojump_clock):
    ink = ScriptedProcessor()
    async with running_node(shell=shell(printing(b"one\n", seconds=1)), processors={"ink": ink}) as node:
        await make(node)
        await node.run_by_hand("a")
        node.log.room = "none"
        await trio.sleep(60)
        assert ink.parts == []
        node.log.room = "enough"
        await handed_over(node)
        assert len(ink.parts) > 0


async def test_each_attempt_has_its_output_and_its_end(autojump_clock):
    ink = ScriptedProcessor()
    scripts = printing(b"first\n", exit_code=1), FAILS, printing(b"third\n")
    async with running_node(shell=shell(*scripts), processors={"ink": ink}) as node:
        await make(node, retries=2)
        run = await node.run_whole("a")
        await handed_over(node)
        assert ink.output(run) == {1: b"first\n", 2: b"", 3: b"third\n"}
        assert ink.ends(run) == [(1, "failed", False), (2, "failed", False), (3, "succeeded", True)]


async def test_a_processor_that_fails_is_an_event_and_holds_up_nobody(autojump_clock):
    bad, good = ScriptedProcessor(fate="out of ink"), ScriptedProcessor()
    async with running_node(shell=shell(printing(b"one\n")), processors={"bad": bad, "good": good}) as node:
        await make(node, processors=(("bad", ()), ("good", ())))
        run = await node.run_whole("a")
        await handed_over(node)
        (end,) = node.events(e.RunFinished)
        assert (end.outcome, end.at - MONDAY < SECOND) == ("succeeded", True)
        assert good.output(run) == {1: b"one\n"}
        failures = await gave_up(node)
        assert [(f.job, f.run, f.place, f.processor, f.reason) for f in failures] == [
            ("a", run, 0, "bad", "out of ink")
        ] * limits.PROCESSOR_ATTEMPTS
        assert [f.failures for f in failures] == list(range(1, limits.PROCESSOR_ATTEMPTS + 1))
        gaps = [round(after - before) for before, after in zip(bad.times, bad.times[1:], strict=False)]
        assert gaps[:4] == [5, 10, 20, 40]
        assert max(gaps) == limits.MAX_PROCESSOR_DELAY_SECONDS
        assert node.node.folds.handovers.count == 0
        assert node.complaints == []


async def gave_up(node: RunningNode) -> list[e.ProcessorFailed]:
    """Wait until a handover is given up. Longer than anything else takes."""
    with trio.fail_after(24 * 3600):
        while not any(event.next_at is None for event in node.events(e.ProcessorFailed)):  # noqa: ASYNC110
            await trio.sleep(60)
    return node.events(e.ProcessorFailed)


async def test_what_a_processor_did_not_take_it_is_handed_again(autojump_clock):
    ink = ScriptedProcessor(script=deque(["no", RuntimeError("a bug"), "", "no"]))
    async with running_node(shell=shell(printing(b"one\n", b"two\n", seconds=90)), processors={"ink": ink}) as node:
        await make(node)
        run = await node.run_whole("a")
        await handed_over(node)
        assert ink.output(run) == {1: b"one\ntwo\n"}
        reasons = [(event.reason, event.failures) for event in node.events(e.ProcessorFailed)]
        assert reasons == [("no", 1), ("RuntimeError: a bug", 2), ("no", 1)]
        assert node.complaints == ["processor 'ink': RuntimeError('a bug')"]


async def test_a_processor_that_hangs_is_left(autojump_clock):
    ink, other = ScriptedProcessor(seconds=1e6), ScriptedProcessor()
    async with running_node(shell=shell(printing(b"one\n")), processors={"ink": ink, "other": other}) as node:
        await make(node, processors=(("ink", ()), ("other", ())))
        await node.run_whole("a")
        await handed_over(node)
        await node.until(lambda: bool(node.events(e.ProcessorFailed)))
        (failure,) = node.events(e.ProcessorFailed)
        assert failure.reason == "it did not take a part within 30 s"
        ink.seconds = 0
        await handed_over(node, 2)


async def test_processors_are_handed_parts_side_by_side_and_one_takes_one_at_a_time(autojump_clock):
    ink, paper = ScriptedProcessor(seconds=1), ScriptedProcessor(seconds=1)
    async with running_node(shell=shell(printing(b"one\n")), processors={"ink": ink, "paper": paper}) as node:
        for job in "abc":
            await make(node, job, processors=(("ink", ()), ("paper", ())))
        await make(node, "d", processors=(("ink", (("colour", "red"),)),))
        began = trio.current_time()
        for job in "abcd":
            await node.run_by_hand(job)
        await handed_over(node, 7)
        assert trio.current_time() - began < 5
        assert (ink.most, paper.most) == (2, 1)


async def test_with_forward_false_those_behind_it_get_a_line(autojump_clock):
    ink, paper, stone = ScriptedProcessor(), ScriptedProcessor(line="to paper"), ScriptedProcessor()
    scripts = printing(b"one\n", exit_code=1), printing(b"two\n")
    processors = {"ink": ink, "paper": paper, "stone": stone}
    async with running_node(shell=shell(*scripts), processors=processors) as node:
        await make(node, retries=1, processors=(("ink", ()), ("paper", (("forward", "false"),)), ("stone", ())))
        run = await node.run_whole("a")
        await handed_over(node, 3)
        assert ink.output(run) == paper.output(run) == {1: b"one\n", 2: b"two\n"}
        assert stone.output(run) == {1: b"to paper\n", 2: b"to paper\n"}
        assert ink.ends(run) == paper.ends(run) == stone.ends(run)


@pytest.mark.parametrize(
    ("processors", "field", "reason"),
    [
        ((("pen", ()),), "processors.pen", "there is no processor 'pen'; here are ink"),
        ((("ink", (("size", "3"),)),), "processors.ink.size", "the processor 'ink' knows forward, colour"),
        ((("ink", (("colour", "green"),)),), "processors.ink.colour", "'green' does not look like red|blue"),
    ],
)
async def test_a_job_that_asks_for_what_is_not_here_is_refused(autojump_clock, processors, field, reason):
    async with running_node(processors={"ink": ScriptedProcessor()}) as node:
        with pytest.raises(Invalid) as refusal:
            await make(node, processors=processors)
        assert (refusal.value.field, refusal.value.reason) == (field, reason)
        await make(node)
        with pytest.raises(Invalid):
            await node.update("a", command="prints", schedule=LATER, processors=processors)
        assert node.job("a").spec.processors == INK


async def test_a_crash_repeats_little_and_loses_nothing(autojump_clock):
    ink = ScriptedProcessor()
    lines = [b"%02d\n" % number for number in range(40)]
    node_shell = shell(printing(*lines, seconds=41))
    async with running_node(shell=node_shell, processors={"ink": ink}) as node:
        await make(node, retries=1)
        run = await node.run_by_hand("a")
        await trio.sleep(27.5)
        await node.crash()
    before, ink.parts = ink.parts, []
    noted = max(event.reached.offset for event in node.events(e.OutputHandedOver))
    assert 0 < noted <= sum(len(part.content) for part in before)
    after = restarted(node.storage, folds=copied(node.storage.folds))
    async with running_node(after, shell=node_shell, clock=node.clock, processors={"ink": ink}) as node:
        await handed_over(node)
        assert (ink.parts[0].attempt, ink.parts[0].offset, ink.parts[0].first) == (1, noted, False)
        ink.parts = [*before, *ink.parts]
        output = ink.output(run)
        assert output[1] == b"".join(lines)[: len(output[1])]
        assert output[2] == b"".join(lines)
        assert ink.ends(run)[-1] == (2, "succeeded", True)


async def test_what_waits_for_a_processor_outlives_a_restart_with_a_snapshot(autojump_clock, tmp_path):
    ink = ScriptedProcessor(fate="out of ink")
    storage = memory_storage(tmp_path / "snapshot")
    async with running_node(storage, shell=shell(printing(b"one\n")), processors={"ink": ink}) as node:
        await make(node)
        run = await node.run_whole("a")
        await node.until(lambda: len(node.events(e.ProcessorFailed)) == 3)
        await node.stop()
    ink.fate = ""
    after = restarted(node.storage, folds=copied(node.storage.folds), snapshot=tmp_path / "snapshot")
    tried = ink.times[-1]
    async with running_node(after, clock=node.clock, processors={"ink": ink}) as node:
        await handed_over(node)
        assert ink.output(run) == {1: b"one\n"}
        assert ink.times[-1] - tried >= 20


async def test_a_stop_notes_how_far_it_came(autojump_clock):
    ink = ScriptedProcessor()
    goes_on = Script(output=(("stdout", b"one\n"),), seconds=2, hangs=True)
    async with running_node(shell=shell(goes_on), processors={"ink": ink}) as node:
        await make(node)
        await node.run_by_hand("a")
        await trio.sleep(3)
        assert node.events(e.OutputHandedOver) == []
        await node.stop(how="leave")
        (event,) = node.events(e.OutputHandedOver)
        assert (event.reached.offset, event.over) == (4, False)


async def test_output_that_is_trimmed_is_given_up(autojump_clock):
    ink = ScriptedProcessor(fate="out of ink")
    rules = Rules(kept=Kept(runs=1))
    async with running_node(shell=shell(printing(b"one\n")), processors={"ink": ink}, rules=rules) as node:
        await make(node)
        first = await node.run_whole("a")
        await trio.sleep(1)
        await node.run_whole("a")
        failures = [failure for failure in await gave_up(node) if failure.next_at is None]
        assert (failures[0].run, failures[0].reason) == (first, "the output of this run is kept no longer")


async def test_when_too_much_is_on_its_way_more_is_given_up_at_once(autojump_clock, monkeypatch):
    monkeypatch.setattr(limits, "MAX_HANDOVERS", 2)
    ink = ScriptedProcessor()
    async with running_node(shell=shell(HANGS), processors={"ink": ink}) as node:
        await make(node)
        runs: list[RunId] = [await node.run_by_hand("a") for _ in range(3)]
        await node.until(lambda: bool(node.events(e.ProcessorFailed)))
        (failure,) = node.events(e.ProcessorFailed)
        assert (failure.run, failure.next_at) == (runs[2], None)
        assert "outputs are on their way" in failure.reason
        assert node.node.folds.handovers.count == 2


async def test_a_reason_that_is_no_text_is_recorded_all_the_same(autojump_clock):
    ink = ScriptedProcessor(script=deque(["\udcff gone"]))
    async with running_node(shell=shell(printing(b"one\n")), processors={"ink": ink}) as node:
        await make(node)
        await node.run_whole("a")
        await handed_over(node)
        assert [event.reason for event in node.events(e.ProcessorFailed)] == ["? gone"]

"""What a node counts and times: each fact once, on a clock that the test moves; what a restart finds is not counted."""

import pytest
import trio

from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.notify import Notify, Target
from kala_es.domain.tick_policy import TickPolicy
from kala_es.runtime.meters import DELAYS, Histogram
from tests.nodes import (
    FAILS,
    HANGS,
    MONDAY,
    RunningNode,
    Script,
    ScriptedShell,
    iso,
    memory_storage,
    restarted,
    running_node,
)
from tests.receivers import FAILED, ScriptedNotifier

NEVER = "R/2099-01-01T00:00:00Z/P1D"
MINUTES = f"R/{iso(MONDAY + 60 * SECOND)}/PT1M"
SCRIPTS = {"slow": Script(seconds=90), "hangs": HANGS, "fails": FAILS}


def delays(node: RunningNode) -> dict[float, int]:
    """How many starts were as late as that, by their bucket's bound."""
    return filled(node.node.meters.delays)


def filled(histogram: Histogram) -> dict[float, int]:
    bounds = (*histogram.bounds, float("inf"))
    return {bound: count for bound, count in zip(bounds, histogram.counts, strict=True) if count}


def test_a_length_is_counted_where_it_belongs() -> None:
    histogram = Histogram((1.0, 2.0))
    for seconds in (-5.0, 0.0, 1.0, 1.5, 2.0, 2.5, 100.0):
        histogram.add(seconds)
    assert (histogram.counts, histogram.total) == ([3, 2, 2], 107.0)


async def test_runs_are_counted_by_what_began_and_what_ended_them(autojump_clock):
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await node.create("works", schedule=NEVER)
        await node.create("fails", command="fails", retries=2, schedule=NEVER)
        await node.create("child", parents=("works",), command="slow")
        for job in ("works", "works", "fails"):
            await node.run_whole(job)
        meters = node.node.meters
        assert meters.started == {"manual": 3, "parent": 2}
        assert meters.ended == {"succeeded": 4, "failed": 1}
        assert meters.failed_attempts == {"failed": 3}
        assert filled(meters.durations) == {0.1: 3, 300.0: 2}
        assert meters.durations.total == pytest.approx(180, abs=1)
        assert sum(meters.commits.counts) == len(node.log.appends)
        assert (meters.skipped, meters.missed, delays(node)) == ({}, {}, {})


async def test_what_started_nothing_is_counted_with_its_reason(autojump_clock):
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await node.create("a", command="slow", schedule=MINUTES, ticks=TickPolicy(overlap="skip"))
        await node.create("b", schedule=NEVER, disabled=True)
        await node.run_by_hand("b")
        await trio.sleep(250)
        assert node.node.meters.skipped == {"overlap": 2, "disabled": 1}
        node.clock.step(600)
        await trio.sleep(130)
        missed = node.events(e.TickMissed)
        assert node.node.meters.missed == {"the server was late": sum(event.count for event in missed)}
        assert sum(event.count for event in missed) > 5


async def test_a_start_is_as_late_as_the_node_made_it(autojump_clock):
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        node.log.delay = lambda: 0.2
        await node.create("a", schedule=MINUTES)
        await node.run_by_hand("a")
        await trio.sleep(130)
        assert delays(node) == {0.25: 2}
        assert node.node.meters.delays.total == pytest.approx(0.4, abs=0.05)


async def test_what_a_job_asks_for_makes_no_start_late(autojump_clock):
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await node.create("spread", schedule=MINUTES, ticks=TickPolicy(jitter="PT50S"))
        await node.create("queued", command="slow", schedule=MINUTES, ticks=TickPolicy(overlap="queue"))
        await trio.sleep(170)
        assert [event.cause for event in node.events(e.RunStarted, job="queued")] == ["schedule", "schedule"]
        second = node.events(e.RunStarted, job="queued")[1]
        assert second.tick is not None
        assert second.at - second.tick > 29 * SECOND
        (spread, *_) = node.events(e.RunStarted, job="spread")
        assert spread.tick is not None
        assert spread.at - spread.tick > SECOND, "the test's job has too little jitter"
        assert sum(delays(node).values()) == len([event for event in node.events(e.RunStarted) if event.tick])
        assert max(delays(node)) == DELAYS[0]


async def test_a_catch_up_is_no_late_start(autojump_clock):
    storage = memory_storage()
    async with running_node(storage) as node:
        await node.create("a", schedule=MINUTES)
        await node.crash()
    async with running_node(restarted(storage), clock=later(node, 600)) as node:
        await node.ends("a")
        await node.idle()
        assert node.node.meters.started == {"catch-up": 1}
        assert node.node.meters.missed["the server was down"] > 5
        assert delays(node) == {}


def later(node: RunningNode, seconds: float):
    node.clock.step(seconds)
    return node.clock


async def test_a_restart_counts_from_0_and_knows_what_is_in_flight(autojump_clock):
    storage, shell = memory_storage(), ScriptedShell(SCRIPTS)
    async with running_node(storage, shell=shell) as node:
        await node.create("a", schedule=NEVER)
        await node.create("b", command="hangs", schedule=NEVER)
        await node.run_whole("a")
        await node.run_by_hand("b")
        await node.idle()
        await node.crash()
    node.clock.step(2000)
    async with running_node(restarted(storage), shell=shell, clock=node.clock) as node:
        await node.ends("b")
        meters = node.node.meters
        assert (meters.started, meters.ended) == ({}, {"lost": 1})
        assert filled(meters.durations) == {3600.0: 1}


async def test_notices_are_counted_when_nothing_more_is_tried(autojump_clock):
    notifier = ScriptedNotifier()
    async with running_node(shell=ScriptedShell(SCRIPTS), notifier=notifier) as node:
        told = Notify(targets=(Target(to="http://deaf.example/"),))
        await node.create("a", command="fails", schedule=NEVER, notify=told)
        await node.run_whole("a")
        await trio.sleep(60)
        assert node.node.meters.notices == {"delivered": 1}
        notifier.fate = lambda: FAILED
        await node.run_whole("a")
        await trio.sleep(3600)
        assert len(notifier.told) > 5
        assert node.node.meters.notices == {"delivered": 1}
        await trio.sleep(86_400)
        assert node.node.meters.notices == {"delivered": 1, "given-up": 1}


def test_bounds_rise() -> None:
    assert list(DELAYS) == sorted(DELAYS)
    assert (DELAYS[0], DELAYS[-1]) == (0.005, 60.0)


async def test_nothing_is_kept_of_runs_that_are_over(autojump_clock):
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await node.create("a", schedule=NEVER)
        await node.create("b", command="hangs", schedule=NEVER)
        for _ in range(5):
            await node.run_whole("a")
        run = await node.run_by_hand("b")
        assert node.node.meters._begun == {run: Instant(node.events(e.RunStarted, job="b")[0].at)}

"""What becomes of ticks in a whole node, on a clock that the test moves: each policy, over restarts and pauses."""

import itertools

import pytest
import trio

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.errors import Conflict, Invalid
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.domain.tick_policy import PauseDraft, TickPolicy
from kala_es.runtime.scheduler import Origin
from tests.nodes import (
    HANGS,
    MONDAY,
    RunningNode,
    Script,
    ScriptedShell,
    check_ticks,
    iso,
    memory_storage,
    restarted,
    running_node,
)

ME = Origin(principal="me")
MINUTES = f"R/{iso(MONDAY + 60 * SECOND)}/PT1M"
SLOW = {"slow": Script(seconds=90), "hangs": HANGS}


def started(node: RunningNode, job: str = "a") -> list[float | None]:
    """The ticks that started runs, in seconds after the beginning."""
    return [since_monday(event.tick) for event in node.events(e.RunStarted, job=job)]


def since_monday(moment: int | None) -> float | None:
    return None if moment is None else (moment - MONDAY) / SECOND


def most_at_once(node: RunningNode, job: str = "a") -> int:
    """How many runs of the job were in flight at the same time."""
    now = most = 0
    for event in node.events(e.RunStarted, e.RunFinished, job=job):
        now += 1 if isinstance(event, e.RunStarted) else -1
        most = max(most, now)
    return most


@pytest.mark.parametrize(
    ("overlap", "ticks", "at_once"),
    [
        ("allow", [60, 120, 180, 240, 300], 2),
        ("skip", [60, 180, 300], 1),
        ("queue", [60, 120, 240], 1),
        ("replace", [60, 120, 180, 240, 300], 1),
    ],
)
async def test_each_overlap(autojump_clock, overlap, ticks, at_once):
    async with running_node(shell=ScriptedShell(SLOW)) as node:
        await node.create("a", command="slow", schedule=MINUTES, ticks=TickPolicy(overlap=overlap))
        await trio.sleep(310)
        await node.idle()
        assert (started(node), most_at_once(node)) == (ticks, at_once)
        check_ticks(node, Instant(node.clock.now() - SECOND))
        outcomes = {event.outcome for event in node.events(e.RunFinished)}
        assert outcomes == ({"cancelled"} if overlap == "replace" else {"succeeded"})


async def test_what_waits_starts_when_the_run_before_it_ends(autojump_clock):
    async with running_node(shell=ScriptedShell(SLOW)) as node:
        await node.create("a", command="slow", schedule=MINUTES, ticks=TickPolicy(overlap="queue"))
        await node.until(lambda: len(node.events(e.RunStarted)) == 2)
        _first, second = node.events(e.RunStarted)
        assert since_monday(second.at) == pytest.approx(150, abs=0.1)
        with pytest.raises(Conflict):
            await node.run_by_hand("a")


async def test_a_dependent_waits_for_its_turn_and_is_not_lost(autojump_clock):
    storage = memory_storage()
    async with running_node(storage, shell=ScriptedShell(SLOW)) as node:
        await node.create("p", schedule=f"R0/{iso(MONDAY + 86_400 * SECOND)}/")
        await node.create("c", command="slow", parents=("p",), ticks=TickPolicy(overlap="queue"))
        for _ in range(3):
            await node.run_by_hand("p")
        await trio.sleep(100)
        assert len(node.events(e.RunStarted, job="c")) == 2
        await node.crash()
    async with running_node(restarted(storage), shell=ScriptedShell(SLOW)) as node:
        await node.ends("c", 3)
        await node.idle()
        assert (most_at_once(node, "c"), node.node.folds.trees.open) == (1, {})


MISSED = [60, 120, 180, 240, 300]


@pytest.mark.parametrize(
    ("policy", "ticks", "reasons"),
    [
        ({}, [300, 360], {"the server was down"}),
        ({"catch_up": "none"}, [360], {"the server was down"}),
        ({"catch_up": "all"}, [*MISSED, 360], set()),
        ({"catch_up": "all", "overlap": "queue"}, [*MISSED, 360], set()),
        ({"catch_up": "all", "catch_up_window": "PT2M"}, [240, 300, 360], {"older than the catch-up window"}),
        ({"starting_deadline": "PT10S"}, [360], {"the starting deadline passed"}),
    ],
)
async def test_each_catch_up_after_a_crash(autojump_clock, policy, ticks, reasons):
    storage = memory_storage()
    async with running_node(storage) as node:
        await node.create("a", schedule=MINUTES, ticks=TickPolicy(**policy))
        await node.crash()
        clock = node.clock
    await trio.sleep(330)
    async with running_node(restarted(storage), clock=clock) as node:
        await trio.sleep(40)
        await node.idle()
        assert started(node) == ticks
        assert {event.reason for event in node.events(e.TickMissed)} == reasons
        starts = [event.at for event in node.events(e.RunStarted)]
        spaced = limits.CATCH_UP_SPACING_SECONDS * SECOND
        assert all(later - earlier >= spaced for earlier, later in itertools.pairwise(starts))
        check_ticks(node, Instant(clock.now() - SECOND))


async def test_catching_up_goes_on_after_a_crash_in_its_middle(autojump_clock):
    storage = memory_storage()
    async with running_node(storage) as node:
        await node.create("a", schedule=MINUTES, ticks=TickPolicy(catch_up="all"))
        await node.crash()
        clock = node.clock
    await trio.sleep(330)
    async with running_node(restarted(storage), clock=clock) as node:
        await trio.sleep(1.5)
        assert started(node) == [60, 120]
        await node.crash()
        storage = node.storage
    async with running_node(restarted(storage), clock=clock) as node:
        await trio.sleep(20)
        assert started(node) == MISSED
        check_ticks(node, Instant(clock.now() - SECOND))


async def test_many_jobs_take_turns_after_a_stop(autojump_clock):
    storage, count = memory_storage(), limits.CATCH_UP_STARTS_PER_SECOND + 100
    async with running_node(storage) as node:
        for i in range(count):
            await node.create(f"j{i}", schedule=MINUTES, ticks=TickPolicy(catch_up=("one", "none")[i % 2]))
        await node.crash()
        clock = node.clock
    await trio.sleep(330)
    async with running_node(restarted(storage), clock=clock) as node:
        begun = clock.now()
        await trio.sleep(5)
        await node.idle()
        answers = [event.at - begun for event in node.events(e.RunStarted, e.TickMissed) if event.at >= begun]
        late = list(node.events(e.TickMissed))
        assert {event.reason for event in late} == {"the server was down"}
        assert len({event.job for event in late}) == count
        assert sum(wait < SECOND // 4 for wait in answers) <= 2 * limits.CATCH_UP_STARTS_PER_SECOND * 5 // 4
        check_ticks(node, Instant(clock.now() - SECOND))


# ---- pauses


async def test_a_paused_job_skips_its_ticks_and_makes_them_up_on_resuming(autojump_clock):
    async with running_node() as node:
        await node.create("a", schedule=MINUTES)
        await node.scheduler.pause(JobId("a"), PauseDraft(reason="a move"), ME)
        await trio.sleep(200)
        skips = node.events(e.RunSkipped)
        assert [(since_monday(event.tick), event.reason) for event in skips] == [
            (60, "paused"), (120, "paused"), (180, "paused"),
        ]  # fmt: skip
        pause = node.job("a").pause
        assert pause is not None
        assert (pause.reason, pause.by) == ("a move", "me")
        await node.scheduler.resume(JobId("a"), ME)
        (run,) = node.events(e.RunStarted)
        assert run.covers is not None
        assert (since_monday(run.covers.first), since_monday(run.covers.last), run.covers.count) == (60, 180, 3)
        summary = node.scheduler.run(run.run)
        assert summary.covers == run.covers
        check_ticks(node, Instant(node.clock.now() - SECOND))
        principals = {type(r.event).__name__: r.principal for r in node.history()}
        assert (principals["JobPaused"], principals["JobResumed"]) == ("me", "me")


async def test_a_job_pause_ends_by_the_clock(autojump_clock):
    async with running_node() as node:
        await node.create("a", schedule=MINUTES)
        await node.scheduler.pause(JobId("a"), PauseDraft(until=Instant(MONDAY + 150 * SECOND)), ME)
        await trio.sleep(190)
        assert [since_monday(event.at) for event in node.events(e.JobResumed)] == [pytest.approx(150, abs=0.1)]
        assert started(node) == [120, 180]
        with pytest.raises(Invalid):
            await node.scheduler.pause(JobId("a"), PauseDraft(until=MONDAY), ME)


@pytest.mark.parametrize("by_the_clock", [True, False])
async def test_a_paused_server_stays_so_over_a_restart_and_its_end_wakes_what_is_owed(autojump_clock, by_the_clock):
    storage = memory_storage()
    async with running_node(storage) as node:
        await node.create("a", schedule=MINUTES)
        await node.create("b", schedule=MINUTES, ticks=TickPolicy(catch_up="none"))
        until = Instant(MONDAY + 290 * SECOND) if by_the_clock else None
        await node.scheduler.pause(None, PauseDraft(reason="a move", until=until), ME)
        await node.scheduler.pause(None, PauseDraft(reason="a move", until=until), ME)
        assert len(node.events(e.ServerPaused)) == 1
        await trio.sleep(130)
        await node.stop()
        clock = node.clock
    await trio.sleep(70)
    async with running_node(restarted(storage), clock=clock) as node:
        assert node.node.folds.server_pause is not None
        await trio.sleep(60)
        assert not node.events(e.RunStarted)
        if not by_the_clock:
            await node.scheduler.resume(None, ME)
        await trio.sleep(35)
        assert (node.node.folds.server_pause, started(node), started(node, "b")) == (None, [240], [])
        (run,) = node.events(e.RunStarted)
        assert run.covers is not None
        assert run.covers.count == 4
        check_ticks(node, Instant(clock.now() - SECOND))


async def test_a_server_pause_that_ended_while_the_node_was_down(autojump_clock):
    storage = memory_storage()
    async with running_node(storage) as node:
        await node.create("a", schedule=MINUTES)
        await node.scheduler.pause(None, PauseDraft(until=Instant(MONDAY + 100 * SECOND)), ME)
        await trio.sleep(70)
        await node.crash()
        clock = node.clock
    await trio.sleep(70)
    async with running_node(restarted(storage), clock=clock) as node:
        await trio.sleep(1)
        (run,) = node.events(e.RunStarted)
        assert (since_monday(run.tick), run.cause) == (120, "catch-up")
        assert len(node.events(e.ServerResumed)) == 1


async def test_an_enabled_job_of_a_paused_server_starts_nothing(autojump_clock):
    async with running_node() as node:
        await node.create("a", schedule=MINUTES, disabled=True)
        await trio.sleep(70)
        await node.scheduler.pause(None, PauseDraft(), ME)
        await node.scheduler.enable(JobId("a"), ME)
        assert [event.reason for event in node.events(e.RunSkipped)] == ["paused"]
        await node.run_whole("a")
        assert len(node.events(e.RunStarted)) == 1


# ---- the list


async def test_the_list_says_what_became_of_each_tick(autojump_clock):
    async with running_node(shell=ScriptedShell(SLOW)) as node:
        await node.create("a", command="slow", schedule=MINUTES, ticks=TickPolicy(overlap="skip"))
        await trio.sleep(130)
        await node.scheduler.pause(JobId("a"), PauseDraft(), ME)
        await trio.sleep(60)
        await node.scheduler.resume(JobId("a"), ME)
        await node.scheduler.disable(JobId("a"), ME)
        await trio.sleep(60)
        within = (MONDAY, Instant(MONDAY + 310 * SECOND))
        listed = await node.scheduler.ticks(JobId("a"), within=within, most=10)
        first, made_up = node.events(e.RunStarted)
        said = [(since_monday(x.tick), x.outcome, x.run, x.reason) for x in listed]
        assert said == [
            (60, "started", first.run, ""),
            (120, "skipped", None, "overlap"),
            (180, "started", made_up.run, ""),
            (240, "waiting", None, "the job is disabled"),
            (300, "coming", None, ""),
        ]
        later = await node.scheduler.ticks(JobId("a"), within=(listed[1].tick, within[1]), most=2)
        assert later == listed[1:3]


# Cron expressions


async def test_cron_jobs_keep_time_over_a_restart(autojump_clock):
    storage = memory_storage()
    async with running_node(storage) as node:
        await trio.sleep(7.25)
        for job, schedule in (("a", "*/20 * * * * *"), ("b", "@every 25s"), ("c", "@manually"), ("d", "0 9 * * MON")):
            await node.create(job, schedule=schedule)
        await trio.sleep(60)
        await node.crash()
        clock = node.clock
    async with running_node(restarted(storage), clock=clock) as node:
        await trio.sleep(33)
        assert started(node) == [20, 40, 60, 80, 100]
        assert started(node, "b") == [32, 57, 82]
        assert started(node, "c") == []
        check_ticks(node, node.clock.now())


async def test_a_cron_job_makes_up_what_passed_while_the_server_was_down(autojump_clock):
    storage = memory_storage()
    async with running_node(storage) as node:
        await node.create("a", schedule="30 * * * * *")
        await node.create("b", schedule="30 * * * * *", ticks=TickPolicy(catch_up="all"))
        await trio.sleep(45)
        await node.crash()
        clock = node.clock
    await trio.sleep(300)
    async with running_node(restarted(storage), clock=clock) as node:
        await trio.sleep(20)
        (missed,) = node.events(e.TickMissed, job="a")
        assert (missed.count, missed.reason) == (4, "the server was down")
        assert started(node) == [30, 330]
        assert started(node, "b") == [30, 90, 150, 210, 270, 330]
        check_ticks(node, node.clock.now())

"""A whole node, told as stories: it keeps time, makes up what it missed, carries out trees of runs, and comes back from
a crash at any moment with nothing lost and nothing doubled."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from kala_es.domain import events as e
from kala_es.domain.errors import Conflict, Invalid, LogFull, NotFound, Unavailable
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.model import JobDraft
from kala_es.fold_store import FoldsFull
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections import snapshot
from kala_es.projections.folds import Folds
from kala_es.runtime.inbox import LOST
from kala_es.runtime.scheduler import Answer, Key, Origin
from kala_es.storage import Storage
from tests.nodes import (
    FAILS,
    HANGS,
    MONDAY,
    SUCCEEDS,
    FaultyLog,
    RunningNode,
    Script,
    ScriptedShell,
    check_folds,
    check_ticks,
    copied,
    iso,
    memory_storage,
    restarted,
    running_node,
    spec,
)

NOBODY = Origin()
A_LATER_CENTURY = "R0/2199-01-01T00:00:00Z/PT1M"


def after(seconds: float) -> Instant:
    return Instant(MONDAY + round(seconds * SECOND))


def every(interval: str, *, start: float = 60, times: str = "") -> str:
    return f"R{times}/{iso(after(start))}/{interval}"


def ticks(node: RunningNode, job: str) -> list[float]:
    """The ticks that started runs, in seconds since the test's beginning."""
    return [(r.tick - MONDAY) / SECOND for r in node.events(e.RunStarted, job=job) if r.tick is not None]


def runs_of(node: RunningNode) -> list[str]:
    """The jobs whose runs began, in order."""
    return [run.job for run in node.events(e.RunStarted)]


# Keeping time


async def test_runs_start_on_the_grid_without_drift_however_long_they_take(autojump_clock):
    shell = ScriptedShell({"long": Script(seconds=20.5)})
    async with running_node(shell=shell) as node:
        await node.create("a", command="long", schedule=every("PT7S", start=3.25))
        await trio.sleep(600)
        started = node.events(e.RunStarted)
        assert len(started) == 86
        assert [run.at for run in started] == [run.tick for run in started]
        assert ticks(node, "a") == [3.25 + 7 * k for k in range(86)]
        check_ticks(node, node.clock.now())


async def test_a_job_without_a_schedule_runs_once_at_once(autojump_clock):
    async with running_node() as node:
        await node.create("a")
        await trio.sleep(3600)
        (run,) = node.events(e.RunStarted)
        assert (run.at, run.cause) == (MONDAY, "schedule")
        assert node.job("a").is_done


async def test_an_edit_fires_no_tick_that_has_passed_and_plans_what_lies_ahead(autojump_clock):
    async with running_node() as node:
        await node.create("a", schedule=every("PT1M"))
        await trio.sleep(150)
        await node.update("a", schedule=every("PT10S", start=200), name="a new name")
        await trio.sleep(75)
        await node.update("a", schedule=every("PT10S", start=200), name="a newer name")
        await trio.sleep(10)
        assert ticks(node, "a") == [60, 120, 200, 210, 220, 230]
        check_ticks(node, node.clock.now())


async def test_a_wall_clock_that_jumps_ahead_fires_no_burst(autojump_clock):
    async with running_node() as node:
        await node.create("a", schedule=every("PT1M"))
        await trio.sleep(90.5)
        node.clock.step(3600)
        await trio.sleep(70)
        (missed,) = node.events(e.TickMissed)
        assert (missed.count, missed.reason) == (59, "the server was late")
        assert ticks(node, "a") == [60, 3660, 3720]
        check_ticks(node, node.clock.now())


async def test_a_wall_clock_that_jumps_back_fires_nothing_twice(autojump_clock):
    async with running_node() as node:
        await node.create("a", schedule=every("PT1M"))
        await trio.sleep(330.5)
        node.clock.step(-3600)
        await trio.sleep(3600)
        assert ticks(node, "a") == [60, 120, 180, 240, 300]
        await trio.sleep(60)
        assert ticks(node, "a") == [60, 120, 180, 240, 300, 360]
        check_ticks(node, node.clock.now())


async def test_a_job_that_is_edited_to_run_now_runs_also_when_the_clock_has_jumped_back(autojump_clock):
    async with running_node() as node:
        await node.create("a", schedule=every("PT1M"))
        await trio.sleep(330.5)
        node.clock.step(-60)
        await node.update("a")
        await trio.sleep(600)
        assert len(ticks(node, "a")) == 6


@pytest.mark.parametrize("folds", ["kept", "lost"])
async def test_ticks_missed_while_down_are_answered_by_the_job_s_policy(autojump_clock, folds):
    async with running_node() as node:
        await node.create("made up", schedule=every("PT10M"))
        await node.create("resumed", schedule=every("PT10M"), resume_at_next_tick=True)
        await node.create("disabled", schedule=every("PT10M"), disabled=True)
        await node.create("once", schedule=every("PT1M", start=1800, times="0"), resume_at_next_tick=True)
        await trio.sleep(61)
        await node.crash()
    await trio.sleep(3600)
    kept = node.storage.folds if folds == "kept" else None
    async with running_node(restarted(node.storage, folds=kept), clock=node.clock) as node:
        missed = {m.job: m for m in node.events(e.TickMissed)}
        assert set(missed) == {"made up", "resumed"}
        assert {m.reason for m in missed.values()} == {"the server was down"}
        assert (missed["made up"].count, missed["made up"].made_up) == (5, after(60 + 3600))
        assert (missed["resumed"].count, missed["resumed"].made_up) == (6, None)
        assert [r.cause for r in node.events(e.RunStarted, job="made up")] == ["schedule", "catch-up"]
        assert ticks(node, "once") == [1800], "a last tick is made up in any case: nothing comes after it"
        await trio.sleep(700)
        assert ticks(node, "made up") == [60, 3660, 4260]
        assert ticks(node, "resumed") == [60, 4260]
        assert not ticks(node, "disabled")
        check_ticks(node, node.clock.now())


async def test_enabling_makes_up_once(autojump_clock):
    async with running_node() as node:
        await node.create("made up", schedule=every("PT1M"))
        await node.create("resumed", schedule=every("PT1M"), resume_at_next_tick=True)
        await trio.sleep(90)
        for job in ("made up", "resumed"):
            await node.scheduler.disable(JobId(job), NOBODY)
        await trio.sleep(600)
        assert len(node.events(e.RunStarted)) == 2
        for job in ("made up", "resumed"):
            await node.scheduler.enable(JobId(job), NOBODY)
            await node.scheduler.enable(JobId(job), NOBODY)
        await trio.sleep(60)
        assert ticks(node, "made up") == [60, 660, 720]
        assert ticks(node, "resumed") == [60, 720]
        assert {m.reason for m in node.events(e.TickMissed)} == {"the job was disabled"}
        check_ticks(node, node.clock.now())


# Retries and ends


async def test_a_failed_attempt_is_retried_at_once_as_often_as_allowed(autojump_clock):
    fails = Script(seconds=5, exit_code=3, output=(("stderr", b"no"),))
    shell = ScriptedShell({"third time": (fails, fails, Script(output=(("stdout", b"yes"),))), "never": fails})
    async with running_node(shell=shell) as node:
        await node.create("a", command="third time", retries=2)
        await node.create("b", command="never", retries=2)
        (good,), (bad,) = await node.ends("a"), await node.ends("b")
        assert (good.outcome, good.attempts) == ("succeeded", 3)
        assert (bad.outcome, bad.attempts, bad.exit_code, bad.reason) == ("failed", 3, 3, "exit code 3")
        assert [f.retrying for f in node.events(e.AttemptFailed, job="b")] == [True, True, False]
        assert bad.at == after(15)
        assert node.job("a").counters.error_count == 2
        assert [piece async for piece in node.scheduler.reader.output(good.run)] == [b"no", b"no", b"yes"]
        assert [dict(o.identity)["KALA_CAUSE"] for o in shell.orders if o.run == bad.run] == ["schedule"] + [
            "retry"
        ] * 2


async def test_epsilon_bounds_retries_from_the_tick(autojump_clock):
    shell = ScriptedShell({"fails": Script(seconds=40, exit_code=1)})
    async with running_node(shell=shell) as node:
        await node.create("a", command="fails", retries=10, epsilon="PT1M40S", schedule=every("PT1M", times="0"))
        (end,) = await node.ends("a")
        assert (end.outcome, end.attempts, end.at) == ("failed", 3, after(60 + 120))


async def test_an_attempt_over_its_time_is_ended_and_a_bug_in_the_executor_is_a_failure(autojump_clock):
    shell = ScriptedShell({"hangs": HANGS, "crashes": Script(crashes=True)})
    async with running_node(shell=shell) as node:
        await node.create("a", command="hangs", timeout="PT30S")
        await node.create("b", command="crashes")
        (timed_out,), (crashed,) = await node.ends("a"), await node.ends("b")
        assert (timed_out.outcome, timed_out.at) == ("timed-out", after(30))
        assert crashed.outcome == "failed"
        assert "a bug in the executor" in crashed.reason


async def test_a_cancelled_run_ends_and_is_not_retried(autojump_clock):
    async with running_node(shell=ScriptedShell({"hangs": HANGS})) as node:
        await node.create("a", command="hangs", retries=5)
        await trio.sleep(10)
        (run,) = node.events(e.RunStarted)
        await node.scheduler.cancel(run.run, NOBODY)
        (end,) = await node.ends("a")
        assert (end.outcome, end.attempts) == ("cancelled", 1)
        with pytest.raises(Conflict):
            await node.scheduler.cancel(run.run, NOBODY)


async def test_a_job_that_runs_blocks_nobody(autojump_clock):
    async with running_node(shell=ScriptedShell({"hangs": HANGS})) as node:
        await node.create("hangs", command="hangs", schedule=every("PT1M", start=1))
        await trio.sleep(10)
        began = trio.current_time()
        await node.create("other", schedule=A_LATER_CENTURY)
        await node.run_whole("other")
        for job in ("hangs", "other"):
            await node.update(job, schedule=every("PT1H", start=60), command="hangs")
            await node.run_by_hand(job)
            assert [j.id for j in node.scheduler.jobs()] == ["hangs", "other"]
            await node.scheduler.disable(JobId(job), NOBODY)
        for job in ("hangs", "other"):
            await node.scheduler.delete(JobId(job), NOBODY)
        assert not node.scheduler.jobs()
        assert trio.current_time() == began
        assert len(node.node.folds.busy) == 3
        await node.create("hangs", command="hangs", schedule=A_LATER_CENTURY)
        for run in list(node.shell.running):
            await node.scheduler.cancel(RunId(run.run), NOBODY)
        await node.until(lambda: not len(node.node.folds.busy))
        assert not node.complaints


# Trees


async def test_dependents_run_one_at_a_time_depth_first_in_the_order_in_which_they_came(autojump_clock):
    shell = ScriptedShell({"slow": Script(seconds=7)})
    async with running_node(shell=shell) as node:
        await node.create("p", command="slow", schedule=A_LATER_CENTURY)
        for job, parent in (("c2", "p"), ("c1", "p"), ("g2", "c2"), ("c3", "p"), ("g1", "c1"), ("g2b", "c2")):
            await node.create(job, command="slow", parents=[parent])
        root = await node.run_whole("p")
        assert runs_of(node) == ["p", "c2", "g2", "g2b", "c1", "g1", "c3"]
        assert [r.at for r in node.events(e.RunStarted)] == [after(7 * i) for i in range(7)]
        assert {r.root for r in node.events(e.RunStarted)} == {root}


async def test_a_failure_starts_its_handler_and_no_dependent(autojump_clock):
    async with running_node(shell=ScriptedShell({"fails": FAILS})) as node:
        await node.create("handler", schedule=A_LATER_CENTURY)
        await node.create("p", schedule=A_LATER_CENTURY)
        await node.create("bad", command="fails", parents=["p"], on_failure_job="handler", retries=1)
        await node.create("never", parents=["bad"])
        await node.create("good", parents=["p"])
        await node.run_whole("p")
        assert runs_of(node) == ["p", "bad", "handler", "good"]
        assert [r.cause for r in node.events(e.RunStarted)] == ["manual", "parent", "on-failure", "parent"]


async def test_a_child_of_two_runs_when_both_have_succeeded(autojump_clock):
    async with running_node() as node:
        for job in ("p", "q"):
            await node.create(job, schedule=A_LATER_CENTURY)
        await node.create("both", parents=["p", "q"])
        await node.create("either", parents=["p", "q"], dependency_policy="any")
        for job in ("p", "p", "q", "q", "p"):
            await node.run_whole(job)
        assert Counter(runs_of(node)) == {"p": 3, "q": 2, "either": 5, "both": 2}


async def test_two_edits_at_once_cannot_close_a_cycle_between_them(autojump_clock):
    async with running_node() as node:
        for job in ("a", "b"):
            await node.create(job, schedule=A_LATER_CENTURY)
        refused: list[Invalid] = []

        async def tie(job: str, parent: str) -> None:
            try:
                await node.update(job, parents=[parent])
            except Invalid as refusal:
                refused.append(refusal)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tie, "a", "b")
            nursery.start_soon(tie, "b", "a")
        assert len(refused) == 1
        assert len(node.events(e.JobUpdated)) == 1


CHAIN: dict[str, dict[str, Any]] = {
    "handler": {"schedule": A_LATER_CENTURY},
    "p": {"command": "talks", "schedule": A_LATER_CENTURY},
    "c1": {"parents": ["p"]},
    "bad": {"parents": ["p"], "command": "fails", "on_failure_job": "handler"},
    "c2": {"parents": ["p"], "command": "talks"},
    "g1": {"parents": ["c1"]},
    "both": {"parents": ["c1", "c2"]},
}
WHOLE = ["p", "c1", "g1", "bad", "handler", "c2", "both"]
KEYED = Origin(key=Key.of("once", b""), answer=Answer(status=204))


def chain_shell() -> ScriptedShell:
    talks = Script(seconds=3, output=(("stdout", b"a"), ("stderr", b"b"), ("stdout", b"c")))
    return ScriptedShell({"talks": talks, "fails": FAILS})


async def chain_made(retries: int) -> Storage:
    async with running_node() as node:
        for job, fields in CHAIN.items():
            again = 0 if job == "bad" else retries
            await node.create(job, retries=again, **fields)
    return node.storage


async def carry_out(node: RunningNode) -> None:
    """Ask for the chain as a client does: again with the same key, until it has been told that it was granted."""
    assert KEYED.key is not None
    if node.scheduler.answered(KEYED.key) is None:
        await node.run_keyed(JobId("p"), KEYED)
    with trio.fail_after(600):
        while node.node.folds.trees.open or node.node.registry.active:  # noqa: ASYNC110 - trees from before the crash
            await trio.sleep(0.1)


CRASH_POINTS = [(n, when) for n in range(1, 27) for when in ("before", "after")]


async def test_the_crash_points_reach_to_the_chain_s_end(autojump_clock):
    async with running_node(restarted(await chain_made(1)), shell=chain_shell()) as node:
        await carry_out(node)
        assert runs_of(node) == WHOLE
        assert 0 <= CRASH_POINTS[-1][0] - len(node.log.appends) <= 6


@pytest.mark.parametrize(("retries", "keep"), [(0, False), (1, True)])
async def test_a_chain_survives_a_crash_at_every_append(autojump_clock, retries, keep):
    made = await chain_made(retries)
    for number, when in CRASH_POINTS:
        storage = restarted(made, folds=copied(made.folds) if keep else None)
        assert isinstance(storage.log, FaultyLog)
        storage.log.off_before, storage.log.off_after = (number, 0) if when == "before" else (0, number)
        async with running_node(storage, shell=chain_shell()) as node:
            await node.attend(partial(carry_out, node))
        again = restarted(storage, folds=storage.folds if keep else None)
        async with running_node(again, shell=chain_shell(), clock=node.clock) as node:
            await carry_out(node)
        ran = runs_of(node)
        assert ran == (WHOLE if retries else [job for job in WHOLE if job in ran]), f"crash {when} append {number}"
        check_chain(node)


def check_chain(node: RunningNode) -> None:
    """Each end was followed by what follows it, exactly once; a lost run says so, and nothing follows it."""
    begun = {(run.after, run.job) for run in node.events(e.RunStarted)}
    assert len(begun) == len(node.events(e.RunStarted))
    ends: dict[str, e.RunFinished] = {end.job: end for end in node.events(e.RunFinished)}
    assert len(ends) == len(begun)
    for job, end in ends.items():
        assert end.outcome == "succeeded" or end.reason == (LOST if end.outcome == "lost" else "exit code 1")
        for child, fields in CHAIN.items():
            if fields.get("parents") == [job]:
                assert ((end.run, child) in begun) == (end.outcome == "succeeded")
        if job == "bad":
            assert (end.run, "handler") in begun
    both = [ends[job].outcome if job in ends else None for job in ("c1", "c2")]
    assert ("both" in ends) == (both == ["succeeded", "succeeded"])


async def test_a_run_in_flight_at_a_crash_is_lost_or_retried(autojump_clock):
    shell = ScriptedShell({"hangs": HANGS, "hangs once": (HANGS, SUCCEEDS)})
    async with running_node(shell=shell) as node:
        await node.create("lost", command="hangs")
        await node.create("retried", command="hangs once", retries=1)
        await trio.sleep(10)
        await node.crash()
    async with running_node(restarted(node.storage), shell=shell, clock=node.clock) as node:
        (lost,), (retried,) = await node.ends("lost"), await node.ends("retried")
        assert (lost.outcome, lost.reason) == ("lost", LOST)
        assert (retried.outcome, retried.attempts) == ("succeeded", 2)
        assert node.job("lost").counters.error_count == 1


async def test_deleting_a_parent_takes_along_children_without_another_also_over_a_crash(autojump_clock):
    async with running_node() as made:
        for job in ("p", "q"):
            await made.create(job, schedule=A_LATER_CENTURY)
        for job, parents in (("c", ["p"]), ("shared", ["p", "q"]), ("g", ["c"]), ("gg", ["g"])):
            await made.create(job, parents=parents)
    for number in range(1, 8):
        storage = restarted(made.storage)
        assert isinstance(storage.log, FaultyLog)
        storage.log.off_after = number
        async with running_node(storage) as node:
            await node.attend(partial(delete_and_wait, node, "p"))
        async with running_node(restarted(storage), clock=node.clock) as node:
            await node.idle()
            assert [job.id for job in node.scheduler.jobs()] == ["q", "shared"]
            assert node.job("shared").spec.parents == ("q",)
            assert {d.job: d.cause for d in node.events(e.JobDeleted)} == {"p": None, "c": "p", "g": "c", "gg": "g"}
            assert not node.complaints


async def delete_and_wait(node: RunningNode, job: str) -> None:
    with suppress(NotFound):
        await node.scheduler.delete(JobId(job), NOBODY)
    await node.idle()


async def test_deleting_all_while_children_are_deleted(autojump_clock):
    async with running_node() as node:
        for i in range(30):
            await node.create(f"{i:02}", schedule=A_LATER_CENTURY, parents=[f"{i - 1:02}"] if i % 10 else None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(delete_and_wait, node, "00")
            nursery.start_soon(node.scheduler.delete_all, NOBODY)
            nursery.start_soon(node.scheduler.delete_all, NOBODY)
        await node.idle()
        assert not node.scheduler.jobs()
        assert len(node.events(e.JobDeleted)) == 30
        assert not node.complaints


# Stopping


async def test_a_stop_waits_for_runs_then_ends_them_and_starts_nothing(autojump_clock):
    shell = ScriptedShell({"hangs": HANGS, "short": Script(seconds=20)})
    async with running_node(shell=shell) as node:
        await node.create("hangs", command="hangs", retries=3)
        await node.create("short", command="short")
        await node.create("child", parents=["short"])
        await node.create("ticks", schedule=every("PT10S", start=15))
        await trio.sleep(10)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.stop, 30.0)
            await trio.sleep(1)
            for asked in (node.create("new"), node.run_by_hand("ticks")):
                with pytest.raises(Unavailable):
                    await asked
        assert 30 <= trio.current_time() - began < 31
        ends: dict[str, e.RunFinished] = {end.job: end for end in node.events(e.RunFinished)}
        assert ends["short"].outcome == "succeeded"
        assert (ends["hangs"].outcome, ends["hangs"].attempts) == ("cancelled", 1)
        assert "stopped" in ends["hangs"].reason
        assert runs_of(node) == ["hangs", "short"]
    await trio.sleep(600)
    async with running_node(restarted(node.storage), clock=node.clock) as node:
        await node.ends("child")
        assert ticks(node, "ticks") == [635]
        check_ticks(node, node.clock.now())


async def test_a_stop_without_runs_is_immediate(autojump_clock):
    async with running_node() as node:
        await node.create("a", schedule=every("PT1H"))
        began = trio.current_time()
        await node.stop(grace=30)
        assert trio.current_time() - began < 1


async def test_a_run_that_begins_while_the_node_stops_is_ended_too(autojump_clock):
    async with running_node(shell=ScriptedShell({"hangs": HANGS})) as node:
        await node.create("a", command="hangs", schedule=A_LATER_CENTURY)
        node.log.delay = lambda: 0.5
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run_by_hand, "a")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(node.stop, 0.1)
        assert trio.current_time() - began < 5
        (end,) = node.events(e.RunFinished)
        assert (end.outcome, "stopped" in end.reason) == ("cancelled", True)


# What is remembered


@pytest.mark.parametrize("keep", [True, False])
async def test_the_first_answer_to_a_key_outlives_a_restart(autojump_clock, keep):
    key = Key.of("k", b"POST", b"/job", b"{}")
    origin = Origin(key=key, answer=Answer(status=201, headers=(("location", "/x"),), body=b"{}"))
    async with running_node() as node:
        assert node.scheduler.answered(key) is None
        drafts = [JobDraft(id=node.scheduler.new_job_id(key, i), spec=spec(schedule=A_LATER_CENTURY)) for i in (0, 1)]
        await node.scheduler.create_all(drafts, origin)
        assert node.scheduler.answered(key) == origin.answer
        await node.crash()
    async with running_node(restarted(node.storage, folds=node.storage.folds if keep else None)) as node:
        assert node.scheduler.answered(key) == origin.answer
        assert node.scheduler.new_job_id(key, 1) == drafts[1].id
        with pytest.raises(Invalid, match="different"):
            node.scheduler.answered(Key.of("k", b"POST", b"/job", b"[]"))


async def test_the_first_answer_to_a_key_counts_also_while_the_folds_have_no_room(autojump_clock):
    class Folds(MemoryFoldStore):
        full = False

        def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
            if self.full:
                raise FoldsFull("no room")
            super().write(changes)

    folds = Folds()
    assert KEYED.key is not None
    async with running_node(restarted(memory_storage(), folds=folds)) as node:
        await node.create("a", schedule=A_LATER_CENTURY)
        folds.full = True
        await node.run_keyed(JobId("a"), KEYED)
        assert node.scheduler.answered(KEYED.key) == KEYED.answer
        await node.ends("a")
        folds.full = False
        await node.run_whole("a")


@pytest.mark.parametrize("keep", [True, False])
async def test_a_snapshot_and_what_followed_it_are_the_whole(autojump_clock, tmp_path, keep):
    shell = ScriptedShell({"hangs": HANGS})
    saved = tmp_path / "snapshot.cbor"
    async with running_node(memory_storage(saved), shell=shell) as node:
        for job, seconds in (("b", 20), ("a", 10), ("c", 30)):
            await node.create(job, command="hangs", schedule=every("PT1M", start=seconds, times="1"))
        await node.create("child", parents=["a"], command="hangs")
        await trio.sleep(45)
        await node.scheduler.delete(JobId("c"), NOBODY)
        await node.node.save_snapshot()
        (run, *_) = [r.run for r in node.events(e.RunStarted, job="a")]
        await node.scheduler.cancel(run, NOBODY)
        await node.ends("a")
        await node.crash()
    folds = node.storage.folds if keep else None
    async with running_node(restarted(node.storage, folds=folds, snapshot=saved), clock=node.clock) as node:
        await node.idle()
        check_folds(node)
        assert {end.outcome for end in node.events(e.RunFinished, job="b")} == {"lost"}


async def test_runs_in_flight_are_told_in_the_same_order_with_and_without_a_snapshot(autojump_clock, tmp_path):
    shell = ScriptedShell({"hangs": HANGS})
    async with running_node(memory_storage(tmp_path / "snapshot.cbor"), shell=shell) as node:
        for job in ("b", "a"):
            await node.create(job, command="hangs", schedule=A_LATER_CENTURY)
        for job in ("a", "b", "a"):
            await node.run_by_hand(job)
        await node.node.save_snapshot()
        order = [run.id for _, run in node.node.folds.busy]
        loaded = Folds(MemoryFoldStore())
        assert snapshot.load(tmp_path / "snapshot.cbor", loaded, node.log.records.head)
        assert [run.id for _, run in loaded.busy] == order


async def test_on_a_full_disk_what_runs_ends_in_the_log_when_there_is_room(autojump_clock):
    talks = Script(seconds=10, output=tuple(("stdout", b"%d" % i) for i in range(9)))
    async with running_node(shell=ScriptedShell({"talks": talks})) as node:
        await node.create("a", command="talks")
        await node.create("ticks", schedule=every("PT1M"))
        await trio.sleep(2)
        node.log.room = "none"
        with pytest.raises(LogFull):
            await node.create("new")
        with pytest.raises(LogFull):
            await node.run_by_hand("a")
        await trio.sleep(58.5)
        assert not node.events(e.RunFinished)
        assert not ticks(node, "ticks")
        with pytest.raises(NotFound):
            node.job("new")
        node.log.room = "enough"
        (end,) = await node.ends("a")
        assert end.outcome == "succeeded"
        assert b"".join([p async for p in node.scheduler.reader.output(end.run)]) == b"012345678"
        await node.ends("ticks")
        await node.create("new")
        check_ticks(node, Instant(node.clock.now() - SECOND))

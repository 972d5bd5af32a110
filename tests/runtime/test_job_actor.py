"""A job's actor: a bug in deciding one command is that command's matter, and the job comes back from the log."""

import dataclasses
from collections.abc import Sequence

import pytest
import trio

from kala_es import limits
from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.errors import ActorCrashed, Invalid, NotFound, Overloaded
from kala_es.domain.ids import SECOND, JobId
from kala_es.domain.job import decide
from kala_es.domain.model import Job
from kala_es.domain.values import replace
from kala_es.runtime.scheduler import Answer, Key, Origin
from tests.nodes import HANGS, MONDAY, Script, ScriptedShell, check_ticks, iso, restarted, running_node

NOBODY = Origin()
EVERY_MINUTE = f"R/{iso(MONDAY + 60 * SECOND)}/PT1M"


class Buggy:
    """`decide` with a bug: it fails the next `times` times on a kind of command for one job."""

    def __init__(self, job: str, kind: type[c.Command], times: int = 1) -> None:
        self.job = job
        self.kind = kind
        self.times = times
        self.calls = 0

    def __call__(self, job: Job | None, command: c.Command) -> tuple[e.JobEvent, ...]:
        if command.job == self.job and isinstance(command, self.kind):
            self.calls += 1
            if self.calls <= self.times:
                raise ZeroDivisionError("a bug in deciding")
        return decide(job, command)


async def test_a_bug_is_recorded_and_its_caller_and_the_operator_are_told(autojump_clock):
    async with running_node(decide=Buggy("a", c.DisableJob)) as node:
        await node.create("a", schedule=EVERY_MINUTE)
        with pytest.raises(ActorCrashed, match="'a'"):
            await node.scheduler.disable(JobId("a"), NOBODY)
        (crash,) = node.events(e.ActorCrashed)
        assert (crash.job, crash.error) == ("a", "ZeroDivisionError: a bug in deciding")
        (complaint,) = node.complaints
        assert "'a'" in complaint
        assert "Traceback" in complaint
        assert not node.job("a").disabled
        await node.scheduler.disable(JobId("a"), NOBODY)
        assert node.job("a").disabled


async def test_after_a_bug_the_job_is_what_its_events_say(autojump_clock):
    async with running_node(decide=Buggy("a", c.EnableJob)) as node:
        await node.create("a", schedule=EVERY_MINUTE)
        await node.ends("a", 2)
        true = node.job("a")
        node.node.folds.jobs.by_id[JobId("a")] = replace(true, disabled=True, next_tick=None)
        with pytest.raises(ActorCrashed):
            await node.scheduler.enable(JobId("a"), NOBODY)
        assert node.job("a") == true
        await node.ends("a", 4)


async def test_what_waited_behind_a_bug_is_carried_out(autojump_clock):
    async with running_node(decide=Buggy("a", c.EnableJob)) as node:
        await node.create("a", schedule=EVERY_MINUTE)
        outcomes: list[str] = []

        async def ask(name: str) -> None:
            try:
                await getattr(node.scheduler, name)(JobId("a"), NOBODY)
                outcomes.append(name)
            except ActorCrashed:
                outcomes.append(f"{name} crashed")

        async with trio.open_nursery() as nursery:
            for name in ("disable", "enable", "enable", "delete"):
                nursery.start_soon(ask, name)
                await trio.lowlevel.checkpoint()
        assert sorted(outcomes) == ["delete", "disable", "enable", "enable crashed"]
        with pytest.raises(NotFound):
            node.job("a")


async def test_other_jobs_notice_nothing(autojump_clock):
    shell = ScriptedShell({"short": Script(seconds=0.5)})
    async with running_node(shell=shell, decide=Buggy("bad", c.AnswerTicks, times=10**9)) as node:
        for job in ("bad", "good"):
            await node.create(job, schedule=EVERY_MINUTE, command="short")
        node.log.delay = lambda: 0.05
        await trio.sleep(61)
        before = trio.current_time()
        with pytest.raises(NotFound):
            await node.scheduler.enable(JobId("none"), NOBODY)
        await node.scheduler.disable(JobId("good"), NOBODY)
        await node.scheduler.enable(JobId("good"), NOBODY)
        await node.run_by_hand("good")
        assert trio.current_time() - before < 0.5
        await node.ends("good", 10)
        assert not node.events(e.RunStarted, job="bad")
        assert not node.events(e.ActorCrashed, job="good")
        node.log.delay = None
        check_ticks_of_good = [run.tick for run in node.events(e.RunStarted, job="good") if run.tick is not None]
        assert check_ticks_of_good == [MONDAY + 60 * SECOND * (i + 1) for i in range(len(check_ticks_of_good))]


async def test_a_tick_that_meets_a_bug_is_tried_again_without_haste_and_answered_in_the_end(autojump_clock):
    bug = Buggy("a", c.AnswerTicks, times=12)
    async with running_node(decide=bug) as node:
        await node.create("a", schedule=f"R0/{iso(MONDAY + 60 * SECOND)}/PT1M")
        await trio.sleep(91)
        assert 2 <= bug.calls <= 4, f"{bug.calls} tries in half a minute"
        (end,) = await node.ends("a")
        assert len(node.events(e.ActorCrashed)) == 12
        assert end.outcome == "succeeded"
        check_ticks(node, node.clock.now())


async def test_a_tick_is_tried_without_haste_also_when_other_commands_pass(autojump_clock):
    bug = Buggy("a", c.AnswerTicks, times=10**9)
    async with running_node(decide=bug) as node:
        await node.create("a", schedule=f"R0/{iso(MONDAY + 60 * SECOND)}/PT1M")
        await trio.sleep(61)
        for _ in range(60):
            await node.run_whole("a")
            await trio.sleep(0.1)
        assert bug.calls < 60, f"{bug.calls} tries in some seconds"
        await node.scheduler.disable(JobId("a"), NOBODY)
        calls = bug.calls
        await trio.sleep(600)
        assert bug.calls <= calls + 1


@pytest.mark.parametrize("cause", ["a bug", "a full disk"])
async def test_a_tick_that_was_put_off_does_not_wait_for_a_wall_clock_that_jumps_back(autojump_clock, cause):
    async with running_node(decide=Buggy("a", c.AnswerTicks, times=int(cause == "a bug"))) as node:
        await node.create("a", schedule=f"R0/{iso(MONDAY + 60 * SECOND)}/PT1M")
        node.log.room = "low" if cause == "a full disk" else "enough"
        node.clock.step(7200)
        await trio.sleep(1.5)
        assert not node.events(e.RunStarted)
        node.log.room = "enough"
        node.clock.step(-3600)
        await trio.sleep(15)
        assert len(node.events(e.RunFinished)) == 1


async def test_a_bug_in_creating_leaves_no_job_and_the_id_free(autojump_clock):
    async with running_node(decide=Buggy("a", c.CreateJob)) as node:
        with pytest.raises(ActorCrashed):
            await node.create("a")
        with pytest.raises(NotFound):
            node.job("a")
        await node.create("a")
        assert (await node.ends("a"))[0].outcome == "succeeded"


async def test_a_command_that_met_a_bug_leaves_no_receipt(autojump_clock):
    origin = Origin(key=Key.of("k", b"asked"), answer=Answer(status=204))
    assert origin.key is not None
    async with running_node(decide=Buggy("a", c.DisableJob)) as node:
        await node.create("a", schedule=EVERY_MINUTE)
        with pytest.raises(ActorCrashed):
            await node.scheduler.disable(JobId("a"), origin)
        assert node.scheduler.answered(origin.key) is None
        await node.scheduler.disable(JobId("a"), origin)
        assert node.scheduler.answered(origin.key) == Answer(status=204)


async def test_a_run_ends_also_when_its_end_meets_a_bug(autojump_clock):
    """Nobody asks for an attempt's end a second time: the actor itself has to."""
    async with running_node(decide=Buggy("a", c.EndAttempt)) as node:
        await node.create("a", command="one")
        await node.until(lambda: bool(node.events(e.ActorCrashed)))
        await trio.sleep(600)
        assert len(node.events(e.RunFinished, job="a")) == 1
        assert not len(node.node.folds.busy)


async def test_a_tree_ends_also_when_a_step_of_it_meets_a_bug(autojump_clock):
    async with running_node(decide=Buggy("child", c.StartRun)) as node:
        await node.create("parent", schedule=f"R0/{iso(MONDAY + 60 * SECOND)}/PT1M")
        await node.create("child", parents=["parent"])
        await node.ends("parent")
        await trio.sleep(600)
        assert not node.node.folds.trees.open


async def test_a_step_that_met_a_bug_is_not_begun_while_the_node_stops(autojump_clock):
    shell = ScriptedShell({"hangs": HANGS})
    async with running_node(shell=shell, decide=Buggy("child", c.StartRun)) as node:
        await node.create("hangs", command="hangs")
        await node.create("parent", schedule=f"R0/{iso(MONDAY + 60 * SECOND)}/PT1M")
        await node.create("child", parents=["parent"])
        await node.ends("parent")
        await node.until(lambda: bool(node.events(e.ActorCrashed)))
        await node.stop(grace=30)
        assert not node.events(e.RunStarted, job="child")
    async with running_node(restarted(node.storage), clock=node.clock) as node:
        await node.ends("child")


async def test_a_run_that_cannot_be_ordered_ends(autojump_clock):
    """Its begin is durable, and then a bug keeps it from the agent: no Ended will ever come."""

    def act(job: Job, events: Sequence[e.JobEvent]) -> None:
        raise ZeroDivisionError("a bug in making the order")

    async with running_node() as node:
        await node.create("a", schedule=EVERY_MINUTE)
        registry = node.node.registry
        registry._site = dataclasses.replace(registry._site, act=act)
        with pytest.raises(ActorCrashed):
            await node.run_by_hand("a")
        await trio.sleep(50)
        assert not len(node.node.folds.busy)
        (end,) = node.events(e.RunFinished)
        assert end.outcome in ("failed", "lost")
        assert end.reason


async def test_a_full_mailbox_refuses_asks_but_no_command_of_our_own(autojump_clock, monkeypatch):
    monkeypatch.setattr(limits, "MAX_MAILBOX", 5)
    shell = ScriptedShell({"hangs": HANGS})
    refused: list[Overloaded] = []
    answered: list[int] = []
    async with running_node(shell=shell) as node:
        await node.create("a", command="hangs", schedule=f"R1/{iso(MONDAY + 2 * SECOND)}/PT2S")
        await trio.sleep(1)
        node.log.delay = lambda: 10.0

        async def ask() -> None:
            try:
                answered.append((await node.scheduler.disable(JobId("a"), NOBODY)).position)
            except Overloaded as refusal:
                refused.append(refusal)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
            await trio.sleep(3.5)
            node.node.registry.tell(c.EnableJob(job=JobId("a"), at=node.clock.now()))
        node.log.delay = None
        await node.idle()
        assert len(answered) + len(refused) == 20
        assert len(answered) in (5, 6)
        assert len(node.events(e.JobEnabled)) == 1
        check_ticks(node, node.clock.now())


async def test_a_repeated_start_begins_no_second_run(autojump_clock):
    keyed = Origin(key=Key.of("k", b"asked"), answer=Answer(status=204))
    async with running_node(shell=ScriptedShell({"hangs": HANGS})) as node:
        await node.create("a", command="hangs", schedule=EVERY_MINUTE)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(node.run_keyed, JobId("a"), keyed)
        assert len(node.events(e.RunStarted)) == 1


async def test_an_edit_whose_client_leaves_still_keeps_others_from_closing_a_cycle(autojump_clock):
    async with running_node() as node:
        for job in ("a", "b"):
            await node.create(job, schedule=EVERY_MINUTE)
        node.log.delay = lambda: 1.0
        with trio.move_on_after(0.5) as leaving:
            await node.update("a", parents=["b"])
        assert leaving.cancelled_caught
        with pytest.raises(Invalid):
            await node.update("b", parents=["a"])
        assert [update.job for update in node.events(e.JobUpdated)] == ["a"]
        node.log.delay = None

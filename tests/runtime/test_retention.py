"""Retention on a whole node: what is trimmed and forgotten, and that a replay of the rest is what the node knew."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any, Final

import pytest
import trio

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, JobId, Micros, RunId
from kala_es.domain.imported_runs import ImportedRun, RunImport
from kala_es.domain.job import decide
from kala_es.domain.notify import Notify, Target
from kala_es.domain.retention import ALL, Kept, Retention, kept_of
from kala_es.domain.trimming import BasePart, BaseTaken, RunsTrimmed
from kala_es.event_log import NewRecord
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections.folds import Folds
from kala_es.replay.hole_check import HoleCheck
from kala_es.runtime.recovery import replay
from kala_es.runtime.scheduler import Origin, Rules
from tests.nodes import (
    FAILS,
    HANGS,
    FaultyLog,
    RunningNode,
    Script,
    ScriptedShell,
    _in_memory,
    decoded,
    memory_storage,
    restarted,
    running_node,
    start_node,
)
from tests.receivers import FAILED, ScriptedNotifier

TALKS: Final = Script(seconds=1, output=(("stdout", b"some "), ("stderr", b"words")))
SCRIPTS: Final[dict[str, Any]] = {"talks": TALKS, "hangs": HANGS, "fails": FAILS}
KEYS: Final = (b"\x02", b"\xff" * 9)


def keep(runs: int | None = None, seconds: float | None = None, output_bytes: int | None = None) -> Rules:
    micros = None if seconds is None else Micros(round(seconds * SECOND))
    return Rules(kept=Kept(runs=runs, micros=micros, output_bytes=output_bytes))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small numbers: two trimmed runs are remembered, a base is due when three were forgotten."""
    monkeypatch.setattr(limits, "TRIMMED_RUNS_REMEMBERED", 2)
    monkeypatch.setattr(limits, "BASE_RUNS", 3)


async def runs(node: RunningNode, job: str, count: int) -> list[RunId]:
    return [await node.run_whole(job) for _ in range(count)]


async def tidied(node: RunningNode) -> None:
    """Until the janitor has done what there was to do."""
    await trio.sleep(20 * limits.TRIM_PAUSE_SECONDS)
    await node.idle()


def kinds(node: RunningNode) -> list[str]:
    return [record.type for record in node.log.records.read_now(0, limit=1 << 40)]


def has_output(node: RunningNode, run: RunId) -> bool:
    chunks = [r.event for r in decoded(node.log.records) if isinstance(r.event, e.OutputChunk)]
    return any(chunk.run == run for chunk in chunks)


async def check_replay(node: RunningNode) -> None:
    """Law 1 on what is left of the log: no fold, no snapshot, and they are back, byte for byte."""
    await check_log(node.log, node.node.folds)


async def check_log(log: FaultyLog, known: Folds) -> None:
    store = MemoryFoldStore()
    folds = Folds(store)
    await replay(log.records, folds, head=log.records.head)
    assert folds.position == known.position
    check_holes(log)
    assert _in_memory(folds) == _in_memory(known)
    assert store.scan(*KEYS, limit=1 << 40) == known._store.scan(*KEYS, limit=1 << 40)


def check_holes(log: FaultyLog) -> None:
    """Each record that is not there has a reason that is."""
    check, last = HoleCheck(), 0
    for recorded in decoded(log.records):
        missing = recorded.position - last - 1
        check.look([(last + 1, missing)] if missing else [], [(recorded.position, recorded.event)])
        last = recorded.position
    check.end()


def test_a_job_says_what_is_kept_of_it_and_the_server_the_rest() -> None:
    server = Kept(runs=5, micros=Micros(7 * SECOND))
    assert kept_of(Retention(), server) == server
    assert kept_of(Retention(), ALL).all
    assert kept_of(Retention(runs=2), server) == Kept(runs=2, micros=Micros(7 * SECOND))
    assert kept_of(Retention(duration="PT1M", output_bytes=9), server) == Kept(
        runs=5, micros=Micros(60 * SECOND), output_bytes=9
    )


async def test_nothing_is_trimmed_unless_it_is_asked_for(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        await node.create("j", command="talks", schedule="R/2099-01-01T00:00:00Z/P1D")
        await runs(node, "j", 5)
        await tidied(node)
        assert not node.events(RunsTrimmed)


async def test_the_newest_runs_keep_their_output(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=2)) as node:
        await node.create("j", command="talks", schedule="R/2099-01-01T00:00:00Z/P1D")
        made = await runs(node, "j", 5)
        await tidied(node)
        for run in made[:3]:
            summary = node.scheduler.run(run)
            assert summary.trimmed
            assert (summary.stdout_bytes, summary.stderr_bytes) == (5, 5)
            assert summary.output_digest == blake2b(b"some words", digest_size=32).digest()
            assert not has_output(node, run)
        assert all(not node.scheduler.run(run).trimmed and has_output(node, run) for run in made[3:])
        assert node.node.folds.history.of(JobId("j")).kept == 2
        await check_replay(node)


async def test_a_job_may_say_otherwise_and_an_edit_counts_at_once(autojump_clock: trio.testing.MockClock) -> None:
    fields: dict[str, Any] = {"command": "talks", "schedule": "R/2099-01-01T00:00:00Z/P1D"}
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=1)) as node:
        await node.create("j", **fields, retention=Retention(runs=4))
        made = await runs(node, "j", 5)
        await tidied(node)
        assert [node.scheduler.run(run).trimmed for run in made] == [True, False, False, False, False]
        await node.update("j", **fields)
        await tidied(node)
        assert [node.scheduler.run(run).trimmed for run in made] == [True, True, True, True, False]
        await check_replay(node)


async def test_output_of_so_many_bytes_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(output_bytes=25)) as node:
        await node.create("j", command="talks", schedule="R/2099-01-01T00:00:00Z/P1D")
        made = await runs(node, "j", 4)
        await tidied(node)
        assert [node.scheduler.run(run).trimmed for run in made] == [True, True, False, False]
        assert node.node.folds.history.of(JobId("j")).kept_bytes == 20


async def test_runs_get_too_old_while_nothing_happens_but_for_the_newest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(seconds=3600)) as node:
        await node.create("j", command="talks", schedule="R/2099-01-01T00:00:00Z/P1D")
        made = await runs(node, "j", 2)
        await trio.sleep(1800)
        made += await runs(node, "j", 2)
        await trio.sleep(1810)
        assert [node.scheduler.run(run).trimmed for run in made] == [True, True, False, False]
        await trio.sleep(3600)
        assert [node.scheduler.run(run).trimmed for run in made] == [True, True, True, False]


async def test_what_runs_and_what_is_of_an_open_tree_is_not_touched(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=1)) as node:
        await node.create("p", command="talks", schedule="R/2099-01-01T00:00:00Z/P1D")
        await node.create("c", command="hangs", parents=["p"])
        first = await node.run_by_hand("p")
        await node.ends("p", 1)
        second = await node.run_by_hand("p")
        await node.ends("p", 2)
        await tidied(node)
        assert not node.scheduler.run(first).trimmed
        while node.shell.running:
            for _, run in list(node.node.folds.busy):
                await node.scheduler.cancel(run.id, Origin())
            await trio.sleep(1)
        await tidied(node)
        assert node.scheduler.run(first).trimmed
        assert not node.scheduler.run(second).trimmed
        await check_replay(node)


async def test_runs_of_open_trees_do_not_hold_up_those_behind_them(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRIM_RUNS", 1)
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=1)) as node:
        await node.create("p", command="talks", schedule="R/2099-01-01T00:00:00Z/P1D")
        await node.create("c", command="hangs", parents=["p"])
        blocked = await node.run_by_hand("p")
        await node.ends("p", 1)
        await node.scheduler.disable(JobId("c"), Origin())
        later = await runs(node, "p", 3)
        await tidied(node)
        assert [node.scheduler.run(run).trimmed for run in (blocked, *later)] == [False, True, True, False]


async def test_old_trimmed_runs_are_forgotten_and_counted(autojump_clock: trio.testing.MockClock, few: None) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=1)) as node:
        await node.create("j", command="talks", schedule="R/2099-01-01T00:00:00Z/P1D")
        made = await runs(node, "j", 8)
        first = node.events(e.RunStarted)[0].at
        await tidied(node)
        there = [run for run in made if node.node.folds.runs.get(run) is not None]
        assert there == made[5:]
        past = node.node.folds.history.of(JobId("j"))
        assert (past.kept, past.trimmed, past.forgotten, past.forgotten_bytes) == (1, 2, 5, 50)
        assert past.first == first
        assert node.job("j").counters.success_count == 8
        await check_replay(node)


async def test_facts_are_erased_once_a_base_stands_for_them(autojump_clock: trio.testing.MockClock, few: None) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=1)) as node:
        await node.create("j", command="talks", schedule="R/2099-01-01T00:00:00Z/P1D")
        lengths: list[int] = []
        for _ in range(6):
            await runs(node, "j", 8)
            await tidied(node)
            lengths.append(len(kinds(node)))
            await check_replay(node)
        assert node.events(BaseTaken)
        assert max(lengths[2:]) <= lengths[1] + 25
        assert kinds(node).count("BaseTaken") == 1
        assert node.job("j").counters.success_count == 48
        assert node.node.folds.history.of(JobId("j")).forgotten == 45
        ((_, today),) = node.node.folds.days.until(node.clock.now(), 1)
        assert today.succeeded == 48


async def test_a_base_is_in_records_of_a_limited_size(
    autojump_clock: trio.testing.MockClock, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BASE_PART_BYTES", 100)
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=1)) as node:
        await node.create("j", command="talks", schedule="R/2099-01-01T00:00:00Z/P1D")
        await runs(node, "j", 8)
        await tidied(node)
        (base,) = node.events(BaseTaken)
        sizes = [len(part.content) for part in node.events(BasePart)]
        assert (len(sizes), max(sizes)) == (base.parts, 100)
        assert base.parts > 2
        await check_replay(node)


async def test_a_restart_begins_at_the_base_and_an_actor_rereads_from_there(
    autojump_clock: trio.testing.MockClock, few: None
) -> None:
    bugs = 0

    def decide_or_fail(job: Any, command: Any) -> Any:
        nonlocal bugs
        if bugs:
            bugs -= 1
            raise ZeroDivisionError("a bug")
        return decide(job, command)

    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=1)) as node:
        await node.create("j", command="talks", schedule="R/2099-01-01T00:00:00Z/P1D")
        await runs(node, "j", 20)
        await tidied(node)
        assert node.node.folds.base is not None
        state, storage = node.job("j"), node.storage
        await node.stop()
    again = restarted(storage)
    async with running_node(again, shell=ScriptedShell(SCRIPTS), rules=keep(runs=1), decide=decide_or_fail) as node:
        assert node.job("j") == state
        assert "RunStarted" in kinds(node)
        bugs = 1
        with pytest.raises(Exception, match="fault"):
            await node.scheduler.disable(JobId("j"), Origin())
        assert node.job("j") == state
        await check_replay(node)


async def test_runs_of_a_deleted_job_are_trimmed_by_the_servers_rule(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(seconds=60)) as node:
        await node.create("j", command="talks", schedule="R/2099-01-01T00:00:00Z/P1D")
        made = await runs(node, "j", 3)
        await node.scheduler.delete(JobId("j"), Origin())
        await trio.sleep(100)
        assert all(node.scheduler.run(run).trimmed for run in made)
        await check_replay(node)


async def test_notices_go_with_the_runs_that_they_are_of(autojump_clock: trio.testing.MockClock, few: None) -> None:
    told = ScriptedNotifier()
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=1), notifier=told) as node:
        target = Target(to="https://example.com/hook", when=("failure", "overdue"))
        notify = Notify(targets=(target,), expected_duration="PT1S")
        await node.create("j", command="fails", schedule="R/2099-01-01T00:00:00Z/P1D", notify=notify)
        await node.create("slow", command="hangs", schedule="R/2099-01-01T00:00:00Z/P1D", notify=notify)
        await node.run_by_hand("slow")
        for _ in range(20):
            await node.run_whole("j")
            await tidied(node)
        notices = list(node.node.folds.notices.after(0, job=JobId("j"), limit=100))
        assert len(notices) < 8
        assert all(node.node.folds.runs.get(n.due.about.run or RunId("")) for n in notices[1:])
        assert len(list(node.node.folds.notices.after(0, job=JobId("slow"), limit=100))) == 1
        assert len(node.events(e.NoticeDue)) == len(told.subjects) == 21
        assert kinds(node).count("NoticeDue") == kinds(node).count("NoticeAttempted") < 14
        await check_replay(node)


async def test_a_notice_that_waits_is_kept_until_it_is_told(autojump_clock: trio.testing.MockClock, few: None) -> None:
    down = ScriptedNotifier(script=deque([FAILED] * 5))
    async with running_node(shell=ScriptedShell(SCRIPTS), rules=keep(runs=1), notifier=down) as node:
        notify = Notify(targets=(Target(to="https://example.com/hook", when=("first-failure",)),))
        await node.create("j", command="fails", schedule="R/2099-01-01T00:00:00Z/P1D", notify=notify)
        for _ in range(12):
            await node.run_whole("j")
        await trio.sleep(30)
        assert node.events(BaseTaken)
        (waiting,) = node.node.folds.notices.after(0, job=None, limit=9)
        assert waiting.state == "waiting"
        await trio.sleep(3600)
        (told,) = node.node.folds.notices.after(0, job=None, limit=9)
        assert (told.state, told.attempts) == ("delivered", 6)
        await check_replay(node)


# Crashes


class Story:
    """A life with retention that is cut off at the n-th write, of whatever kind, and goes on after a restart."""

    def __init__(self, writes: int) -> None:
        self.left = writes
        self.storage = memory_storage()

    def arm(self) -> FaultyLog:
        """Pull the plug at the n-th append or trim from here; half of those, after it was done."""
        log = self.storage.log
        assert isinstance(log, FaultyLog)
        append, trim = log.append, log.trim

        async def counted(write: Callable[[], Any]) -> Any:
            self.left -= 1
            if self.left == 0:
                log.power_off()
            done = await write()
            if self.left == -1:
                log.power_off()
            return done

        async def append_counted(batch: Sequence[NewRecord], *, reserve: int = 0) -> int:
            return int(await counted(lambda: append(batch, reserve=reserve)))

        async def trim_counted(positions: Sequence[int]) -> None:
            for position in positions:  # each erasure is a step of its own
                await counted(lambda position=position: trim([position]))  # type: ignore[misc]

        log.append, log.trim = append_counted, trim_counted  # type: ignore[method-assign]
        return log

    async def live(self, nursery: trio.Nursery) -> RunningNode:
        shell, notifier = ScriptedShell(SCRIPTS), ScriptedNotifier()
        node = await start_node(nursery, self.storage, shell=shell, rules=keep(runs=1), notifier=notifier)

        async def work() -> None:
            far = "R/2099-01-01T00:00:00Z/P1D"
            told = Notify(targets=(Target(to="https://example.com/hook"),))
            await node.create("p", command="talks", schedule=far)
            await node.create("q", command="fails", schedule=far, on_failure_job="h", notify=told)
            await node.create("h", command="talks", parents=["p"])
            await node.create("c", command="talks", parents=["p", "h"])
            await node.scheduler.importer.take(elsewhere("q", 5), "")
            for _ in range(9):
                await node.run_whole("p")
                await node.run_whole("q")
            await tidied(node)

        with trio.CancelScope():
            await node.attend(work)
        return node


def elsewhere(job: str, count: int) -> RunImport:
    """Runs that the job had on another server."""
    runs = [
        ImportedRun(
            id=RunId(f"x{n}"),
            execution=f"x{n}",
            started=Instant(n * SECOND),
            ended=Instant(n * SECOND),
            outcome="succeeded",
            output=b"there",
        )
        for n in range(count)
    ]
    return RunImport(job=JobId(job), source="elsewhere", runs=tuple(runs))


async def power_failed(story: Story, check: Callable[[RunningNode], Awaitable[None]]) -> bool:
    """Whether it did at the story's write. `check` looks at the node that goes on from what is on the disk."""
    async with trio.open_nursery() as nursery:
        story.arm()
        node = await story.live(nursery)
        crashed = node.gone.is_set()
        if not crashed:
            await node.leave()
        story.storage = restarted(story.storage)
        again = await story.live(nursery)
        assert not again.gone.is_set(), again.died
        await check(again)
        await again.leave()
    return crashed


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
async def test_the_power_may_fail_at_any_write(part: int, autojump_clock: trio.testing.MockClock, few: None) -> None:
    async def check(node: RunningNode) -> None:
        await check_replay(node)
        assert node.job("c").counters.finished_runs > 3
        assert len(node.events(e.RunImported)) == 5, "forgotten ones came back"
        assert len(node.events(BaseTaken)) > 1

    writes = 1 + part
    while await power_failed(Story(writes), check):
        writes += 4 * (1 if writes < 40 else 5)
    assert writes > 100

"""Notices of a whole node, on a clock that the test moves: who is told, when it is tried again, what a crash does."""

import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import trio

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.errors import Gone
from kala_es.domain.ids import SECOND, JobId, RunId
from kala_es.domain.notify import Notify, Occasion, Target
from kala_es.runtime.scheduler import Origin, Rules
from tests.nodes import (
    FAILS,
    HANGS,
    MONDAY,
    SUCCEEDS,
    RunningNode,
    Script,
    ScriptedShell,
    check_ticks,
    copied,
    iso,
    memory_storage,
    restarted,
    running_node,
)
from tests.receivers import DELIVERED, FAILED, REFUSED, ScriptedNotifier

HOOK: Final = "https://example.com/hook"
LATER: Final = f"R/{iso(MONDAY + 10**9 * SECOND)}/P1D"
"""A schedule whose ticks no test sees: its job runs by hand."""


def notify(*when: Occasion, to: str = HOOK, expected: str = "") -> Notify:
    return Notify(targets=(Target(to=to, when=when),), expected_duration=expected)


def scripted(*said: Any, seconds: float = 0.0) -> ScriptedNotifier:
    return ScriptedNotifier(script=deque(said), seconds=seconds)


async def gone(*_: Any, **__: Any) -> AsyncIterator[bytes]:
    """Output that is trimmed while it is read."""
    yield b"the first"
    raise Gone("it is kept no longer")


def failing() -> ScriptedShell:
    return ScriptedShell({"fails": FAILS})


def states(node: RunningNode, job: str | None = None) -> list[tuple[str, int, str]]:
    """State, attempts and reason of every notice."""
    found = node.node.folds.notices.after(0, job=None if job is None else JobId(job), limit=100)
    return [(notice.state, notice.attempts, notice.reason) for notice in found]


async def attempts(node: RunningNode, count: int = 1) -> list[e.NoticeAttempted]:
    """Wait for so many attempts; all that there are."""
    await node.until(lambda: len(node.events(e.NoticeAttempted)) >= count)
    return node.events(e.NoticeAttempted)


async def test_output_that_is_trimmed_meanwhile_is_no_fault(autojump_clock, monkeypatch: pytest.MonkeyPatch):
    notifier = scripted()
    shell = ScriptedShell({"fails": Script(output=(("stdout", b"the first and the last"),), exit_code=1)})
    async with running_node(shell=shell, notifier=notifier) as node:
        monkeypatch.setattr(node.scheduler.reader, "output", gone)
        await node.create("a", command="fails", schedule=LATER, notify=notify("failure"))
        await node.run_whole("a")
        await attempts(node)
        assert states(node) == [("delivered", 1, "")]
        assert node.complaints == []


async def test_who_is_told_of_a_failure_and_of_its_end(autojump_clock):
    notifier = scripted()
    shell = ScriptedShell({"fails once": FAILS})
    async with running_node(shell=shell, notifier=notifier) as node:
        await node.create("a", command="fails once", schedule=LATER, notify=notify("first-failure", "recovery"))
        for script in (FAILS, FAILS, SUCCEEDS, SUCCEEDS):
            shell.scripts["fails once"] = script
            await node.run_whole("a")
        await attempts(node, 2)
        await node.idle()
        assert notifier.subjects == ["kala_es: job a job failed", "kala_es: job a job succeeded again"]
        assert states(node) == states(node, "a") == [("delivered", 1, "")] * 2
        assert states(node, "b") == []


async def test_a_notice_is_in_the_commit_of_its_cause_and_says_all_of_it(autojump_clock):
    notifier = scripted()
    tail = b"x" * limits.NOTICE_OUTPUT_BYTES
    shell = ScriptedShell({"fails": Script(output=(("stdout", b"cut"), ("stderr", tail)), exit_code=3, seconds=9)})
    async with running_node(shell=shell, notifier=notifier) as node:
        await node.create("a", name="n", command="fails", schedule=LATER, notify=notify("failure"))
        run = await node.run_whole("a")
        await attempts(node)
        kinds = [type(recorded.event) for recorded in node.history()]
        assert kinds[kinds.index(e.RunFinished) :] == [e.RunFinished, e.NoticeDue, e.NoticeAttempted]
    (message,) = notifier.told
    said = json.loads(message.body)
    assert (said["when"], said["job_id"], said["name"], said["run_id"]) == ("failure", "a", "n", run)
    assert (said["outcome"], said["exit_code"], said["cause"], said["tick"]) == ("failed", 3, "manual", None)
    assert (said["output"], said["output_truncated"]) == (tail.decode(), True)
    assert said["id"] == message.id
    assert said["ran_at"] == iso(MONDAY)[:19] + "Z"


async def test_mail_has_a_text_for_people_and_a_template_its_own(autojump_clock):
    notifier = scripted()
    shell = ScriptedShell({"fails": Script(output=(("stdout", b"oh no\n"),), exit_code=1)})
    targets = (
        Target(to="mail"),
        Target(to=HOOK, template='{"text": {{printf "%q" .Text}}, "code": {{.ExitCode}}, "tick": "{{.Tick}}"}'),
        Target(to=f"{HOOK}/2", template="{{.Nothing}}"),
    )
    async with running_node(shell=shell, notifier=notifier) as node:
        fields: dict[str, Any] = {"command": "fails", "schedule": LATER, "notify": Notify(targets=targets)}
        await node.create("a", name="line\nbreak", owner="ops@example.com", **fields)
        await node.run_whole("a")
        await attempts(node, 3)
        assert [state for state, _, _ in states(node)] == ["delivered", "delivered", "given-up"]
        assert "template" in states(node)[2][2]
    by_address = {message.to: message for message in notifier.told}
    letter = by_address["mailto:ops@example.com"]
    assert letter.subject == "kala_es: job line break failed"
    for part in ("Outcome:   failed", "Exit code: 1", "Reason:    exit code 1", "oh no", "ops@example.com", letter.id):
        assert part in letter.body
    assert json.loads(by_address[HOOK].body) == {"text": "job line\nbreak failed", "code": 1, "tick": ""}


async def test_it_is_tried_again_later_and_later_and_then_given_up(autojump_clock):
    notifier = scripted(*[FAILED] * limits.NOTICE_ATTEMPTS)
    async with running_node(shell=failing(), notifier=notifier) as node:
        await node.create("a", command="fails", schedule=LATER, notify=notify("failure"))
        await node.run_whole("a")
        await trio.sleep(80_000)
        assert states(node) == [("given-up", limits.NOTICE_ATTEMPTS, "answered 503")]
        assert node.node.folds.watch.waiting == {}
    pauses = [round(b - a) for a, b in zip(notifier.times, notifier.times[1:], strict=False)]
    assert pauses == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, *[3600] * 5]
    assert len({message.id for message in notifier.told}) == 1


async def test_what_cannot_go_better_is_given_up_at_once(autojump_clock):
    async with running_node(shell=failing(), notifier=scripted(REFUSED)) as node:
        await node.create("a", command="fails", schedule=LATER, notify=notify("failure"))
        await node.run_whole("a")
        await attempts(node)
        assert states(node) == [("given-up", 1, "never")]


async def test_a_receiver_that_says_nothing_has_failed_and_a_bug_too(autojump_clock):
    notifier = scripted(RuntimeError("a bug"), seconds=limits.NOTICE_SECONDS - 1)
    async with running_node(shell=failing(), notifier=notifier) as node:
        await node.create("a", command="fails", schedule=LATER, notify=notify("failure"))
        await node.run_whole("a")
        (first,) = await attempts(node)
        assert "a bug" in first.reason
        assert "a bug" in node.complaints[0]
        notifier.seconds = limits.NOTICE_SECONDS + 1
        (*_, second) = await attempts(node, 2)
        assert (second.delivered, second.reason) == (False, "there was no answer within 30 s")
        notifier.seconds = 0
        (*_, third) = await attempts(node, 3)
        assert third.delivered


async def test_a_slow_receiver_delays_neither_runs_nor_other_receivers(autojump_clock, monkeypatch):
    monkeypatch.setattr("kala_es.limits.NOTICES_AT_ONCE", 16)
    slow, shell = scripted(seconds=20), failing()
    async with running_node(shell=shell, notifier=slow) as node:
        began = trio.current_time()
        for i in range(40):
            await node.create(f"{i}", command="fails", schedule=LATER, notify=notify("failure", to=f"{HOOK}/{i % 20}"))
            await node.run_whole(f"{i}")
        assert trio.current_time() - began < 1
        await attempts(node, 40)
        assert slow.most == 16
        for address in range(20):
            bodies = [json.loads(m.body)["job_id"] for m in slow.told if m.to == f"{HOOK}/{address}"]
            assert bodies == [f"{address}", f"{address + 20}"]


@pytest.mark.parametrize("folds", ["kept", "lost"])
async def test_a_crash_before_the_attempt_is_recorded_tells_it_again(autojump_clock, folds):
    notifier = scripted(seconds=10)
    async with running_node(shell=failing(), notifier=notifier) as node:
        await node.create("a", command="fails", schedule=LATER, notify=notify("failure"))
        await node.run_by_hand("a")
        await node.until(lambda: bool(node.events(e.NoticeDue)))
        await trio.sleep(5)
        await node.crash()
    assert notifier.told == []
    kept = copied(node.storage.folds) if folds == "kept" else None
    async with running_node(restarted(node.storage, folds=kept), shell=failing(), notifier=notifier) as node:
        await attempts(node)
        await node.scheduler.delete(JobId("a"), Origin())
        assert states(node) == [("delivered", 1, "")]
    (message,) = notifier.told
    async with running_node(restarted(node.storage), notifier=notifier) as node:
        await trio.sleep(10_000)
    assert notifier.told == [message]


async def test_a_restart_goes_on_with_the_delays_where_they_were(autojump_clock, tmp_path):
    notifier = scripted(FAILED, FAILED)
    saved = tmp_path / "snapshot.cbor"
    async with running_node(memory_storage(saved), shell=failing(), notifier=notifier) as node:
        await node.create("a", command="fails", schedule=LATER, notify=notify("failure", "recovery"))
        await node.run_whole("a")
        await attempts(node, 2)
        await node.stop()
    kept = copied(node.storage.folds)
    async with running_node(
        restarted(node.storage, folds=kept, snapshot=saved), clock=node.clock, notifier=notifier
    ) as node:
        assert node.node.folds.watch.failing == {"a"}
        await attempts(node, 3)
        await node.update("a", schedule=LATER, notify=notify("recovery"))
        await node.run_whole("a")
        await attempts(node, 4)
    first, second, third, _ = notifier.times
    assert round(second - first) == 10
    assert third - second > 19.9  # a snapshot is written in a thread meanwhile, and this clock does not wait for those
    assert notifier.subjects[-1] == "kala_es: job a job succeeded again"


async def test_a_stop_lets_what_is_being_told_end(autojump_clock):
    notifier = scripted(seconds=3)
    async with running_node(shell=failing(), notifier=notifier) as node:
        await node.create("a", command="fails", schedule=LATER, notify=Notify(targets=(Target(to=HOOK),) * 2))
        await node.run_whole("a")
        await trio.sleep(1)
        await node.stop()
        assert [state for state, _, _ in states(node)] == ["delivered", "waiting"]


async def test_a_run_that_takes_too_long_is_told_of_once(autojump_clock):
    notifier = scripted()
    shell = ScriptedShell({"slow": Script(seconds=1000), "quick": Script(seconds=299), "fails": FAILS})
    async with running_node(shell=shell, notifier=notifier) as node:
        for job in ("slow", "quick", "fails"):
            await node.create(job, command=job, schedule=LATER, notify=notify("overdue", expected="PT5M"))
        run = await node.run_by_hand("slow")
        await node.run_whole("quick")
        await node.run_whole("fails")
        assert node.events(e.NoticeDue) == []
        (_, notice) = (await attempts(node), node.events(e.NoticeDue)[0])
        assert (notice.at, notice.about.run, notice.when) == (MONDAY + 300 * SECOND, run, "overdue")
        await node.scheduler.tree_end(run)
    assert notifier.subjects == ["kala_es: job a job takes longer than PT5M"]


async def test_a_run_that_was_told_of_is_not_told_of_again_after_a_restart(autojump_clock):
    notifier = scripted()
    shell = ScriptedShell({"hangs": HANGS})
    async with running_node(shell=shell, notifier=notifier) as node:
        await node.create("a", command="hangs", schedule=LATER, retries=1, notify=notify("overdue", expected="PT5M"))
        run = await node.run_by_hand("a")
        await attempts(node)
        await node.crash()
    async with running_node(restarted(node.storage), shell=shell, clock=node.clock, notifier=notifier) as node:
        await trio.sleep(1000)
        assert RunId(run) in node.node.folds.busy
        assert len(node.events(e.NoticeDue)) == 1
    assert len(notifier.told) == 1


async def test_what_the_definition_says_when_a_run_may_be_late_counts(autojump_clock):
    notifier = scripted()
    late = notify("overdue", expected="PT5M")
    async with running_node(shell=ScriptedShell({"slow": Script(seconds=1000)}), notifier=notifier) as node:
        for job, before, after in (
            ("longer", late, notify("overdue", expected="PT10M")),
            ("shorter", notify("overdue", expected="PT10M"), late),
            ("nobody", late, notify("failure", expected="PT5M")),
            ("somebody", Notify(), late),
        ):
            await node.create(job, command="slow", schedule=LATER, notify=before)
            await node.run_by_hand(job)
            await trio.sleep(1)
            await node.update(job, command="slow", schedule=LATER, notify=after)
        await trio.sleep(900)
        told = [(due.job, round((due.at - due.about.started) / SECOND)) for due in node.events(e.NoticeDue)]
        assert told == [("shorter", 300), ("somebody", 300), ("longer", 600)]


async def test_timers_of_runs_that_ended_are_not_heaped_up(autojump_clock):
    notifier = scripted()
    async with running_node(shell=ScriptedShell({"hangs": HANGS}), notifier=notifier) as node:
        for job in ("hangs", "succeeds"):
            await node.create(job, command=job, schedule=LATER, notify=notify("overdue", expected="PT24H"))
        await node.run_by_hand("hangs")
        for number in range(300):
            await node.run_whole("succeeds")
            later = notify("overdue", expected=f"PT{25 + number % 2}H")
            await node.update("hangs", command="hangs", schedule=LATER, notify=later)
        assert len(node.node.notices._overdue._heap) < 80
        await trio.sleep(27 * 3600)
        (notice,) = node.events(e.NoticeDue)
        assert notice.at == pytest.approx(MONDAY + 26 * 3600 * SECOND, abs=1)


async def test_mail_goes_out_one_at_a_time(autojump_clock):
    notifier = scripted(seconds=1)
    async with running_node(shell=failing(), notifier=notifier) as node:
        told = Notify(targets=tuple(Target(to=f"mailto:{name}@example.com") for name in "abc"))
        await node.create("a", command="fails", schedule=LATER, notify=told)
        await node.run_whole("a")
        await attempts(node, 3)
    assert notifier.most == 1
    assert [message.to for message in notifier.told] == [f"mailto:{name}@example.com" for name in "abc"]


async def test_ticks_missed_while_down_are_told_of(autojump_clock):
    notifier = scripted()
    every = f"R/{iso(MONDAY + 60 * SECOND)}/PT1M"
    async with running_node(notifier=notifier) as node:
        await node.create("a", schedule=every, resume_at_next_tick=True, notify=notify("missed"))
        await node.create("off", schedule=every, disabled=True, notify=notify("missed"))
        await node.crash()
    await trio.sleep(200)
    async with running_node(restarted(node.storage), clock=node.clock, notifier=notifier) as node:
        await attempts(node)
        await node.scheduler.enable(JobId("off"), Origin())
        await node.idle()
        check_ticks(node, node.clock.now())
    assert notifier.subjects == ["kala_es: job a job missed 3 ticks"]


async def test_jobs_that_name_nobody_have_the_node_s_defaults(autojump_clock):
    notifier = scripted()
    rules = Rules(notify=(Target(to="mail"), Target(to=HOOK)))
    async with running_node(shell=failing(), notifier=notifier, rules=rules) as node:
        await node.create("a", command="fails", schedule=LATER, owner="ops@example.com")
        await node.create("b", command="fails", schedule=LATER, owner="ops")
        await node.create("c", command="fails", schedule=LATER, owner="ops@example.com", notify=Notify(targets=()))
        for job in "abc":
            await node.run_whole(job)
        await attempts(node, 3)
        await node.idle()
    assert sorted(message.to for message in notifier.told) == [HOOK, HOOK, "mailto:ops@example.com"]


async def test_a_full_disk_does_not_lose_the_attempt(autojump_clock):
    notifier = scripted(DELIVERED, seconds=5)
    async with running_node(shell=failing(), notifier=notifier) as node:
        await node.create("a", command="fails", schedule=LATER, notify=notify("failure"))
        await node.run_whole("a")
        node.log.room = "none"
        await trio.sleep(60)
        assert len(notifier.told) == 1
        node.log.room = "enough"
        await attempts(node)
        assert states(node) == [("delivered", 1, "")]

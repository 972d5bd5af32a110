"""The agent: what it reports, in which order, and what the node's messages do to it.

Rules: `Scripted` is the port's smallest adapter, its command line a script of steps; processes only where they matter.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import trio
import trio.testing

from kala_es import limits
from kala_es.agent import attempts
from kala_es.agent.attempts import Agent, raise_open_files_limit
from kala_es.clock import TrioClock
from kala_es.domain.ids import Instant
from kala_es.executor import AttemptEnd, Emit, Executor, Local, Order, Remote
from kala_es.executors.http import HttpExecutor
from kala_es.executors.shell import ShellExecutor
from kala_es.link import Acknowledge, Cancel, Chunk, Ended, Resume, Settle, Start, ToNode
from tests.conformance.executor_worlds import gone

SUCCEEDED = AttemptEnd(outcome="succeeded", exit_code=0)


class Scripted:
    """Carries out "out X", "err X", "many N", "sleep SECONDS", "hang", "break", one a line; last words are a chunk."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.dying: list[str] = []

    async def execute(self, order: Order, emit: Emit) -> AttemptEnd:
        self.begun.append(order.run)
        assert isinstance(order.work, Local)
        try:
            for line in order.work.command_line.splitlines():
                await self._step(line, emit)
        except trio.Cancelled:
            self.dying.append(order.run)
            with trio.CancelScope(shield=True):
                await emit("stderr", b"bye")
            raise
        return SUCCEEDED

    async def _step(self, line: str, emit: Emit) -> None:
        match line.split():
            case ["out", text]:
                await emit("stdout", text.encode())
            case ["err", text]:
                await emit("stderr", text.encode())
            case ["many", count]:
                for _ in range(int(count)):
                    await emit("stdout", b"x")
            case ["sleep", seconds]:
                await trio.sleep(float(seconds))
            case ["hang"]:
                await trio.sleep_forever()
            case ["break"]:
                raise RuntimeError("a bug")


@dataclass
class Node:
    """The other end of the link. Acknowledges at once unless `silent`."""

    executor: Executor = field(default_factory=Scripted)
    silent: bool = False
    reports: list[ToNode] = field(default_factory=list)
    then: Callable[[ToNode], None] = lambda message: None

    def __post_init__(self) -> None:
        self.clock = TrioClock(Instant(1_000_000))
        self.agent = Agent(self.executor, HttpExecutor(), self.clock)
        self.agent.connect(self.report)
        self.agent.send(Resume())
        self._changed = trio.Event()

    def report(self, message: ToNode) -> None:
        self.reports.append(message)
        self._changed.set()
        if isinstance(message, Chunk) and not self.silent:
            self.agent.send(Acknowledge(message.run, message.attempt, message.sequence))
        if isinstance(message, Ended) and not self.silent:
            self.agent.send(Settle(message.run, message.attempt))
        self.then(message)

    def start(self, run: str, text: str = "", attempt: int = 1, refused: str = "") -> None:
        self.agent.send(Start(Order(run=run, attempt=attempt, work=Local(command_line=text), refused=refused)))

    def of(self, run: str) -> list[Chunk | Ended]:
        return [message for message in self.reports if isinstance(message, Chunk | Ended) and message.run == run]

    def chunks(self, run: str) -> list[Chunk]:
        return [message for message in self.of(run) if isinstance(message, Chunk)]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Until this holds of what was reported."""
        with trio.fail_after(10):
            while not holds():
                self._changed = trio.Event()
                await self._changed.wait()

    async def end(self, run: str) -> Ended:
        await self.until(lambda: any(isinstance(message, Ended) for message in self.of(run)))
        (end,) = (message for message in self.of(run) if isinstance(message, Ended))
        return end


@asynccontextmanager
async def running(node: Node) -> AsyncIterator[Node]:
    async with trio.open_nursery() as nursery:
        await nursery.start(node.agent.run)
        yield node
        nursery.cancel_scope.cancel()


async def test_chunks_are_numbered_and_the_end_is_last(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Node()) as node:
        node.start("r", "out ab\nerr c\nsleep 2\nout de")
        end = await node.end("r")
    assert node.reports == [
        Chunk("r", 1, 1, "stdout", 0, b"ab", Instant(1_000_000)),
        Chunk("r", 1, 2, "stderr", 0, b"c", Instant(1_000_000)),
        Chunk("r", 1, 3, "stdout", 2, b"de", Instant(3_000_000)),
        Ended("r", 1, SUCCEEDED, Instant(1_000_000), Instant(3_000_000)),
    ]
    assert end is node.reports[-1]
    assert node.agent.running == 0


async def test_output_waits_for_acknowledgements() -> None:
    async with running(Node(silent=True)) as node:
        node.start("r", f"many {limits.CHUNKS_UNACKNOWLEDGED + 3}")
        await trio.testing.wait_all_tasks_blocked()
        assert len(node.reports) == limits.CHUNKS_UNACKNOWLEDGED
        for sequence, reported in ((1, 1), (1, 1), (0, 1), (9_999, 1), (2, 2)):
            node.agent.send(Acknowledge("r", 1, sequence))
            await trio.testing.wait_all_tasks_blocked()
            assert len(node.reports) == limits.CHUNKS_UNACKNOWLEDGED + reported
        node.agent.send(Acknowledge("r", 1, limits.CHUNKS_UNACKNOWLEDGED))
        await node.end("r")
    assert [chunk.sequence for chunk in node.chunks("r")] == list(range(1, limits.CHUNKS_UNACKNOWLEDGED + 4))


async def test_one_attempt_does_not_wait_for_anothers_acknowledgements(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(Node(silent=True)) as node:
        node.start("full", "many 1000")
        node.start("other", "out x")
        assert (await node.end("other")).end == SUCCEEDED


async def test_cancelling_ends_the_attempt_with_its_last_words() -> None:
    async with running(Node()) as node:
        node.start("r", "out x\nhang")
        node.start("other", "hang")
        await trio.testing.wait_all_tasks_blocked()
        node.agent.send(Cancel("r", 1))
        node.agent.send(Cancel("r", 1))
        end = await node.end("r")
        assert node.agent.running == 1
    assert end.end == AttemptEnd(outcome="cancelled", reason="cancelled on request")
    assert [chunk.content for chunk in node.chunks("r")] == [b"x", b"bye"]
    assert node.of("r")[-1] is end


async def test_cancelling_before_the_attempt_began_starts_nothing() -> None:
    node = Node()
    node.start("r", "hang")
    node.agent.send(Cancel("r", 1))
    async with running(node):
        assert (await node.end("r")).end.outcome == "cancelled"
    assert isinstance(node.executor, Scripted)
    assert not node.executor.begun


async def test_only_so_many_at_once_and_the_others_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ATTEMPTS_AT_ONCE", 2)
    async with running(Node()) as node:
        for run in "abcde":
            node.start(run, "hang")
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(node.executor, Scripted)
        assert (sorted(node.executor.begun), node.agent.running) == (["a", "b"], 2)
        node.agent.send(Cancel("d", 1))
        assert (await node.end("d")).end.outcome == "cancelled"
        node.start("refused", refused="no")
        assert (await node.end("refused")).end.outcome == "failed"
        node.agent.send(Cancel("a", 1))
        node.agent.send(Cancel("b", 1))
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(node.executor.begun) == ["a", "b", "c", "e"]


async def test_a_burst_starts_a_few_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []

    class Turns(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            assert isinstance(node.executor, Scripted)
            turns.append(len(node.executor.begun))

    async with running(Node()) as node:
        trio.lowlevel.add_instrument(Turns())
        for number in range(50):
            node.start(str(number), "hang")
        await trio.testing.wait_all_tasks_blocked()
    assert turns[-1] == 50
    assert max(after - before for before, after in pairwise(turns)) == attempts._STARTS_A_TURN


async def test_a_refused_order_ends_at_once() -> None:
    async with running(Node()) as node:
        node.start("r", refused="the template is broken")
        end = await node.end("r")
    assert end.end == AttemptEnd(outcome="failed", reason="the template is broken")
    assert end.began == end.at
    assert isinstance(node.executor, Scripted)
    assert not node.executor.begun


async def test_a_repeated_start_and_messages_about_the_unknown_change_nothing() -> None:
    async with running(Node()) as node:
        node.agent.send(Cancel("nobody", 1))
        node.agent.send(Acknowledge("nobody", 1, 1))
        node.start("r", "out x\nhang")
        node.start("r", "out x\nhang")
        await trio.testing.wait_all_tasks_blocked()
        node.start("r", "out x\nhang")
        node.agent.send(Acknowledge("r", 2, 1))
        await trio.testing.wait_all_tasks_blocked()
        assert len(node.reports) == 1


async def test_the_next_attempt_may_be_ordered_from_within_the_report_of_the_end() -> None:
    async with running(Node()) as node:

        def again(message: ToNode) -> None:
            if isinstance(message, Ended) and message.attempt < 3:
                node.start("r", "out x", attempt=message.attempt + 1)

        node.then = again
        node.start("r", "out x")
        await trio.testing.wait_all_tasks_blocked()
    assert [(type(each), each.attempt) for each in node.of("r")] == [
        (kind, attempt) for attempt in (1, 2, 3) for kind in (Chunk, Ended)
    ]


async def test_a_bug_in_an_executor_ends_one_attempt() -> None:
    async with running(Node()) as node:
        node.start("other", "hang")
        node.start("r", "break")
        end = await node.end("r")
        assert node.agent.running == 1
    assert (end.end.outcome, end.end.reason) == ("failed", "it could not be carried out: RuntimeError('a bug')")


async def test_a_report_that_fails_ends_the_agent() -> None:
    node = Node()

    def refuse(message: ToNode) -> None:
        raise RuntimeError("the link is down")

    node.then = refuse
    node.start("r", "out x")
    with trio.fail_after(10), pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
        await node.agent.run()


async def test_stopping_ends_every_attempt() -> None:
    async with running(Node()) as node:
        node.start("r", "hang")
        await trio.testing.wait_all_tasks_blocked()
        node.start("waiting", "hang")
    lost = AttemptEnd(outcome="lost", reason="the agent that carried it out was stopped")
    assert [type(each) for each in node.of("r")] == [Chunk, Ended]
    assert (await node.end("r")).end == lost
    assert (await node.end("waiting")).end == lost


async def test_stopping_does_not_wait_for_ever_for_acknowledgements(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Node(silent=True)) as node:
        node.start("r", "many 1000")
        await trio.testing.wait_all_tasks_blocked()
    assert len(node.chunks("r")) == limits.CHUNKS_UNACKNOWLEDGED
    assert (await node.end("r")).end.outcome == "lost"


async def test_local_and_remote_work_have_their_own_executors() -> None:
    async with running(Node(ShellExecutor())) as node:
        node.start("local", "echo hello")
        node.agent.send(Start(Order(run="remote", attempt=1, work=Remote(url="nonsense", method="", body=""))))
        assert (await node.end("local")).end == SUCCEEDED
        assert (await node.end("remote")).end.reason.startswith("the request failed")
    assert [chunk.content for chunk in node.chunks("local")] == [b"hello\n"]


async def test_a_slow_log_pushes_back_on_a_process_and_loses_nothing() -> None:
    async with running(Node(ShellExecutor(), silent=True)) as node:
        node.start("r", "head -c 5000000 /dev/zero")
        acknowledged = 0
        with trio.fail_after(10):
            while not any(isinstance(each, Ended) for each in node.reports):
                assert len(node.chunks("r")) - acknowledged <= limits.CHUNKS_UNACKNOWLEDGED
                acknowledged = min(acknowledged + 100, len(node.chunks("r")))
                node.agent.send(Acknowledge("r", 1, acknowledged))
                await trio.sleep(0.001)
    assert sum(len(chunk.content) for chunk in node.chunks("r")) == 5_000_000
    assert [chunk.offset for chunk in node.chunks("r")][:2] == [0, limits.CHUNK_BYTES]


async def test_cancelling_a_process_whose_output_waits_ends_it_at_once() -> None:
    async with running(Node(ShellExecutor(), silent=True)) as node:
        node.start("r", "sh -c 'echo $$; exec yes'")
        await node.until(lambda: len(node.chunks("r")) == limits.CHUNKS_UNACKNOWLEDGED)
        group = int(node.chunks("r")[0].content.split()[0])
        node.agent.send(Cancel("r", 1))
        with trio.fail_after(limits.KILL_GRACE_SECONDS / 2):
            await gone(group)
        assert node.agent.running == 1, "its output is still to be reported"
        node.silent = False
        node.agent.send(Acknowledge("r", 1, limits.CHUNKS_UNACKNOWLEDGED))
        assert (await node.end("r")).end.outcome == "cancelled"


def test_the_open_files_limit_is_raised() -> None:
    soft, hard = raise_open_files_limit()
    assert 0 < soft <= hard
    assert raise_open_files_limit() == (hard, hard)


async def test_an_end_has_its_time_though_its_output_had_to_wait() -> None:
    async with running(Node(ShellExecutor(), silent=True)) as node:
        size = limits.CHUNKS_UNACKNOWLEDGED * limits.CHUNK_BYTES + 10_000
        node.clock = TrioClock(Instant(1_000_000))
        node.start("r", f"sh -c 'head -c {size} /dev/zero'")
        await node.until(lambda: len(node.chunks("r")) == limits.CHUNKS_UNACKNOWLEDGED)
        await trio.sleep(0.5)
        node.agent.send(Acknowledge("r", 1, limits.CHUNKS_UNACKNOWLEDGED))
        end = await node.end("r")
    assert sum(len(chunk.content) for chunk in node.chunks("r")) == size
    assert node.chunks("r")[-1].at - end.at > 200_000

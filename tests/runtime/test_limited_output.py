"""Output beyond its limit: what is kept, what is counted, and that a process is not held up by what is not kept."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es import limits
from kala_es.agent.attempts import Agent
from kala_es.agent.limited_output import LimitedOutput
from kala_es.clock import SystemClock
from kala_es.domain import events as e
from kala_es.domain.terms import AttemptTerms
from kala_es.executor import AttemptEnd, Channel, Emit, Local, Order, Overflow
from kala_es.executors.http import HttpExecutor
from kala_es.executors.shell import ShellExecutor
from kala_es.link import Acknowledge, Cancel, Chunk, Ended, Resume, Start, ToNode
from tests.nodes import Script, ScriptedShell, running_node

SUCCEEDED = AttemptEnd(outcome="succeeded", exit_code=0)
Pieces = list[tuple[Channel, bytes]]
CHANNELS: tuple[Channel, Channel] = ("stdout", "stderr")
PIECES = st.lists(st.tuples(st.sampled_from(CHANNELS), st.binary(min_size=1, max_size=9)), max_size=20)


def order(most: int, policy: Overflow, command_line: str = "") -> Order:
    work = Local(command_line=command_line, shell=True)
    return Order(run="r", attempt=1, work=work, max_output=most, on_max_output=policy)


class Writer:
    """An executor that writes what it is given; then it does something more."""

    def __init__(self, pieces: Pieces, then: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint) -> None:
        self._pieces = pieces
        self._then = then

    async def execute(self, order: Order, emit: Emit) -> AttemptEnd:
        """As the port says."""
        for channel, content in self._pieces:
            await emit(channel, content)
        await self._then()
        return SUCCEEDED


class Record:
    """What was passed on."""

    def __init__(self) -> None:
        self.chunks: list[tuple[Channel, bytes, int]] = []

    async def take(self, channel: Channel, content: bytes, dropped: int = 0) -> None:
        await trio.lowlevel.checkpoint()
        self.chunks.append((channel, content, dropped))

    @property
    def bytes(self) -> list[tuple[Channel, int]]:
        """Each byte that was kept, with its channel, in order."""
        return each([(channel, content) for channel, content, _ in self.chunks])


def each(pieces: Pieces) -> list[tuple[Channel, int]]:
    return [(channel, byte) for channel, content in pieces for byte in content]


def performed(pieces: Pieces, limit: Order) -> tuple[AttemptEnd, Record]:
    record = Record()

    async def perform() -> AttemptEnd:
        output = LimitedOutput(limit, record.take)
        return output.counted(await output.carry_out(Writer(pieces)))

    return trio.run(perform), record


def is_counted(pieces: Pieces, end: AttemptEnd, record: Record) -> bool:
    """What was kept and what was left out is what was written, of each channel."""
    for channel, dropped in (("stdout", end.stdout_dropped), ("stderr", end.stderr_dropped)):
        written = sum(len(content) for each, content in pieces if each == channel)
        kept = sum(len(content) for each, content, _ in record.chunks if each == channel)
        told = sum(before for each, _, before in record.chunks if each == channel)
        if written != kept + dropped or told > dropped:
            return False
    return True


@settings(deadline=None)
@given(pieces=PIECES, most=st.integers(1, 60))
def test_truncate_tail_keeps_the_first_bytes(pieces: Pieces, most: int) -> None:
    end, record = performed(pieces, order(most, "truncate-tail"))
    assert end.outcome == "succeeded"
    assert record.bytes == each(pieces)[:most]
    assert is_counted(pieces, end, record)


@settings(deadline=None)
@given(pieces=PIECES, most=st.integers(1, 60))
def test_truncate_head_keeps_the_newest_bytes_and_what_was_passed_on(pieces: Pieces, most: int) -> None:
    end, record = performed(pieces, order(most, "truncate-head"))
    written, newest = each(pieces), most // 2
    first = written[: most - newest]
    assert end.outcome == "succeeded"
    assert record.bytes == first + written[len(first) :][-newest or len(written) :]
    assert is_counted(pieces, end, record)
    gaps = [i for i, (_, _, dropped) in enumerate(record.chunks) if dropped]
    assert len(gaps) <= 2, "one in each channel"


@settings(deadline=None)
@given(pieces=PIECES, most=st.integers(1, 60))
def test_kill_makes_a_failure_of_what_is_over(pieces: Pieces, most: int) -> None:
    end, record = performed(pieces, order(most, "kill"))
    over = len(each(pieces)) > most
    assert end.outcome == ("failed" if over else "succeeded")
    assert end.reason == (f"it wrote more than its limit of {most} bytes" if over else "")
    assert record.bytes == each(pieces)[:most]
    assert is_counted(pieces, end, record)


def test_without_a_limit_all_is_passed_on() -> None:
    pieces: Pieces = [("stdout", b"x" * limits.CHUNK_BYTES)] * 100
    end, record = performed(pieces, order(0, "kill"))
    assert end == SUCCEEDED
    assert len(record.bytes) == 100 * limits.CHUNK_BYTES


async def test_cancelled_it_still_tells_the_newest() -> None:
    record = Record()
    output = LimitedOutput(order(4, "truncate-head"), record.take)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(output.carry_out, Writer([("stdout", b"0123456789")], trio.sleep_forever))
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert record.chunks == [("stdout", b"01", 0), ("stdout", b"89", 6)]
    assert output.counted(SUCCEEDED).stdout_dropped == 6


async def test_the_newest_may_have_to_wait_and_the_end_has_its_time(autojump_clock) -> None:
    async def wait(channel: Channel, content: bytes, dropped: int = 0) -> None:
        await trio.sleep(30)

    end = await LimitedOutput(order(4, "truncate-head"), wait).carry_out(Writer([("stdout", b"0123")]))
    assert end.outcome == "succeeded"
    assert end.since == pytest.approx(30)


# With processes


async def carried_out(*orders: Order, cancel: bool = False) -> tuple[list[Chunk], Ended]:
    """An order carried out by an agent with processes, whose every chunk is acknowledged at once."""
    chunks: list[Chunk] = []
    ends: list[Ended] = []
    ended = trio.Event()

    def report(message: ToNode) -> None:
        if isinstance(message, Ended):
            ends.append(message)
            ended.set()
        elif isinstance(message, Chunk):
            chunks.append(message)
            agent.send(Acknowledge(message.run, message.attempt, message.sequence))
            if cancel:
                agent.send(Cancel(message.run, message.attempt))

    agent = Agent(shell=ShellExecutor(kill_grace=0.2), http=HttpExecutor(), clock=SystemClock())
    agent.connect(report)
    agent.send(Resume())
    async with trio.open_nursery() as nursery:
        await nursery.start(agent.run)
        for each in orders:
            agent.send(Start(each))
        with trio.fail_after(30):
            await ended.wait()
        nursery.cancel_scope.cancel()
    return chunks, ends[0]


@pytest.mark.parametrize("policy", ["truncate-head", "truncate-tail"])
async def test_a_process_is_not_held_up_and_its_true_total_is_known(policy: Overflow) -> None:
    text = "head -c 3000000 /dev/zero; printf oops >&2; printf last"
    chunks, ended = await carried_out(order(100_000, policy, text))
    kept = {each: sum(len(c.content) for c in chunks if c.channel == each) for each in CHANNELS}
    assert ended.end.outcome == "succeeded"
    assert sum(kept.values()) == 100_000
    assert kept["stdout"] + ended.end.stdout_dropped == 3_000_004
    assert kept["stderr"] + ended.end.stderr_dropped == 4
    newest = [c.content for c in chunks if c.channel == "stdout"][-1]
    assert newest.endswith(b"last") == (policy == "truncate-head")
    assert [c.sequence for c in chunks] == list(range(1, len(chunks) + 1))
    offsets = dict.fromkeys(CHANNELS, 0)
    for chunk in chunks:
        assert chunk.offset == offsets[chunk.channel]
        offsets[chunk.channel] += len(chunk.content)


async def test_a_process_that_floods_is_ended() -> None:
    chunks, ended = await carried_out(order(10_000, "kill", "trap '' TERM; yes"))
    assert sum(len(c.content) for c in chunks) == 10_000
    assert (ended.end.outcome, ended.end.reason) == ("failed", "it wrote more than its limit of 10000 bytes")
    assert ended.end.stdout_dropped > 0


async def test_cancelled_beyond_its_limit_it_is_cancelled() -> None:
    _, ended = await carried_out(order(10, "truncate-head", "printf 0123456789abcdef; exec sleep 1000"), cancel=True)
    assert (ended.end.outcome, ended.end.stdout_dropped) == ("cancelled", 6)


# In the record


async def test_a_run_s_summary_adds_up_what_each_attempt_left_out(autojump_clock):
    talk = Script(output=(("stdout", b"x" * 30), ("stderr", b"y" * 5)), exit_code=1)
    shell = ScriptedShell({"talks": (talk, Script(output=(("stdout", b"z" * 40),)))})
    async with running_node(shell=shell) as node:
        terms = AttemptTerms(max_output=20)
        await node.create("a", command="talks", schedule="R/2099-01-01T00:00:00Z/PT1H", retries=1, terms=terms)
        run = node.scheduler.run(await node.run_whole("a"))
        assert (run.stdout_bytes, run.stdout_dropped) == (40, 30)
        assert (run.stderr_bytes, run.stderr_dropped) == (0, 5)
        (failed,) = node.events(e.AttemptFailed)
        assert (failed.stdout_dropped, failed.stderr_dropped) == (10, 5)


async def test_an_attempt_that_failed_for_good_is_counted_once(autojump_clock):
    shell = ScriptedShell({"talks": Script(output=(("stdout", b"x" * 30),), exit_code=1)})
    async with running_node(shell=shell) as node:
        terms = AttemptTerms(max_output=20, on_max_output="truncate-head")
        await node.create("a", command="talks", schedule="R/2099-01-01T00:00:00Z/PT1H", terms=terms)
        run = node.scheduler.run(await node.run_whole("a"))
        assert (run.stdout_bytes, run.stdout_dropped) == (20, 10)
        assert [gap.dropped for gap in node.node.folds.output.gaps(run.id)] == [10]
        assert [(gap.offset, gap.total) for gap in node.node.folds.output.gaps(run.id)] == [(10, 10)]

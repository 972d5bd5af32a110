"""The log writer: one commit for all that wait, persist then tell, and an answer for everyone on any disk."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from kala_es import codec, limits
from kala_es.domain import events as e
from kala_es.domain.errors import LogFull, Refusal, Unavailable
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.event_log import LogError, LogIsFull, NewRecord, Record
from kala_es.event_logs.memory import MemoryEventLog
from kala_es.projections.recorded import Recorded
from kala_es.runtime.log_writer import LogWriter

FULL = LogIsFull("no room")
BROKEN = LogError("the disk is gone")


class ScriptedLog:
    """The memory log; each append does what is next in `script`: an exception to raise, an event to wait for, or
    None. After the script every append succeeds, while `room` tells how much is asked of the disk at most."""

    def __init__(self, *script: LogError | trio.Event | None) -> None:
        self.records = MemoryEventLog()
        self.script = deque(script)
        self.sizes: list[int] = []
        self.reserves: list[int] = []
        self.room = float("inf")

    async def append(self, batch: Sequence[NewRecord], *, reserve: int = 0) -> int:
        self.reserves.append(reserve)
        step = self.script.popleft() if self.script else None
        if isinstance(step, trio.Event):
            await step.wait()
        if isinstance(step, LogError):
            await trio.lowlevel.checkpoint()
            raise step
        if reserve > self.room:
            raise LogIsFull("the reserve would be touched")
        position = await self.records.append(batch)
        self.sizes.append(len(batch))
        return position

    async def read(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        return await self.records.read(after, limit=limit, stream=stream)

    async def trim(self, positions: Sequence[int]) -> None:
        await self.records.trim(positions)

    async def wait(self, after: int) -> int:
        return await self.records.wait(after)

    async def close(self) -> None:
        await self.records.close()

    def written(self) -> list[str]:
        """The statuses of the facts in the log, in order."""
        events = [codec.decode(r) for r in self.records.read_now(0, limit=1 << 40)]
        return [event.status for event in events if isinstance(event, e.StatusReported)]


def fact(text: str) -> e.StatusReported:
    return e.StatusReported(job=JobId("j"), at=Instant(1), run=RunId("r"), status=text)


def ignore(_: object) -> None:
    """Those who fold or are told nothing."""


@asynccontextmanager
async def running(
    log: ScriptedLog,
    fold: Callable[[Sequence[Recorded]], None] = ignore,
    timed: Callable[[float], None] = ignore,
    away: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[tuple[LogWriter, trio.Nursery]]:
    """A writer, and a nursery for those who append; the writer is cancelled at the end."""
    writer = LogWriter(log, fold, timed=timed, away=away)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        yield writer, nursery
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def append_into(
    answers: dict[str, int | Refusal], text: str, writer: LogWriter, *, needs_reserve: bool = False, count: int = 1
) -> None:
    try:
        answers[text] = await writer.append([fact(text)] * count, text, needs_reserve=needs_reserve)
    except Refusal as refusal:
        answers[text] = refusal


async def test_all_that_wait_form_one_append(autojump_clock):
    gate = trio.Event()
    log = ScriptedLog(gate)
    answers: dict[str, int | Refusal] = {}
    async with running(log) as (writer, nursery):
        nursery.start_soon(append_into, answers, "first", writer)
        await trio.testing.wait_all_tasks_blocked()
        for i in range(50):
            nursery.start_soon(append_into, answers, str(i), writer)
        await trio.testing.wait_all_tasks_blocked()
        assert not answers
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert len(answers) == 51
    assert log.sizes == [1, 50]


async def test_everyone_is_told_the_position_of_the_last_of_his_facts(autojump_clock):
    log = ScriptedLog(gate := trio.Event())
    answers: dict[str, int | Refusal] = {}
    async with running(log) as (writer, nursery):
        for n in (1, 3, 2):
            nursery.start_soon(partial(append_into, answers, str(n), writer, count=n))
            await trio.testing.wait_all_tasks_blocked()
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert await writer.append([fact("later")]) == 7
    assert answers == {"1": 1, "3": 4, "2": 6}
    assert log.sizes == [1, 5, 1]


async def test_facts_are_durable_then_folded_then_told(autojump_clock):
    log = ScriptedLog(gate := trio.Event())
    story: list[str] = []

    def fold(batch: Sequence[Recorded]) -> None:
        assert log.records.head >= batch[-1].position, "folded before it was durable"
        story.extend(f"folded {r.position} {r.principal}" for r in batch)

    async def append(name: str, count: int) -> None:
        position = await writer.append([fact(name)] * count, name)
        story.append(f"{name} told {position}")

    async with running(log, fold) as (writer, nursery):
        writer.submit(fact("output"), lambda position: story.append(f"told {position}"))
        await trio.testing.wait_all_tasks_blocked()
        for name, count in (("ann", 2), ("bob", 1)):
            nursery.start_soon(append, name, count)
            await trio.testing.wait_all_tasks_blocked()
        assert not story
        gate.set()
    assert story[:5] == ["folded 1 ", "told 1", "folded 2 ann", "folded 3 ann", "folded 4 bob"]
    assert sorted(story[5:]) == ["ann told 3", "bob told 4"]


async def test_a_long_commit_is_folded_in_order_and_others_get_their_turn(autojump_clock):
    log = ScriptedLog()
    folded: list[int] = []
    sizes: list[int] = []
    answers: dict[str, int | Refusal] = {}

    def fold(batch: Sequence[Recorded]) -> None:
        sizes.append(len(batch))
        folded.extend(r.position for r in batch)

    async with running(log, fold) as (writer, nursery):
        nursery.start_soon(partial(append_into, answers, "bulk", writer, count=2_100))
        turns = 0
        while not answers:
            turns += 1
            await trio.lowlevel.checkpoint()
    assert log.sizes == [2_100]
    assert folded == list(range(1, 2_101))
    assert max(sizes) <= 500
    assert turns >= 5


async def test_the_log_holds_facts_in_the_order_in_which_they_were_given(autojump_clock):
    log = ScriptedLog()
    async with running(log) as (writer, _):
        for i in range(20):
            writer.submit(fact(str(i)), ignore)
            if i % 3 == 0:
                await trio.lowlevel.checkpoint()
    assert log.written() == [str(i) for i in range(20)]


async def test_a_commit_is_bounded_in_records_and_in_bytes(autojump_clock):
    log = ScriptedLog()
    half = "x" * (limits.MAX_BATCH_BYTES // 2)
    async with running(log) as (writer, _):
        for _ in range(limits.MAX_BATCH_RECORDS + 10):
            writer.submit(fact("small"), ignore)
        await trio.testing.wait_all_tasks_blocked()
        assert log.sizes == [limits.MAX_BATCH_RECORDS, 10]
        for _ in range(5):
            writer.submit(fact(half), ignore)
        await trio.testing.wait_all_tasks_blocked()
        assert log.sizes[2:] == [2, 2, 1]
        await writer.append([fact("one append")] * (limits.MAX_BATCH_RECORDS + 1))
    assert log.sizes[5:] == [limits.MAX_BATCH_RECORDS + 1]


async def test_only_new_work_asks_for_the_reserve(autojump_clock):
    log = ScriptedLog()
    async with running(log) as (writer, _):
        await writer.append([fact("an end")])
        await writer.append([fact("new work")], needs_reserve=True)
    assert log.reserves == [0, limits.DISK_RESERVE_BYTES]


async def test_a_nearly_full_disk_refuses_new_work_and_takes_ends(autojump_clock):
    log = ScriptedLog()
    log.room = 0
    answers: dict[str, int | Refusal] = {}
    async with running(log) as (writer, nursery):
        nursery.start_soon(partial(append_into, answers, "new", writer, needs_reserve=True))
        nursery.start_soon(append_into, answers, "end", writer)
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(answers["new"], LogFull)
        assert answers["end"] == 1
        assert writer.full
        log.room = float("inf")
        assert await writer.append([fact("later")], needs_reserve=True) == 2
        assert not writer.full
    assert log.written() == ["end", "later"]


async def test_on_a_full_disk_ends_wait_for_room_in_order(autojump_clock):
    log = ScriptedLog(*[FULL] * 10)
    answers: dict[str, int | Refusal] = {}
    async with running(log) as (writer, nursery):
        nursery.start_soon(append_into, answers, "end 1", writer)
        nursery.start_soon(partial(append_into, answers, "new", writer, needs_reserve=True))
        await trio.sleep(0.1)
        assert isinstance(answers["new"], LogFull)
        nursery.start_soon(append_into, answers, "end 2", writer)
        await trio.sleep(0.3)
        assert writer.full
        assert set(answers) == {"new"}
        nursery.start_soon(partial(append_into, answers, "new while it waits", writer, needs_reserve=True))
        await trio.sleep(60)
        assert isinstance(answers["new while it waits"], LogFull)
        assert not log.script
        assert not writer.full
    assert (answers["end 1"], answers["end 2"]) == (1, 2)
    assert log.written() == ["end 1", "end 2"]


async def test_refused_work_leaves_its_room_in_the_queue(autojump_clock, monkeypatch):
    monkeypatch.setattr(limits, "MAX_APPENDS_WAITING", 4)
    log = ScriptedLog()
    log.room = 0
    async with running(log) as (writer, _):
        for _ in range(20):
            with pytest.raises(LogFull):
                await writer.append([fact("new")], needs_reserve=True)
        log.room = float("inf")
        with trio.fail_after(1):
            await writer.append([fact("fits")], needs_reserve=True)
    assert log.written() == ["fits"]


@pytest.mark.parametrize("script", [(BROKEN,), (FULL, BROKEN)], ids=["at once", "after it was full"])
async def test_a_log_that_fails_ends_the_writer_and_everyone_is_answered(autojump_clock, script):
    gate = trio.Event()
    log = ScriptedLog(gate, *script)
    writer = LogWriter(log, ignore)
    answers: dict[str, int | Refusal] = {}
    ended: list[LogError] = []

    async def run() -> None:
        try:
            await writer.run()
        except LogError as error:
            ended.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        nursery.start_soon(append_into, answers, "good", writer)
        await trio.testing.wait_all_tasks_blocked()
        for i in range(limits.MAX_BATCH_RECORDS + 3):
            nursery.start_soon(append_into, answers, f"bad {i}", writer)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(append_into, answers, "afterwards", writer)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert ended == [BROKEN]
    assert answers.pop("good") == 1
    unanswered = limits.MAX_BATCH_RECORDS + 4 - len(answers)
    assert not unanswered, f"{unanswered} appenders were never answered"
    assert all(isinstance(a, Unavailable) and "the disk is gone" in a.reason for a in answers.values())
    assert log.written() == ["good"]


async def test_an_append_happens_also_when_its_caller_is_cancelled(autojump_clock):
    gate = trio.Event()
    log = ScriptedLog(gate, None)
    folded: list[int] = []
    async with running(log, lambda batch: folded.extend(r.position for r in batch)) as (writer, _):
        with trio.move_on_after(1) as committing:
            await writer.append([fact("in the commit")])
        with trio.move_on_after(1) as queued:
            await writer.append([fact("in the queue")])
        assert committing.cancelled_caught
        assert queued.cancelled_caught
        gate.set()
    assert log.written() == ["in the commit", "in the queue"]
    assert folded == [1, 2]


async def test_appenders_wait_for_room_in_the_queue(autojump_clock, monkeypatch):
    monkeypatch.setattr(limits, "MAX_APPENDS_WAITING", 3)
    gate = trio.Event()
    log = ScriptedLog(gate)
    answers: dict[str, int | Refusal] = {}
    async with running(log) as (writer, nursery):
        for i in range(10):
            nursery.start_soon(append_into, answers, f"{i}", writer)
        await trio.testing.wait_all_tasks_blocked()
        assert writer._count == 3
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert writer._count == 0
    assert sorted(answers) == [str(i) for i in range(10)]
    assert sorted(log.written()) == sorted(answers)
    assert max(log.sizes) <= 3


async def test_those_who_wait_for_room_are_answered_when_the_log_fails(autojump_clock, monkeypatch):
    monkeypatch.setattr(limits, "MAX_APPENDS_WAITING", 1)
    gate = trio.Event()
    writer = LogWriter(ScriptedLog(gate, BROKEN), ignore)
    answers: dict[str, int | Refusal] = {}

    async def run() -> None:
        with pytest.raises(LogError):
            await writer.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        nursery.start_soon(append_into, answers, "good", writer)
        await trio.testing.wait_all_tasks_blocked()
        for i in range(3):
            nursery.start_soon(append_into, answers, f"bad {i}", writer)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert answers.pop("good") == 1
    assert [type(a) for a in answers.values()] == [Unavailable] * 3


async def test_what_waits_when_the_node_stops_is_written(autojump_clock):
    gate = trio.Event()
    log = ScriptedLog(gate)
    writer = LogWriter(log, ignore)
    told: dict[str, int | Exception] = {}

    async def open_later() -> None:
        await trio.sleep(1)
        gate.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(open_later)
        async with trio.open_nursery() as inner:
            inner.start_soon(writer.run)
            writer.submit(fact("in the commit"), partial(told.__setitem__, "in the commit"))
            await trio.testing.wait_all_tasks_blocked()
            writer.submit(fact("in the queue"), partial(told.__setitem__, "in the queue"))
            inner.cancel_scope.cancel()
        with pytest.raises(Unavailable, match="stopped"):
            await writer.append([fact("too late")])
    assert told == {"in the commit": 1, "in the queue": 2}
    assert log.written() == ["in the commit", "in the queue"]


@pytest.mark.parametrize("room", ["low", "none"])
async def test_when_the_node_stops_on_a_full_disk_ends_are_written_if_they_fit(autojump_clock, room):
    log = ScriptedLog(FULL, FULL, *([FULL] * 100 if room == "none" else []))
    log.room = 0
    writer = LogWriter(log, ignore)
    answers: dict[str, int | Refusal] = {}
    async with trio.open_nursery() as nursery, trio.open_nursery() as inner:
        inner.start_soon(writer.run)
        nursery.start_soon(append_into, answers, "end", writer)
        await trio.testing.wait_all_tasks_blocked()
        assert writer.full
        nursery.start_soon(partial(append_into, answers, "new", writer, needs_reserve=True))
        await trio.testing.wait_all_tasks_blocked()
        inner.cancel_scope.cancel()
    assert isinstance(answers["new"], Refusal)
    if room == "low":
        assert log.written() == ["end"]
        assert answers["end"] == 1
    else:
        assert not log.written()
        assert isinstance(answers["end"], Unavailable)


async def test_the_disk_counts_as_full_until_new_work_fits_again(autojump_clock):
    log = ScriptedLog()
    log.room = 0
    async with running(log) as (writer, _):
        with pytest.raises(LogFull):
            await writer.append([fact("new")], needs_reserve=True)
        assert writer.full
        await writer.append([fact("an end, into the reserve")])
        assert writer.full, "an end fits into the reserve; new work still does not"


async def test_a_disk_that_has_room_again_is_noticed_without_new_work(autojump_clock):
    """A node that is not ready gets no new work: it must not wait for some to find out."""
    log = ScriptedLog()
    log.room = 0
    async with running(log) as (writer, _):
        with pytest.raises(LogFull):
            await writer.append([fact("new")], needs_reserve=True)
        log.room = float("inf")
        await trio.sleep(600)
        assert not writer.full


async def test_each_commit_is_timed_and_one_that_failed_is_not(autojump_clock):
    times: list[float] = []
    folded: list[int] = []
    gate = trio.Event()
    log = ScriptedLog(gate, FULL)
    fold: Callable[[Sequence[Recorded]], None] = lambda batch: folded.append(len(times))  # noqa: E731
    async with running(log, fold, times.append) as (writer, nursery):
        answers: dict[str, int | Refusal] = {}
        for text in ("first", "second", "third"):
            nursery.start_soon(append_into, answers, text, writer)
            await trio.testing.wait_all_tasks_blocked()
        assert (writer.waiting, times) == (3, [])
        gate.set()
        await trio.sleep(60)
    assert (log.sizes, len(times), folded, writer.waiting) == ([1, 2], 2, [1, 2], 0)
    assert all(seconds > 0 for seconds in times)
    assert set(answers) == {"first", "second", "third"}


async def test_while_the_log_is_away_who_need_not_wait_is_told_and_the_rest_waits(autojump_clock):
    """What was being written when it went has an end that nobody knows yet: it waits too."""
    back, answers = trio.Event(), dict[str, int | Refusal]()
    reason: list[str | None] = [None]
    log = ScriptedLog(back)
    async with running(log, away=lambda: reason[0]) as (writer, nursery):
        nursery.start_soon(writer.turn_away)
        nursery.start_soon(append_into, answers, "under way", writer)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(partial(append_into, answers, "new work", writer, needs_reserve=True))
        nursery.start_soon(append_into, answers, "an end", writer)
        await trio.sleep(5)
        assert answers == {}
        reason[0] = "gone"
        await trio.sleep(5)
        assert isinstance(answers["new work"], Unavailable)
        with pytest.raises(Unavailable, match="gone"):
            await writer.append([fact("more")], needs_reserve=True)
        assert list(answers) == ["new work"]
        reason[0] = None
        back.set()
        await trio.sleep(1)
        assert log.written() == ["under way", "an end"]

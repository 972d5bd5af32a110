"""The event log's conformance suite: every adapter keeps the rules of the port.

Rules: a test takes `home`, where a log can be opened, closed and opened again, and runs on every adapter. "lmdb without
an index" is the log on a disk that has no room for its fold store: slower, and the same.
"""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es.event_log import EventLog, LogError, LogIsFull, NewRecord, Record
from kala_es.event_logs import postgres
from kala_es.event_logs.lmdb import open_log
from kala_es.event_logs.memory import MemoryEventLog
from kala_es.fold_store import FoldsFull
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.memory import MemoryFoldStore
from tests.databases import schema_of, shared


class FullFolds(MemoryFoldStore):
    """A fold store that never has room."""

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        raise FoldsFull("There is no room.")


class Home(Protocol):
    """Where one log lives."""

    def open(self) -> EventLog: ...

    async def close(self) -> None: ...


class MemoryHome:
    def __init__(self, directory: Path) -> None:
        self.log = MemoryEventLog(capacity_bytes=1 << 30)

    def open(self) -> EventLog:
        self.log = self.log.reopened()
        return self.log

    async def close(self) -> None:
        await self.log.close()


class LmdbHome:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open(self) -> EventLog:
        self.folds = open_folds(self.directory)
        self.log = open_log(self.directory, self.folds)
        return self.log

    async def close(self) -> None:
        await self.log.close()
        self.folds.close()


class UnindexedHome(LmdbHome):
    def open(self) -> EventLog:
        self.log = open_log(self.directory, FullFolds())
        return self.log

    async def close(self) -> None:
        await self.log.close()


class PostgresHome:
    """With parts of a few positions, so that histories have several."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = shared().database(schema_of(directory))

    def open(self) -> EventLog:
        self.folds = open_folds(self.directory)
        self.log = postgres.open_log(self.database, self.folds, part=16)
        return self.log

    async def close(self) -> None:
        await self.log.close()
        self.folds.close()


Kind = type[MemoryHome] | type[LmdbHome] | type[PostgresHome]
HOMES: dict[str, Kind] = {
    "memory": MemoryHome,
    "lmdb": LmdbHome,
    "lmdb without an index": UnindexedHome,
    "postgres": PostgresHome,
}


@pytest.fixture(params=HOMES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return HOMES[request.param](tmp_path)


@pytest.fixture
async def log(home: Home) -> AsyncIterator[EventLog]:
    yield home.open()
    await home.close()


def new(stream: str = "job", body: bytes = b"body", *, time: int = 1_700_000_000_000_000) -> NewRecord:
    return NewRecord(stream, "RunStarted", 1, time, "alice", body)


def stored(position: int, record: NewRecord) -> Record:
    return Record(position, record.stream, record.type, record.version, record.time, record.principal, record.body)


async def whole(log: EventLog) -> list[Record]:
    return await log.read(0, limit=1_000_000)


# Rule 1: positions


async def test_positions_start_at_1_and_rise_by_1(log: EventLog) -> None:
    assert await log.append([new()]) == 1
    assert await log.append([new(), new(), new()]) == 4
    assert await log.append([new()]) == 5
    assert [record.position for record in await whole(log)] == [1, 2, 3, 4, 5]


async def test_positions_go_on_after_reopening(home: Home) -> None:
    await home.open().append([new(), new()])
    await home.close()
    again = home.open()
    assert await again.append([new()]) == 3
    assert [record.position for record in await whole(again)] == [1, 2, 3]
    await home.close()


async def test_appends_at_once_get_places_of_their_own(log: EventLog) -> None:
    ends: dict[str, int] = {}

    async def append(stream: str, count: int) -> None:
        ends[stream] = await log.append([new(stream)] * count)

    async with trio.open_nursery() as nursery:
        for count in range(1, 11):
            nursery.start_soon(append, f"job {count}", count)
    records = await whole(log)
    assert [record.position for record in records] == list(range(1, 56))
    for count in range(1, 11):
        end = ends[f"job {count}"]
        assert {record.stream for record in records[end - count : end]} == {f"job {count}"}


# Rule 2: all or nothing, durable


async def test_what_was_appended_is_there_after_reopening(home: Home) -> None:
    records = [new("a", b"1"), new("b", b"2"), new("a", b"3")]
    log = home.open()
    await log.append(records[:1])
    await log.append(records[1:])
    before = await whole(log)
    await home.close()
    again = home.open()
    assert await whole(again) == before == [stored(at, one) for at, one in enumerate(records, 1)]
    assert [record.body for record in await again.read(0, limit=9, stream="a")] == [b"1", b"3"]
    await home.close()


async def test_a_record_comes_back_as_it_was(log: EventLog) -> None:
    records = [
        NewRecord("", "", 0, 0, "", b""),
        NewRecord("Grüße, 世界 \x00", "Ty\npe", 2**31, -(2**53), "p\u20ac", bytes(range(256))),
        new(body=bytes(5_000_000)),
        new("s" * 3000),
    ]
    await log.append(records)
    assert await whole(log) == [stored(at, one) for at, one in enumerate(records, 1)]


async def test_a_large_append_is_one_commit(log: EventLog) -> None:
    batch = [new(f"job {n % 7}", bytes([n % 251]) * 3000) for n in range(1000)]
    assert await log.append(batch) == 1000
    assert await whole(log) == [stored(at, one) for at, one in enumerate(batch, 1)]
    assert [record.position for record in await log.read(991, limit=9, stream="job 3")] == [998]


async def test_an_append_of_nothing_is_a_mistake(log: EventLog) -> None:
    with pytest.raises(ValueError, match="at least one record"):
        await log.append([])


async def test_a_cancelled_append_has_happened_whole_or_not_at_all(log: EventLog) -> None:
    for _ in range(3):
        before = len(await whole(log))
        with trio.CancelScope() as scope:
            scope.cancel()
            await log.append([new(), new()])
        count = len(await whole(log)) - before
        assert count == (0 if scope.cancelled_caught else 2)
    assert await log.append([new()]) == len(await whole(log))


async def test_an_append_cancelled_while_it_is_written_counts_and_is_reported(log: EventLog) -> None:
    ends: list[int] = []

    async def append(scope: trio.CancelScope) -> None:
        with scope:
            ends.append(await log.append([new()] * 5000))

    # So many that what comes after the write, whatever that is, takes more than one step.
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(append, scope)
        await trio.testing.wait_all_tasks_blocked()  # in its thread, or done
        scope.cancel()
    assert ends == [5000]


# Rule 3: a failed append


async def test_without_the_reserve_an_append_is_refused_and_the_log_is_as_before(log: EventLog) -> None:
    await log.append([new("a")])
    before = await whole(log)
    with pytest.raises(LogIsFull):
        await log.append([new("a"), new("b")], reserve=1 << 60)
    assert await whole(log) == before
    assert await log.read(0, limit=9, stream="b") == []
    assert await log.append([new("b")], reserve=1) == 2
    assert [record.position for record in await log.read(0, limit=9, stream="b")] == [2]


# Rule 4: readers


async def test_an_empty_log_has_nothing_to_read(log: EventLog) -> None:
    assert await log.read(0, limit=10) == []
    assert await log.read(0, limit=10, stream="job") == []
    assert await log.read(7, limit=10) == []


async def test_a_read_begins_after_a_position_and_stops_at_its_limit(log: EventLog) -> None:
    await log.append([new()] * 4)
    await log.append([new()] * 4)
    for after in range(10):
        for limit in range(10):
            found = [record.position for record in await log.read(after, limit=limit)]
            assert found == list(range(after + 1, 9))[:limit]


async def test_a_stream_is_read_without_the_others(log: EventLog) -> None:
    streams = [f"job {n * n % 5}" for n in range(40)]
    for start in range(0, 40, 8):
        await log.append([new(stream) for stream in streams[start : start + 8]])
    for stream in {*streams, "job", "job 11", ""}:
        expected = [at for at, name in enumerate(streams, 1) if name == stream]
        for after, limit in [(0, 100), (0, 3), (17, 2), (39, 5), (40, 5)]:
            found = await log.read(after, limit=limit, stream=stream)
            assert [record.position for record in found] == [at for at in expected if at > after][:limit]
            assert {record.stream for record in found} <= {stream}


async def test_a_reader_sees_whole_appends_only(log: EventLog) -> None:
    seen: list[int] = []

    async def follow() -> None:
        while len(seen) < 50:
            await log.wait(seen[-1] if seen else 0)
            seen.append(len(await whole(log)))
            if seen[-1] == 500:
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        for _ in range(50):
            await log.append([new(body=bytes(20_000))] * 10)
    assert all(count % 10 == 0 for count in seen)
    assert seen == sorted(seen)


# Rule 6: trim


async def test_what_is_trimmed_is_gone_and_positions_stay(home: Home) -> None:
    log = home.open()
    await log.append([new("a", b"1"), new("b", b"2"), new("a", b"3")])
    await log.append([new("a", b"4")])
    before = await whole(log)
    await log.trim([1, 3])
    for _ in range(2):
        assert await whole(log) == [before[1], before[3]]
        assert await log.read(0, limit=1) == [before[1]]
        assert await log.read(2, limit=1) == [before[3]]
        assert await log.read(0, limit=9, stream="a") == [before[3]]
        assert await log.read(0, limit=9, stream="b") == [before[1]]
        await home.close()
        log = home.open()
    assert await log.append([new("a")]) == 5
    await home.close()


async def test_to_trim_again_is_no_error_and_the_last_record_stays(log: EventLog) -> None:
    await log.append([new()] * 5)
    await log.trim([2, 3])
    await log.trim([])
    await log.trim([1, 2, 3, 4])
    assert [record.position for record in await whole(log)] == [5]
    with pytest.raises(ValueError, match="last record"):
        await log.trim([5])
    assert await log.append([new()]) == 6
    await log.trim([5])
    assert [record.position for record in await whole(log)] == [6]


async def test_appends_go_on_while_much_is_trimmed(log: EventLog) -> None:
    for _ in range(20):
        await log.append([new(body=bytes(5_000))] * 100)
    ends: list[int] = []

    async def append() -> None:
        for _ in range(5):
            ends.append(await log.append([new()]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(append)
        await log.trim(range(1, 2000))
    assert ends == [2001, 2002, 2003, 2004, 2005]
    assert [record.position for record in await whole(log)] == [2000, *ends]


# wait and close


async def test_wait_returns_the_last_position_when_it_is_greater(log: EventLog) -> None:
    await log.append([new(), new()])
    assert await log.wait(0) == 2
    assert await log.wait(1) == 2


async def test_wait_waits_until_there_is_more(log: EventLog) -> None:
    ends: list[int] = []

    async def wait(after: int) -> None:
        ends.append(await log.wait(after))

    async with trio.open_nursery() as nursery:
        for after in (0, 0, 1, 3):
            nursery.start_soon(wait, after)
        await trio.testing.wait_all_tasks_blocked()
        assert ends == []
        await log.append([new(), new()])
        await trio.testing.wait_all_tasks_blocked()
        assert ends == [2, 2, 2]
        await log.append([new(), new()])
    assert ends == [2, 2, 2, 4]


async def test_close_is_idempotent_and_ends_everything(log: EventLog) -> None:
    await log.append([new()])

    async def wait() -> None:
        with pytest.raises(LogError, match="closed"):
            await log.wait(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await log.close()
    await log.close()
    for call in (log.append([new()]), log.read(0, limit=1), log.read(9, limit=1), log.wait(0)):
        with pytest.raises(LogError, match="closed"):
            await call


async def test_close_lets_an_append_finish(home: Home) -> None:
    log = home.open()
    ends: list[int] = []

    async def append() -> None:
        ends.append(await log.append([new(body=bytes(1_000_000))] * 5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(append)
        await trio.testing.wait_all_tasks_blocked()  # in its thread, or done
        with trio.CancelScope() as scope:
            scope.cancel()
            await log.close()
    assert ends == [5]
    await home.close()
    assert len(await whole(home.open())) == 5
    await home.close()


async def test_every_await_is_a_checkpoint(log: EventLog) -> None:
    with trio.testing.assert_checkpoints():
        await log.append([new()])
    with trio.testing.assert_checkpoints():
        await log.read(0, limit=1)
    with trio.testing.assert_checkpoints():
        await log.read(1, limit=1)
    with trio.testing.assert_checkpoints():
        await log.wait(0)
    with trio.testing.assert_checkpoints():
        await log.close()


# Any history


STREAMS = st.sampled_from(["a", "b", "c"])
APPEND = st.lists(st.tuples(STREAMS, st.binary(max_size=5)), min_size=1, max_size=12)
READ = st.tuples(st.integers(0, 40), st.integers(0, 40), st.none() | STREAMS)
TRIM = st.frozensets(st.integers(1, 60))
STEPS = st.lists(APPEND | READ | TRIM | st.none(), max_size=25)
"""Append these, read so, erase those, or, None, reopen."""
Step = list[tuple[str, bytes]] | tuple[int, int, str | None] | frozenset[int] | None


@pytest.mark.parametrize("kind", [MemoryHome, LmdbHome, UnindexedHome])
@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_it_is_a_list(kind: Kind, steps: list[Step]) -> None:
    with TemporaryDirectory() as directory:
        trio.run(live, kind(Path(directory)), steps)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(steps=STEPS)
def test_it_is_a_list_in_postgres_too(steps: list[Step]) -> None:
    with TemporaryDirectory() as directory:
        trio.run(live, PostgresHome(Path(directory)), steps)


async def live(home: Home, steps: list[Step]) -> None:
    log, model, head = home.open(), list[Record](), 0
    for step in steps:
        match step:
            case list():
                batch = [new(stream, body) for stream, body in step]
                model += [stored(at, one) for at, one in enumerate(batch, head + 1)]
                head += len(batch)
                assert await log.append(batch) == head
            case (after, limit, stream):
                fitting = [record for record in model if stream in (None, record.stream)]
                expected = [record for record in fitting if record.position > after][:limit]
                assert await log.read(after, limit=limit, stream=stream) == expected
            case frozenset():
                erased = sorted(position for position in step if position < head)
                model = [record for record in model if record.position not in erased]
                await log.trim(erased)
            case None:
                await home.close()
                log = home.open()
    assert await whole(log) == model
    await home.close()

"""Compaction: the file shrinks, nothing is lost, appends go on; what cuts it off leaves the log as it was."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from kala_es.event_log import LogError, NewRecord
from kala_es.event_logs import compact as compacting
from kala_es.event_logs.check import check, data_file
from kala_es.event_logs.lmdb import LmdbEventLog, open_log
from kala_es.event_logs.lmdb_file import LogFile, open_env
from kala_es.fold_stores.memory import MemoryFoldStore


def new(body: bytes = bytes(2_000)) -> NewRecord:
    return NewRecord("job", "RunStarted", 1, 1_700_000_000_000_000, "alice", body)


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[LmdbEventLog]:
    log = open_log(directory, MemoryFoldStore())
    yield log
    await log.close()


async def fill_and_trim(log: LmdbEventLog) -> None:
    for _ in range(50):
        await log.append([new()] * 40)
    await log.trim(range(1, 1900))


async def test_the_file_shrinks_and_nothing_is_lost(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await fill_and_trim(log)
        records = log.read_now(0, limit=1 << 40)
        before, after = await log.compact()
        assert after == log.size_bytes < before / 5
        assert log.read_now(0, limit=1 << 40) == records
        assert await log.append([new()]) == 2001
        await log.trim([1950])
    assert check(tmp_path) == 2001
    async with opened(tmp_path) as log:
        assert [record.position for record in log.read_now(1948, limit=3)] == [1949, 1951, 1952]
    assert not (tmp_path / "log" / "compact").exists()


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_erased_is_not_in_the_file_any_more(tmp_path: Path, seed: int) -> None:
    """Nor in the unused ends of pages, which records of usual sizes share one after the other."""
    chance, secret, at = random.Random(seed), b"correct horse battery staple", list[int]()
    async with opened(tmp_path) as log:
        for _ in range(120):
            body = chance.randbytes(chance.randrange(100, 4_000))
            if chance.random() < 0.3:
                at.append(log.head + 1)
                body += secret * 2
            await log.append([new(body)])
        await log.append([new()])
        await log.trim(at)
        assert secret in data_file(tmp_path).read_bytes()
        await log.compact()
        assert secret not in data_file(tmp_path).read_bytes()
    assert check(tmp_path) == 121


async def test_appends_and_reads_go_on_meanwhile_and_none_is_lost(tmp_path: Path) -> None:
    ends: list[int] = []
    async with opened(tmp_path) as log:
        await fill_and_trim(log)
        over = trio.Event()

        async def append() -> None:
            while not over.is_set():
                ends.append(await log.append([new()] * 3))
                assert (await log.read(ends[-1] - 1, limit=1))[0].position == ends[-1]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(append)
            for _ in range(3):
                await log.compact()
            over.set()
        assert ends == list(range(2003, 2003 + 3 * len(ends), 3))
        assert log.head == ends[-1]
    assert check(tmp_path) == ends[-1]


async def test_copying_does_not_wait_for_who_writes(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await fill_and_trim(log)
    with open_env(tmp_path) as env:
        copy = LogFile(env, -1, b"").copy_in(tmp_path)
        with env.begin(write=True):
            await trio.to_thread.run_sync(copy.begin)
            assert await trio.to_thread.run_sync(copy.catch_up)
            await trio.to_thread.run_sync(copy.check)
        copy.discard()


async def test_erasing_waits_for_the_copy(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await fill_and_trim(log)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.compact)
            nursery.start_soon(log.trim, range(1, 1990))
        assert [record.position for record in log.read_now(0, limit=1 << 40)] == list(range(1990, 2001))


async def test_without_room_for_a_copy_it_is_refused_and_the_log_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "DISK_RESERVE_BYTES", 1 << 60)
    async with opened(tmp_path) as log:
        await fill_and_trim(log)
        with pytest.raises(LogError, match="copy of the log"):
            await log.compact()
        assert await log.append([new()]) == 2001
        assert not (tmp_path / "log" / "compact").exists()


async def test_what_a_killed_one_left_behind_is_removed(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await fill_and_trim(log)
        (tmp_path / "log" / "compact").mkdir()
        (tmp_path / "log" / "compact" / "data.mdb").write_bytes(data_file(tmp_path).read_bytes()[:5000])
        await log.compact()
        assert log.head == 2000


async def test_a_closed_log_is_not_compacted(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.append([new()])
    with pytest.raises(LogError, match="closed"):
        await log.compact()

"""A log that is read beside the process that writes it, and one that nobody writes."""

import os
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest
import trio

from kala_es.event_log import LogDamaged, LogError, LogIsNewer, NewRecord
from kala_es.event_logs import compact as compacting
from kala_es.event_logs.check import check
from kala_es.event_logs.lmdb import LmdbEventLog, open_log
from kala_es.event_logs.lmdb_file import LogFile, open_env
from kala_es.event_logs.lmdb_reader import LogReader
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.memory import MemoryFoldStore

ROOT = Path(__file__).parents[2]
READ = """
import sys
from pathlib import Path
from kala_es.event_logs.lmdb_reader import LogReader
reader = LogReader(Path(sys.argv[1]))
for line in sys.stdin:
    page = reader.read_now(int(line), limit=1000)
    print(reader.head, len(page), page[-1].position if page else None, flush=True)
"""
KILLED = """
import lmdb, os, signal, sys
env = lmdb.open(sys.argv[1], readonly=True, max_dbs=4)
with env.begin() as txn:
    txn.stat()
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Other:
    """Another process that reads the log."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", READ, str(directory)], stdin=-1, stdout=-1, text=True, cwd=ROOT
        )

    def reads(self, after: int) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{after}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.communicate()


def new(number: int) -> NewRecord:
    return NewRecord(f"job:{number % 3}", "RunStarted", 1, 1_700_000_000_000_000 + number, "alice", b"%d" % number)


def opened(directory: Path) -> LmdbEventLog:
    return open_log(directory, MemoryFoldStore())


async def test_it_sees_what_is_appended_erased_and_compacted_meanwhile(tmp_path: Path) -> None:
    log = opened(tmp_path)
    await log.append([new(number) for number in range(9)])
    other = Other(tmp_path)
    assert other.reads(0) == "9 9 9"
    await log.append([new(9)])
    assert other.reads(9) == "10 1 10"
    assert other.reads(10) == "10 0 None"
    await log.trim([2, 3])
    await log.compact()
    await log.append([new(10)])
    assert other.reads(0) == "11 9 11"
    other.close()
    await log.close()


async def append_each(log: LmdbEventLog, count: int) -> None:
    for number in range(count):
        await log.append([new(number)])


@pytest.mark.parametrize("before", [6, 7])
@pytest.mark.parametrize("meanwhile", [1, 2, 3])
async def test_nothing_is_lost_when_the_log_is_compacted_beside_a_reader(
    tmp_path: Path, before: int, meanwhile: int
) -> None:
    log = opened(tmp_path)
    await append_each(log, before)
    other = Other(tmp_path)
    assert other.reads(before).startswith(str(before))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(append_each, log, meanwhile)
        nursery.start_soon(log.compact)
    all_of_them = before + meanwhile
    assert other.reads(0) == f"{all_of_them} {all_of_them} {all_of_them}"
    await append_each(log, 1)
    assert other.reads(all_of_them) == f"{all_of_them + 1} 1 {all_of_them + 1}"
    other.close()
    await log.close()
    assert check(tmp_path) == all_of_them + 1


def power_fails(directory: Path) -> Path:
    raise OSError(directory)


async def test_a_compaction_that_was_cut_off_beside_a_reader_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    await append_each(log, 7)
    other = Other(tmp_path)
    assert other.reads(0) == "7 7 7"
    await log.close()
    with open_env(tmp_path) as env:
        copy = LogFile(env, -1, b"").copy_in(tmp_path)
        copy.begin()
        assert copy.catch_up()
    with monkeypatch.context() as patch:
        patch.setattr(compacting, "lock_file", power_fails)
        with pytest.raises(OSError, match=tmp_path.name):
            copy.put_in_place()
    log = opened(tmp_path)
    await append_each(log, 2)
    assert other.reads(0) == "9 9 9"
    other.close()
    await log.close()
    assert check(tmp_path) == 9


@pytest.mark.parametrize("name", ["log", "folds"])
async def test_a_reader_that_was_killed_makes_no_file_grow(tmp_path: Path, name: str) -> None:
    folds = open_folds(tmp_path)
    log = open_log(tmp_path, folds)
    await append_each(log, 20)
    await trio.run_process([sys.executable, "-c", KILLED, str(tmp_path / name)], check=False)
    await append_each(log, 300)
    assert (tmp_path / name / "data.mdb").stat().st_size < 1_000_000
    await log.close()
    folds.close()


async def test_a_stream_and_a_page_of_it(tmp_path: Path) -> None:
    index = MemoryFoldStore()
    log = open_log(tmp_path, index)
    for first in range(0, 3000, 1000):
        await log.append([new(first + number) for number in range(1000)])
    whole = await log.read(0, limit=9999)
    part = await log.read(7, limit=500, stream="job:1")
    await log.close()
    for folds in (None, index, MemoryFoldStore()):
        reader = LogReader(tmp_path, folds)
        assert reader.read_now(0, limit=9999) == whole
        assert reader.read_now(7, limit=500, stream="job:1") == part
        reader.close()


async def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="there is no log in"):
        LogReader(tmp_path / "nowhere")
    log = opened(tmp_path)
    await log.append([new(1)])
    await log.close()
    with lmdb.open(str(tmp_path / "log"), max_dbs=4) as env:
        meta = env.open_db(b"meta", create=False)
        with env.begin(write=True, db=meta) as txn:
            txn.put(b"format", b"99")
    with pytest.raises(LogIsNewer, match="has format 99"):
        LogReader(tmp_path)
    os.truncate(tmp_path / "log" / "data.mdb", 100)
    with pytest.raises((LogDamaged, LogError)):
        LogReader(tmp_path)

"""A log that is read beside the process that writes it, and one that nobody writes."""

import os
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from kala_es.event_log import LogDamaged, LogError, LogIsNewer, NewRecord
from kala_es.event_logs.lmdb import LmdbEventLog, open_log
from kala_es.event_logs.lmdb_reader import LogReader
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

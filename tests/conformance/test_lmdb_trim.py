"""What erasing does to a log's file: formats, gaps, pages, the check, a kill in the middle."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import cbor2
import lmdb
import trio

from kala_es.event_log import NewRecord
from kala_es.event_logs.check import check
from kala_es.event_logs.lmdb import LmdbEventLog, open_log
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.log_tree import leaf, row

ROOT = Path(__file__).parents[2]
OTHER_BOOT = "00000000-0000-4000-8000-000000000000\n"


def new(stream: str = "job", body: bytes = b"body") -> NewRecord:
    return NewRecord(stream, "RunStarted", 1, 1_700_000_000_000_000, "alice", body)


@asynccontextmanager
async def opened(directory: Path, folds: MemoryFoldStore | None = None) -> AsyncIterator[LmdbEventLog]:
    log = open_log(directory, folds or MemoryFoldStore())
    yield log
    await log.close()


def content(directory: Path) -> tuple[str, dict[int, list[object]]]:
    """The file's format, and each value's items by its first position."""
    with lmdb.open(str(directory / "log"), max_dbs=4, readonly=True, lock=False) as env:
        with env.begin(db=env.open_db(b"meta", create=False)) as txn:
            log_format = txn.get(b"format", b"").decode()
        with env.begin(db=env.open_db(b"records", create=False)) as txn:
            values = {int.from_bytes(k, "big"): cbor2.loads(v[:-4]) for k, v in txn.cursor().iternext()}
    return log_format, values


def positions(log: LmdbEventLog) -> Sequence[int]:
    return [record.position for record in log.read_now(0, limit=1 << 40)]


async def test_a_hole_has_a_place_and_a_digest(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.append([new()] * 3)
        await log.trim([])
        await log.trim([2])
        digest = log.digest
    log_format, values = content(tmp_path)
    assert log_format == "3"
    assert values[1][:2] == [3, digest]
    assert values[1][3] == [1, leaf(row(new()))]


async def test_a_long_gap_is_one_small_value_whatever_the_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        for _ in range(9):
            await log.append([new()] * 10)
        for first in (1, 41, 21, 11, 61, 31, 51):
            await log.trim(range(first, first + 10))
        assert positions(log) == list(range(71, 91))
    _, values = content(tmp_path)
    assert list(values) == [1, 71, 81]
    assert [item[0] for item in values[1][2:] if isinstance(item, list)] == [70]
    assert check(tmp_path) == 90


async def test_a_log_with_holes_passes_the_check_after_a_crash_of_the_machine(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        for _ in range(5):
            await log.append([new("a"), new("b"), new("a")])
        await log.trim([1, 2, 3, 5, 7, 9, 10, 11, 12, 14])
        before = log.read_now(0, limit=99)
    (tmp_path / "opened").write_text(OTHER_BOOT)
    async with opened(tmp_path) as log:
        assert log.read_now(0, limit=99) == before
        assert [record.position for record in log.read_now(0, limit=99, stream="a")] == [4, 6, 13, 15]


async def test_rows_of_the_stream_index_go_too_and_one_left_over_leads_nowhere(tmp_path: Path) -> None:
    folds = MemoryFoldStore()
    async with opened(tmp_path, folds) as log:
        await log.append([new("a"), new("b"), new("a")])
        before = folds.scan(b"\x01", b"\x02", limit=99)
        await log.trim([1, 2])
        assert len(folds.scan(b"\x01", b"\x02", limit=99)) == 1
        folds.write(before)  # as if the process had died between the two
        assert [record.position for record in log.read_now(0, limit=1, stream="a")] == [3]
        assert log.read_now(0, limit=9, stream="b") == []


async def test_pages_are_used_again(tmp_path: Path) -> None:
    sizes: list[int] = []
    async with opened(tmp_path) as log:
        for _ in range(12):
            first = log.head + 1
            for _ in range(20):
                await log.append([new(body=bytes(2_000))] * 40)
            await log.trim(range(first, log.head))
            sizes.append(log.size_bytes)
    assert sizes[-1] < 1.5 * sizes[2]


async def test_a_reader_finds_no_record_that_was_erased_a_moment_ago(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.append([new()] * 10)
        assert len(log.read_now(0, limit=5)) == 5  # the value is decoded, and kept for the next page
        await log.trim([6])
        assert [record.position for record in log.read_now(5, limit=1)] == [7]


KILLED = """
import os, sys
from pathlib import Path
import trio
from kala_es.event_log import NewRecord
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.memory import MemoryFoldStore

async def main(directory):
    log = open_log(directory, MemoryFoldStore())
    for _ in range(30):
        await log.append([NewRecord("job", "RunStarted", 1, 1, "", bytes(2_000))] * 40)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.trim, range(1, log.head))
        while len(log.read_now(0, limit=10_000)) > 700:
            await trio.sleep(0)
        os.kill(os.getpid(), 9)

trio.run(main, Path(sys.argv[1]))
"""


async def test_kill_9_leaves_a_log_of_which_the_lower_part_is_erased(tmp_path: Path) -> None:
    done = await trio.run_process([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    async with opened(tmp_path) as log:
        left = positions(log)
        assert 0 < len(left) <= 700
        assert left == list(range(1201 - len(left), 1201))
        await log.trim(range(1, 1200))
        assert positions(log) == [1200]
    assert check(tmp_path) == 1200

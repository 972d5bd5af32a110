"""A log whose file lacks pages, or has others: who reads it says so, instead of dying of a signal."""

import os
from io import BytesIO
from pathlib import Path

import lmdb
import pytest

from kala_es.event_log import LogDamaged
from kala_es.event_logs.check import data_file
from kala_es.event_logs.lmdb_reader import LogReader
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.lmdb_reader import read_folds
from kala_es.replay.exporting import export
from kala_es.replay.moments import Moment
from kala_es.runtime.rebuilding import import_into, restore
from tests.replay.logs import fill

PAGE = 4096


def exported(directory: Path, after: int = 0) -> bytes:
    parts: list[bytes] = []
    export(directory, parts.append, after=after)
    return b"".join(parts)


def judge(directory: Path, into: Path) -> None:
    """All that reads a log says that it is damaged, and leaves nothing."""
    with pytest.raises(LogDamaged, match=f"The log in {directory} is damaged"):
        exported(directory)
    with pytest.raises(LogDamaged, match=f"The log in {directory} is damaged"):
        restore(directory, into, Moment(position=200))
    assert not (into / "log" / "data.mdb").exists()
    assert {path.name for path in (directory / "log").iterdir()} <= {"data.mdb", "lock.mdb"}


@pytest.mark.parametrize("left", [3 * PAGE, 7 * PAGE + 100, -20 * PAGE, -PAGE])
async def test_a_file_that_was_cut_off_is_said_to_be(tmp_path: Path, left: int) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    await fill(source, 200, size=8_000)
    import_into(BytesIO(exported(source)), copy)
    await fill(source, 10)
    more = exported(source, after=200)
    data = data_file(copy)
    os.truncate(data, left % data.stat().st_size)
    with pytest.raises(LogDamaged, match="its file is cut off"):
        LogReader(copy)
    with pytest.raises(LogDamaged, match="its file is cut off"):
        import_into(BytesIO(more), copy)
    judge(copy, tmp_path / "into")


async def test_pages_of_something_else_are_damage_of_the_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    await fill(source, 200, size=8_000)
    content = data_file(source).read_bytes()
    data_file(source).write_bytes(content[: 3 * PAGE] + b"\x01" * (len(content) - 3 * PAGE))
    judge(source, tmp_path / "into")


async def test_a_file_without_its_free_last_pages_is_whole(tmp_path: Path) -> None:
    await fill(tmp_path, 50)
    with lmdb.open(str(tmp_path / "log"), max_dbs=4, map_size=1 << 30) as env:
        with env.begin(write=True, db=env.open_db(b"records", create=False)) as txn:
            for key in (b"\xff%06d" % number for number in range(200)):
                txn.put(key, bytes(10_000))
                txn.delete(key)
        pages = env.info()["last_pgno"] + 1
    assert data_file(tmp_path).stat().st_size < pages * PAGE
    assert exported(tmp_path)
    reader = LogReader(tmp_path)
    assert reader.head == 50
    reader.close()


def test_folds_that_were_cut_off_are_none(tmp_path: Path) -> None:
    folds = open_folds(tmp_path)
    folds.write([(b"%05d" % number, bytes(1_000)) for number in range(500)])
    folds.close()
    kept = read_folds(tmp_path)
    assert kept is not None
    kept.close()
    os.truncate(tmp_path / "folds" / "data.mdb", 20 * PAGE)
    assert read_folds(tmp_path) is None

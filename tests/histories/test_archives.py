"""Archives, and files of logs, that released versions wrote, kept for ever: this version reads them.

`NAME.archive` and `NAME.mdb.zlib` (a compressed `log/data.mdb`) hold the same log; `NAME.archive.json` has its
position and digest, and what its folds must say. A release that changes either format adds
all three; none is ever changed.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from kala_es.event_log import Record
from kala_es.event_logs.check import data_file
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.replay.telling import nobody
from kala_es.replay.verify import prove_archive, verify
from kala_es.runtime.rebuilding import import_into
from tests.histories.test_histories import HERE, state

NAMES = sorted(path.name.removesuffix(".archive") for path in HERE.glob("*.archive"))


def told(name: str) -> dict[str, Any]:
    """What is recorded beside an archive."""
    return dict(json.loads((HERE / f"{name}.archive.json").read_text()))


def read(directory: Path) -> tuple[dict[str, Any], list[Record]]:
    """Where the log in a directory ends, and its records."""
    log = open_log(directory, MemoryFoldStore())
    return {"position": log.head, "digest": log.digest.hex()}, log.read_now(0, limit=1 << 30)


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_becomes_the_log_that_it_was(tmp_path: Path, name: str) -> None:
    with (HERE / f"{name}.archive").open("rb") as file:
        proved = prove_archive(file)
        file.seek(0)
        import_into(file, tmp_path)
    end, records = read(tmp_path)
    assert {**end, "state": state(records)} == told(name)
    assert proved.digest.hex() == end["digest"]


@pytest.mark.parametrize("name", NAMES)
def test_a_log_is_read_as_it_was(tmp_path: Path, name: str) -> None:
    data_file(tmp_path).parent.mkdir()
    data_file(tmp_path).write_bytes(zlib.decompress((HERE / f"{name}.mdb.zlib").read_bytes()))
    proved, _ = verify(tmp_path, tell=nobody)
    end, records = read(tmp_path)
    assert {**end, "state": state(records)} == told(name)
    assert proved.digest.hex() == end["digest"]


def test_there_is_one() -> None:
    assert NAMES

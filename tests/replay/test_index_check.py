"""The index of streams is compared with the log: whoever reads a job's history trusts it."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bench.replay import history
from kala_es import codec
from kala_es.domain.events import RunStarted
from kala_es.domain.trimming import RunsTrimmed, TrimmedRun
from kala_es.event_log import LogDamaged
from kala_es.event_logs.lmdb import open_log
from kala_es.event_logs.stream_index import row_key, stream_key
from kala_es.fold_store import FoldStore
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.replay.verify import prove_digests

COUNT = 120


async def filled(directory: Path, folds: FoldStore) -> None:
    log = open_log(directory, folds)
    await log.append([codec.encode(event) for event in history(COUNT)])
    await log.close()


def row(position: int, stream: str) -> bytes:
    return row_key(stream_key(stream), position)


def lost(store: FoldStore) -> None:
    store.write([(row(7, "job:job-6"), None)])


def doubled(store: FoldStore) -> None:
    store.write([(row(7, "job:job-5"), b"")])


def exchanged(store: FoldStore) -> None:
    lost(store)
    doubled(store)


def ahead(store: FoldStore) -> None:
    store.write([(row(9_999, "job:job-5"), b"")])


NAMED: dict[Callable[[FoldStore], None], str] = {
    lost: "does not lead to position 7, of 'job:job-6'",
    doubled: "leads to position 7 from a stream that is not its",
    exchanged: "does not lead to position 7",
    ahead: "leads to position 9999",
}


@pytest.mark.parametrize("change", NAMED)
async def test_a_row_that_is_missing_or_too_much_is_named(tmp_path: Path, change: Callable[[FoldStore], None]) -> None:
    with closing(open_folds(tmp_path)) as store:
        await filled(tmp_path, store)
        change(store)
    with pytest.raises(LogDamaged, match=NAMED[change]):
        prove_digests(tmp_path, tell=lambda *_: None)


async def test_one_that_lags_or_leads_to_what_is_erased_is_right(tmp_path: Path) -> None:
    with closing(open_folds(tmp_path)) as store:
        await filled(tmp_path, store)
    await filled(tmp_path, MemoryFoldStore())  # the index here lags by that
    log = open_log(tmp_path, MemoryFoldStore())
    started, chunk = history(COUNT)[100:102]
    assert isinstance(started, RunStarted)
    gone = TrimmedRun(run=started.run, digest=b"", chunks=1)
    await log.append([codec.encode(RunsTrimmed(job=started.job, at=chunk.at, runs=(gone,)))])
    await log.trim([102])  # and leads there still
    await log.close()
    assert prove_digests(tmp_path, tell=lambda *_: None).erased == 1

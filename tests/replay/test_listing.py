"""What is asked of one job or run is found by the log's index, and is the same as without it."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from bench.replay import history
from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.notify import NoticeId
from kala_es.domain.trimming import RunRedacted, RunsTrimmed, TrimmedRun
from kala_es.event_log import Record
from kala_es.event_logs.lmdb import open_log
from kala_es.event_logs.lmdb_reader import LogReader
from kala_es.fold_store import FoldStore
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.lmdb_reader import read_folds
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections.folds import Folds
from kala_es.replay import listing, views
from kala_es.replay.moments import NotKnown
from kala_es.runtime.recovery import replay

JOB: Final = JobId("job-3")
EVENTS: Final = history(1_000)
RUNS: Final = tuple(event.run for event in EVENTS if isinstance(event, e.RunStarted) and event.job == JOB)
INDEXED: Final = 700
"""What comes after this position is in no index and no fold."""
HEAD: Final = len(EVENTS) + 4
LATER: Final = Instant(EVENTS[-1].at + 1)
MORE: Final[tuple[e.Event, ...]] = (
    e.StatusReported(job=JOB, at=LATER, run=RUNS[0], status="fine"),
    e.NoticeAttempted(notice=NoticeId("n"), job=JOB, at=LATER, attempt=1, delivered=True),
    RunsTrimmed(job=JOB, at=LATER, runs=(TrimmedRun(run=RUNS[0], digest=b"d" * 32, stdout_bytes=9),)),
    RunRedacted(job=JOB, at=LATER, run=TrimmedRun(run=RUNS[1], digest=b"e" * 32), reason="a secret"),
)
"""What befalls the job's first runs."""


async def append(directory: Path, events: list[e.Event], folds: FoldStore) -> None:
    log = open_log(directory, folds)
    for first in range(0, len(events), 9):
        await log.append([codec.encode(event) for event in events[first : first + 9]])
    await replay(log, Folds(folds), head=log.head)
    await log.close()


async def fill(directory: Path) -> Path:
    with closing(open_folds(directory)) as folds:
        await append(directory, [*EVENTS[: INDEXED - len(MORE)], *MORE], folds)
    await append(directory, EVENTS[INDEXED - len(MORE) :], MemoryFoldStore())
    return directory


class Watched(LogReader):
    """A reader that reads what is indexed by its index only."""

    def read_now(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        assert after >= self.indexed
        return super().read_now(after, limit=limit, stream=stream)


def answers(directory: Path, ask: Callable[[LogReader], Any]) -> tuple[Any, Any]:
    """What is found with the index, and without."""
    folds = read_folds(directory)
    assert folds is not None
    with closing(folds), closing(Watched(directory, folds)) as reader:
        assert (reader.indexed, reader.head) == (INDEXED, HEAD)
        fast = ask(reader)
    with closing(LogReader(directory)) as reader:
        assert reader.indexed == 0
        return fast, ask(reader)


@pytest.mark.parametrize("kind", [None, "OutputChunk", "RunFinished", "NoticeAttempted", "RunsTrimmed", "RunRedacted"])
async def test_the_records_of_a_job(tmp_path: Path, kind: str | None) -> None:
    wanted = listing.Wanted(job=JOB, type=kind)

    def listed(reader: LogReader, within: listing.Range) -> list[Any]:
        return [row for _, row in listing.records(reader, wanted, within) if row]

    directory = await fill(tmp_path)
    for within in *((0, until) for until in (HEAD, INDEXED, INDEXED - 2, 200, 3)), (INDEXED, HEAD), (INDEXED + 9, HEAD):
        fast, plain = answers(directory, partial(listed, within=within))
        assert fast == plain
        assert fast or within != (0, HEAD)


async def test_a_run_as_it_was_known_at_a_position(tmp_path: Path) -> None:
    def shown(reader: LogReader, run: RunId, until: int) -> Any:
        try:
            return views.run(reader, run, until)
        except NotKnown as error:
            return str(error)

    directory = await fill(tmp_path)
    for run in RUNS[:2]:
        for until in (HEAD, INDEXED, INDEXED - 1, INDEXED - 2, INDEXED - 3, 500, 110, 109, 3):
            fast, plain = answers(directory, partial(shown, run=run, until=until))
            assert fast == plain
    assert shown_at_the_end(directory, RUNS[0])["status"] == "fine"
    assert shown_at_the_end(directory, RUNS[1])["redacted"]["reason"] == "a secret"


def shown_at_the_end(directory: Path, run: RunId) -> Any:
    return answers(directory, lambda reader: views.run(reader, run, HEAD))[0]["run"]

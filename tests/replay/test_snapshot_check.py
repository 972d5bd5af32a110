"""Snapshots of earlier moments are compared with the log: whoever looks at the past trusts them."""

from pathlib import Path

import pytest

from kala_es import codec
from kala_es.domain.events import JobCreated, JobDisabled, JobUpdated
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.model import JobSpec
from kala_es.event_log import LogDamaged
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections import past, snapshot
from kala_es.projections.folds import Folds
from kala_es.replay.fold_check import Compared, compare
from kala_es.runtime.recovery import replay
from tests.replay.logs import opened

JOB = JobId("a")
EVENTS = (
    JobCreated(job=JOB, at=Instant(1_700_000_000_000_000), spec=JobSpec(name="a", command="backup a")),
    JobUpdated(job=JOB, at=Instant(1_700_000_000_000_001), spec=JobSpec(name="a", command="rm -rf x")),
    JobDisabled(job=JOB, at=Instant(1_700_000_000_000_002)),
)


async def kept(directory: Path, *, put: tuple[bytes, bytes] = (b"", b""), later: int = 0, ahead: int = 0) -> None:
    """A log with a snapshot after each event, in which something is put in the place of something else."""
    log, folds = opened(directory), Folds(MemoryFoldStore())
    for event in EVENTS:
        await log.append([codec.encode(event)])
        await replay(log, folds, head=log.head)
        anchor = snapshot.anchor_of(log.read_now(log.head - 1, limit=1)[0].body)
        content = snapshot.sealed([b"".join(snapshot.freeze(folds, anchor)).replace(*put)])
        time = Instant(folds.latest + later)
        past.keep(directory / "snapshots", content, position=folds.position + ahead, time=time, every=0)
    await log.close()


def compared(directory: Path) -> Compared:
    return compare(directory, tell=lambda *_: None)


async def test_those_that_are_right_are_counted(tmp_path: Path) -> None:
    await kept(tmp_path)
    assert compared(tmp_path) == Compared(events=3, earlier=3)


@pytest.mark.parametrize(
    ("put", "later", "named"),
    [
        ((b"rm -rf x", b"ls -la x"), 0, "snapshot at position 2 is not the state of the log there"),
        ((b"", b""), 7, "0000001-0001700000000000007 is of another time: of 1700000000000000"),
    ],
)
async def test_one_that_was_altered_is_named(tmp_path: Path, put: tuple[bytes, bytes], later: int, named: str) -> None:
    await kept(tmp_path, put=put, later=later)
    with pytest.raises(LogDamaged, match=named):
        compared(tmp_path)


async def test_one_of_what_came_after_the_end_is_named(tmp_path: Path) -> None:
    await kept(tmp_path, ahead=1)
    with pytest.raises(LogDamaged, match="ends at position 3, and a snapshot at 4"):
        compared(tmp_path)


async def test_those_that_nobody_would_use_are_let_be(tmp_path: Path) -> None:
    await kept(tmp_path)
    whole, other, torn = past.kept(tmp_path / "snapshots")
    other.path.write_bytes(whole.path.read_bytes())
    torn.path.write_bytes(torn.path.read_bytes()[:-9])
    assert compared(tmp_path) == Compared(events=3, earlier=1)

"""A log that is restored knows what its source knew, or is refused, whatever retention has erased since."""

from hashlib import blake2b
from io import BytesIO
from pathlib import Path

import pytest

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.model import Job, JobSpec
from kala_es.domain.trimming import BasePart, BaseTaken
from kala_es.event_log import LogError
from kala_es.event_logs.check import data_file
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections import snapshot
from kala_es.projections.folds import Folds
from kala_es.replay.exporting import export
from kala_es.replay.moments import Moment
from kala_es.runtime.rebuilding import Unfit, import_into, restore
from kala_es.runtime.recovery import replay
from tests.replay.logs import opened

JOB = JobId("j")
RUNS = 5
BASE = 1 + 2 * RUNS
TAKEN = BASE + 2


def ran(number: int) -> list[e.Event]:
    at, run = Instant(number * SECOND), RunId(f"r{number}")
    begun = e.RunStarted(job=JOB, at=at, run=run, cause="manual", root=run)
    return [begun, e.RunFinished(job=JOB, at=at, run=run, outcome="succeeded", attempts=1, root=run)]


async def known(directory: Path) -> Job:
    log, folds = opened(directory), Folds(MemoryFoldStore())
    await replay(log, folds, head=log.head)
    await log.close()
    return folds.jobs.by_id[JOB]


async def swept(directory: Path) -> Job:
    """Five runs, a base, and the facts of three of the runs erased; the job as it is known then."""
    log, folds = opened(directory), Folds(MemoryFoldStore())
    await log.append([codec.encode(e.JobCreated(job=JOB, at=Instant(0), spec=JobSpec(name="n", command="true")))])
    for number in range(RUNS):
        await log.append([codec.encode(event) for event in ran(number)])
    await replay(log, folds, head=log.head)
    content = b"".join(snapshot.freeze(folds, b""))
    digest = blake2b(content, digest_size=32).digest()
    at = Instant(RUNS * SECOND)
    await log.append([codec.encode(BasePart(at=at, base=BASE, number=1, content=content))])
    await log.append([codec.encode(BaseTaken(at=at, base=BASE, parts=1, digest=digest, forgotten=3))])
    await log.trim(range(2, 8))
    await log.append([codec.encode(e.JobDisabled(job=JOB, at=at))])
    await log.close()
    return folds.jobs.by_id[JOB]


@pytest.mark.parametrize("position", [1, 9, BASE, TAKEN - 1])
async def test_before_the_newest_base_there_is_nothing_to_restore(tmp_path: Path, position: int) -> None:
    await swept(tmp_path / "source")
    said = f"Facts up to position {BASE} were erased by retention: .* restored to is {TAKEN}"
    with pytest.raises(LogError, match=said):
        restore(tmp_path / "source", tmp_path / "copy", Moment(position=position))
    with pytest.raises(LogError, match=said):
        restore(tmp_path / "source", tmp_path / "copy", Moment(time=Instant(SECOND)))
    assert not data_file(tmp_path / "copy").exists()


async def test_from_the_newest_base_on_a_restored_log_knows_what_its_source_knew(tmp_path: Path) -> None:
    before = await swept(tmp_path / "source")
    assert restore(tmp_path / "source", tmp_path / "copy", Moment(position=TAKEN))[0] == TAKEN
    assert before.counters.finished_runs == RUNS
    assert await known(tmp_path / "copy") == before


async def test_a_log_is_never_replaced_by_a_restored_one(tmp_path: Path) -> None:
    """Not even one that is all that a directory has: a copy of `log/` alone."""
    await swept(tmp_path / "source")
    copy = data_file(tmp_path / "copy")
    copy.parent.mkdir(parents=True)
    copy.write_bytes(data_file(tmp_path / "source").read_bytes())
    before = copy.read_bytes()
    for source in (tmp_path / "source", tmp_path / "copy"):
        with pytest.raises(LogError, match="copy is not empty: there is a log"):
            restore(source, tmp_path / "copy", Moment(position=TAKEN))
    assert copy.read_bytes() == before


async def test_a_directory_of_others_is_left_as_it_is(tmp_path: Path) -> None:
    await swept(tmp_path / "source")
    content = bytearray()
    export(tmp_path / "source", content.extend)
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "letter").touch()
    with pytest.raises(Unfit, match="is not empty, and has no log"):
        import_into(BytesIO(content), strange)
    with pytest.raises(Unfit, match="is not empty, and has no log"):
        restore(tmp_path / "source", strange, Moment(position=TAKEN))
    assert [path.name for path in strange.iterdir()] == ["letter"]

"""An archive that becomes the log of a server: what is made of it, and what a kill leaves at each step."""

import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
import trio

from kala_es import archive, codec, log_tree
from kala_es.domain import events as e
from kala_es.domain.errors import Conflict
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import JobSpec
from kala_es.event_log import LogError, LogInUse, NewRecord
from kala_es.event_logs.building import held
from kala_es.event_logs.check import check, data_file
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.lmdb import open_folds
from kala_es.projections.folds import Folds
from kala_es.replay.exporting import export
from kala_es.replay.fold_check import compare
from kala_es.replay.verify import prove_digests
from kala_es.runtime.recovery import replay
from kala_es.runtime.takeover import Made, discard, make, new_place, put_in_place, remove_left

JOB, RUN = JobId("j"), RunId("r")
EVENTS = (
    e.JobCreated(job=JOB, at=Instant(5), spec=JobSpec(name="j", command="true")),
    e.RunStarted(job=JOB, at=Instant(6), run=RUN, cause="manual", root=RUN),
    e.OutputChunk(job=JOB, at=Instant(7), run=RUN, attempt=1, sequence=1, channel="stdout", offset=0, content=b"so"),
    e.RunFinished(job=JOB, at=Instant(8), run=RUN, outcome="succeeded", attempts=1, root=RUN),
)


def write(directory: Path, records: Sequence[NewRecord]) -> None:
    """A log in a directory, with folds, as a node that has stopped leaves it."""
    directory.mkdir(exist_ok=True)

    async def fill() -> None:
        folds = open_folds(directory)
        log = open_log(directory, folds)
        if records:
            await log.append(records)
        await log.close()
        folds.close()

    trio.run(fill)


def archive_of(directory: Path, *, after: int = 0) -> BytesIO:
    parts: list[bytes] = []
    export(directory, parts.append, after=after)
    return BytesIO(b"".join(parts))


@pytest.fixture
def content(tmp_path: Path) -> BytesIO:
    """An archive of a log."""
    write(tmp_path / "source", [codec.encode(event) for event in EVENTS])
    return archive_of(tmp_path / "source")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where an empty server was."""
    write(tmp_path / "here", [])
    return tmp_path / "here"


def state(directory: Path) -> tuple[int, str, int]:
    """As a node that starts finds it: the position, the digest and how many jobs; and that all of it is proved."""

    async def start() -> tuple[int, str, int]:
        store = open_folds(directory)
        log = open_log(directory, store)
        folds = Folds(store)
        await replay(log, folds, head=log.head, snapshot_path=directory / "snapshot.cbor")
        found = (folds.position, log.digest.hex(), folds.stats.jobs)
        await log.close()
        store.close()
        return found

    found = trio.run(start)
    prove_digests(directory, tell=lambda *_: None)
    compare(directory, tell=lambda *_: None)
    assert check(directory) == found[0]
    return found


def test_what_was_made_becomes_the_log_with_what_it_folds_to(content: BytesIO, directory: Path) -> None:
    place = new_place(directory)
    made = make(content, place)
    assert made == Made(position=4, digest=made.digest, records=4, erased=0, output=True, jobs=1)
    put_in_place(place, directory)
    assert not (directory / "incoming").exists()
    assert (directory / "snapshot.cbor").exists()
    assert state(directory) == (4, made.digest.hex(), 1)


def test_a_kill_at_any_step_leaves_the_empty_log_or_all_of_the_archives(
    content: BytesIO, directory: Path, tmp_path: Path
) -> None:
    place = new_place(directory)
    made = make(content, place)
    places = (directory, place.relative_to(directory), tmp_path / "lives")
    command = [sys.executable, "-m", "tests.runtime.dying", *map(str, places)]
    subprocess.run(command, check=True)
    lives = sorted((tmp_path / "lives").iterdir(), key=lambda life: int(life.name))
    found = []
    for life in lives:
        remove_left(life)
        assert not (life / "incoming").exists()
        found.append(state(life)[0::2])
    assert len(found) > 10
    assert set(found) == {(0, 0), (made.position, made.jobs)}
    assert found == sorted(found), "once it is there it is there"


def test_a_log_that_has_a_record_by_now_is_kept(content: BytesIO, directory: Path) -> None:
    place = new_place(directory)
    make(content, place)
    write(directory, [codec.encode(EVENTS[0])])
    before = state(directory)
    with pytest.raises(Conflict, match="it is at position 1; nothing was imported"):
        put_in_place(place, directory)
    assert state(directory) == before
    discard(place)
    assert not (directory / "incoming").exists()


def test_a_log_that_somebody_has_is_kept(content: BytesIO, directory: Path) -> None:
    place = new_place(directory)
    make(content, place)
    with held(directory), pytest.raises(LogInUse):
        put_in_place(place, directory)
    assert state(directory)[0] == 0
    assert data_file(place).exists()


def test_what_goes_on_from_another_archive_is_refused(tmp_path: Path, content: BytesIO, directory: Path) -> None:
    with pytest.raises(LogError, match="goes on after position 2; this server's log is empty"):
        make(archive_of(tmp_path / "source", after=2), new_place(directory))


def made_of(*records: NewRecord) -> BytesIO:
    """An archive that is whole, whatever its records say."""
    rows, writer, tree = [log_tree.row(record) for record in records], archive.Writer(), log_tree.Span()
    header = writer.header(archive.Header(log=bytes(16), at=1))
    tree.add_leaves(log_tree.leaves(rows))
    block = writer.block(archive.Block(1, len(rows), rows))
    end = archive.End(position=tree.end, digest=tree.root(), records=len(rows), erased=0)
    return BytesIO(header + block + writer.end(end))


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (NewRecord("job:j", "JobCreated", 99, 1, "", b"\xa0"), "version"),
        (NewRecord("job:j", "JobSung", 1, 1, "", b"\xa0"), "JobSung"),
        (NewRecord("job:j", "JobCreated", 1, 1, "", b"\xa0"), "position 1 holds a JobCreated that cannot"),
        (codec.encode(e.JobCreated(job=JOB, at=Instant(5), spec=JobSpec(name="j", schedule="never"))), "No server"),
        (codec.encode(e.JobDisabled(job=JOB, at=Instant(1 << 62))), "Position 1 has a time outside the years"),
        (codec.encode(e.JobDisabled(job=JOB, at=Instant(-(1 << 62)))), "Position 1 has a time outside the years"),
    ],
)
def test_records_that_no_server_of_this_release_reads_are_refused(record: NewRecord, why: str, directory: Path) -> None:
    with pytest.raises(LogError, match=why):
        make(made_of(record), new_place(directory))
    assert state(directory)[0] == 0


def test_records_that_say_nothing_of_any_job_are_taken(directory: Path) -> None:
    place = new_place(directory)
    made = make(made_of(codec.encode(e.JobDisabled(job=JOB, at=Instant(5)))), place)
    put_in_place(place, directory)
    assert state(directory) == (1, made.digest.hex(), 0)


def test_what_a_cut_off_server_has_left_is_removed(content: BytesIO, directory: Path) -> None:
    make(content, new_place(directory))
    new_place(directory)
    remove_left(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["folds", "lock", "log", "opened"]


def test_who_makes_it_ends_with_the_server_that_wants_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kala_es.runtime.takeover", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(20) == 1, "it waits for the rest of the archive"

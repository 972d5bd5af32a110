"""Law 1: the folds follow from the log alone, byte for byte, however they come to its end. And each fold's own table.

A history is drawn from the small world of test_reactions, with output and receipts strewn in. `everything` is what the
folds hold in memory and on disk.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import cycle, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es import codec, limits
from kala_es.dialects.kala import parse_job
from kala_es.domain import events as e
from kala_es.domain.commands import CreateJob
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.job import decide
from kala_es.domain.model import Counters, JobSpec
from kala_es.domain.reactions import Reaction
from kala_es.domain.values import replace
from kala_es.event_log import Record
from kala_es.fold_store import FoldsFull
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections import snapshot
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.projections.runs import RunSummary
from tests.domain.test_reactions import STEPS, Step, played

J, K, R, S = JobId("j"), JobId("k"), RunId("r"), RunId("s")
SPEC = JobSpec(name="n", command="true", schedule="R0/2099-01-01T00:00:00Z/")
CHANNELS = ("stdout", "stderr")
ANCHOR = snapshot.anchor_of(b"the body of the record at the snapshot's position")
Log = Sequence[Recorded]


def at(seconds: float) -> Instant:
    return Instant(int(seconds * SECOND))


def numbered(events: Iterable[e.Event]) -> list[Recorded]:
    return [Recorded(n, event, "ann" if n % 3 else "") for n, event in enumerate(events, 1)]


def chunk(run: RunId, channel: str, content: bytes, *, seconds: float = 0) -> e.OutputChunk:
    return e.OutputChunk(
        job=J, at=at(seconds), run=run, attempt=1, sequence=1, channel=channel, offset=0, content=content
    )


def answered(key: str, seconds: float) -> e.RequestAnswered:
    return e.RequestAnswered(at=at(seconds), key=key, fingerprint=b"f" + key.encode(), status=201)


def history(steps: Sequence[Step], spice: Sequence[int]) -> list[Recorded]:
    """The world's log, with output of the runs in flight and with receipts."""
    events: list[e.Event] = []
    running: list[tuple[JobId, RunId]] = []
    for event, n in zip(played(steps).log, cycle(spice)):
        for _ in range(n % 4 if running else 0):
            job, run = running[n % len(running)]
            content = bytes([n]) * (n % 7)
            events.append(replace(chunk(run, CHANNELS[n % 2], content), job=job, at=event.at))
        if n % 5 == 0:
            events.append(replace(answered(f"key{len(events)}", 0), at=event.at))
        events.append(event)
        if isinstance(event, e.RunStarted):
            running.append((event.job, event.run))
        if isinstance(event, e.RunFinished):
            running.remove((event.job, event.run))
    return numbered(events)


def feed(folds: Folds, log: Log, sizes: Sequence[int] = (1,)) -> list[Reaction]:
    """Feed the records that are new to the folds, in batches of these sizes."""
    reactions: list[Reaction] = []
    position = min(folds.position, folds.stored)
    for size in cycle(sizes):
        batch = log[position : position + size]
        if not batch:
            return reactions
        reactions += folds.apply(batch)
        position += len(batch)
    return reactions


def fed(log: Log, sizes: Sequence[int] = (1,), store: MemoryFoldStore | None = None) -> tuple[Folds, MemoryFoldStore]:
    store = store or MemoryFoldStore()
    folds = Folds(store)
    feed(folds, log, sizes)
    return folds, store


def rows(store: MemoryFoldStore) -> list[tuple[bytes, bytes]]:
    return store.scan(b"", b"\xff" * 500, limit=1_000_000)


def frozen(folds: Folds) -> bytes:
    return b"".join(snapshot.freeze(folds, ANCHOR))


def everything(folds: Folds, store: MemoryFoldStore, log: Log) -> dict[str, Any]:
    """What the folds hold, with the order in which they hold it."""
    runs = [recorded.event.run for recorded in log if isinstance(recorded.event, e.RunStarted)]
    return {
        "position": (folds.position, folds.stored),
        "jobs": list(folds.jobs.by_id.items()),
        "ids": list(folds.jobs.ids()),
        "graph": [list(index.items()) for index in folds.jobs.graph.dump()],
        "trees": list(folds.trees.open.items()),
        "joins": [(job, list(seen.items())) for job, seen in folds.trees.joins.items()],
        "stats": folds.stats,
        "days": folds.days.dump(),
        "recent": folds.recent.dump(),
        "busy": list(folds.busy),
        "runs": [folds.runs.get(run) for run in runs],
        "sizes": [folds.output.sizes(run) for run in runs],
        "rows": rows(store),
    }


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=5)
SPICE = st.lists(st.integers(0, 255), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, spice=SPICE, sizes=SIZES)
def test_batches_do_not_matter(steps: list[Step], spice: list[int], sizes: list[int]) -> None:
    log = history(steps, spice)
    alone, at_once, live = Folds(MemoryFoldStore()), fed(log, [len(log)]), fed(log, sizes)
    one_by_one = [feed(alone, log[:n]) for n in range(1, len(log) + 1)]
    assert everything(*live, log) == everything(*at_once, log) == everything(*fed(log), log)
    assert feed(Folds(MemoryFoldStore()), log, sizes) == [r for reactions in one_by_one for r in reactions]
    if not live[0].trees.open:  # see test_a_snapshot_holds_open_trees
        assert frozen(live[0]) == frozen(at_once[0])


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, spice=SPICE, sizes=SIZES, cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_snapshot_and_the_tail_are_the_whole(
    steps: list[Step], spice: list[int], sizes: list[int], cuts: tuple[float, float]
) -> None:
    """Whichever is further, the snapshot or the fold store, and also when the store is lost."""
    log = history(steps, spice)
    whole = everything(*fed(log), log)
    saved_at, stored_at = (round(cut * len(log)) for cut in cuts)
    saved, _ = fed(log[:saved_at], sizes)
    while saved.trees.open:  # see test_a_snapshot_holds_open_trees
        saved_at -= 1
        saved, _ = fed(log[:saved_at], sizes)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "snapshot"
        snapshot.write(path, snapshot.sealed([frozen(saved)]))
        for reached in (stored_at, 0, len(log)):
            _, store = fed(log[:reached], sizes)
            folds = Folds(store)
            assert snapshot.load(path, folds, len(log))
            assert (folds.position, folds.stored) == (saved_at, reached)
            reactions = feed(folds, log, sizes)
            assert everything(folds, store, log) == whole
            assert reactions == feed(saved_again(log, saved_at), log)


def saved_again(log: Log, position: int) -> Folds:
    """Folds that are at this position in memory and on disk."""
    return fed(log[:position])[0]


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, spice=SPICE, sizes=SIZES, reached=st.floats(0, 1))
def test_folds_are_rebuilt_from_the_log_alone(
    steps: list[Step], spice: list[int], sizes: list[int], reached: float
) -> None:
    log = history(steps, spice)
    whole = everything(*fed(log), log)
    folds, store = fed(log[: round(reached * len(log))], sizes)
    without_memory = Folds(store)
    feed(without_memory, log, sizes)
    assert everything(without_memory, store, log) == whole
    folds = Folds(store)
    folds.forget_stored()
    assert (folds.stored, rows(store)) == (0, [])
    feed(folds, log, sizes)
    assert everything(folds, store, log) == whole


CLIENTS_JOB = b"""{"name": "n", "command": "x", "owner": "", "epsilon": "", "retries": 0, "type": 0, "disabled": false,
    "dependency_policy": "all", "schedule": "", "metadata": {}, "remote_properties": {}, "env": {}, "shell": false}"""


def test_what_a_client_sent_folds_alike_live_and_replayed() -> None:
    draft = parse_job(CLIENTS_JOB)
    (event,) = decide(None, CreateJob(job=J, at=at(1), spec=draft.spec, counters=draft.counters))
    record = codec.encode(event)
    read_back = codec.decode(Record(1, record.stream, record.type, record.version, record.time, "", record.body))
    assert read_back == event
    live, replayed = (fed(numbered([its_event]))[0] for its_event in (event, read_back))
    assert frozen(live) == frozen(replayed)


class SmallStore(MemoryFoldStore):
    """A fold store that has room only while `room` says so, write by write."""

    def __init__(self, room: Iterator[bool]) -> None:
        super().__init__()
        self.room = room

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        if not next(self.room):
            raise FoldsFull("There is no room.")
        super().write(changes)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, spice=SPICE, sizes=SIZES, room=st.lists(st.booleans(), min_size=1, max_size=8))
def test_what_found_no_room_is_written_later(
    steps: list[Step], spice: list[int], sizes: list[int], room: list[bool]
) -> None:
    log = history(steps, spice)
    whole = everything(*fed(log), log)
    store = SmallStore(cycle([*room, True]))
    folds, _ = fed(log, sizes, store)
    again = Folds(store)
    assert again.stored <= folds.stored == len(log)
    assert again.stored == max((n for n in range(len(log) + 1) if rows(store) == rows(fed(log[:n])[1])), default=0)
    store.room = cycle([True])
    feed(again, log, sizes)
    assert everything(again, store, log) == whole


class CountingStore(MemoryFoldStore):
    """A fold store that tells how many rows each write had."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        listed = list(changes)
        self.counts.append(len(listed))
        super().write(listed)


def test_a_write_holds_what_its_batch_changed() -> None:
    store = CountingStore()
    fed(numbered([created(J, 1), started(R, 2), started(S, 3), chunk(R, "stdout", b"x"), created(K, 4)]), [1], store)
    assert store.counts == [1, 3, 3, 2, 1], "the position, and two rows a run or one a chunk"


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, spice=SPICE)
def test_the_sums_are_those_of_the_jobs(steps: list[Step], spice: list[int]) -> None:
    log = history(steps, spice)
    folds, _ = fed(log)
    jobs = [job for job in folds.jobs.by_id.values() if not job.deleted]
    assert folds.jobs.ids() == sorted(job.id for job in jobs)
    assert (folds.stats.jobs, len(folds.jobs)) == (len(jobs), len(jobs))
    assert folds.stats.disabled_jobs == sum(job.disabled for job in jobs)
    assert folds.stats.error_count == sum(job.counters.error_count for job in jobs)
    assert folds.stats.success_count == sum(job.counters.success_count for job in jobs)
    assert folds.stats.scheduled_jobs == sum(not job.disabled and job.next_tick is not None for job in jobs)
    attempts = [r.event.at for r in log if isinstance(r.event, e.RunStarted | e.RunSkipped)]
    assert folds.stats.last_attempted_run == max(attempts, default=None)
    begun = [r.event.run for r in log if isinstance(r.event, e.RunStarted)]
    ended = {r.event.run for r in log if isinstance(r.event, e.RunFinished)}
    assert [run.id for _, run in folds.busy] == [run for run in begun if run not in ended]
    assert {run.id: job for job, run in folds.busy} == {
        run.id: job.id for job in folds.jobs.by_id.values() for run in job.runs
    }


# ---- snapshots


def created(job: JobId, seconds: float, **fields: Any) -> e.JobCreated:
    return e.JobCreated(job=job, at=at(seconds), spec=SPEC, **fields)


def started(run: RunId, seconds: float, job: JobId = J) -> e.RunStarted:
    return e.RunStarted(job=job, at=at(seconds), run=run, cause="manual", root=run)


def finished(run: RunId, seconds: float, job: JobId = J, attempts: int = 1) -> e.RunFinished:
    return e.RunFinished(
        job=job,
        at=at(seconds),
        run=run,
        outcome="failed",
        attempts=attempts,
        root=run,
        exit_code=3,
        signal=9,
        reason="why",
    )


QUIET: list[e.Event] = [created(K, 1), created(J, 2), started(R, 3), finished(R, 4)]


def saved(path: Path, log: Log) -> Folds:
    folds, _ = fed(log)
    snapshot.write(path, snapshot.sealed([frozen(folds)]))
    return folds


def test_a_snapshot_holds_open_trees(tmp_path: Path) -> None:
    before = saved(tmp_path / "s", numbered([created(J, 1), started(R, 2)]))
    after = Folds(MemoryFoldStore())
    assert snapshot.load(tmp_path / "s", after, 2)
    assert after.trees == before.trees


def test_a_snapshot_keeps_the_order_in_which_runs_began(tmp_path: Path) -> None:
    before, _ = fed(numbered([created(J, 1), created(K, 1), started(S, 2, K), started(R, 3, J)]))
    before.trees.open.clear()  # see test_a_snapshot_holds_open_trees
    snapshot.write(tmp_path / "s", snapshot.sealed([frozen(before)]))
    after = Folds(MemoryFoldStore())
    assert snapshot.load(tmp_path / "s", after, 4)
    assert list(after.busy) == list(before.busy)


def test_a_snapshot_of_many_jobs(tmp_path: Path) -> None:
    log = numbered([created(JobId(f"j{i}"), i, disabled=bool(i % 2)) for i in range(1_203)])
    before = saved(tmp_path / "s", log)
    after = Folds(MemoryFoldStore())
    assert snapshot.load(tmp_path / "s", after, len(log))
    assert frozen(after) == frozen(before)
    assert (after.jobs.by_id, after.stats) == (before.jobs.by_id, before.stats)


def test_a_snapshot_is_drawn_at_leisure(tmp_path: Path) -> None:
    """What happens between two draws is not in it."""
    log = numbered([created(JobId(f"j{i}"), i) for i in range(1_001)])
    folds, _ = fed(log)
    parts = snapshot.freeze(folds, ANCHOR)
    drawn = [next(parts), next(parts)]
    folds.apply([Recorded(1_002, e.JobDeleted(job=JobId("j900"), at=at(9)))])
    snapshot.write(tmp_path / "s", snapshot.sealed([*drawn, *parts]))
    after = Folds(MemoryFoldStore())
    assert snapshot.load(tmp_path / "s", after, 1_001)
    assert (after.position, len(after.jobs)) == (1_001, 1_001)


def test_a_snapshot_that_does_not_fit_is_not_used(tmp_path: Path) -> None:
    path, log = tmp_path / "s", numbered(QUIET)
    saved(path, log)
    content = path.read_bytes()
    assert not snapshot.load(path, Folds(MemoryFoldStore()), len(log) - 1), "it is of a longer log"
    assert not snapshot.load(tmp_path / "none", Folds(MemoryFoldStore()), 9)
    damaged = [content[:n] for n in range(0, len(content), 5)]
    damaged += [content[:n] + bytes([content[n] ^ 1]) + content[n + 1 :] for n in range(0, len(content), 3)]
    damaged += [content + b"\0", signed(b""), signed(b"\xff"), signed(cbor2.dumps({"format": 1}))]
    damaged += [signed(content[:-32].replace(b"\x66format\x01", b"\x66format\x02"))]
    damaged += [signed(content[:-32].replace(b"\x64jobs\x02", b"\x64jobs\x03"))]
    damaged += [signed(content[:-32].replace(b"\x64born", b"\x64bore"))]
    assert len({blake2b(text).digest() for text in [*damaged, content]}) == len(damaged) + 1
    for text in damaged:
        path.write_bytes(text)
        folds = Folds(MemoryFoldStore())
        assert not snapshot.load(path, folds, len(log))
        assert (folds.position, folds.jobs.by_id, folds.trees.open, len(folds.busy), folds.stats.jobs) == (
            0,
            {},
            {},
            0,
            0,
        )
    snapshot.write(path, snapshot.sealed([content[:-32]]))
    assert path.read_bytes() == content
    assert snapshot.load(path, Folds(MemoryFoldStore()), len(log))
    assert [file.name for file in tmp_path.iterdir()] == ["s"]


def test_a_snapshot_tells_its_place(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert snapshot.place(path) is None
    saved(path, numbered(QUIET))
    assert snapshot.place(path) == (4, ANCHOR)
    assert snapshot.anchor_of(b"another body") != ANCHOR
    for damaged in (b"", b"\xff", path.read_bytes()[:20], cbor2.dumps({"position": 4}), cbor2.dumps([4])):
        path.write_bytes(damaged)
        assert snapshot.place(path) is None


def signed(body: bytes) -> bytes:
    return body + blake2b(body, digest_size=32).digest()


# ---- jobs, sums, runs in flight


def test_a_deleted_job_is_not_seen_while_its_run_ends() -> None:
    folds, _ = fed(numbered([created(J, 1), created(K, 1), started(R, 2), e.JobDeleted(job=J, at=at(3))]))
    assert (folds.jobs.get(J), folds.jobs.ids(), [job.id for job in folds.jobs.after("")]) == (None, [K], [K])
    assert J in folds.jobs.by_id
    assert (folds.stats.jobs, folds.busy.job_of(R)) == (1, J)
    folds.apply([Recorded(5, finished(R, 4))])
    assert J not in folds.jobs.by_id
    assert (len(folds.busy), R in folds.busy, folds.busy.job_of(R)) == (0, False, None)
    summary = folds.runs.get(R)
    assert summary is not None
    assert (summary.job, summary.outcome) == (J, "failed")


def test_jobs_are_listed_by_id() -> None:
    folds, _ = fed(numbered(created(JobId(job), 1) for job in "dbca"))
    assert [job.id for job in folds.jobs.after("")] == list("abcd")
    assert [job.id for job in folds.jobs.after("b")] == ["c", "d"]
    assert [job.id for job in folds.jobs.after("bb")] == ["c", "d"]
    assert list(folds.jobs.after("d")) == []


# events -> jobs, disabled, errors, successes, last attempt
GIVEN_COUNTERS = Counters(success_count=5, error_count=2, last_attempted_run=at(50))
STATS: list[tuple[list[e.Event], tuple[int, int, int, int, float | None]]] = [
    ([], (0, 0, 0, 0, None)),
    ([created(J, 1), created(K, 1, disabled=True)], (2, 1, 0, 0, None)),
    ([created(J, 1, counters=GIVEN_COUNTERS)], (1, 0, 2, 5, 50)),
    ([created(J, 1), e.JobDisabled(job=J, at=at(2))], (1, 1, 0, 0, None)),
    ([created(J, 1, disabled=True), e.JobEnabled(job=J, at=at(2))], (1, 0, 0, 0, None)),
    ([created(J, 1, counters=GIVEN_COUNTERS), e.JobDeleted(job=J, at=at(2))], (0, 0, 0, 0, 50)),
    ([created(J, 1), started(R, 60), started(S, 61)], (1, 0, 0, 0, 61)),
    ([created(J, 1, counters=GIVEN_COUNTERS), started(R, 6), e.JobDeleted(job=J, at=at(2))], (0, 0, 0, 0, 50)),
    ([created(J, 1), started(R, 6), replace(finished(R, 7), outcome="succeeded")], (1, 0, 0, 1, 6)),
]


@pytest.mark.parametrize(("events", "sums"), STATS)
def test_the_sums(events: list[e.Event], sums: tuple[int, int, int, int, float | None]) -> None:
    stats = fed(numbered(events))[0].stats
    last = None if stats.last_attempted_run is None else stats.last_attempted_run / SECOND
    assert (stats.jobs, stats.disabled_jobs, stats.error_count, stats.success_count, last) == sums


# ---- runs

FAILED_ONCE = e.AttemptFailed(job=J, at=at(3), run=R, attempt=1, outcome="failed", retrying=True)
BEGUN = RunSummary(id=R, job=J, cause="manual", root=R, started=at(2), position=2, ordered=2, principal="ann")
ENDED = replace(
    BEGUN, ended=at(9), outcome="failed", exit_code=3, signal=9, reason="why", stdout_bytes=3, stderr_bytes=2
)
SUMMARIES: list[tuple[list[e.Event], RunSummary | None]] = [
    ([], None),
    ([started(R, 2)], BEGUN),
    ([replace(started(R, 2), tick=at(1), after=S, root=S)], replace(BEGUN, tick=at(1), after=S, root=S)),
    ([started(R, 2), FAILED_ONCE], replace(BEGUN, attempts=2, ordered=3)),
    ([started(R, 2), replace(FAILED_ONCE, retrying=False)], BEGUN),
    ([started(R, 2), chunk(R, "stdout", b"abc"), chunk(R, "stderr", b"de"), finished(R, 9)], ENDED),
    ([started(R, 2), chunk(R, "stdout", b"abc")], BEGUN),
    ([started(R, 2), e.StatusReported(job=J, at=at(3), run=R, status="Running")], replace(BEGUN, reported="Running")),
    (
        [started(R, 2), finished(R, 9, attempts=4), e.StatusReported(job=J, at=at(10), run=R, status="")],
        replace(ENDED, attempts=4, reported="", stdout_bytes=0, stderr_bytes=0),
    ),
    ([e.StatusReported(job=J, at=at(3), run=R, status="Running")], None),
    ([e.RunSkipped(job=J, at=at(3), run=R, cause="manual", reason="disabled", root=R)], None),
]


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(("events", "summary"), SUMMARIES)
def test_a_runs_summary(events: list[e.Event], summary: RunSummary | None, size: int) -> None:
    log = numbered([created(J, 1), *events])
    ends = [recorded.position for recorded in log if isinstance(recorded.event, e.RunFinished)]
    if summary is not None and ends:
        summary = replace(summary, end_position=ends[0])
    folds, store = fed(log, [size])
    assert folds.runs.get(R) == Folds(store).runs.get(R) == summary
    assert list(folds.runs.of_job(J, limit=9)) == ([summary] if summary else [])


def test_a_jobs_runs_are_listed_by_start() -> None:
    starts = [(f"r{i}", float(i * 7 % 10)) for i in range(10)]
    events: list[e.Event] = [created(J, 1), created(K, 1)]
    events += [started(RunId(run), seconds, J) for run, seconds in starts]
    events += [started(RunId(f"k{i}"), i, K) for i in range(5)]
    runs = fed(numbered(events))[0].runs
    in_order = [run for run, _ in sorted(starts, key=lambda pair: pair[1])]
    listed = list(runs.of_job(J, limit=100))
    assert [run.id for run in listed] == in_order
    assert [run.id for run in runs.of_job(J, limit=3)] == in_order[:3]
    for n, run in enumerate(listed):
        assert [r.id for r in runs.of_job(J, after=run, limit=2)] == in_order[n + 1 : n + 3]
    assert len(list(runs.of_job(K, limit=100))) == 5
    assert list(runs.of_job(JobId("nobody"), limit=100)) == []
    assert runs.get(RunId("r" * 10_000)) is None


# ---- output

CHUNKS = st.lists(st.tuples(st.sampled_from(CHANNELS), st.binary(max_size=5)), max_size=12)


def read(folds: Folds, log: Log, start: int, channel: str | None) -> bytes:
    """A run's output from this byte on, as the scheduler reads it."""
    text = b""
    for piece in folds.output.pieces(R, start=start, channel=channel):
        event = log[piece.position - 1].event
        assert isinstance(event, e.OutputChunk)
        assert (piece.channel, piece.length) == (event.channel, len(event.content))
        text += event.content[max(start - (piece.offset if channel else piece.total), 0) :]
    return text


def written(chunks: Iterable[tuple[str, bytes]], channel: str | None) -> bytes:
    return b"".join(content for its_channel, content in chunks if channel in (None, its_channel))


@settings(max_examples=80, deadline=None)
@given(chunks=CHUNKS, sizes=SIZES, reopened=st.integers(0, 12))
def test_output_is_found_from_every_byte(chunks: list[tuple[str, bytes]], sizes: list[int], reopened: int) -> None:
    log = numbered([created(J, 1), started(R, 2), *(chunk(R, channel, content) for channel, content in chunks)])
    _, store = fed(log[: 2 + reopened], sizes)
    folds = Folds(store)
    feed(folds, log, sizes)
    for channel in (None, *CHANNELS):
        expected = written(chunks, channel)
        for start in range(len(expected) + 2):
            assert read(folds, log, start, channel) == expected[start:]
    both = len(written(chunks, "stdout")), len(written(chunks, "stderr"))
    assert folds.output.sizes(R) == Folds(store).output.sizes(R) == both
    assert folds.output.sizes(S) == (0, 0)


def test_much_output_is_found_from_anywhere() -> None:
    chunks = [(CHANNELS[n % 3 == 0], bytes([n % 256]) * (n % 5)) for n in range(1_100)]
    other = [chunk(S, "stdout", b"other"), chunk(RunId("r\xff"), "stdout", b"other")]
    log = numbered([*other, *(chunk(R, channel, content) for channel, content in chunks), *other])
    folds, _ = fed(log, [100])
    for channel in (None, *CHANNELS):
        expected = written(chunks, channel)
        for start in (*range(0, len(expected), 97), len(expected) - 1, len(expected)):
            assert read(folds, log, start, channel) == expected[start:]
        assert len(list(folds.output.pieces(R, start=len(expected) - 1, channel=channel))) == 1


def test_pieces_follow_each_other_without_a_gap() -> None:
    log = numbered(chunk(R, CHANNELS[n % 2], b"x" * n) for n in range(1, 40))
    pieces = list(fed(log)[0].output.pieces(R))
    assert len(pieces) == len(log)
    assert all(a.total + a.length == b.total and a.position + 1 == b.position for a, b in pairwise(pieces))


def test_output_after_the_end_is_kept_whatever_the_batch() -> None:
    log = numbered([created(J, 1), started(R, 2), chunk(R, "stdout", b"ab"), finished(R, 3), chunk(R, "stdout", b"cd")])
    assert [read(fed(log, [size])[0], log, 0, None) for size in (1, 5)] == [b"abcd", b"abcd"]


# ---- receipts

KEPT = limits.IDEMPOTENCY_KEPT_SECONDS


def test_a_receipt_is_the_answer() -> None:
    answer = replace(answered("a", 1), headers=(("Location", "/x"),), body=b"{}")
    folds, store = fed(numbered([answer, answered("b", 1)]))
    for receipts in (folds.receipts, Folds(store).receipts):
        assert (receipts.get("a"), receipts.get("b"), receipts.get("c")) == (answer, answered("b", 1), None)


@pytest.mark.parametrize(("later", "kept"), [(0, True), (KEPT, True), (KEPT + 1e-6, False)])
def test_a_receipt_is_kept_for_its_time(later: float, kept: bool) -> None:
    folds, store = fed(numbered([answered("old", 100), answered("new", 100 + later)]))
    assert (folds.receipts.get("old") is not None) is kept
    assert folds.receipts.get("new") is not None
    assert len(rows(store)) == (5 if kept else 3), "two rows a receipt, and the position"


def test_forgetting_keeps_up_with_answering() -> None:
    old = [answered(f"old{n}", 100 + n) for n in range(10)]
    new = [answered(f"new{n}", 200 + KEPT + n) for n in range(3)]
    left: list[int] = []
    for n in range(4):
        folds, _ = fed(numbered([*old, *new[:n]]))
        left.append(sum(folds.receipts.get(answer.key) is not None for answer in old))
        assert all(folds.receipts.get(answer.key) is not None for answer in new[:n])
    assert left == [10, 6, 2, 0]


def test_forgetting_does_not_depend_on_the_batches() -> None:
    log = numbered([answered(f"k{n}", 100 + n * KEPT / 5) for n in range(40)])
    first = rows(fed(log, [1])[1])
    assert [rows(fed(log, [size])[1]) == first for size in (2, 7, 40)] == [True, True, True]

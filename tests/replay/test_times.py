"""Which position a time is: clocks jump, and ends are reported late."""

from collections.abc import Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import JobSpec
from kala_es.domain.trimming import BasePart, BaseTaken
from kala_es.event_log import Record
from kala_es.event_logs.lmdb_reader import LogReader
from kala_es.event_logs.memory import MemoryEventLog
from kala_es.projections import snapshot
from kala_es.replay import times
from kala_es.replay.moments import Moment, NotKnown, Replay, empty_folds, feed
from kala_es.replay.times import Place, Search
from kala_es.runtime.rebuilding import restore
from tests.replay.logs import opened


def at(*moments: int, kind: type = e.JobEnabled) -> list[Record]:
    """Records with these times."""
    return placed([kind(job=JobId("a"), at=Instant(moment)) for moment in moments])


def placed(events: Sequence[e.Event]) -> list[Record]:
    new = [codec.encode(event) for event in events]
    return [Record(i, n.stream, n.type, n.version, n.time, n.principal, n.body) for i, n in enumerate(new, 1)]


def place(records: Sequence[Record], time: int) -> int:
    search = Search(Instant(time))
    search.look(records)
    return search.place.position


def end(moment: int) -> e.RunFinished:
    return e.RunFinished(
        job=JobId("a"), at=Instant(moment), run=RunId("r"), outcome="succeeded", attempts=1, root=RunId("r")
    )


def start(moment: int, after: RunId | None = None) -> e.RunStarted:
    run = RunId("s")
    return e.RunStarted(job=JobId("b"), at=Instant(moment), run=run, cause="parent", root=run, after=after)


@given(st.lists(st.integers(0, 20)), st.integers(-1, 21))
def test_times_in_order_are_what_they_seem(moments: list[int], time: int) -> None:
    records = at(*sorted(moments))
    assert place(records, time) == sum(moment <= time for moment in moments)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 9))
def test_a_place_is_contradicted_by_the_fewest_records(moments: list[int], time: int) -> None:
    def against(position: int) -> int:
        return sum(m > time for m in moments[:position]) + sum(m <= time for m in moments[position:])

    assert place(at(*moments), time) == min(range(len(moments), -1, -1), key=against)


def test_a_clock_that_was_ahead_for_a_while_hides_nothing() -> None:
    records = at(10, 11, 99, 98, 12, 13, 14, 15)
    assert [place(records, time) for time in (10, 11, 13, 14, 50, 100)] == [1, 2, 6, 7, 8, 8]


def test_a_clock_that_was_behind_for_a_while_brings_nothing_forward() -> None:
    records = at(10, 11, 12, 13, 1, 14, 15)
    assert [place(records, time) for time in (0, 5, 10, 11, 13, 14)] == [0, 0, 1, 2, 5, 6]


def test_what_is_reported_late_was_not_known_before() -> None:
    late = placed([start(10), start(50), *[end(20)] * 5, *[start(20, after=RunId("r"))] * 5, start(51)])
    assert [place(late, time) for time in (10, 20, 49, 50, 51)] == [1, 1, 1, 12, 13]


def test_who_is_wrong_for_long_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "MISTIMED_POSITIONS", 5)
    search = Search(Instant(20))
    assert not search.look(at(10, 99, 99, 99, 99, 99))
    assert search.look(at(10, 99, 99, 99, 99, 99, 99))
    assert search.place == Place(1, 1, Instant(20))


async def test_a_replay_and_a_restored_log_see_through_a_clock_that_was_ahead(tmp_path: Path) -> None:
    names = {10: "created", 11: "edited", 99: "while it was ahead", 12: "corrected", 13: "again", 14: "once more"}
    specs = [(moment, JobSpec(name=name, command="true")) for moment, name in names.items()]
    events = [
        (e.JobUpdated if position else e.JobCreated)(job=JobId("a"), at=Instant(moment), spec=spec)
        for position, (moment, spec) in enumerate(specs)
    ]
    log = opened(tmp_path / "log")
    for event in events:
        await log.append([codec.encode(event)])
    await log.close()
    for moment in (10, 11, 13, 14, 98):
        with closing(LogReader(tmp_path / "log")) as reader:
            folds = Replay(reader, Moment(time=Instant(moment))).finish()
        name = names.get(moment, "once more")
        assert folds.jobs.by_id[JobId("a")].spec.name == name
        end = restore(tmp_path / "log", tmp_path / f"{moment}", Moment(time=Instant(moment)))[0]
        assert end == folds.position == [*names.values()].index(name) + 1


async def erased_up_to_a_base(edited: int) -> MemoryEventLog:
    """A job that was created at 10 and edited, a base of 25 for which both are erased, and edits at 30 and 40."""
    log, job = MemoryEventLog(), JobId("a")
    spec = JobSpec(name="of the base", command="true")
    await append(log, e.JobCreated(job=job, at=Instant(10), spec=spec), e.JobEnabled(job=job, at=Instant(edited)))
    folds = empty_folds()
    feed(folds, log.read_now(0, limit=2))
    contents = list(snapshot.freeze(folds, b""))
    parts = [BasePart(at=Instant(25), base=2, number=i, content=part) for i, part in enumerate(contents, 1)]
    digest = blake2b(b"".join(contents), digest_size=32).digest()
    await append(log, *parts, BaseTaken(at=Instant(25), base=2, parts=len(parts), digest=digest, forgotten=0))
    for moment in (30, 40):
        await append(log, e.JobUpdated(job=job, at=Instant(moment), spec=JobSpec(name=f"of {moment}", command="true")))
    await log.trim([1, 2])
    return log


async def append(log: MemoryEventLog, *events: e.Event) -> None:
    await log.append([codec.encode(event) for event in events])


@pytest.mark.parametrize(("edited", "known"), [(20, (20, 24, 25)), (99, (25,))])
async def test_a_time_of_which_the_facts_are_erased_is_not_known(edited: int, known: tuple[int, ...]) -> None:
    log = await erased_up_to_a_base(edited)
    for moment, name in (*((moment, "of the base") for moment in known), (30, "of 30"), (39, "of 30"), (41, "of 40")):
        folds = Replay(log, Moment(time=Instant(moment))).finish()
        assert folds.jobs.by_id[JobId("a")].spec.name == name
    for moment in (9, 10, min(known) - 1):
        with pytest.raises(NotKnown, match="facts up to position 2 were erased"):
            Replay(log, Moment(time=Instant(moment))).finish()


def test_a_place_covers_what_was_recorded_by_then() -> None:
    found = Place(position=9, known=6, time=Instant(20))
    assert found.covers(6, Instant(99))
    assert found.covers(9, Instant(20))
    assert not found.covers(9, Instant(21))
    assert not found.covers(10, Instant(1))

"""Runs whose output the log was made without: told from those that printed nothing, and those whose output is there."""

from collections.abc import Sequence

import pytest

from kala_es import codec, limits
from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.event_logs.memory import MemoryEventLog
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.log_reader import LogReader

JOB = JobId("j")


def start(run: str) -> e.Event:
    return e.RunStarted(job=JOB, at=Instant(1), run=RunId(run), cause="manual", root=RunId(run))


def end(run: str) -> e.Event:
    return e.RunFinished(job=JOB, at=Instant(9), run=RunId(run), outcome="succeeded", attempts=1, root=RunId(run))


def chunk(run: str, sequence: int = 1) -> e.Event:
    number = {"attempt": 1, "sequence": sequence, "offset": sequence - 1}
    return e.OutputChunk(job=JOB, at=Instant(5), run=RunId(run), channel="stdout", content=b"x", **number)


def imported(run: str, chunks: int) -> e.Event:
    times = {"at": Instant(9), "started": Instant(1), "ended": Instant(2)}
    told = {"source": "dkron", "execution": run, "outcome": "succeeded", "chunks": chunks}
    return e.RunImported(job=JOB, run=RunId(run), **times, **told)  # type: ignore[arg-type]


async def left_out(events: Sequence[e.Event], *, up_to: int, missing: Sequence[int]) -> dict[str, bool]:
    """Of a log of which some positions are missing, the runs whose output it was made without."""
    log, folds = MemoryEventLog(), Folds(MemoryFoldStore())
    await log.append([codec.encode(event) for event in events])
    await log.trim(missing)
    for record in await log.read(0, limit=1_000):
        folds.apply([Recorded(record.position, codec.decode(record), "")])
    reader = LogReader(log, folds, left_out=up_to)
    runs = dict.fromkeys(event.run for event in events if isinstance(event, e.RunStarted | e.RunImported))
    found = {str(run): folds.runs.get(run) for run in runs}
    return {name: await reader.is_left_out(run) for name, run in found.items() if run is not None}


async def test_a_run_between_whose_start_and_end_records_are_missing() -> None:
    events = [start("talks"), chunk("talks"), end("talks"), start("silent"), end("silent")]
    assert await left_out(events, up_to=5, missing=[2]) == {"talks": True, "silent": False}
    assert await left_out(events, up_to=0, missing=[2]) == {"talks": False, "silent": False}, "a trimmed one's"


async def test_output_that_is_there_is_shown() -> None:
    events = [start("whole"), chunk("whole"), start("trimmed"), chunk("trimmed"), end("trimmed"), end("whole")]
    assert await left_out(events, up_to=6, missing=[4]) == {"whole": False, "trimmed": True}


async def test_what_came_after_is_of_another_kind() -> None:
    events = [start("a"), chunk("a"), chunk("a", 2), end("a"), start("b"), chunk("b"), end("b")]
    assert await left_out(events, up_to=2, missing=[2]) == {"a": True, "b": False}
    assert await left_out(events, up_to=2, missing=[6]) == {"a": False, "b": False}


async def test_a_run_in_flight_is_looked_at_up_to_there() -> None:
    events = [start("a"), chunk("a"), start("b"), chunk("b"), start("c")]
    assert await left_out(events, up_to=3, missing=[2]) == {"a": True, "b": False, "c": False}


async def test_the_output_of_an_imported_run_stands_before_it() -> None:
    events = [start("a"), chunk("x"), imported("x", 1), imported("y", 0), end("a")]
    assert await left_out(events, up_to=5, missing=[2]) == {"a": True, "x": True, "y": False}


async def test_of_very_many_records_not_all_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [start("a"), *(chunk("b", number) for number in range(1, 300)), end("a")]
    assert await left_out(events, up_to=301, missing=[]) == {"a": False}
    monkeypatch.setattr(limits, "MAX_LOOKED_AT_FOR_OUTPUT", 100)
    assert await left_out(events, up_to=301, missing=[]) == {"a": True}

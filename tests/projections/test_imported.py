"""Imported runs in the catalogue: over, in the order of their starts, with their output, and nowhere else.

Law 1 for them: whatever the batches, and from the log alone, the folds are the same byte for byte.
"""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es.domain import events as e
from kala_es.domain.ids import Instant, RunId
from kala_es.domain.imported_runs import ImportedFrom, ImportedRun, fact_of, output_of
from kala_es.domain.trimming import RunsTrimmed, TrimmedRun
from kala_es.domain.values import replace
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections.folds import Folds
from kala_es.projections.runs import RunSummary
from tests.domain.test_reactions import STEPS, Step
from tests.projections.test_folds import (
    SIZES,
    SPICE,
    J,
    R,
    S,
    at,
    created,
    everything,
    fed,
    feed,
    finished,
    frozen,
    history,
    numbered,
    read,
    started,
)

RUN = ImportedRun(id=R, execution="x", started=at(100), ended=at(101), outcome="failed", attempts=2, reason="why")


def imported(run: ImportedRun, seconds: float = 500) -> list[e.Event]:
    """What is recorded of an imported run."""
    return [*output_of(run, J, at=at(seconds)), fact_of(run, J, at=at(seconds), source="nextkala")]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_its_summary_is_that_of_a_run_that_is_over(size: int) -> None:
    log = numbered([created(J, 1), *imported(replace(RUN, output=b"a" * 20_000))])
    folds, store = fed(log, [size])
    summary = RunSummary(
        id=R,
        job=J,
        cause="imported",
        root=R,
        started=at(100),
        position=2,
        ordered=2,
        end_position=4,
        principal="ann",
        attempts=2,
        ended=at(101),
        outcome="failed",
        reason="why",
        stdout_bytes=20_000,
        imported=ImportedFrom(source="nextkala", execution="x"),
    )
    assert folds.runs.get(R) == Folds(store).runs.get(R) == summary
    assert read(folds, log, 0, None) == b"a" * 20_000
    assert read(folds, log, 16_380, "stdout") == b"a" * 3_620
    past = folds.history.of(J)
    assert (past.kept, past.kept_bytes, folds.history.sums.runs) == (1, 20_000, 1)
    assert folds.output._live == {}, "nothing of it stays in memory"


def test_it_stands_among_the_others_by_its_start() -> None:
    early, late = replace(RUN, started=at(2)), replace(RUN, id=S, started=at(7))
    mine: list[e.Event] = [started(RunId("m"), 5), finished(RunId("m"), 6)]
    folds, _ = fed(numbered([created(J, 1), *mine, *imported(late), *imported(early)]))
    assert [run.id for run in folds.runs.of_job(J, limit=9)] == [R, "m", S]
    assert list(folds.history.kept(J)) == [R, "m", S]


def test_nothing_counts_it_and_nothing_follows_from_it() -> None:
    log = numbered([created(J, 1), *imported(replace(RUN, output=b"some"))])
    before, after = fed(log[:1])[0], Folds(MemoryFoldStore())
    assert feed(after, log) == []
    assert (after.jobs.get(J), after.stats, list(after.busy)) == (before.jobs.get(J), before.stats, [])
    assert (after.trees.open, after.watch.failing) == ({}, set())


def test_trimmed_it_keeps_its_summary() -> None:
    trimmed = RunsTrimmed(job=J, at=at(600), runs=(TrimmedRun(run=R, digest=b"d", stdout_bytes=4),))
    folds, _ = fed(numbered([created(J, 1), *imported(replace(RUN, output=b"some")), trimmed]))
    summary = folds.runs.get(R)
    assert summary is not None
    assert (summary.trimmed, summary.stdout_bytes, summary.imported is not None) == (True, 4, True)
    assert list(folds.output.pieces(R)) == []


IMPORTS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 400), st.integers(0, 40_000)), max_size=5)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, spice=SPICE, sizes=SIZES, imports=IMPORTS, cut=st.integers(0, 60))
def test_batches_and_restarts_do_not_matter(
    steps: list[Step], spice: list[int], sizes: list[int], imports: Sequence[tuple[int, int, int]], cut: int
) -> None:
    """The world's log, with imported runs here and there: the live folds, those of a restart, those of a replay."""
    events = [recorded.event for recorded in history(steps, spice)]
    for i, (place, start, size) in enumerate(imports):
        run = replace(RUN, id=RunId(f"imported{i}"), started=Instant(start), output=b"x" * size)
        events[place % (len(events) + 1) : place % (len(events) + 1)] = imported(run)
    log = numbered(events)
    live = fed(log, sizes)
    replayed = fed(log, [len(log)])
    _, store = fed(log[:cut], sizes)
    again = fed(log, sizes, store)
    assert everything(*live, log) == everything(*replayed, log) == everything(*again, log)
    assert [live[0].runs.get(RunId(f"imported{i}")) for i in range(len(imports))].count(None) == 0
    if not live[0].trees.open:
        assert frozen(live[0]) == frozen(replayed[0])

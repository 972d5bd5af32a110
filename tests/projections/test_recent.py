"""What ended lately: what is counted in which hour, which runs are listed, for how long, and where it is kept."""

from pathlib import Path
from typing import Any

import cbor2
import pytest

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.model import Outcome
from kala_es.domain.values import replace
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections import snapshot
from kala_es.projections.folds import Folds
from kala_es.projections.recent import Hour, Recent, hour_of
from tests.projections.test_folds import created, fed, finished, frozen, numbered, started

J = JobId("j")
HOUR = 3600


def ended(run: str, seconds: float, outcome: Outcome = "succeeded") -> e.RunFinished:
    return replace(finished(RunId(run), seconds), outcome=outcome)


def at(seconds: float) -> Instant:
    return Instant(int(seconds * SECOND))


def folded(*events: e.JobEvent) -> Recent:
    recent = Recent()
    for event in events:
        recent.apply(event)
    return recent


def test_each_end_is_counted_in_its_hour_and_ticks_that_started_nothing_too() -> None:
    skipped = e.RunSkipped(job=J, at=at(HOUR), run=RunId("s"), cause="schedule", reason="disabled", root=RunId("s"))
    missed = e.TickMissed(job=J, at=at(HOUR + 1), first=at(1), last=at(3), count=3, reason="the server was down")
    recent = folded(ended("a", HOUR - 1), ended("b", HOUR, "timed-out"), ended("c", HOUR + 1), skipped, missed)
    assert recent.hours(0, 3) == [
        (0, Hour(succeeded=1)),
        (1, Hour(succeeded=1, timed_out=1, skipped=1, missed=3)),
        (2, Hour()),
    ]
    assert hour_of(at(HOUR)) == 1


def test_the_newest_runs_are_listed_and_failures_apart() -> None:
    recent = folded(
        ended("a", 1), ended("b", 2, "failed"), ended("c", 3, "cancelled"), ended("d", 4, "lost"), ended("e", 5)
    )
    assert list(recent.ended) == ["a", "b", "c", "d", "e"]
    assert list(recent.failed) == ["b", "d"]


def test_only_so_many_are_held() -> None:
    more = limits.RECENT_RUNS + 3
    recent = folded(*(ended(str(i), i * HOUR, "failed") for i in range(more)))
    assert (len(recent.ended), recent.ended[-1]) == (limits.RECENT_RUNS, str(more - 1))
    assert (len(recent.failed), recent.failed[0]) == (limits.RECENT_FAILURES, str(more - limits.RECENT_FAILURES))
    known = [number for number, hour in recent.hours(0, more) if hour != Hour()]
    assert known == list(range(more - limits.HOURS_COUNTED, more))


LOG = numbered([created(J, 1), started(RunId("r"), 2), ended("r", 3, "failed"), started(RunId("q"), 4), ended("q", 5)])
KNOWN = {"hours": {0: {"failed": 1, "succeeded": 1}}, "ended": ["r", "q"], "failed": ["r"]}


def read_from(path: Path, content: bytes) -> Folds | None:
    snapshot.write(path, snapshot.sealed([content]))
    folds = Folds(MemoryFoldStore())
    return folds if snapshot.load(path, folds, len(LOG)) else None


def changed(content: bytes, **head: Any) -> bytes:
    top = cbor2.loads(content)
    rest = content[len(cbor2.dumps(top)) :]
    return cbor2.dumps({name: value for name, value in {**top, **head}.items() if value is not None}) + rest


def test_a_snapshot_has_them(tmp_path: Path) -> None:
    folds, _ = fed(LOG)
    assert folds.recent.dump() == KNOWN
    read = read_from(tmp_path / "s", frozen(folds))
    assert read is not None
    assert read.recent.dump() == KNOWN


def test_a_start_does_not_go_on_from_a_snapshot_without_them_but_shows_the_past_from_it(tmp_path: Path) -> None:
    old = changed(frozen(fed(LOG)[0]), recent=None)
    assert read_from(tmp_path / "s", old) is None
    shown = Folds(MemoryFoldStore())
    assert snapshot.fill(shown, old, len(LOG))
    assert (shown.position, shown.recent.dump()) == (len(LOG), {"hours": {}, "ended": [], "failed": []})


@pytest.mark.parametrize(
    "recent", [{"hours": {"x": {}}}, {"hours": {0: {"exploded": 1}}}, {"ended": [1]}, {"failed": 7}, {"ended": [None]}]
)
def test_what_cannot_be_read_is_not(tmp_path: Path, recent: Any) -> None:
    content = changed(frozen(fed(LOG)[0]), recent=recent)
    assert read_from(tmp_path / "s", content) is None
    folds = Folds(MemoryFoldStore())
    assert not snapshot.fill(folds, content, len(LOG))
    assert (folds.days.dump(), folds.jobs.by_id) == ({}, {})

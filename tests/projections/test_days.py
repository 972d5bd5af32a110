"""How the runs of each day ended: what is counted, on which day, for how long, and where it is kept."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import cbor2
import pytest

from kala_es import codec, limits
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.model import Outcome
from kala_es.domain.trimming import BaseTaken
from kala_es.domain.values import replace
from kala_es.event_log import LogDamaged
from kala_es.event_logs.memory import MemoryEventLog
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections import snapshot
from kala_es.projections.days import Day, Days
from kala_es.projections.folds import Folds
from kala_es.runtime.recovery import replay
from tests.projections.test_folds import created, fed, finished, frozen, numbered, started

J, R = JobId("j"), RunId("r")
DAY = 86_400


def ended(seconds: float, outcome: Outcome = "succeeded") -> e.RunFinished:
    return replace(finished(R, seconds), outcome=outcome)


def skipped(seconds: float) -> e.RunSkipped:
    at = Instant(int(seconds * SECOND))
    return e.RunSkipped(job=J, at=at, run=R, cause="schedule", reason="disabled", root=R)


def counted(events: Sequence[e.JobEvent], now: float, count: int) -> list[tuple[int, Day]]:
    days = Days()
    for event in events:
        days.apply(event)
    return days.until(Instant(int(now * SECOND)), count)


def test_each_end_is_counted_by_its_outcome() -> None:
    for outcome in get_args(Outcome):
        ((_, day),) = counted([ended(1), ended(2, outcome), started(R, 3)], 4, 1)
        assert day == replace(Day(succeeded=1), **{outcome.replace("-", "_"): 2 if outcome == "succeeded" else 1})
    assert counted([skipped(1), skipped(2)], 4, 1) == [(0, Day(skipped=2))]


def test_a_day_is_one_of_utc_and_those_without_an_end_are_there_too() -> None:
    events = [ended(DAY - 1e-6), ended(DAY), ended(DAY, "failed"), ended(3 * DAY)]
    assert counted(events, 3 * DAY + 5, 5) == [
        (-1, Day()),
        (0, Day(succeeded=1)),
        (1, Day(succeeded=1, failed=1)),
        (2, Day()),
        (3, Day(succeeded=1)),
    ]


def test_a_day_begins_at_midnight_as_calendars_have_it() -> None:
    moment = datetime(2026, 11, 26, tzinfo=UTC).timestamp()
    ((number, day),) = counted([ended(moment)], moment, 1)
    assert (datetime.fromtimestamp(number * DAY, UTC).isoformat(), day.succeeded) == ("2026-11-26T00:00:00+00:00", 1)


def test_only_the_newest_days_are_held_whatever_the_order() -> None:
    most = limits.DAYS_COUNTED
    events = [ended(day * DAY) for day in (*range(0, most + 10, 2), *range(1, most + 10, 2))]
    assert [day.succeeded for _, day in counted(events, (most + 9) * DAY, most + 10)] == [0] * 10 + [1] * most
    assert [day.succeeded for _, day in counted([*events, ended(3 * DAY)], 9 * DAY, 10)] == [0] * 10


# ---- kept as the other folds of memory are

LOG = numbered([created(J, 1), started(R, 2), ended(3), started(R, DAY), ended(DAY + 1, "lost"), skipped(2 * DAY)])
KNOWN = {0: {"succeeded": 1}, 1: {"lost": 1}, 2: {"skipped": 1}}


def without_days(content: bytes) -> bytes:
    """A snapshot as it was written before there were days."""
    top, rest = cbor2.loads(content), content[len(cbor2.dumps(cbor2.loads(content))) :]
    del top["days"]
    return cbor2.dumps(top) + rest


def read_from(path: Path, content: bytes) -> Folds | None:
    snapshot.write(path, snapshot.sealed([content]))
    folds = Folds(MemoryFoldStore())
    return folds if snapshot.load(path, folds, len(LOG)) else None


def test_a_snapshot_has_them(tmp_path: Path) -> None:
    folds, _ = fed(LOG)
    assert folds.days.dump() == KNOWN
    read = read_from(tmp_path / "s", frozen(folds))
    assert read is not None
    assert read.days.dump() == KNOWN


def test_a_start_does_not_go_on_from_a_snapshot_that_is_older_than_they_are(tmp_path: Path) -> None:
    old = without_days(frozen(fed(LOG)[0]))
    assert read_from(tmp_path / "s", old) is None
    assert not snapshot.has_all(old)
    assert snapshot.has_all(frozen(fed(LOG)[0]))


async def test_such_a_start_counts_them_anew(tmp_path: Path) -> None:
    log = MemoryEventLog()
    await log.append([codec.encode(recorded.event) for recorded in LOG])
    live, store = fed(LOG)
    content = b"".join(snapshot.freeze(live, snapshot.anchor_of(log.read_now(len(LOG) - 1, limit=1)[0].body)))
    for saved, records in ((content, 0), (without_days(content), len(LOG))):
        snapshot.write(tmp_path / "s", snapshot.sealed([saved]))
        folds = Folds(store)
        assert await replay(log, folds, head=len(LOG), snapshot_path=tmp_path / "s") == records
        assert (folds.days.dump(), folds.jobs.by_id) == (KNOWN, live.jobs.by_id)


def test_a_moment_of_the_past_and_a_base_are_read_from_one(tmp_path: Path) -> None:
    whole = fed(LOG)[0]
    old, shown, based = without_days(frozen(whole)), Folds(MemoryFoldStore()), Folds(MemoryFoldStore())
    assert snapshot.fill(shown, old, len(LOG))
    for _ in snapshot.filling_base(based, old, taken(old)):
        pass
    for folds in (shown, based):
        assert (folds.jobs.by_id, folds.position, folds.days.dump()) == (whole.jobs.by_id, len(LOG), {})


def taken(content: bytes) -> BaseTaken:
    digest = snapshot.sealed([content])[-32:]
    return BaseTaken(at=Instant(9), base=len(LOG), parts=1, digest=digest)


@pytest.mark.parametrize("days", [{"x": {}}, {0: {"succeeded": "many"}}, {0: {"exploded": 1}}])
def test_days_that_cannot_be_read_are_not(tmp_path: Path, days: Any) -> None:
    content = frozen(fed(LOG)[0])
    top = cbor2.loads(content)
    changed = cbor2.dumps({**top, "days": days}) + content[len(cbor2.dumps(top)) :]
    assert read_from(tmp_path / "s", changed) is None
    folds = Folds(MemoryFoldStore())
    with pytest.raises(LogDamaged):
        list(snapshot.filling_base(folds, changed, taken(changed)))
    assert (folds.days.dump(), folds.jobs.by_id) == ({}, {})

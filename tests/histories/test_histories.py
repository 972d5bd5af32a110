"""Logs that released versions wrote, kept for ever: this version replays each to the state recorded beside it.

`NAME.records.jsonl` holds a record a line (the body in base64), `NAME.state.json` what its folds must say. A new
release adds a pair; a pair is never changed.
"""

import base64
import json
from pathlib import Path
from typing import Any, get_args

import pytest
import trio

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.values import to_plain
from kala_es.event_log import NewRecord, Record
from kala_es.event_logs.memory import MemoryEventLog
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.recovery import replay

HERE = Path(__file__).parent
NAMES = sorted(path.name.removesuffix(".records.jsonl") for path in HERE.glob("*.records.jsonl"))


def records(name: str) -> list[Record]:
    """The records of a history."""
    lines = (HERE / f"{name}.records.jsonl").read_text().splitlines()
    return [Record(**{**plain, "body": base64.b64decode(plain["body"])}) for plain in map(json.loads, lines)]


async def replayed(kept: list[Record]) -> Folds:
    """The folds after these records; positions that are missing are those of records that were erased."""
    log, folds, holes = MemoryEventLog(), Folds(MemoryFoldStore()), list[int]()
    for record in kept:
        new = NewRecord(record.stream, record.type, record.version, record.time, record.principal, record.body)
        while log.head < record.position - 1:
            holes.append(await log.append([new]))
        await log.append([new])
    await log.trim(holes)
    await replay(log, folds, head=log.head)
    return folds


def state(kept: list[Record]) -> dict[str, Any]:
    """What the folds say after these records, as JSON has it."""
    folds = trio.run(replayed, kept)
    recorded = [Recorded(r.position, codec.decode(r), r.principal) for r in kept]
    runs = {r.event.run for r in recorded if isinstance(r.event, e.RunStarted | e.RunImported)}
    keys = [r.event.key for r in recorded if isinstance(r.event, e.RequestAnswered)]
    said = {
        "jobs": [to_plain(job) for job in folds.jobs.after("")],
        "children": {job: folds.jobs.graph.children(job) for job in folds.jobs.ids()},
        "stats": [folds.stats.jobs, folds.stats.disabled_jobs, folds.stats.success_count, folds.stats.error_count],
        "busy": [run.id for _, run in folds.busy],
        "trees": {root: to_plain(tree) for root, tree in folds.trees.open.items()},
        "runs": [to_plain(summary) for run in sorted(runs) if (summary := folds.runs.get(run))],
        "answers": [folds.receipts.get(key).status for key in keys],  # type: ignore[union-attr]
    }
    notices = folds.notices.after(0, job=None, limit=1_000)
    if told := [{**to_plain(notice), "waits": notice.due.notice in folds.watch.waiting} for notice in notices]:
        said |= {"notices": told, "failing": sorted(folds.watch.failing)}
    if folds.handovers.count:
        said["handovers"] = [to_plain(handover) for handover in folds.handovers]
    return dict(json.loads(json.dumps(said, default=bytes.hex)))


@pytest.mark.parametrize("name", NAMES)
def test_a_history_replays_to_its_state(name: str) -> None:
    kept = json.loads((HERE / f"{name}.state.json").read_text())
    said = state(records(name))
    pairs = zip(said["runs"], kept["runs"], strict=True)  # a later version may say more of a run, never otherwise
    said["runs"] = [{name: run[name] for name in old} for run, old in pairs]
    assert said == kept


def test_every_event_type_and_version_has_a_history() -> None:
    seen = {(record.type, record.version) for name in NAMES for record in records(name)}
    for kind in get_args(e.Event):
        version = codec.version_of(kind)
        assert {(kind.__name__, v) for v in range(1, version + 1)} <= seen

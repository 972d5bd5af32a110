"""How long a moment of the past takes to be folded, from the log's beginning and from a snapshot. One JSON line."""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import trio

from bench.replay import history
from kala_es import codec
from kala_es.event_logs.lmdb import open_log
from kala_es.event_logs.lmdb_reader import LogReader
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.lmdb_reader import read_folds
from kala_es.projections import past, snapshot
from kala_es.replay.moments import Moment, Replay

_COMMIT = 100
_AFTER_SNAPSHOT = 5_000


async def fill(directory: Path, count: int) -> None:
    """A log of so many events."""
    folds = open_folds(directory)
    log = open_log(directory, folds)
    events = history(count)
    for i in range(0, len(events), _COMMIT):
        await log.append([codec.encode(event) for event in events[i : i + _COMMIT]])
    await log.close()
    folds.close()


def measure(directory: Path) -> dict[str, float]:
    """Seconds, and events a second."""
    reader, snapshots = LogReader(directory, read_folds(directory)), directory / "snapshots"
    middle = reader.head // 2
    folds = Replay(reader, Moment(position=middle)).finish()
    (record,) = reader.read_now(middle - 1, limit=1)
    content = snapshot.sealed(list(snapshot.freeze(folds, snapshot.anchor_of(record.body))))
    past.keep(snapshots, content, position=middle, time=folds.latest)
    began = time.perf_counter()
    Replay(reader, Moment(position=middle + _AFTER_SNAPSHOT), snapshots).finish()
    near = time.perf_counter() - began
    began = time.perf_counter()
    Replay(reader, Moment(position=reader.head)).finish()
    rate = reader.head / (time.perf_counter() - began)
    reader.close()
    return {"near_snapshot_seconds": round(near, 3), "from_beginning_per_second": round(rate)}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        trio.run(fill, Path(directory), arguments.events)
        figures = measure(Path(directory))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"bench": "moments", "events": arguments.events, **figures, "peak_mib": memory}))


if __name__ == "__main__":
    main()

"""How fast a log of many short runs is replayed into the folds. One JSON line each: all folds, those of memory."""

import argparse
import json
import tempfile
import time
from pathlib import Path

import trio

from kala_es import codec
from kala_es.domain.events import Event, JobCreated, OutputChunk, RunFinished, RunStarted
from kala_es.domain.ids import Instant, JobId, run_for_tick
from kala_es.domain.model import JobSpec
from kala_es.projections.folds import Folds
from kala_es.runtime.recovery import replay
from kala_es.settings import Settings
from kala_es.storage import open_storage

_JOBS = 100
_START = 1_704_067_200_000_000
_MINUTE = 60_000_000


def history(count: int) -> list[Event]:
    """A hundred jobs that run each minute and print a line."""
    spec = JobSpec(name="bench", command="true", schedule="R/2024-01-01T00:00:00Z/PT1M")
    jobs = [JobId(f"job-{i}") for i in range(_JOBS)]
    events: list[Event] = [JobCreated(job=job, at=Instant(_START - 1), spec=spec) for job in jobs]
    tick = Instant(_START)
    while len(events) < count:
        for job in jobs:
            run = run_for_tick(job, Instant(_START - 1), tick)
            later = Instant(tick + 5_000)
            events += (
                RunStarted(job=job, at=tick, run=run, cause="schedule", root=run, tick=tick),
                OutputChunk(
                    job=job, at=later, run=run, attempt=1, sequence=1, channel="stdout", offset=0, content=b"one line\n"
                ),
                RunFinished(job=job, at=later, run=run, outcome="succeeded", attempts=1, root=run, exit_code=0),
            )
        tick = Instant(tick + _MINUTE)
    return events


async def measure(settings: Settings, count: int) -> dict[str, float]:
    """Events a second."""
    async with open_storage(settings) as storage:
        events = history(count)
        for i in range(0, len(events), 1000):
            await storage.log.append([codec.encode(event) for event in events[i : i + 1000]])
        figures = {}
        for name in ("all_folds", "memory_folds"):
            folds = Folds(storage.folds)
            began = time.perf_counter()
            replayed = await replay(storage.log, folds, head=storage.head())
            figures[f"{name}_per_second"] = replayed / (time.perf_counter() - began)
    return figures


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--log", default="", help="an empty PostgreSQL database for the log; see stores.py")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = trio.run(measure, Settings(data=Path(directory), log=arguments.log), arguments.events)
    named = {"bench": "replay", "events": arguments.events}
    print(json.dumps(named | {k: round(v) for k, v in figures.items()}))


if __name__ == "__main__":
    main()

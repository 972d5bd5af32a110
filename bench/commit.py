"""How long an append takes to be durable and folded, with the loop idle and with it saturated. One JSON line each."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from bench.harness import percentile
from kala_es.domain.events import JobCreated
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.model import JobSpec
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.lmdb import open_folds
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.log_writer import LogWriter

_BUSY_TASKS = 4
_BUSY_SECONDS = 0.0002


async def keep_busy() -> None:
    """Pure Python work, a fifth of a millisecond at a time."""
    while True:
        end = time.perf_counter() + _BUSY_SECONDS
        while time.perf_counter() < end:
            pass
        await trio.lowlevel.checkpoint()


async def appender(writer: LogWriter, number: int, waits: list[float]) -> None:
    """One append after another."""
    count = 0
    while True:
        count += 1
        event = JobCreated(
            job=JobId(f"{number}-{count}"),
            at=Instant(time.time_ns() // 1000),
            spec=JobSpec(name="bench", command="true", schedule="R/2099-01-01T00:00:00Z/P1D"),
        )
        began = time.perf_counter()
        await writer.append((event,))
        waits.append(1e3 * (time.perf_counter() - began))


async def measure(directory: Path, appenders: int, *, saturated: bool, seconds: float) -> dict[str, float]:
    """Appends a second and their waits in milliseconds."""
    waits: list[float] = []
    store = open_folds(directory)
    log = open_log(directory, store)
    folds = Folds(store)

    def fold(batch: Sequence[Recorded]) -> None:
        folds.apply(batch)

    writer = LogWriter(log, fold)
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            for i in range(appenders):
                nursery.start_soon(appender, writer, i, waits)
            for _ in range(_BUSY_TASKS * saturated):
                nursery.start_soon(keep_busy)
    await log.close()
    store.close()
    return {"per_second": len(waits) / seconds, "p50_ms": percentile(waits, 0.5), "p99_ms": percentile(waits, 0.99)}


def main() -> None:
    """Measure 1 and 100 appenders, idle and saturated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    sys.setswitchinterval(0.0005)
    for saturated in (False, True):
        for appenders in (1, 100):
            with tempfile.TemporaryDirectory() as directory:

                async def run(path: str = directory, n: int = appenders, busy: bool = saturated) -> dict[str, float]:
                    return await measure(Path(path), n, saturated=busy, seconds=arguments.seconds)

                figures = trio.run(run)
            named = {"bench": "commit", "appenders": appenders, "saturated": saturated}
            print(json.dumps(named | {k: round(v, 2) for k, v in figures.items()}))


if __name__ == "__main__":
    main()

"""Retention under load: many small runs through the real log, folds and janitor, keeping 100 a job.

A JSON line each so many runs: sizes of the files, waits of commits, resident memory. `--without` leaves the janitor
nothing to do, for comparison; `--rate` bounds the runs a second (0: as fast as it goes).
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from bench.harness import percentile, resident_mib
from kala_es.clock import SystemClock
from kala_es.domain.events import Event, JobCreated, OutputChunk, RunFinished, RunStarted
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.model import JobSpec
from kala_es.domain.retention import ALL, Kept
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.lmdb import open_folds
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.janitor import Janitor
from kala_es.runtime.log_writer import LogWriter

_CONTENT = b"a line of output, as a small run has it\n" * 3


class Load:
    """So many runs of so many jobs, a run in three commits, by a few appenders at once."""

    def __init__(self, directory: Path, arguments: argparse.Namespace) -> None:
        self.directory = directory
        self.arguments = arguments
        self.clock = SystemClock()
        self.store = open_folds(directory)
        self.log = open_log(directory, self.store)
        self.folds = Folds(self.store)
        self.writer = LogWriter(self.log, self.fold)
        kept = ALL if arguments.without else Kept(runs=100)
        self.janitor = Janitor(self.folds, clock=self.clock, log=self.log, writer=self.writer, kept=kept)
        self.begun = 0
        self.ended = 0
        self.waits: list[float] = []
        self.since = time.perf_counter()
        self.start = time.perf_counter()

    def fold(self, batch: Sequence[Recorded]) -> None:
        """As the node does it."""
        self.folds.apply(batch)
        self.janitor.note(batch)

    async def run(self) -> None:
        """All of it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.writer.run)
            nursery.start_soon(self.janitor.run)
            await self.writer.append([self.created(number) for number in range(self.arguments.jobs)])
            async with trio.open_nursery() as appenders:
                for _ in range(self.arguments.appenders):
                    appenders.start_soon(self.appender)
            await trio.sleep(5)  # the janitor comes to an end
            self.report()
            nursery.cancel_scope.cancel()
        await self.log.close()
        self.store.close()

    def created(self, number: int) -> Event:
        """A job."""
        return JobCreated(job=JobId(f"job-{number}"), at=self.clock.now(), spec=JobSpec(name="bench", command="true"))

    async def appender(self) -> None:
        """One run after another."""
        while self.begun < self.arguments.runs:
            number = self.begun = self.begun + 1
            if self.arguments.rate:
                ahead = number / self.arguments.rate - (time.perf_counter() - self.start)
                await trio.sleep(max(0.0, ahead))
            job, run = JobId(f"job-{number % self.arguments.jobs}"), RunId(f"00000000-0000-4000-8000-{number:012}")
            await self.append(RunStarted(job=job, at=self.clock.now(), run=run, cause="manual", root=run))
            await self.append(
                OutputChunk(
                    job=job,
                    at=self.clock.now(),
                    run=run,
                    attempt=1,
                    sequence=1,
                    channel="stdout",
                    offset=0,
                    content=_CONTENT,
                )
            )
            await self.append(
                RunFinished(job=job, at=self.clock.now(), run=run, outcome="succeeded", attempts=1, root=run)
            )
            self.ended += 1
            if self.ended % self.arguments.every == 0:
                self.report()

    async def append(self, event: Event) -> None:
        """One commit, timed."""
        began = time.perf_counter()
        await self.writer.append((event,))
        self.waits.append(1e3 * (time.perf_counter() - began))

    def report(self) -> None:
        """A line."""
        sums, seconds = self.folds.history.sums, time.perf_counter() - self.since
        waits = self.waits or [0.0]
        figures = {
            "runs": self.ended,
            "log_mib": self.log.size_bytes / 2**20,
            "folds_mib": (self.directory / "folds" / "data.mdb").stat().st_size / 2**20,
            "there": sums.runs,
            "forgotten": sums.forgotten,
            "base": self.folds.base.base if self.folds.base else 0,
            "p50_ms": percentile(waits, 0.5),
            "p99_ms": percentile(waits, 0.99),
            "max_ms": max(waits),
            "per_second": len(self.waits) / 3 / seconds,
            "resident_mib": resident_mib(os.getpid()),
        }
        named = {"bench": "retention", "janitor": not self.arguments.without}
        print(json.dumps(named | {name: round(value, 2) for name, value in figures.items()}), flush=True)
        self.waits.clear()
        self.since = time.perf_counter()


def main() -> None:
    """Run the load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--appenders", type=int, default=300, help="runs at a time")
    parser.add_argument("--every", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--without", action="store_true", help="without retention")
    arguments = parser.parse_args()
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        trio.run(Load(Path(directory), arguments).run)


if __name__ == "__main__":
    main()

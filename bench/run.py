"""`make bench`: every figure that the project promises, medians of five, beside the goal and NextKala's own figure.

`--rounds 1 --short` is the short form: the same benchmarks, smaller and once.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bench:
    """A benchmark's module and arguments, in full and in short."""

    module: str
    arguments: tuple[str, ...] = ()
    short: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A row: where its value stands in the benchmark's JSON lines, the goal, and NextKala's figure."""

    name: str
    bench: Bench
    key: str
    goal: str
    nextkala: str = ""
    where: dict[str, Any] = field(default_factory=dict)


BURST = Bench("burst", ("--jobs", "500"), ("--jobs", "100"))
BIG_BURST = Bench("burst", ("--jobs", "2000"), ("--jobs", "200"))
SPAWN = Bench("spawn", ("2000",), ("200",))
ONE = Bench("creates", ("--connections", "1"), ("--connections", "1", "--seconds", "1"))
SIXTEEN = Bench("creates", ("--connections", "16"), ("--connections", "16", "--seconds", "1"))
SCALE = Bench("scale", ("--jobs", "10000"), ("--jobs", "1000", "--idle", "1"))
BIG_SCALE = Bench("scale", ("--jobs", "100000"), ("--jobs", "5000", "--idle", "1"))
REPLAY = Bench("replay", (), ("--events", "20000"))
COMMIT = Bench("commit", (), ("--seconds", "0.5"))
CAPTURE = Bench("capture", (), ("--mib", "20", "--others", "5"))
SUSTAINED = Bench("sustained", ("--seconds", "60"), ("--seconds", "5"))
ADOPT = Bench("adopt", (), ("--jobs", "100"))
SLOW_SIXTEEN = Bench("slow_disk", ("creates", *SIXTEEN.arguments), ("creates", *SIXTEEN.short))
SLOW_BURST = Bench("slow_disk", ("burst", *BURST.arguments), ("burst", *BURST.short))
SLOW_COMMIT = Bench("slow_disk", ("commit", *COMMIT.arguments), ("commit", *COMMIT.short))
SLOW_SUSTAINED = Bench("slow_disk", ("sustained", *SUSTAINED.arguments), ("sustained", *SUSTAINED.short))
FANOUT = Bench("sse_fanout", (), ("--readers", "20"))
PAGES = Bench("dashboards", ("pages",), ("pages", "--jobs", "1000", "--runs", "5000"))
OPEN = Bench("dashboards", ("open",), ("open", "--seconds", "3"))

FIGURES = (
    Figure("500 due at once: due to start durable, p99 ms", BURST, "start_p99", "<= 60", "131, not durable"),
    Figure("500 due at once: due to last end, ms", BURST, "last_end", "<= 550", "552"),
    Figure("2,000 due at once: due to last end, ms", BIG_BURST, "last_end", "<= 1900", "1,869"),
    Figure("attempts alone, 2,000 of `true`: per s (the limit is about 2,500)", SPAWN, "per_second", ""),
    Figure("attempts alone: CPU of the loop for each, us", SPAWN, "cpu_us", ""),
    Figure("attempts alone: of that, a bare posix_spawn, us", SPAWN, "spawn_cpu_us", ""),
    Figure("durable creates, 1 connection, per s", ONE, "per_second", "", "1,650-1,886"),
    Figure("durable creates, 16 connections, per s", SIXTEEN, "per_second", ">= 1500", "2,100-2,474"),
    Figure("durable creates, 16 connections, p99 ms", SIXTEEN, "p99_ms", "", "15-21"),
    Figure("bulk creates, jobs per s", SCALE, "bulk_per_second", ">= 15000"),
    Figure("10,000 jobs: start-up, s", SCALE, "start_s", "<= 1", "3.5-4.9"),
    Figure("10,000 jobs: list, ms", SCALE, "list_ms", "<= 60", "92"),
    Figure("10,000 jobs: a page of 100, ms", SCALE, "page_of_100_ms", "<= 10"),
    Figure("10,000 jobs: resident, MiB", SCALE, "mib", "<= 100", "48"),
    Figure("empty: resident, MiB", SCALE, "empty_mib", "", "10.6"),
    Figure("100,000 jobs: start-up, s", BIG_SCALE, "start_s", "<= 8", "28 for 50,000"),
    Figure("100,000 jobs: resident, MiB", BIG_SCALE, "mib", "<= 450", "181 for 50,000"),
    Figure("100,000 jobs: idle CPU, %", BIG_SCALE, "idle_cpu_percent", "< 1"),
    Figure("100,000 jobs: longest wait for /healthz, ms", BIG_SCALE, "longest_wait_ms", "<= 50"),
    Figure("killed with 1,000 running jobs: start until it listens, s", ADOPT, "listens_s", "<= 1"),
    Figure("killed with 1,000 running jobs: start until all are adopted, s", ADOPT, "adopted_s", "<= 1"),
    Figure("killed with 1,000 running jobs: runs that were not adopted", ADOPT, "lost", "<= 0"),
    Figure("replay into all folds, events per s", REPLAY, "all_folds_per_second", ">= 100000"),
    Figure("replay into the folds of memory, events per s", REPLAY, "memory_folds_per_second", ""),
    Figure("commit, loop idle, 1 appender, p99 ms", COMMIT, "p99_ms", "", "", {"appenders": 1, "saturated": False}),
    Figure(
        "commit, loop saturated, 1 appender, p99 ms", COMMIT, "p99_ms", "<= 50", "", {"appenders": 1, "saturated": True}
    ),
    Figure(
        "commit, loop saturated, 100 appenders, p99 ms",
        COMMIT,
        "p99_ms",
        "<= 50",
        "",
        {"appenders": 100, "saturated": True},
    ),
    Figure("200 MiB printed: captured, MiB per s", CAPTURE, "mib_per_second", ">= 100"),
    Figure("200 MiB printed: other jobs' start delay, p99 ms", CAPTURE, "others_late_p99_ms", "<= 50"),
    Figure("200 runs a second: start delay, p99 ms", SUSTAINED, "late_p99_ms", "<= 100"),
    Figure("200 runs a second: ticks that are lost", SUSTAINED, "lost", "<= 0"),
    Figure("200 runs a second: ticks that were too late to have a run", SUSTAINED, "missed", "<= 0"),
    Figure("200 runs a second: resident after a tenth of the time, MiB", SUSTAINED, "mib_early", ""),
    Figure("200 runs a second: resident at the end, MiB", SUSTAINED, "mib_late", ""),
    Figure("5 ms a sync: durable creates, 16 connections, per s", SLOW_SIXTEEN, "per_second", ""),
    Figure("5 ms a sync: durable creates, 16 connections, p99 ms", SLOW_SIXTEEN, "p99_ms", ""),
    Figure("5 ms a sync: 500 due at once: due to start durable, p99 ms", SLOW_BURST, "start_p99", ""),
    Figure(
        "5 ms a sync: commit, loop saturated, 100 appenders, p99 ms",
        SLOW_COMMIT,
        "p99_ms",
        "",
        "",
        {"appenders": 100, "saturated": True},
    ),
    Figure("5 ms a sync: 200 runs a second: start delay, p99 ms", SLOW_SUSTAINED, "late_p99_ms", "<= 100"),
    Figure("200 readers of a chatty run: chunk to reader, p99 ms", FANOUT, "latency_p99_ms", "<= 100"),
    Figure("web UI, 50,000 jobs, 1,000,000 runs: the slowest page, ms", PAGES, "slowest_ms", "<= 300"),
    Figure("web UI, 50,000 jobs, 1,000,000 runs: the largest page, KiB", PAGES, "largest_kib", "<= 292"),
    Figure("web UI, 50,000 jobs, 1,000,000 runs: the jobs as they were, read whole, ms", PAGES, "moment_ms", ""),
    Figure("50 dashboards at 10 runs a second: CPU, % of a core", OPEN, "cost_percent", "< 10"),
)


def run(bench: Bench, *, short: bool) -> list[dict[str, Any]]:
    """A benchmark's JSON lines."""
    command = [sys.executable, "-m", f"bench.{bench.module}", *(bench.short if short else bench.arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def pick(figure: Figure, lines: Sequence[dict[str, Any]]) -> float:
    """A figure's value in the lines of its benchmark."""
    fitting = [x for x in lines if all(x.get(k) == v for k, v in figure.where.items())]
    return float(fitting[0][figure.key])


def is_possible(bench: Bench) -> bool:
    """Whether this machine has what the benchmark needs."""
    return bench.module != "slow_disk" or shutil.which("strace") is not None


def main() -> None:
    """Run every benchmark so many times, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", default="", help="the benchmarks whose module begins so")
    arguments = parser.parse_args()
    figures = [f for f in FIGURES if f.bench.module.startswith(arguments.only) and is_possible(f.bench)]
    values: dict[str, list[float]] = {figure.name: [] for figure in figures}
    for number in range(arguments.rounds):
        for bench in dict.fromkeys(f.bench for f in figures):
            print(f"round {number + 1}: {bench.module} {' '.join(bench.arguments)}", file=sys.stderr, flush=True)
            lines = run(bench, short=arguments.short)
            for figure in figures:
                if figure.bench == bench:
                    values[figure.name].append(pick(figure, lines))
    print(f"| figure | here, median of {arguments.rounds} | worst | goal | NextKala |\n|---|--:|--:|--:|--:|")
    for figure in figures:
        taken = values[figure.name]
        worst = (max if "<" in figure.goal else min)(taken)
        print(f"| {figure.name} | {statistics.median(taken):,.1f} | {worst:,.1f} | {figure.goal} | {figure.nextkala} |")


if __name__ == "__main__":
    main()

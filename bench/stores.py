"""The log in PostgreSQL beside the log in a directory: creates, a burst, a replay, and what an idle node asks.

One round after another, each with both stores in turn, so that both have the same quiet and the same busy minutes. It
starts a PostgreSQL of its own (Debian's package), which syncs, on the disk that has the directories.
`--rounds 1 --short` is the short form.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from bench.harness import server
from bench.run import BURST, ONE, REPLAY, SIXTEEN, Figure, pick, run
from tests.databases import Postgres, postgres

FIGURES = (
    Figure("durable creates, 1 connection, per s", ONE, "per_second", ">="),
    Figure("durable creates, 16 connections, per s", SIXTEEN, "per_second", ">="),
    Figure("500 due at once: due to start durable, p99 ms", BURST, "start_p99", "<="),
    Figure("500 due at once: due to last end, ms", BURST, "last_end", "<="),
    Figure("replay into all folds, events per s", REPLAY, "all_folds_per_second", ">="),
    Figure("replay into the folds of memory, events per s", REPLAY, "memory_folds_per_second", ">="),
)
_IDLE_SECONDS = 20
_ASKED = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{}'"


def measured(cluster: Postgres, names: Iterator[str], *, short: bool) -> dict[str, tuple[float, float]]:
    """A round: each figure in a directory, and in a database."""
    found: dict[str, tuple[float, float]] = {}
    for bench in dict.fromkeys(figure.bench for figure in FIGURES):
        place = ("--log", cluster.create(name=next(names)))
        other = replace(bench, arguments=(*bench.arguments, *place), short=(*bench.short, *place))
        lines = [run(each, short=short) for each in (bench, other)]
        for figure in FIGURES:
            if figure.bench == bench:
                found[figure.name] = (pick(figure, lines[0]), pick(figure, lines[1]))
    return found


def idle_queries(cluster: Postgres, name: str) -> float:
    """What a node that has nothing to do asks a database, per second."""
    with server(cluster.create(name=name)):
        time.sleep(2)
        before = int(cluster.execute(_ASKED.format(name)))
        time.sleep(_IDLE_SECONDS)
        return (int(cluster.execute(_ASKED.format(name))) - before) / _IDLE_SECONDS


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true")
    arguments = parser.parse_args()
    names = (f"round_{number}" for number in count())
    with postgres("fsync=on") as cluster:
        rounds = []
        for number in range(arguments.rounds):
            print(f"round {number + 1}", file=sys.stderr, flush=True)
            rounds.append(measured(cluster, names, short=arguments.short))
        print(f"| median of {arguments.rounds} | directory | PostgreSQL | as fast |\n|---|--:|--:|--:|")
        for figure in FIGURES:
            file, table = (statistics.median(found[figure.name][which] for found in rounds) for which in (0, 1))
            ratio = table / file if figure.goal == ">=" else file / table
            print(f"| {figure.name} | {file:,.1f} | {table:,.1f} | {100 * ratio:.0f} % |")
        print(f"| an idle node's queries per s | | {idle_queries(cluster, 'idle'):.2f} | |")


if __name__ == "__main__":
    main()

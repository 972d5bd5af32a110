"""200 runs a second for so many seconds: how late they start, whether all are recorded, what memory does. JSON.

200 jobs tick once a second each, spread evenly over the second. The figures are from the log: a tick is lost when
nothing answers it, or when its run has no end. `--seconds 600` is the full form.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import trio

from bench.harness import JOB, Server, ask, cpu_seconds, instant, percentile, resident_mib, server
from kala_es.codec import decode
from kala_es.domain.events import RunFinished, RunStarted, TickMissed
from kala_es.event_log import Record
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.memory import MemoryFoldStore

_SETTLE_SECONDS = 2.0


def make_jobs(target: Server, rate: int, seconds: int) -> float:
    """Create the jobs, in one commit; the moment of the first tick."""
    due = time.time() + _SETTLE_SECONDS
    bodies = [
        {"name": f"s{i}", "command": "true", "schedule": f"R{seconds - 1}/{instant(due + i / rate)}/PT1S"}
        for i in range(rate)
    ]
    status, answer = ask(target.connect(), "POST", f"{JOB}bulk/", b"\n".join(json.dumps(b).encode() for b in bodies))
    assert status == 201, answer
    return due


def memory(target: Server) -> float:
    """What the server and its agent hold, MiB."""
    return sum(resident_mib(pid) for pid in (target.pid, target.agent_pid))


def watch_memory(target: Server, until: float) -> list[float]:
    """A hundred samples, spread over the time that is left."""
    step = (until - time.time()) / 100
    samples = []
    while time.time() < until:
        time.sleep(step)
        samples.append(memory(target))
    return samples


@dataclass
class Answers:
    """What the log says of the ticks."""

    late_ms: list[float] = field(default_factory=list)
    """From the tick to its run's start."""
    missed: int = 0
    """Ticks for which another tick's run stands, because the server was late."""
    ended: int = 0

    def take(self, record: Record) -> None:
        """Note an event."""
        event = decode(record)
        if isinstance(event, RunStarted) and event.tick is not None:
            self.late_ms.append((event.at - event.tick) / 1e3)
        elif isinstance(event, TickMissed):
            self.missed += event.count
        elif isinstance(event, RunFinished):
            self.ended += 1


def read_answers(data: Path) -> Answers:
    """Read the log of a server that has stopped."""
    answers = Answers()
    log = open_log(data, MemoryFoldStore())
    for position in range(0, log.head, 1000):
        for record in log.read_now(position, limit=1000):
            answers.take(record)
    trio.run(log.close)
    return answers


def measure(rate: int, seconds: int) -> dict[str, float]:
    """The figures of one server."""
    with server() as target:
        until = make_jobs(target, rate, seconds) + seconds
        used = cpu_seconds(target.pid)
        samples = watch_memory(target, until)
        used = cpu_seconds(target.pid) - used
        time.sleep(_SETTLE_SECONDS)
        target.stop()
        answers = read_answers(target.data)
    return {
        "expected": rate * seconds,
        "started": len(answers.late_ms),
        "missed": answers.missed,
        "lost": rate * seconds - answers.missed - min(len(answers.late_ms), answers.ended),
        "late_p50_ms": percentile(answers.late_ms, 0.5),
        "late_p99_ms": percentile(answers.late_ms, 0.99),
        "late_max_ms": max(answers.late_ms),
        "mib_early": percentile(samples[10:30], 0.5),
        "mib_late": percentile(samples[-20:], 0.5),
        "cpu_percent": 100 * used / seconds,
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    figures = measure(arguments.rate, arguments.seconds)
    named = {"bench": "sustained", "rate": arguments.rate, "seconds": arguments.seconds}
    print(json.dumps(named | {k: round(v, 2) for k, v in figures.items()}))


if __name__ == "__main__":
    main()

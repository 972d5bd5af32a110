"""200 runs a second for so many seconds: how late they start, whether all are recorded, what memory does. JSON.

200 jobs tick once a second each, spread evenly over the second. `--seconds 600` is the full form.
"""

import argparse
import json
import time
from datetime import datetime

from bench.harness import JOB, Server, ask, cpu_seconds, instant, node_pids, percentile, resident_mib, server

_SETTLE_SECONDS = 2.0
_LAST_SECONDS = 60.0
"""So long after the last tick a run that is not recorded counts as lost."""


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
    return sum(resident_mib(pid) for pid in node_pids(target.pid))


def watch_memory(target: Server, until: float) -> list[float]:
    """A hundred samples, spread over the time that is left."""
    step = (until - time.time()) / 100
    samples = []
    while time.time() < until:
        time.sleep(step)
        samples.append(memory(target))
    return samples


def ended_runs(target: Server) -> list[dict[str, str]]:
    """All runs of all jobs that have ended."""
    connection = target.connect()
    found: list[dict[str, str]] = []
    for job in json.loads(ask(connection, "GET", JOB)[1])["jobs"]:
        listed = json.loads(ask(connection, "GET", f"{JOB}{job}/executions/")[1])["job_stats"]
        found += [run for run in listed if run["outcome"]]
    return found


def settle(target: Server, expected: int) -> list[dict[str, str]]:
    """The ended runs, once there are as many as expected, or when it is too late for more."""
    until = time.time() + _LAST_SECONDS
    while len(runs := ended_runs(target)) < expected and time.time() < until:
        time.sleep(1)
    return runs


def late_ms(run: dict[str, str]) -> float:
    """From the tick to the start, in milliseconds."""
    started, tick = (datetime.fromisoformat(run[key].replace("Z", "+00:00")) for key in ("ran_at", "tick"))
    return 1e3 * (started - tick).total_seconds()


def measure(rate: int, seconds: int) -> dict[str, float]:
    """The figures of one server."""
    with server() as target:
        until = make_jobs(target, rate, seconds) + seconds
        used = cpu_seconds(target.pid)
        samples = watch_memory(target, until)
        used = cpu_seconds(target.pid) - used
        runs = settle(target, rate * seconds)
    late = [late_ms(run) for run in runs if run["cause"] == "schedule"]
    return {
        "expected": rate * seconds,
        "lost": rate * seconds - len({(run["job_id"], run["tick"]) for run in runs}),
        "failed": sum(run["outcome"] != "succeeded" for run in runs),
        "late_p50_ms": percentile(late, 0.5),
        "late_p99_ms": percentile(late, 0.99),
        "late_max_ms": max(late),
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

"""Jobs that run `@every 5s`, made over Dkron's API one after another: how late they start, and whether all do. JSON.

`@every` counts from the whole second, as in Dkron, so those made within one second are due at one moment: that is the
worst case, and the usual one for a client that creates them in a loop. The figures are from the log, after `--seconds`.
"""

import argparse
import json
import time

from bench.harness import Server, ask, cpu_seconds, percentile, server
from bench.sustained import read_answers

_SETTLE_SECONDS = 2.0


def make_jobs(target: Server, jobs: int, seconds: int) -> float:
    """Create the jobs; how long that took."""
    connection = target.connect()
    began = time.perf_counter()
    for i in range(jobs):
        body = {
            "name": f"every-{i}",
            "schedule": f"@every {seconds}s",
            "executor": "shell",
            "executor_config": {"command": "true"},
        }
        status, answer = ask(connection, "POST", "/v1/jobs", json.dumps(body).encode())
        assert status == 201, answer
    return time.perf_counter() - began


def measure(jobs: int, every: int, seconds: int) -> dict[str, float]:
    """The figures of one server."""
    with server() as target:
        took = make_jobs(target, jobs, every)
        used = cpu_seconds(target.pid)
        time.sleep(seconds)
        used = cpu_seconds(target.pid) - used
        ask(target.connect(), "POST", "/v1/leave")
        time.sleep(_SETTLE_SECONDS)
        target.stop()
        answers = read_answers(target.data)
    return {
        "create_seconds": took,
        "expected": jobs * (seconds // every),
        "started": len(answers.late_ms),
        "missed": answers.missed,
        "without_an_end": len(answers.late_ms) - answers.ended,
        "late_p50_ms": percentile(answers.late_ms, 0.5),
        "late_p99_ms": percentile(answers.late_ms, 0.99),
        "late_max_ms": max(answers.late_ms),
        "cpu_percent": 100 * used / seconds,
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    figures = measure(arguments.jobs, arguments.every, arguments.seconds)
    named = {"bench": "every", "jobs": arguments.jobs, "every": arguments.every, "seconds": arguments.seconds}
    print(json.dumps(named | {k: round(v, 2) for k, v in figures.items()}))


if __name__ == "__main__":
    main()

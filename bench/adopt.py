"""A server with N running jobs is killed (-9) and started again: until it listens, having adopted them all. JSON lines.

That each was adopted is shown by ending it: all of them end as cancelled, none as lost.
"""

import argparse
import json
import signal
import time

from bench.harness import JOB, Server, ask, fill, median, percentile, server


def ids(target: Server) -> list[str]:
    """All jobs."""
    _, body = ask(target.connect(), "GET", f"{JOB}?limit=10000")
    return list(json.loads(body)["jobs"])


def runs(target: Server, jobs: list[str]) -> list[dict[str, object]]:
    """The one run of each."""
    connection = target.connect()
    found: list[dict[str, object]] = []
    for job in jobs:
        _, body = ask(connection, "GET", f"{JOB}{job}/executions/")
        found += json.loads(body)["job_stats"] or []
    return found


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with server() as target:
        fill(target, arguments.jobs, schedule="", command="sleep 3600")
        jobs = ids(target)
        while len(runs(target, jobs)) < arguments.jobs:
            time.sleep(0.2)
        empty = seconds_to_listen()
        seconds = []
        for _ in range(arguments.rounds):
            target.stop(signal.SIGKILL)
            target.start()
            seconds.append(target.ready_seconds)
        connection = target.connect()
        for run in runs(target, jobs):
            ask(connection, "DELETE", f"{JOB}{run['job_id']}/executions/{run['id']}/")
        while any(run["outcome"] is None for run in runs(target, jobs)):
            time.sleep(0.2)
        outcomes = [run["outcome"] for run in runs(target, jobs)]
        target.stop()
    figures = {
        "adopted": outcomes.count("cancelled"),
        "seconds": round(median(seconds), 3),
        "most_seconds": round(percentile(seconds, 1.0), 3),
        "empty_seconds": round(empty, 3),
    }
    print(json.dumps({"bench": "adopt", "jobs": arguments.jobs} | figures))


def seconds_to_listen() -> float:
    """The same of a server that has nothing to adopt."""
    with server() as target:
        target.stop(signal.SIGKILL)
        target.start()
        return target.ready_seconds


if __name__ == "__main__":
    main()

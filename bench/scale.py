"""Many jobs: the bulk route, start-up, lists, pages, memory, idle time. One JSON line."""

import argparse
import json
import signal
import time

from bench.harness import JOB, Server, ask, cpu_seconds, fill, median, resident_all_mib, server


def waits(target: Server, path: str, count: int) -> float:
    """The median time of a GET, in milliseconds."""
    connection = target.connect()
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        status, _ = ask(connection, "GET", path)
        taken.append(1e3 * (time.perf_counter() - began))
        assert status == 200
    return median(taken)


def longest_wait(target: Server, seconds: float) -> float:
    """The longest of many small requests in a row, in milliseconds: a stop of everything shows in it."""
    connection, longest, until = target.connect(), 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        ask(connection, "GET", "/healthz")
        longest = max(longest, 1e3 * (time.perf_counter() - began))
        time.sleep(0.002)
    return longest


def measure(jobs: int, idle_seconds: float) -> dict[str, float]:
    """All figures for so many jobs."""
    with server() as target:
        figures = {"empty_mib": resident_all_mib(target.pid), "bulk_per_second": fill(target, jobs)}
        figures["list_ms"] = waits(target, JOB, 5)
        figures["page_of_100_ms"] = waits(target, f"{JOB}?limit=100", 20)
        figures["mib"] = resident_all_mib(target.pid)
        used = cpu_seconds(target.pid)
        time.sleep(idle_seconds)
        figures["idle_cpu_percent"] = 100 * (cpu_seconds(target.pid) - used) / idle_seconds
        figures["longest_wait_ms"] = longest_wait(target, idle_seconds)
        figures["stop_s"] = target.stop()
        target.start()
        figures["start_s"] = target.ready_seconds
        figures["started_mib"] = resident_all_mib(target.pid)
        target.stop(signal.SIGKILL)
        target.start()
        figures["start_after_kill_s"] = target.ready_seconds
        return figures


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--idle", type=float, default=5)
    arguments = parser.parse_args()
    figures = measure(arguments.jobs, arguments.idle)
    print(json.dumps({"bench": "scale", "jobs": arguments.jobs} | {k: round(v, 2) for k, v in figures.items()}))


if __name__ == "__main__":
    main()

"""A server with many running jobs is killed (-9) and started again: until it listens, until it has adopted all. JSON.

All are adopted once `readyz` says 200, for which the server has to have met its agent. What was adopted is shown
afterwards: every process is killed, and `lost` counts the runs whose end does not say so in the log. `cpu_s` is what
the server used until then, which a busy machine does not change.
"""

import argparse
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import trio

from bench.harness import JOB, Server, ask, cpu_seconds, instant, job, server
from kala_es.codec import decode
from kala_es.domain.events import RunFinished
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.memory import MemoryFoldStore

_SETTLE_SECONDS = 2.0
_PAGE = 1_000


def processes(target: Server) -> list[int]:
    """Those that its agent has started and that have not ended."""
    children = [path.read_text().split() for path in Path(f"/proc/{target.agent_pid}/task").glob("*/children")]
    return [int(pid) for pids in children for pid in pids]


def fill_with_running(target: Server, count: int) -> None:
    """Create the jobs in one commit, and wait until all of them run."""
    schedule = f"R0/{instant(time.time() + _SETTLE_SECONDS)}/PT1H"
    bodies = [json.dumps(job(number, schedule, "sleep 3600")).encode() for number in range(count)]
    status, answer = ask(target.connect(), "POST", f"{JOB}bulk/", b"\n".join(bodies))
    assert status == 201, answer
    while len(processes(target)) < count:
        time.sleep(0.1)
    time.sleep(_SETTLE_SECONDS)  # their starts are on the disk, and the machine is at rest


def wait_until_ready(target: Server) -> None:
    """Until it takes new work, which needs an agent."""
    connection = target.connect()
    while ask(connection, "GET", "/readyz")[0] != 200:
        time.sleep(0.005)


def end_all(target: Server) -> None:
    """Kill all that runs, and wait until the agent has reported it."""
    for pid in processes(target):
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    while processes(target):
        time.sleep(0.1)
    time.sleep(_SETTLE_SECONDS)


def killed(data: Path) -> int:
    """How many runs the log of a server that has stopped says were killed."""
    count, position = 0, 0
    log = open_log(data, MemoryFoldStore())
    while page := log.read_now(position, limit=_PAGE):
        events = map(decode, page)
        count += sum(isinstance(event, RunFinished) and event.signal == signal.SIGKILL for event in events)
        position = page[-1].position
    trio.run(log.close)
    return count


def measure(count: int) -> dict[str, float]:
    """The figures of one restart."""
    with server() as target:
        fill_with_running(target, count)
        target.stop(signal.SIGKILL)
        began = time.perf_counter()
        target.start()
        wait_until_ready(target)
        adopted, used = time.perf_counter() - began, cpu_seconds(target.pid)
        end_all(target)
        target.stop()
        lost = count - killed(target.data)
        return {"listens_s": target.ready_seconds, "adopted_s": adopted, "cpu_s": used, "lost": lost}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000)
    arguments = parser.parse_args()
    figures = measure(arguments.jobs)
    print(json.dumps({"bench": "adopt", "jobs": arguments.jobs} | {k: round(v, 3) for k, v in figures.items()}))


if __name__ == "__main__":
    main()

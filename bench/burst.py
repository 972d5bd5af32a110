"""N jobs due at one instant: from the due moment to RunStarted durable, and to the last end. One JSON line.

`node_cpu_us` and `agent_cpu_us` are what a run takes of each, without its process: a busy machine changes them little.
The node runs in this process, without its HTTP edge, so that the moment at which a commit is durable can be read.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import trio

from bench.harness import cpu_seconds, instant, percentile
from kala_es.agent.attempts import raise_open_files_limit
from kala_es.domain.events import RunFinished, RunStarted
from kala_es.domain.model import JobDraft, JobSpec
from kala_es.links.place import LOCK
from kala_es.links.process import ProcessLink
from kala_es.node import Node, Outside
from kala_es.runtime.broadcaster import ALL
from kala_es.runtime.scheduler import Origin, Rules
from kala_es.settings import Settings
from kala_es.storage import open_storage


async def watch(node: Node, starts: list[float], ends: list[float], ended: trio.Event) -> None:
    """Note when each start became durable, and when each end was; as many of these as of those is the end."""
    position = node.folds.position
    with node.broadcaster.follow(ALL) as topic:
        while True:
            now = time.time()
            for entry in topic.after(position) or ():
                event = entry.recorded.event
                if isinstance(event, RunStarted):
                    starts.append(now)
                elif isinstance(event, RunFinished):
                    ends.append(event.at / 1e6)
            position = node.folds.position
            if len(ends) == len(node.folds.jobs):
                ended.set()
            await topic.wait()


async def burst(settings: Settings, count: int, command: str) -> dict[str, float]:
    """One burst; milliseconds after the due moment."""
    directory = settings.data
    starts: list[float] = []
    ends: list[float] = []
    async with open_storage(settings) as storage, trio.open_nursery() as nursery:
        node = Node(
            storage, outside=Outside(link=ProcessLink(directory), outlives=False), rules=Rules(), nursery=nursery
        )
        await node.start(nursery)
        due = int(time.time()) + 2 + count // 4000
        spec = [JobSpec(name=f"b{i}", command=command, schedule=f"R0/{instant(due)}/PT1H") for i in range(count)]
        drafts = [JobDraft(id=node.scheduler.new_job_id(), spec=s) for s in spec]
        await node.scheduler.create_all(drafts, Origin())
        ended = trio.Event()
        nursery.start_soon(watch, node, starts, ends, ended)
        gc.collect()
        gc.freeze()
        pids = os.getpid(), int((directory / LOCK).read_text())
        used = [cpu_seconds(pid) for pid in pids]
        await ended.wait()
        node_us, agent_us = (1e6 * (cpu_seconds(pid) - before) / count for pid, before in zip(pids, used, strict=True))
        nursery.cancel_scope.cancel()
    late_starts, late_ends = ([1e3 * (t - due) for t in times] for times in (starts, ends))
    return {
        "start_p50": percentile(late_starts, 0.5),
        "start_p99": percentile(late_starts, 0.99),
        "end_p50": percentile(late_ends, 0.5),
        "last_end": max(late_ends),
        "node_cpu_us": node_us,
        "agent_cpu_us": agent_us,
    }


def main() -> None:
    """Run one burst."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--command", default="true")
    parser.add_argument("--log", default="", help="an empty PostgreSQL database for the log; see stores.py")
    arguments = parser.parse_args()
    sys.setswitchinterval(0.0005)
    raise_open_files_limit()
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(data=Path(directory), log=arguments.log)
        figures = trio.run(burst, settings, arguments.jobs, arguments.command)
    print(json.dumps({"bench": "burst", "jobs": arguments.jobs, **{k: round(v, 1) for k, v in figures.items()}}))


if __name__ == "__main__":
    main()

"""How fast attempts start: N times `true` through the agent; prints one JSON line for each N.

`cpu_us`: CPU of this process for one attempt; `spawn_cpu_us`: of that, what a bare posix_spawn and waitpid take.
`longest_turn_ms`: the longest time for which the loop served nothing else; `p99_turn_ms` likewise.
Run: python -m bench.spawn [N...]
"""

import gc
import json
import os
import sys
import time

import trio

from kala_es import limits
from kala_es.agent.attempts import Agent, raise_open_files_limit
from kala_es.clock import SystemClock
from kala_es.executor import Local, Order
from kala_es.executors.http import HttpExecutor
from kala_es.executors.shell import ShellExecutor
from kala_es.link import Acknowledge, Chunk, Ended, Resume, Settle, Start, ToNode


class Turns(trio.abc.Instrument):
    """How long each turn of the loop takes, in seconds."""

    def __init__(self) -> None:
        self.lengths: list[float] = []
        self._began = time.perf_counter()

    def after_io_wait(self, timeout: float) -> None:
        self._began = time.perf_counter()

    def before_io_wait(self, timeout: float) -> None:
        self.lengths.append(time.perf_counter() - self._began)


class Node:
    """The other end: acknowledges at once, and counts the ends."""

    def __init__(self, expected: int) -> None:
        self.agent = Agent(shell=ShellExecutor(), http=HttpExecutor(), clock=SystemClock())
        self.agent.connect(self.report)
        self.agent.send(Resume())
        self.outcomes: dict[str, int] = {}
        self.done = trio.Event()
        self.left = expected

    def report(self, message: ToNode) -> None:
        match message:
            case Chunk():
                self.agent.send(Acknowledge(message.run, message.attempt, message.sequence))
            case Ended():
                self.agent.send(Settle(message.run, message.attempt))
                self.outcomes[message.end.outcome] = self.outcomes.get(message.end.outcome, 0) + 1
                self.left -= 1
                if not self.left:
                    self.done.set()


def bare_spawn_us(count: int = 200) -> float:
    """CPU of a process start without anything of ours, in microseconds."""
    began = time.process_time()
    for _ in range(count):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}, setsid=True), 0)
    return (time.process_time() - began) / count * 1e6


async def measure(count: int, command_line: str) -> dict[str, object]:
    """Start that many at once, and wait for their ends."""
    node, turns = Node(count), Turns()
    async with trio.open_nursery() as nursery:
        await nursery.start(node.agent.run)
        gc.collect()
        gc.freeze()
        trio.lowlevel.add_instrument(turns)
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(count):
            node.agent.send(Start(Order(run=f"run-{number}", attempt=1, work=Local(command_line=command_line))))
            if number % 50 == 0:  # the burst must not look like a long turn of the agent's
                await trio.lowlevel.checkpoint()
        await node.done.wait()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        trio.lowlevel.remove_instrument(turns)
        nursery.cancel_scope.cancel()
    lengths = sorted(turns.lengths)
    return {
        "n": count,
        "command": command_line,
        "seconds": round(seconds, 3),
        "per_second": round(count / seconds),
        "cpu_us": round(cpu / count * 1e6),
        "spawn_cpu_us": round(bare_spawn_us()),
        "longest_turn_ms": round(lengths[-1] * 1e3, 2),
        "p99_turn_ms": round(lengths[len(lengths) * 99 // 100] * 1e3, 2),
        "outcomes": node.outcomes,
        "at_once": limits.MAX_ATTEMPTS_AT_ONCE,
    }


def main() -> None:
    raise_open_files_limit()
    for count in [int(word) for word in sys.argv[1:]] or [500, 2000]:
        for command_line in ("true", "echo hello"):
            print(json.dumps(trio.run(measure, count, command_line)), flush=True)


if __name__ == "__main__":
    main()

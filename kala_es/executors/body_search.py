"""Whether what is expected is found in an answer's body: a process of its own looks for it, within limits.

A regular expression of Python's may take longer than anybody waits, and while it is looked for no other thread goes on.
So it is not looked for in the process that carries out everybody's attempts (ADR 0038).
"""

import shlex
import signal
import sys
from typing import Final

import trio

from kala_es import limits
from kala_es.executor import AttemptEnd, Channel, Confines, Executor, Local, Order
from kala_es.executors.shell import ShellExecutor

_NOT_FOUND: Final = 4
"""The exit code that says so; a bug would be 1."""
_PROGRAM: Final = f"""
import re, sys
text = sys.stdin.buffer.read().decode("utf-8", "replace")
sys.exit(0 if re.search(sys.argv[1], text, re.ASCII) else {_NOT_FOUND})
"""
_PYTHON: Final = (sys.executable, "-I", "-S", "-X", "utf8", "-W", "ignore", "-c", _PROGRAM)


class BodySearch:
    """`processes` carries the searches out; without it there is an executor for them once there is one to do."""

    def __init__(self, processes: Executor | None = None) -> None:
        self._processes = processes
        self._places = trio.CapacityLimiter(limits.SEARCHES_AT_ONCE)

    async def fault(self, pattern: str, body: bytes) -> str:
        """Why the body is not as expected; "" when the pattern is found in it."""
        async with self._places:
            end = await self._looked_for(pattern, body)
        if end.exit_code == 0:
            return ""
        if end.exit_code == _NOT_FOUND:
            where = f"the first {len(body)} bytes" if len(body) == limits.SEARCHED_BODY_BYTES else "the body"
            return f"expected_body was not found in {where} of the answer"
        if end.signal == signal.SIGXCPU:
            return f"to look for expected_body took more than {limits.SEARCH_CPU_SECONDS} s of CPU time"
        return f"expected_body could not be looked for: {end.reason}"

    async def _looked_for(self, pattern: str, body: bytes) -> AttemptEnd:
        if self._processes is None:
            self._processes = ShellExecutor()
        work = Local(
            command_line=shlex.join((*_PYTHON, pattern)),
            stdin=body.decode("utf-8", "surrogateescape"),
            confines=Confines(cpu_seconds=limits.SEARCH_CPU_SECONDS, memory_bytes=limits.SEARCH_MEMORY_BYTES),
        )
        return await self._processes.execute(Order(run="", attempt=1, work=work), _drop)


async def _drop(channel: Channel, content: bytes) -> None:
    """It prints nothing but a bug's traceback, and its exit code says that too."""

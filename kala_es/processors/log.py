"""`log`: prints output on the server's stdout, each part as a block that says whose it is. It has the lines of Dkron's.

Blocks are written one after another, so those of other runs never stand within one. A run that is short has one.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from kala_es.processor import Option, Part
from kala_es.processors.threads import Threads


def print_bytes(block: bytes) -> None:
    """Write to stdout. It may take its time."""
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


class LogProcessor:
    """The adapter. `say` takes a block, on a thread."""

    def __init__(self, say: Callable[[bytes], None] = print_bytes) -> None:
        self._say = say
        self._threads = Threads()

    @property
    def options(self) -> Sequence[Option]:
        """None of its own."""
        return ()

    async def process(self, part: Part, config: Mapping[str, str]) -> None:
        """Print it."""
        content = part.content
        whose = f"job={part.job} execution={part.run} attempt={part.attempt}"
        end = f" outcome={part.end.outcome}" if part.end else ""
        block = b"----- BEGIN OUTPUT %b offset=%d -----\n%b%b----- END OUTPUT%b -----\n" % (
            whose.encode("utf-8", "replace"),
            part.offset,
            content,
            b"" if content.endswith(b"\n") or not content else b"\n",
            end.encode(),
        )
        await self._threads.run("stdout", partial(self._say, block))

    def stands_for(self, part: Part, config: Mapping[str, str]) -> str:
        """As Dkron says it, whose log this one is not."""
        return "Output in the server's log"

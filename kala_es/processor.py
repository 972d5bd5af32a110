"""The processor's port: is handed a run's output beside the job, part by part, and does with it what it is for.

Rules every adapter keeps (tests/conformance/test_processor.py runs on each):
1. `process` returns once the part is taken. Raising anything is a failure: the same bytes are handed over again, later.
2. The parts of a run come in order, one at a time; those of other runs may come in between. A part may repeat bytes
   that were taken already: `run`, `attempt` and `offset` say which they are.
3. Cancelled, it may or may not have taken the part.
4. A job whose config has a key that is none of `options`, or a value that one of them refuses, is refused.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kala_es.domain.model import Outcome
from kala_es.domain.processing import FORWARD, Config
from kala_es.options import Option as Option
from kala_es.options import check_options, schema_of_options


class ProcessorError(Exception):
    """The part was not taken; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Output as one channel had it; `at` is when, in microseconds since the epoch."""

    channel: str
    content: bytes
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an attempt ended, and whether its run is over with it (otherwise another attempt follows). `at` as above.

    `dropped` are bytes of its output that were left out because they were beyond the job's limit."""

    at: int
    outcome: Outcome
    over: bool
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The next of an attempt's output: `offset` bytes of it, both channels together, came before.

    It ends with a line's end, unless the line is very long, or not finished for a while. `first`: the attempt begins
    with it; `end`: it ends with it. `started` is the run's start, in microseconds since the epoch.
    """

    job: str
    name: str
    run: str
    started: int
    attempt: int
    offset: int
    first: bool
    pieces: tuple[Piece, ...] = ()
    end: End | None = None

    @property
    def content(self) -> bytes:
        """Both channels as they came."""
        return b"".join(piece.content for piece in self.pieces)


class Processor(Protocol):
    """The port."""

    @property
    def options(self) -> Sequence[Option]:
        """The keys of its config, besides `forward`."""

    async def process(self, part: Part, config: Mapping[str, str]) -> None:
        """Take a part, in `limits.PROCESSOR_SECONDS` at most. Raises ProcessorError."""

    def stands_for(self, part: Part, config: Mapping[str, str]) -> str:
        """The line that says where the output of the part's attempt went: those behind it get it, instead of that."""


FindProcessor = Callable[[str], Awaitable[Processor]]
"""By name. Raises ProcessorError when there is none."""

_FORWARD: Final = Option(key=FORWARD, about="`false`: those behind it get a line that says where the output went")


def check_config(name: str, processor: Processor, config: Config) -> None:
    """Raise Invalid, naming the job's key, when the processor does not take this config."""
    check_options(config, _all_of(processor), within=f"processors.{name}", whose=f"the processor {name!r}")


def schema_of(processor: Processor) -> dict[str, Any]:
    """The JSON schema of a processor's config."""
    return schema_of_options(_all_of(processor))


def _all_of(processor: Processor) -> tuple[Option, ...]:
    return (_FORWARD, *processor.options)

"""What a job wants done with its output: the processors that are handed it, in their order, each with its config.

A config is texts by key. What its keys mean is each processor's own matter (processor.py); one they all have: with
`forward` "false" those behind it are not handed the output, but a line that says where it went.
"""

import re
from typing import Final

from kala_es import limits
from kala_es.domain.errors import Invalid
from kala_es.domain.values import Value

Config = tuple[tuple[str, str], ...]
Processors = tuple[tuple[str, Config], ...]
"""Name and config, in the order in which the job lists them."""

FORWARD: Final = "forward"
_YES: Final = frozenset(("", "1", "t", "true"))
_NO: Final = frozenset(("0", "f", "false"))
"""As Go reads them, in any letter case."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)


class Reached(Value, frozen=True):
    """How far a run's output was handed over: its records up to `position`, and `cut` bytes of the chunk after that.

    Of the attempt `attempt` these are `offset` bytes; the one before it, which is over, had `previous` bytes.
    """

    position: int = 0
    cut: int = 0
    attempt: int = 1
    offset: int = 0
    previous: int = 0


NOTHING: Final = Reached()


def check_processors(processors: Processors) -> None:
    """Raise Invalid, naming the key, unless these may be a job's processors, whatever is installed."""
    if len(processors) > limits.MAX_PROCESSORS:
        raise Invalid("processors", f"more than {limits.MAX_PROCESSORS}")
    for name, config in processors:
        if not _NAME.fullmatch(name):
            raise Invalid("processors", f"{name[:40]!r} cannot be the name of a processor")
        if sum(len(key) + len(value) for key, value in config) > limits.MAX_PROCESSOR_CONFIG_CHARS:
            raise Invalid(f"processors.{name}", f"more than {limits.MAX_PROCESSOR_CONFIG_CHARS} characters")
        if dict(config).get(FORWARD, "").lower() not in _YES | _NO:
            raise Invalid(f"processors.{name}.{FORWARD}", "neither true nor false")


def stands_in(processors: Processors, place: int) -> int | None:
    """The place of the processor whose line is handed to the one at `place`; None: it is handed the output itself."""
    before = reversed(range(place))
    return next((i for i in before if dict(processors[i][1]).get(FORWARD, "").lower() in _NO), None)

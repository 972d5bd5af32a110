"""What the edge is set to."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from kala_es import __version__, limits
from kala_es.runtime.takeover import Incoming

TakeOver = Callable[[Incoming], Awaitable[None]]
"""Has a log that was made of an archive become the log. Raises Conflict, Overloaded, Unavailable."""


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """How this node is to be called: `node` is its name, `address` where it listens. `allowed_hosts` are names, with or
    without a port; `allowed_origins` are whole. A body that takes longer than `body_seconds` is given up. `take_over`
    has what was made of an archive become the log, and returns when this is served; None: only jobs are taken.
    A page that is not ready within `first_content_seconds` comes without what it waits for."""

    default_owner: str = ""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    body_seconds: float = limits.REQUEST_BODY_SECONDS
    first_content_seconds: float = limits.FIRST_CONTENT_SECONDS
    ready: Callable[[], bool] = _always
    version: str = __version__
    node: str = "localhost"
    address: tuple[str, int] = ("127.0.0.1", 0)
    complain: Callable[[str], None] = field(default_factory=lambda: partial(print, file=sys.stderr, flush=True))
    take_over: TakeOver | None = None

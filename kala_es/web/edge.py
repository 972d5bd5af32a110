"""What the edge is set to, and what its handlers share."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from kala_es import __version__, limits
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.model import Job
from kala_es.projections.runs import RunSummary
from kala_es.runtime.scheduler import Scheduler
from kala_es.runtime.takeover import Incoming
from kala_es.web.idempotency import KeyLocks
from kala_es.web.json_cache import JsonCache
from kala_es.web.pages.pulse import Pulse
from kala_es.web.pages.rendering import Pages

TakeOver = Callable[[Incoming], Awaitable[None]]
"""Has a log that was made of an archive become the log. Raises Conflict, Overloaded, Unavailable."""


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """How this node is to be called: `node` is its name, `address` where it listens. `allowed_hosts` are names, with or
    without a port; `allowed_origins` are whole. A body that takes longer than `body_seconds` is given up. `take_over`
    has what was made of an archive become the log, and returns when this is served; None: nothing can."""

    default_owner: str = ""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    body_seconds: float = limits.REQUEST_BODY_SECONDS
    ready: Callable[[], bool] = _always
    version: str = __version__
    node: str = "localhost"
    address: tuple[str, int] = ("127.0.0.1", 0)
    complain: Callable[[str], None] = field(default_factory=lambda: partial(print, file=sys.stderr, flush=True))
    take_over: TakeOver | None = None


@dataclass(slots=True)
class Submissions:
    """Whether new definitions are taken over Dkron's API. As there it is this process's own, and ends with it."""

    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What every handler is given beside its request."""

    scheduler: Scheduler
    edge: Edge
    openapi: bytes
    keys: KeyLocks = field(default_factory=KeyLocks)
    submissions: Submissions = field(default_factory=Submissions)
    jobs: JsonCache[JobId, tuple[Job, tuple[JobId, ...]]] = field(default_factory=JsonCache)
    """Each job's JSON. The value is the job with its dependents."""
    runs: JsonCache[RunId, RunSummary] = field(default_factory=lambda: JsonCache(limits.RUN_JSON_BYTES))
    """The JSON, as lists have it, of runs that are over."""
    pages: Pages = field(default_factory=Pages)
    pulse: Pulse = field(default_factory=Pulse)

"""What the edge is set to, and what its handlers share."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from kala_es import __version__
from kala_es.runtime.scheduler import Scheduler
from kala_es.web.idempotency import KeyLocks
from kala_es.web.job_cache import JobCache


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """How this node is to be called. `allowed_hosts` are names, with or without a port; `allowed_origins` are whole.
    A body that takes longer than `body_seconds` is given up."""

    default_owner: str = ""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    body_seconds: float = 30.0
    ready: Callable[[], bool] = _always
    version: str = __version__
    complain: Callable[[str], None] = field(default_factory=lambda: partial(print, file=sys.stderr, flush=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What every handler is given beside its request."""

    scheduler: Scheduler
    edge: Edge
    jobs: JobCache
    keys: KeyLocks
    openapi: bytes

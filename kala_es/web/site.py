"""What the edge's handlers share."""

from dataclasses import dataclass, field

from kala_es import limits
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.model import Job
from kala_es.projections.runs import RunSummary
from kala_es.runtime.scheduler import Scheduler
from kala_es.web.edge import Edge
from kala_es.web.idempotency import KeyLocks
from kala_es.web.json_cache import JsonCache
from kala_es.web.pages.pulse import Pulse
from kala_es.web.pages.rendering import Pages


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

"""The values that the domain speaks of: a job's definition, its state, its runs in flight.

A child is a job with parents: it has no ticks of its own. A job with neither parents nor a schedule
has one tick, the moment it was planned.
"""

from typing import Final, Literal

from kala_es.domain.bounds import NO_BOUNDS, Bounds
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.labels import NO_LABELS, Labels
from kala_es.domain.named_work import NO_NAMED, NamedWork
from kala_es.domain.notify import NOTHING_SAID, Notify
from kala_es.domain.processing import Processors
from kala_es.domain.retention import NO_RETENTION, Retention
from kala_es.domain.terms import USUAL, AttemptTerms
from kala_es.domain.tick_policy import Pause, TickPolicy
from kala_es.domain.values import Value

JobKind = Literal["local", "remote", "named"]
"""A process here, a request to another server, or the work of an executor that a package brings."""
DependencyPolicy = Literal["all", "any"]
Cause = Literal["schedule", "catch-up", "manual", "parent", "on-failure", "imported"]
"""Why a run began; an imported one began elsewhere. Further attempts of a run are retries; they begin no run."""
Outcome = Literal["succeeded", "failed", "timed-out", "cancelled", "lost"]
RunStatus = Literal["running", "cancelling"]
SkipReason = Literal["disabled", "too many runs in flight", "overlap", "paused", "no node has its tags"]
MissReason = Literal[
    "the server was down",
    "the job was disabled",
    "the server was late",
    "the job was edited",
    "paused",
    "a run was in flight",
    "the starting deadline passed",
    "older than the catch-up window",
    "too many to make up",
]


class RemoteCall(Value, frozen=True):
    """What a remote job asks for. `timeout` in seconds, 0 for the default; None for "not given".

    `lenient` counts when no codes are expected. `expected_body` is a regular expression, "" for any body. The files are
    absolute paths where the request is made, "" for none (domain/remote_call.py).
    """

    url: str = ""
    method: str = ""
    body: str = ""
    headers: tuple[tuple[str, tuple[str, ...]], ...] | None = None
    timeout: int = 0
    expected_codes: tuple[int, ...] | None = None
    lenient: bool = False
    expected_body: str = ""
    verify_tls: bool = True
    ca_file: str = ""
    client_certificate_file: str = ""
    client_key_file: str = ""
    debug: bool = False


NO_CALL = RemoteCall()


NO_JOB: Final = JobId("")


class JobSpec(Value, frozen=True):
    """A job's definition, as its owner gave it. Durations and schedules stay in their ISO 8601 text.

    `managed_by` says from where it is kept in step, "" when it was made by hand (domain/declared.py). `tags` are those
    of the nodes that may run it.
    """

    name: str
    command: str = ""
    owner: str = ""
    dependents: tuple[JobId, ...] | None = None
    parents: tuple[JobId, ...] | None = None
    on_failure_job: JobId = NO_JOB
    schedule: str = ""
    timezone: str = ""
    retries: int = 0
    epsilon: str = ""
    template_delimiters: str = ""
    resume_at_next_tick: bool = False
    kind: JobKind = "local"
    remote: RemoteCall = NO_CALL
    dependency_policy: DependencyPolicy = "all"
    shell: bool = False
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = ""
    stdin: str = ""
    timeout: str = ""
    ticks: TickPolicy = TickPolicy()
    terms: AttemptTerms = USUAL
    notify: Notify = NOTHING_SAID
    retention: Retention = NO_RETENTION
    managed_by: str = ""
    labels: Labels = NO_LABELS
    tags: Labels = NO_LABELS
    bounds: Bounds = NO_BOUNDS
    processors: Processors = ()
    named: NamedWork = NO_NAMED


class Counters(Value, frozen=True):
    """What a job has done. `error_count` counts attempts, `finished_runs` runs."""

    success_count: int = 0
    last_success: Instant | None = None
    error_count: int = 0
    last_error: Instant | None = None
    last_attempted_run: Instant | None = None
    finished_runs: int = 0


NOTHING_DONE = Counters()


class Run(Value, frozen=True):
    """A run in flight. `root` is the run at the top of its tree: itself, unless another's end caused it.

    With `retry_at` its attempt has failed, and nobody carries it out until then.
    """

    id: RunId
    cause: Cause
    root: RunId
    started: Instant
    tick: Instant | None = None
    after: RunId | None = None
    attempt: int = 1
    status: RunStatus = "running"
    retry_at: Instant | None = None


class Job(Value, frozen=True):
    """A job's state. Every tick up to and including `answered` has its answer in the log.

    `planned` is when the present schedule was set; `next_tick` the first unanswered tick. From `owed` on, the answer of
    the ticks up to `answered` is that a pause skipped them, and they are to be made up. Nothing is made up before
    `not_before`. With an overlap that lets ticks wait, `freed` is when the last run in flight ended.
    """

    id: JobId
    spec: JobSpec
    born: Instant
    planned: Instant
    answered: Instant
    next_tick: Instant | None
    disabled: bool = False
    deleted: bool = False
    counters: Counters = NOTHING_DONE
    runs: tuple[Run, ...] = ()
    pause: Pause | None = None
    owed: Instant | None = None
    not_before: Instant | None = None
    freed: Instant | None = None

    def run(self, run: RunId) -> Run | None:
        """The run in flight with this id."""
        return next((r for r in self.runs if r.id == run), None)

    @property
    def is_done(self) -> bool:
        """It has run, nothing runs, and nothing more is due."""
        due = self.next_tick if self.owed is None else self.owed
        return not self.runs and due is None and self.counters.finished_runs > 0


class JobDraft(Value, frozen=True):
    """A job as a client describes it. Without an id it is to get one."""

    spec: JobSpec
    id: JobId | None = None
    disabled: bool = False
    counters: Counters = NOTHING_DONE
    pause: Pause | None = None

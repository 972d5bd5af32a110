"""The facts: what has happened, in the past tense. `at` is when, by the node's wall clock.

Once a release has written one, its meaning is fixed: a change is a new version and an upcaster in `codec`.
"""

from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import NOTHING_DONE, Cause, Counters, JobKind, JobSpec, MissReason, Outcome, SkipReason
from kala_es.domain.trimming import HistoryEvent
from kala_es.domain.values import Value


class JobCreated(Value, frozen=True):
    """A job exists. `counters` is what its owner says that it did elsewhere."""

    job: JobId
    at: Instant
    spec: JobSpec
    disabled: bool = False
    counters: Counters = NOTHING_DONE


class JobUpdated(Value, frozen=True):
    """A job's definition was replaced, counters and history kept."""

    job: JobId
    at: Instant
    spec: JobSpec
    disabled: bool = False


class JobEnabled(Value, frozen=True):
    """Ticks start runs again."""

    job: JobId
    at: Instant


class JobDisabled(Value, frozen=True):
    """Ticks and asks start nothing."""

    job: JobId
    at: Instant


class JobDeleted(Value, frozen=True):
    """The job is gone; its runs stay readable. `cause` is the deleted parent that took it along."""

    job: JobId
    at: Instant
    cause: JobId | None = None


class RunStarted(Value, frozen=True):
    """A run began with its first attempt. `tick` is the due time that it answers."""

    job: JobId
    at: Instant
    run: RunId
    cause: Cause
    root: RunId
    tick: Instant | None = None
    after: RunId | None = None
    kind: JobKind = "local"


class AttemptFailed(Value, frozen=True):
    """An attempt ended badly at `at`; with `retrying` the next one began at once."""

    job: JobId
    at: Instant
    run: RunId
    attempt: int
    outcome: Outcome
    retrying: bool
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""


class CancelRequested(Value, frozen=True):
    """Someone asked for the run's end."""

    job: JobId
    at: Instant
    run: RunId


class OutputChunk(Value, frozen=True):
    """The next piece of an attempt's output. `sequence` counts the attempt's chunks from 1;
    `offset` is how many bytes of this channel came before it in this attempt."""

    job: JobId
    at: Instant
    run: RunId
    attempt: int
    sequence: int
    channel: str
    offset: int
    content: bytes


class RunFinished(Value, frozen=True):
    """A run is over after `attempts` attempts."""

    job: JobId
    at: Instant
    run: RunId
    outcome: Outcome
    attempts: int
    root: RunId
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""


class RunSkipped(Value, frozen=True):
    """A tick or an ask started nothing, for `reason`."""

    job: JobId
    at: Instant
    run: RunId
    cause: Cause
    reason: SkipReason
    root: RunId
    tick: Instant | None = None
    after: RunId | None = None


class TickMissed(Value, frozen=True):
    """`count` consecutive ticks, `first` to `last`, started nothing; the run of `made_up` stands for them."""

    job: JobId
    at: Instant
    first: Instant
    last: Instant
    count: int
    reason: MissReason
    made_up: Instant | None = None


class StatusReported(Value, frozen=True):
    """The other side of a remote run, or a client, told its status."""

    job: JobId
    at: Instant
    run: RunId
    status: str


class ActorCrashed(Value, frozen=True):
    """A bug ended the job's actor; it came back from the log."""

    job: JobId
    at: Instant
    error: str


class RequestAnswered(Value, frozen=True):
    """A request with an idempotency key got this answer, recorded in the same commit as what it did."""

    at: Instant
    key: str
    fingerprint: bytes
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


JobEvent = (
    JobCreated
    | JobUpdated
    | JobEnabled
    | JobDisabled
    | JobDeleted
    | RunStarted
    | AttemptFailed
    | CancelRequested
    | RunFinished
    | RunSkipped
    | TickMissed
    | StatusReported
    | ActorCrashed
)
"""What a job's actor decides, and what its state is folded from."""
Event = JobEvent | OutputChunk | RequestAnswered | HistoryEvent

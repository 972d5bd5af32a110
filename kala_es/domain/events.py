"""The facts: what has happened, in the past tense. `at` is when, by the node's wall clock.

Once a release has written one, its meaning is fixed: a change is a new version and an upcaster in `codec`.
"""

from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import NOTHING_DONE, Cause, Counters, JobKind, JobSpec, MissReason, Outcome, SkipReason
from kala_es.domain.notify import NoticeId, Occasion
from kala_es.domain.processing import NOTHING, Reached
from kala_es.domain.tick_policy import Covered
from kala_es.domain.trimming import HistoryEvent
from kala_es.domain.values import Value


class JobCreated(Value, frozen=True):
    """A job exists. `counters` is what its owner says that it did elsewhere; with `answered` the ticks up to then had
    their answers there."""

    job: JobId
    at: Instant
    spec: JobSpec
    disabled: bool = False
    counters: Counters = NOTHING_DONE
    answered: Instant | None = None


class JobUpdated(Value, frozen=True):
    """A job's definition was replaced, history kept. `counters` None: they are kept, too."""

    job: JobId
    at: Instant
    spec: JobSpec
    disabled: bool = False
    counters: Counters | None = None


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


class JobPaused(Value, frozen=True):
    """Until `until` (none: until someone resumes it) the job's ticks are skipped."""

    job: JobId
    at: Instant
    until: Instant | None = None
    reason: str = ""
    by: str = ""


class JobResumed(Value, frozen=True):
    """The job's pause is over: its end came, or someone ended it."""

    job: JobId
    at: Instant
    by: str = ""


class HistoryCleared(Value, frozen=True):
    """The job's runs that had ended by then are to be forgotten, and its counters begin anew."""

    job: JobId
    at: Instant


class RunStarted(Value, frozen=True):
    """A run began with its first attempt. `tick` is the due time that it answers, `covers` all that it stands for."""

    job: JobId
    at: Instant
    run: RunId
    cause: Cause
    root: RunId
    tick: Instant | None = None
    after: RunId | None = None
    kind: JobKind = "local"
    covers: Covered | None = None


class AttemptFailed(Value, frozen=True):
    """An attempt ended badly at `at`; with `retrying` the next one began at once, or is to begin at `retry_at`.

    What was dropped are bytes of its output that were left out because they were beyond the job's limit."""

    job: JobId
    at: Instant
    run: RunId
    attempt: int
    outcome: Outcome
    retrying: bool
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    retry_at: Instant | None = None
    stdout_dropped: int = 0
    stderr_dropped: int = 0


class AttemptStarted(Value, frozen=True):
    """A run's next attempt began, after its delay. A run's first one begins with it, and one without delay at once."""

    job: JobId
    at: Instant
    run: RunId
    attempt: int


class CancelRequested(Value, frozen=True):
    """Someone asked for the run's end; or, with overlap `replace`, the `tick` did whose run takes its place."""

    job: JobId
    at: Instant
    run: RunId
    tick: Instant | None = None


class OutputChunk(Value, frozen=True):
    """The next piece of an attempt's output. `sequence` counts the attempt's chunks from 1;
    `offset` is how many bytes of this channel are recorded before it in this attempt, `dropped` how many came right
    before it and were left out because they were beyond the job's limit."""

    job: JobId
    at: Instant
    run: RunId
    attempt: int
    sequence: int
    channel: str
    offset: int
    content: bytes
    dropped: int = 0


class RunFinished(Value, frozen=True):
    """A run is over after `attempts` attempts. What was dropped is said of the last one, as in `AttemptFailed`."""

    job: JobId
    at: Instant
    run: RunId
    outcome: Outcome
    attempts: int
    root: RunId
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    stdout_dropped: int = 0
    stderr_dropped: int = 0


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


class RunImported(Value, frozen=True):
    """A run of the job was elsewhere, from `started` to `ended`, before the job came here: it is told, and not counted.

    `execution` is its id at the `source`. The last `chunks` records before this one are its output."""

    job: JobId
    at: Instant
    run: RunId
    source: str
    execution: str
    started: Instant
    ended: Instant
    outcome: Outcome
    attempts: int = 1
    chunks: int = 0
    exit_code: int | None = None
    reason: str = ""


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


class About(Value, frozen=True):
    """What a notice tells of: a job's run, or ticks that were missed. Texts are as they were then."""

    name: str
    owner: str = ""
    run: RunId | None = None
    cause: Cause | None = None
    tick: Instant | None = None
    started: Instant | None = None
    ended: Instant | None = None
    outcome: Outcome | None = None
    attempts: int = 0
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    first: Instant | None = None
    last: Instant | None = None
    count: int = 0
    expected_duration: str = ""


class NoticeDue(Value, frozen=True):
    """Somebody is to be told, by mail (`mailto:`) or at a URL; all that is needed for it is here."""

    notice: NoticeId
    job: JobId
    at: Instant
    when: Occasion
    to: str
    about: About
    template: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class NoticeAttempted(Value, frozen=True):
    """It was tried to tell a notice. If not `delivered`, `next_at` is when it is tried again, None when it is given up.
    `attempt` 0 was none: it was given up before it was tried."""

    notice: NoticeId
    job: JobId
    at: Instant
    attempt: int
    delivered: bool = False
    status: int | None = None
    reason: str = ""
    next_at: Instant | None = None


class OutputHandedOver(Value, frozen=True):
    """A processor of the run's job, at `place` (from 0) in its list, took the run's output up to `reached`. With `over`
    that is all of it, and the run's end."""

    job: JobId
    at: Instant
    run: RunId
    place: int
    processor: str
    reached: Reached = NOTHING
    over: bool = False


class ProcessorFailed(Value, frozen=True):
    """A processor did not take what comes after `reached`, for the `failures`-th time in a row. `next_at` is when it is
    tried again; none: it is given up, and the processor gets no more of this run."""

    job: JobId
    at: Instant
    run: RunId
    place: int
    processor: str
    failures: int
    reason: str = ""
    reached: Reached = NOTHING
    next_at: Instant | None = None


class ServerPaused(Value, frozen=True):
    """Until `until` (none: until someone resumes it) the ticks of all jobs are skipped."""

    at: Instant
    until: Instant | None = None
    reason: str = ""
    by: str = ""


class ServerResumed(Value, frozen=True):
    """The server's pause is over: its end came, or someone ended it."""

    at: Instant
    by: str = ""


JobEvent = (
    JobCreated
    | JobUpdated
    | JobEnabled
    | JobDisabled
    | JobDeleted
    | JobPaused
    | JobResumed
    | HistoryCleared
    | RunStarted
    | AttemptFailed
    | AttemptStarted
    | CancelRequested
    | RunFinished
    | RunSkipped
    | TickMissed
    | StatusReported
    | RunImported
    | ActorCrashed
)
"""What a job's actor decides, and what its state is folded from."""
NoticeEvent = NoticeDue | NoticeAttempted
"""What becomes of notices; no job's state depends on it."""
HandoverEvent = OutputHandedOver | ProcessorFailed
"""What becomes of output beside the job; no job's state depends on it."""
ServerEvent = ServerPaused | ServerResumed
Event = JobEvent | OutputChunk | RequestAnswered | NoticeEvent | HandoverEvent | ServerEvent | HistoryEvent

"""The requests to a job's actor. Each brings its own time and ids: deciding draws on nothing else.

Those that may answer ticks are told whether the server is paused (`under`).
"""

from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.imported_runs import ImportedRun
from kala_es.domain.model import NOTHING_DONE, Cause, Counters, JobSpec, MissReason, Outcome
from kala_es.domain.tick_policy import Pause
from kala_es.domain.values import Value, replace


class CreateJob(Value, frozen=True):
    """Create the job, or replace the definition of the one that has this id. With `pause` it is paused from now on.

    With `answered` its schedule may have begun: the ticks up to then had their answers elsewhere. If `unknown`, a job
    that has this id is not replaced.
    """

    job: JobId
    at: Instant
    spec: JobSpec
    disabled: bool = False
    counters: Counters = NOTHING_DONE
    server_paused: bool = False
    answered: Instant | None = None
    pause: Pause | None = None
    unknown: bool = False


class UpdateJob(Value, frozen=True):
    """Replace the definition of a job that exists. If `begun`, a new schedule's start may have passed.

    `counters` None leaves them as they are. `instead_of` has the tags of the definitions that it may replace, None any.
    """

    job: JobId
    at: Instant
    spec: JobSpec
    disabled: bool = False
    server_paused: bool = False
    begun: bool = False
    pause: Pause | None = None
    counters: Counters | None = None
    instead_of: tuple[str, ...] | None = None


class ReplaceBody(Value, frozen=True):
    """Replace a remote job's request body."""

    job: JobId
    at: Instant
    body: str


class EnableJob(Value, frozen=True):
    """Let ticks start runs again."""

    job: JobId
    at: Instant
    server_paused: bool = False


class DisableJob(Value, frozen=True):
    """Let nothing start a run."""

    job: JobId
    at: Instant


class PauseJob(Value, frozen=True):
    """Skip the job's ticks until `until`; None: until someone resumes it."""

    job: JobId
    at: Instant
    until: Instant | None = None
    reason: str = ""
    by: str = ""


class ResumeJob(Value, frozen=True):
    """End the job's pause, and make up what it skipped by the job's policy."""

    job: JobId
    at: Instant
    by: str = ""
    server_paused: bool = False


class ClearHistory(Value, frozen=True):
    """Forget the job's runs that have ended, and count anew."""

    job: JobId
    at: Instant


class DeleteJob(Value, frozen=True):
    """Remove the job. `cause` is the deleted parent that takes it along."""

    job: JobId
    at: Instant
    cause: JobId | None = None


class ForgetParent(Value, frozen=True):
    """A parent was deleted: let go of it, or go with it if it was the last."""

    job: JobId
    at: Instant
    parent: JobId


class AnswerTicks(Value, frozen=True):
    """Answer every tick up to `at`. `gap` says why they may be late; "" in normal running."""

    job: JobId
    at: Instant
    gap: MissReason | None = None
    server_paused: bool = False


class StartRun(Value, frozen=True):
    """Start a run that no tick asks for: by hand, or as another run's consequence.

    With `force` neither a disabled job nor its overlap is in the way.
    """

    job: JobId
    at: Instant
    run: RunId
    cause: Cause
    root: RunId
    after: RunId | None = None
    force: bool = False


class CancelRun(Value, frozen=True):
    """End a run in flight."""

    job: JobId
    at: Instant
    run: RunId


class EndAttempt(Value, frozen=True):
    """Record how a run's attempt ended. With `final` no retry follows (the node is stopping)."""

    job: JobId
    at: Instant
    run: RunId
    attempt: int
    outcome: Outcome
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    final: bool = False
    stdout_dropped: int = 0
    stderr_dropped: int = 0


class ReportStatus(Value, frozen=True):
    """Record what a client says of a run."""

    job: JobId
    at: Instant
    run: RunId
    status: str


class ImportRuns(Value, frozen=True):
    """Add runs that the job had at `source`, and that are over, to its history."""

    job: JobId
    at: Instant
    source: str
    runs: tuple[ImportedRun, ...]


class RecordCrash(Value, frozen=True):
    """Record that the job's actor met a bug."""

    job: JobId
    at: Instant
    error: str


Command = (
    CreateJob
    | UpdateJob
    | ReplaceBody
    | EnableJob
    | DisableJob
    | PauseJob
    | ResumeJob
    | ClearHistory
    | DeleteJob
    | ForgetParent
    | AnswerTicks
    | StartRun
    | CancelRun
    | EndAttempt
    | ReportStatus
    | ImportRuns
    | RecordCrash
)


def under(command: Command, *, server_paused: bool) -> Command:
    """The command, told whether the server is paused."""
    if server_paused and isinstance(command, CreateJob | UpdateJob | EnableJob | ResumeJob | AnswerTicks):
        return replace(command, server_paused=True)
    return command

"""The requests to a job's actor. Each brings its own time and ids: deciding draws on nothing else."""

from dataclasses import dataclass

from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import NOTHING_DONE, Cause, Counters, JobSpec, MissReason, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateJob:
    """Create the job, or replace the definition of the one that has this id."""

    job: JobId
    at: Instant
    spec: JobSpec
    disabled: bool = False
    counters: Counters = NOTHING_DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateJob:
    """Replace the definition of a job that exists."""

    job: JobId
    at: Instant
    spec: JobSpec
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceBody:
    """Replace a remote job's request body."""

    job: JobId
    at: Instant
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableJob:
    """Let ticks start runs again."""

    job: JobId
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableJob:
    """Let nothing start a run."""

    job: JobId
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteJob:
    """Remove the job. `cause` is the deleted parent that takes it along."""

    job: JobId
    at: Instant
    cause: JobId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetParent:
    """A parent was deleted: let go of it, or go with it if it was the last."""

    job: JobId
    at: Instant
    parent: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTicks:
    """Answer every tick up to `at`. `gap` says why they may be late; "" in normal running."""

    job: JobId
    at: Instant
    gap: MissReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRun:
    """Start a run that no tick asks for: by hand, or as another run's consequence."""

    job: JobId
    at: Instant
    run: RunId
    cause: Cause
    root: RunId
    after: RunId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRun:
    """End a run in flight."""

    job: JobId
    at: Instant
    run: RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAttempt:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportStatus:
    """Record what a client says of a run."""

    job: JobId
    at: Instant
    run: RunId
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCrash:
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
    | DeleteJob
    | ForgetParent
    | AnswerTicks
    | StartRun
    | CancelRun
    | EndAttempt
    | ReportStatus
    | RecordCrash
)

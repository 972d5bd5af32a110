"""What changes a job, beside its runs: the events that do, and the definition after each; and what caused a run."""

from typing import Final, Literal, assert_never, get_args

from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import Cause, JobDraft, Outcome
from kala_es.domain.values import Value, replace

ChangeEvent = e.JobCreated | e.JobUpdated | e.JobEnabled | e.JobDisabled | e.JobPaused | e.JobResumed | e.JobDeleted
CHANGES: Final[tuple[type[ChangeEvent], ...]] = get_args(ChangeEvent)
CHANGE_NAMES: Final = frozenset(kind.__name__ for kind in CHANGES)
"""As the types of records."""


class Change(Value, frozen=True):
    """A change, and who made it. `before` and `after` are the definitions; None while there is no job."""

    position: int
    principal: str
    event: ChangeEvent
    before: JobDraft | None = None
    after: JobDraft | None = None


class Link(Value, frozen=True):
    """A run in a chain of causes: the next link is the run whose end caused it. A skipped one did not begin.

    `retried` are its attempts that were tried again, if somebody looked.
    """

    run: RunId
    job: JobId
    cause: Cause
    principal: str
    started: Instant
    attempts: int
    tick: Instant | None = None
    ended: Instant | None = None
    outcome: Outcome | Literal["skipped"] | None = None
    reason: str = ""
    retried: tuple[e.AttemptFailed, ...] = ()


def definition_after(draft: JobDraft | None, event: ChangeEvent) -> JobDraft | None:
    """The definition that a job has after an event; None when it has none."""
    match event:
        case e.JobCreated() | e.JobUpdated():
            return JobDraft(id=event.job, spec=event.spec, disabled=event.disabled)
        case e.JobEnabled():
            return draft and replace(draft, disabled=False)
        case e.JobDisabled():
            return draft and replace(draft, disabled=True)
        case e.JobPaused() | e.JobResumed():
            return draft
        case e.JobDeleted():
            return None
        case _:
            assert_never(event)


def brings_about(change: Change, reason: str) -> bool | None:
    """Whether a tick is skipped or missed for this reason because of the change; False: no longer. None: no matter."""
    event, after = change.event, change.after
    if isinstance(event, e.JobDeleted):
        return False
    if reason == "paused":
        return isinstance(event, e.JobPaused) if isinstance(event, e.JobPaused | e.JobResumed) else None
    if reason == "the job was edited":
        return True if isinstance(event, e.JobUpdated) else None
    if reason not in ("disabled", "the job was disabled") or after is None:
        return None
    was = change.before is not None and change.before.disabled
    return None if after.disabled and was else after.disabled

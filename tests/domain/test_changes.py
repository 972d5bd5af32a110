"""The definition after each change of a job."""

import pytest

from kala_es.domain import events as e
from kala_es.domain.changes import CHANGES, Change, ChangeEvent, brings_about, definition_after
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.model import JobDraft, JobSpec

J, AT = JobId("j"), Instant(1)
OLD, NEW = JobSpec(name="old", command="true"), JobSpec(name="new", command="false")


def draft(spec: JobSpec = OLD, *, disabled: bool = False) -> JobDraft:
    return JobDraft(id=J, spec=spec, disabled=disabled)


ROWS: list[tuple[JobDraft | None, ChangeEvent, JobDraft | None]] = [
    (None, e.JobCreated(job=J, at=AT, spec=OLD, disabled=True), draft(disabled=True)),
    (draft(disabled=True), e.JobUpdated(job=J, at=AT, spec=NEW), draft(NEW)),
    (draft(disabled=True), e.JobEnabled(job=J, at=AT), draft()),
    (draft(), e.JobDisabled(job=J, at=AT), draft(disabled=True)),
    (draft(), e.JobPaused(job=J, at=AT), draft()),
    (draft(), e.JobResumed(job=J, at=AT), draft()),
    (draft(), e.JobDeleted(job=J, at=AT), None),
    (None, e.JobEnabled(job=J, at=AT), None),
]


@pytest.mark.parametrize(("before", "event", "after"), ROWS)
def test_the_definition_after_a_change(before: JobDraft | None, event: ChangeEvent, after: JobDraft | None) -> None:
    assert definition_after(before, event) == after


def test_every_change_has_a_row() -> None:
    assert {type(event) for _, event, _ in ROWS} == set(CHANGES)


def why(reason: str, *events: ChangeEvent) -> type[ChangeEvent] | None:
    """The kind of the change that brings a reason about, after some changes."""
    cause: type[ChangeEvent] | None = None
    before: JobDraft | None = None
    for event in events:
        after = definition_after(before, event)
        does = brings_about(Change(position=1, principal="", event=event, before=before, after=after), reason)
        before, cause = after, cause if does is None else type(event) if does else None
    return cause


CREATED = e.JobCreated(job=J, at=AT, spec=OLD)
PAUSED, RESUMED = e.JobPaused(job=J, at=AT), e.JobResumed(job=J, at=AT)
OFF, ON = e.JobDisabled(job=J, at=AT), e.JobEnabled(job=J, at=AT)
EDITED = e.JobUpdated(job=J, at=AT, spec=NEW)
STILL_OFF = e.JobUpdated(job=J, at=AT, spec=NEW, disabled=True)


def test_which_change_brings_a_reason_about() -> None:
    assert why("paused", CREATED, PAUSED, EDITED) is e.JobPaused
    assert why("paused", CREATED, PAUSED, RESUMED) is None
    assert why("disabled", CREATED, OFF, STILL_OFF) is e.JobDisabled
    assert why("the job was disabled", CREATED, STILL_OFF) is e.JobUpdated
    assert why("disabled", CREATED, OFF, ON) is None
    assert why("the job was edited", CREATED, EDITED, PAUSED) is e.JobUpdated
    assert why("overlap", CREATED, OFF, EDITED) is None
    assert why("paused", CREATED, PAUSED, e.JobDeleted(job=J, at=AT)) is None

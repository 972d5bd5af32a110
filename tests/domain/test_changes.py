"""The definition after each change of a job."""

import pytest

from kala_es.domain import events as e
from kala_es.domain.changes import CHANGES, ChangeEvent, definition_after
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

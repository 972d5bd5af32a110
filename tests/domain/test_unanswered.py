"""Why a moment has no answer, by the definition that held then."""

import pytest

from kala_es.domain import events as e
from kala_es.domain.changes import Change, ChangeEvent, definition_after
from kala_es.domain.ids import JobId
from kala_es.domain.model import JobSpec
from kala_es.domain.unanswered import Plan, lack_of, plan_after
from kala_es.domain.values import replace
from tests.domain.test_job import SPEC, J, at

ONCE, CHILD = JobSpec(name="n", command="true"), JobSpec(name="n", parents=(JobId("p"),))


def created(spec: JobSpec) -> ChangeEvent:
    return e.JobCreated(job=J, at=at(0), spec=spec)


def edited(spec: JobSpec) -> ChangeEvent:
    return e.JobUpdated(job=J, at=at(30), spec=spec)


def held(*events: ChangeEvent) -> Plan:
    """What holds after these."""
    plan = Plan()
    for event in events:
        change = Change(
            position=1, principal="", event=event, before=plan.draft, after=definition_after(plan.draft, event)
        )
        plan = plan_after(plan, change)
    return plan


@pytest.mark.parametrize(
    ("events", "tick", "kept_since", "lack", "reason"),
    [
        ((), 60, 0, "no tick", "no such job"),
        ((created(SPEC), e.JobDeleted(job=J, at=at(30))), 60, 0, "no tick", "no such job"),
        ((created(CHILD),), 60, 0, "no tick", "parents"),
        ((created(SPEC),), 61, 0, "no tick", "no such tick"),
        ((created(SPEC),), 60, 60, "forgotten", "no longer"),
        ((created(SPEC),), 60, 59, "unanswered", "deleted before"),
        ((created(ONCE), e.JobDisabled(job=J, at=at(9))), 0, 0, "forgotten", "no longer"),
        ((created(ONCE), edited(replace(ONCE, retries=1))), 30, 0, "no tick", "no such tick"),
        ((created(SPEC), edited(ONCE)), 30, 0, "unanswered", "deleted before"),
    ],
)
def test_a_moment_without_an_answer(
    events: tuple[ChangeEvent, ...], tick: float, kept_since: float, lack: str, reason: str
) -> None:
    found, sentence = lack_of(at(tick), held(*events), at(kept_since))
    assert found == lack
    assert reason in sentence

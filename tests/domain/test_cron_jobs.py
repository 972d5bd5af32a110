"""Jobs on cron expressions: whatever is done about ticks is done about theirs.

Times are seconds after the start of 2030, as in test_job.py, whose usual job has the same ticks: each minute.
"""

from typing import Any

import pytest

from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.due import wake_at
from kala_es.domain.errors import Invalid
from kala_es.domain.job import decide
from kala_es.domain.model import JobSpec
from kala_es.domain.tick_list import TickList
from kala_es.domain.tick_policy import TickPolicy
from kala_es.domain.values import replace
from tests.domain.test_job import (
    SPEC,
    J,
    P,
    after,
    at,
    create,
    delete,
    disable,
    enable,
    end,
    names,
    refused,
    shown,
    start,
    ticks,
    update,
)  # fmt: skip

BY_CRON = replace(SPEC, schedule="* * * * *")
PAUSE = c.PauseJob(job=J, at=at(70), reason="why", until=at(200))
POLICIES: list[dict[str, Any]] = [
    {},
    {"catch_up": "none"},
    {"catch_up": "all", "catch_up_window": "PT2M"},
    {"overlap": "skip"},
    {"overlap": "queue"},
    {"overlap": "replace"},
    {"jitter": "PT30S"},
    {"starting_deadline": "PT20S"},
]
STORIES: dict[str, list[c.Command]] = {
    "in time": [ticks(60), ticks(120), ticks(180)],
    "late": [ticks(60), ticks(250), ticks(251), ticks(252)],
    "after a gap": [ticks(60), ticks(330, down=True), ticks(331), ticks(360)],
    "paused": [ticks(60), PAUSE, ticks(120), ticks(180), ticks(200), ticks(240)],
    "disabled": [disable(30), enable(200), ticks(240)],
    "by hand": [start(70), ticks(120), disable(130), delete(140)],
    "edited": [ticks(60), update(130, replace(BY_CRON, command="false")), ticks(180)],
}


def with_policy(spec: JobSpec, policy: dict[str, Any]) -> JobSpec:
    return replace(spec, ticks=TickPolicy(**policy))


def facts(spec: JobSpec, story: list[c.Command]) -> list[object]:
    """What is decided, and when the job is looked at next, after each command."""
    told: list[object] = []
    job = after(None, create(1, spec))
    for command in story:
        if isinstance(command, c.UpdateJob):
            command = replace(command, spec=replace(spec, command="false"))
        events = decide(job, command)
        told += [replace(event, spec=SPEC) if isinstance(event, e.JobUpdated) else event for event in events]
        job = after(job, command)
        told.append(wake_at(job))
    return told


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_cron_job_lives_like_one_of_iso_8601(policy: dict[str, Any], story: str) -> None:
    by_cron = facts(with_policy(BY_CRON, policy), STORIES[story])
    assert by_cron == facts(with_policy(SPEC, policy), STORIES[story])


def test_a_cron_job_never_ends_and_may_be_due_at_once() -> None:
    job = after(None, create(60, BY_CRON))
    assert shown(job.next_tick) == 60
    done = after(job, ticks(60), end(61, decide(job, ticks(60))[0].run))  # type: ignore[union-attr]
    assert (shown(done.next_tick), done.is_done) == (120, False)


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("@every 90s", 190),
        ("@at 2030-01-01T00:01:40Z", 100),
        ("@at 2030-01-01T00:05:00.25Z", 300.25),
        ("@hourly", 3600),
    ],
)
def test_an_edit_plans_the_expression_from_then_on(expression: str, first: float) -> None:
    job = after(None, create(0.25), update(100, replace(SPEC, schedule=expression)))
    assert shown(job.next_tick) == first


def test_every_keeps_its_count_over_edits_of_other_things() -> None:
    spec = replace(SPEC, schedule="@every 90s")
    job = after(None, create(0.25, spec), ticks(90), update(100, replace(spec, command="false")))
    assert shown(job.next_tick) == 180


def test_a_time_that_has_passed_is_refused() -> None:
    passed = replace(SPEC, schedule="@at 2030-01-01T00:01:39Z")
    for job, command in ((None, create(100, passed)), (after(None, create(0)), update(100, passed))):
        refusal = refused(job, command)
        assert isinstance(refusal, Invalid)
        assert "already passed" in refusal.reason


def test_a_job_without_ticks_is_started_by_hand() -> None:
    job = after(None, create(0, replace(SPEC, schedule="@manually")))
    assert (job.next_tick, wake_at(job), decide(job, ticks(10**9))) == (None, None, ())
    assert names(decide(job, start(70))) == "RunStarted"
    assert shown(after(job, update(100, BY_CRON)).next_tick) == 120


def test_a_child_reads_no_schedule() -> None:
    child = replace(SPEC, schedule="* * * *", parents=(P,))
    assert after(None, create(0, child)).next_tick is None


@pytest.mark.parametrize(("expression", "step"), [("* * * * *", 60), ("@every 60s", 60), ("*/30 * * * * *", 30)])
def test_ticks_are_listed(expression: str, step: int) -> None:
    spec = replace(SPEC, schedule=expression)
    job = after(None, create(0.5, spec))
    events = (*decide(None, create(0.5, spec)), *decide(job, ticks(330, down=True)))
    for since in (0, 100):
        found = TickList(since=at(since), until=at(420), most=100)
        for event in events:
            found.take(event)
        listed = found.listed(after(job, ticks(330, down=True)), at(330))
        first = -(-max(since, 1) // step) * step
        assert [shown(each.tick) for each in listed] == list(range(first, 420, step))
        assert {each.outcome for each in listed if each.tick > at(330)} == {"coming"}

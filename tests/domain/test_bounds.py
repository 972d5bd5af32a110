"""Bounds: ticks beyond them are none, and an ephemeral job goes with its first success."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.bounds import Bounds, within
from kala_es.domain.errors import Invalid
from kala_es.domain.graph import Graph, check_links
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.iso8601 import parse_schedule
from kala_es.domain.job import decide, evolve
from kala_es.domain.model import Job, JobSpec
from kala_es.domain.values import replace

JOB = JobId("j")
T = Instant(1_800_000_000 * SECOND)
HOUR = 3600 * SECOND
SPEC = JobSpec(name="j", command="true", schedule="R/2020-01-01T00:00:00Z/PT1H")


def created(spec: JobSpec) -> Job:
    job = None
    for event in decide(None, c.CreateJob(job=JOB, at=T, spec=spec, answered=T)):
        job = evolve(job, event)
    assert job is not None
    return job


def after(job: Job | None, command: c.Command) -> tuple[Job | None, tuple[e.JobEvent, ...]]:
    events = decide(job, command)
    for event in events:
        job = evolve(job, event)
    return job, events


@contextmanager
def refused(field: str) -> Iterator[None]:
    with pytest.raises(Invalid) as error:
        yield
    assert error.value.field == field


@given(
    st.one_of(st.none(), st.integers(0, 20)),
    st.one_of(st.none(), st.integers(0, 20)),
    st.integers(-5, 25),
    st.integers(-5, 25),
)
def test_ticks_are_those_of_the_schedule_that_lie_within(starts, expires, low, high):
    schedule = parse_schedule("R/2020-01-01T00:00:00Z/PT2H", "")
    zero = schedule.next_after(Instant(0))

    def at(hours):
        return None if hours is None else Instant(zero + hours * HOUR)

    bounded = within(schedule, Bounds(starts_at=at(starts), expires_at=at(expires)))
    expected = [
        at(h)
        for h in range(0, 40, 2)
        if (starts is None or h >= starts) and (expires is None or h <= expires) and low < h
    ]
    assert bounded.next_after(at(low)) == (expected[0] if expected else None)
    found = bounded.between(at(low), at(high))
    inside = [tick for tick in expected if tick <= at(high)]
    assert (found.first, found.last, found.count) == (inside[0], inside[-1], len(inside)) if inside else found is None


def test_a_job_is_planned_within_its_bounds_and_anew_when_they_change():
    later = Instant(T + 5 * HOUR + 1)
    job = created(replace(SPEC, bounds=Bounds(starts_at=later)))
    assert job.next_tick is not None
    assert later <= job.next_tick < later + HOUR
    job, _ = after(job, c.UpdateJob(job=JOB, at=Instant(T + 1), spec=SPEC, begun=True))
    assert job.next_tick is not None
    assert job.next_tick <= T + HOUR
    job, _ = after(
        job, c.UpdateJob(job=JOB, at=Instant(T + 2), spec=replace(SPEC, bounds=Bounds(expires_at=T)), begun=True)
    )
    assert job.next_tick is None


def test_what_is_due_beyond_the_end_is_not_answered():
    job = created(replace(SPEC, bounds=Bounds(expires_at=Instant(T + 2 * HOUR))))
    _, events = after(job, c.AnswerTicks(job=JOB, at=Instant(T + 10 * HOUR), gap="the server was down"))
    ticks = [event.tick for event in events if isinstance(event, e.RunStarted)]
    assert ticks
    assert all(tick <= T + 2 * HOUR for tick in ticks)


def test_an_end_before_the_start_is_refused():
    with refused("expires_at"):
        created(replace(SPEC, bounds=Bounds(starts_at=Instant(T + 2), expires_at=Instant(T + 1))))


@pytest.mark.parametrize(("outcome", "gone"), [("succeeded", True), ("failed", False), ("cancelled", False)])
def test_an_ephemeral_job_goes_with_its_first_success(outcome, gone):
    job = created(replace(SPEC, bounds=Bounds(ephemeral=True)))
    run = RunId("r")
    job, _ = after(job, c.StartRun(job=JOB, at=T, run=run, cause="manual", root=run))
    job, events = after(job, c.EndAttempt(job=JOB, at=T, run=run, attempt=1, outcome=outcome))
    assert (job is None) is gone
    assert isinstance(events[-1], e.JobDeleted if gone else e.RunFinished)


def test_an_ephemeral_job_has_no_dependents_and_no_children():
    ephemeral = replace(SPEC, bounds=Bounds(ephemeral=True))
    with refused("ephemeral"):
        created(replace(ephemeral, dependents=(JobId("k"),)))
    graph, kid = Graph(), replace(SPEC, schedule="", parents=(JOB,))
    parent = created(ephemeral)
    with refused("parent_jobs"):
        check_links(JobId("k"), kid, ({JOB: parent}, graph))
    graph.change(JobId("k"), None, kid)
    with refused("ephemeral"):
        check_links(JOB, ephemeral, ({JOB: parent}, graph))


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue", "replace"])
@pytest.mark.parametrize("disabled", [True, False])
def test_a_forced_start_passes_a_disabled_job_and_its_overlap(overlap, disabled):
    job = created(replace(SPEC, ticks=replace(SPEC.ticks, overlap=overlap)))
    job, _ = after(job, c.StartRun(job=JOB, at=T, run=RunId("1"), cause="manual", root=RunId("1")))
    if disabled:
        job, _ = after(job, c.DisableJob(job=JOB, at=T))
    forced = c.StartRun(job=JOB, at=T, run=RunId("2"), cause="manual", root=RunId("2"), force=True)
    job, events = after(job, forced)
    assert [type(event) for event in events] == [e.RunStarted]
    assert job is not None
    assert len(job.runs) == 2

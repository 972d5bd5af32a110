"""Jobs declared together: what forbids it is what would forbid the state that it leads to, in whatever order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.declared import Declaration, Outlook, command_for, comparable, no_longer_declared, step_for
from kala_es.domain.errors import Invalid
from kala_es.domain.graph import Graph, edges
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.domain.job import decide, evolve
from kala_es.domain.model import Job, JobDraft, JobSpec, RemoteCall
from kala_es.domain.values import replace

NAMES = [JobId(name) for name in "abcde"]
T = Instant(1_000)
SPEC = JobSpec(name="n", command="true", schedule="R/2020-01-01T00:00:00Z/P1D", managed_by="apply")


def job(name: JobId, spec: JobSpec = SPEC, *, deleted: bool = False) -> Job:
    return Job(id=name, spec=spec, born=T, planned=T, answered=T, next_tick=None, deleted=deleted)


def known(specs: dict[JobId, JobSpec]) -> tuple[dict[JobId, Job], Graph]:
    graph = Graph()
    for name, spec in specs.items():
        graph.change(name, None, spec)
    return {name: job(name, spec) for name, spec in specs.items()}, graph


def refused(wanted: dict[JobId, JobSpec], specs: dict[JobId, JobSpec], gone: tuple[JobId, ...] = ()) -> list[JobId]:
    return [fault.job for fault in Outlook(wanted, gone, known(specs)).faults()]


def draw_specs(names: list[JobId]) -> st.SearchStrategy[dict[JobId, JobSpec]]:
    some = st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(tuple)
    specs = st.builds(
        lambda parents, dependents, handler: replace(
            SPEC, parents=parents, dependents=dependents, on_failure_job=handler
        ),
        some,
        some,
        st.sampled_from([JobId(""), *NAMES]),
    )
    return st.dictionaries(st.sampled_from(names), specs, max_size=len(names))


def has_cycle(specs: dict[JobId, JobSpec]) -> bool:
    """By walking from every job, as far as it goes."""
    after = {n: {*edges(s), *(c for c, other in specs.items() if n in (other.parents or ()))} for n, s in specs.items()}
    for start in specs:
        seen: set[JobId] = set()
        waiting = list(after[start])
        while waiting:
            here = waiting.pop()
            if here == start:
                return True
            if here not in seen:
                seen.add(here)
                waiting += after.get(here, ())
    return False


def is_sound(specs: dict[JobId, JobSpec]) -> bool:
    return not has_cycle(specs) and all(p in specs for s in specs.values() for p in s.parents or ())


@given(draw_specs(NAMES), draw_specs(NAMES), st.sets(st.sampled_from(NAMES)))
def test_what_is_declared_is_refused_exactly_when_it_leads_nowhere(
    before: dict[JobId, JobSpec], wanted: dict[JobId, JobSpec], dropped: set[JobId]
) -> None:
    if not is_sound(before):
        before = {}
    gone = tuple(name for name in dropped if name in before and name not in wanted)
    result = {**{n: s for n, s in before.items() if n not in gone}, **wanted}
    faults = refused(wanted, before, gone)
    assert (faults == []) == is_sound(result)
    assert set(faults) <= {*wanted, *gone}


@given(draw_specs(NAMES))
def test_a_self_made_state_is_declared_without_a_fault_and_without_a_change(specs: dict[JobId, JobSpec]) -> None:
    if is_sound(specs):
        jobs, graph = known(specs)
        assert refused(specs, specs) == []
        for name, spec in specs.items():
            children = graph.children(name)
            step = step_for(JobDraft(id=name, spec=spec), jobs[name], (children, children))
            assert step.action == "unchanged"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (replace(SPEC, parents=()), True),
        (replace(SPEC, dependents=()), True),
        (replace(SPEC, dependents=(NAMES[1],)), True),
        (replace(SPEC, dependents=(NAMES[2],)), False),
        (replace(SPEC, remote=RemoteCall(headers=(), expected_codes=())), True),
        (replace(SPEC, name="m"), False),
    ],
)
def test_what_makes_no_difference_is_no_change(other: JobSpec, same: bool) -> None:
    assert (comparable(other, [NAMES[1]]) == comparable(SPEC, [NAMES[1]])) is same


def test_the_order_of_the_environment_makes_no_difference() -> None:
    one, two = (replace(SPEC, env=env) for env in ((("A", "1"), ("B", "2")), (("B", "2"), ("A", "1"))))
    assert comparable(one, ()) == comparable(two, ())


def test_only_living_jobs_of_the_same_hand_that_are_not_named_are_deleted() -> None:
    a, b, hand, other, dead = NAMES
    jobs = {
        a: job(a),
        b: job(b),
        hand: job(hand, replace(SPEC, managed_by="")),
        other: job(other, replace(SPEC, managed_by="other")),
        dead: job(dead, deleted=True),
    }
    declaration = Declaration(jobs=(JobDraft(id=a, spec=SPEC),), managed_by="apply", prune=True)
    assert no_longer_declared(declaration, jobs) == [b]
    assert no_longer_declared(replace(declaration, prune=False), jobs) == []


def test_a_job_that_was_planned_elsewhere_has_its_ticks_answered_up_to_now() -> None:
    draft = JobDraft(id=NAMES[0], spec=SPEC)
    for begun, answered in ((True, T), (False, Instant(T - 1))):
        command = command_for(draft, None, (Declaration(jobs=(), begun=begun), T))
        assert isinstance(command, c.CreateJob)
        assert command.answered == answered


def test_a_job_that_would_start_because_its_schedule_went_is_refused() -> None:
    draft = JobDraft(id=NAMES[0], spec=replace(SPEC, schedule=""))
    with pytest.raises(Invalid, match="start at once"):
        command_for(draft, job(NAMES[0]), (Declaration(jobs=(), begun=True), T))
    assert isinstance(command_for(draft, job(NAMES[0]), (Declaration(jobs=()), T)), c.UpdateJob)


def test_a_job_that_was_planned_elsewhere_begins_with_its_next_tick() -> None:
    now, day = Instant(1_600_000_000 * SECOND), 24 * 3600 * SECOND
    for schedule, following in ((SPEC.schedule, now - now % day + day), ("", None), ("R0/2020-01-01T00:00:00Z/", None)):
        command = c.CreateJob(job=NAMES[0], at=now, spec=replace(SPEC, schedule=schedule), answered=now)
        (created,) = decide(None, command)
        state = evolve(None, created)
        assert state is not None
        assert (state.next_tick, state.answered) == (following, now)
        assert decide(state, c.AnswerTicks(job=NAMES[0], at=Instant(now + SECOND))) == ()
    with pytest.raises(Invalid, match="already passed"):
        decide(None, c.CreateJob(job=NAMES[0], at=now, spec=SPEC))


def test_a_declared_edit_may_have_a_start_that_has_passed() -> None:
    now = Instant(1_600_000_000 * SECOND)
    edit = c.UpdateJob(job=NAMES[0], at=now, spec=replace(SPEC, schedule="R/2020-01-01T00:00:00Z/P2D"))
    with pytest.raises(Invalid, match="already passed"):
        decide(job(NAMES[0]), edit)
    assert isinstance(decide(job(NAMES[0]), replace(edit, begun=True))[-1], e.JobUpdated)

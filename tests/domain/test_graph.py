"""Which job's end starts which: what may be tied to what, and that no cycle can be made.

An edge leads from a job to one that its end may start. There are three kinds: a child names its parent, a job names
a dependent, a job names its failure handler.
"""

from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es.domain.errors import Invalid
from kala_es.domain.graph import Graph, check_links, dependents, edges, has_edges
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import Job, JobSpec, Run

KINDS = ("parent", "dependent", "handler")
Edge = tuple[str, str, str]
"""From, kind, to."""


def spec(parents: str = "", dependents: str = "", handler: str = "") -> JobSpec:
    """Names are words."""
    parent_ids, dependent_ids = (tuple(JobId(name) for name in names.split()) for names in (parents, dependents))
    return JobSpec(
        name="n",
        command="true",
        parents=parent_ids or None,
        dependents=dependent_ids or None,
        on_failure_job=JobId(handler),
    )


def job_of(name: str, its_spec: JobSpec, *, deleted: bool = False) -> Job:
    """A job, when deleted with a run in flight, for otherwise it would be gone."""
    run = Run(id=RunId("r"), cause="manual", root=RunId("r"), started=Instant(0))
    runs = (run,) if deleted else ()
    time = Instant(0)
    return Job(
        id=JobId(name),
        spec=its_spec,
        born=time,
        planned=time,
        answered=time,
        next_tick=None,
        deleted=deleted,
        runs=runs,
    )


class Known:
    """The jobs and their graph."""

    def __init__(self, specs: Mapping[str, JobSpec]) -> None:
        self.jobs: dict[JobId, Job] = {}
        self.graph = Graph()
        for name, its_spec in specs.items():
            self.put(name, its_spec)

    def put(self, name: str, its_spec: JobSpec | None) -> None:
        job = JobId(name)
        old = self.jobs.pop(job, None)
        self.graph.change(job, old.spec if old else None, its_spec)
        if its_spec is not None:
            self.jobs[job] = job_of(name, its_spec)

    def refusal(self, name: str, its_spec: JobSpec) -> Invalid | None:
        try:
            check_links(JobId(name), its_spec, (self.jobs, self.graph))
        except Invalid as error:
            return error
        return None


def specs_of(names: list[str], all_edges: list[Edge]) -> dict[str, JobSpec]:
    """The definitions that these edges make."""
    return {
        name: spec(
            parents=" ".join(f for f, kind, to in all_edges if kind == "parent" and to == name),
            dependents=" ".join(to for f, kind, to in all_edges if kind == "dependent" and f == name),
            handler="".join(to for f, kind, to in all_edges if kind == "handler" and f == name),
        )
        for name in names
    }


CYCLES = [kinds for length in (2, 3, 4) for kinds in product(KINDS, repeat=length)]
CYCLES += [(kind,) * length for kind in KINDS for length in (5, 20)]


@pytest.mark.parametrize("kinds", CYCLES, ids="-".join)
def test_a_cycle_is_refused_whichever_definition_closes_it(kinds: tuple[str, ...]) -> None:
    names = [f"j{i}" for i in range(len(kinds))]
    around = [(names[i], kind, names[(i + 1) % len(kinds)]) for i, kind in enumerate(kinds)]
    specs = specs_of(names, around)
    for last in names:
        known = Known({name: its_spec for name, its_spec in specs.items() if name != last})
        refusal = known.refusal(last, specs[last])
        assert refusal is not None
        assert refusal.field in ("parent_jobs", "dependent_jobs", "on_failure_job")
        assert repr(last) in refusal.reason


@pytest.mark.parametrize("kinds", CYCLES, ids="-".join)
def test_a_cycle_with_an_edge_left_out_is_none(kinds: tuple[str, ...]) -> None:
    names = [f"j{i}" for i in range(len(kinds))]
    chain = [(names[i], kind, names[i + 1]) for i, kind in enumerate(kinds[:-1])]
    specs = specs_of(names, chain)
    for last in names:
        known = Known({name: its_spec for name, its_spec in specs.items() if name != last})
        refusal = known.refusal(last, specs[last])
        if refusal is not None:
            assert "there is no job" in refusal.reason
    known = Known({})
    for name in names:
        assert known.refusal(name, specs[name]) is None
        known.put(name, specs[name])


@pytest.mark.parametrize(
    ("its_spec", "field"),
    [
        (spec(parents="j"), "parent_jobs"),
        (spec(dependents="j"), "dependent_jobs"),
        (spec(handler="j"), "on_failure_job"),
        (spec(parents="p j"), "parent_jobs"),
        (spec(dependents="p j"), "dependent_jobs"),
        (spec(parents="p", handler="j"), "on_failure_job"),
    ],
)
@pytest.mark.parametrize("exists", [False, True])
def test_a_job_cannot_name_itself(its_spec: JobSpec, field: str, exists: bool) -> None:
    known = Known({"p": spec()} | ({"j": spec()} if exists else {}))
    refusal = known.refusal("j", its_spec)
    assert refusal is not None
    assert refusal.field == field


@pytest.mark.parametrize("its_spec", [spec(parents="p", dependents="p"), spec(parents="p", handler="p")])
def test_a_job_cannot_start_its_own_parent(its_spec: JobSpec) -> None:
    assert Known({"p": spec()}).refusal("j", its_spec) is not None


def test_a_parent_must_be_known() -> None:
    known = Known({"p": spec()})
    refusal = known.refusal("j", spec(parents="p q"))
    assert refusal is not None
    assert (refusal.field, refusal.reason) == ("parent_jobs", "there is no job 'q'")
    known.jobs[JobId("q")] = job_of("q", spec(), deleted=True)
    assert known.refusal("j", spec(parents="p q")) is not None
    known.put("q", spec())
    assert known.refusal("j", spec(parents="p q")) is None


def test_handlers_and_dependents_may_come_later_but_not_close_a_cycle() -> None:
    known = Known({"a": spec()})
    late = spec(dependents="d", handler="h")
    assert known.refusal("a", late) is None
    known.put("a", late)
    assert known.refusal("d", spec()) is None
    assert known.refusal("d", spec(handler="h")) is None
    for name in ("d", "h"):
        for closing in (spec(dependents="a"), spec(handler="a"), spec(dependents="x a")):
            assert known.refusal(name, closing) is not None


def test_diamonds_and_doubled_edges_are_allowed() -> None:
    known = Known({})
    diamond = {
        "a": spec(dependents="b c", handler="d"),
        "b": spec(parents="a", handler="d"),
        "c": spec(parents="a b", handler="d"),
        "d": spec(parents="b c"),
    }
    for name, its_spec in diamond.items():
        assert known.refusal(name, its_spec) is None
        known.put(name, its_spec)
    for name, its_spec in diamond.items():
        assert known.refusal(name, its_spec) is None, "an edit that changes nothing"


def test_an_edge_that_was_dropped_counts_no_longer() -> None:
    known = Known({"a": spec(), "b": spec(parents="a")})
    assert known.refusal("a", spec(parents="b")) is not None
    known.put("b", spec())
    assert known.refusal("a", spec(parents="b")) is None
    known.put("a", spec(parents="b"))
    assert known.refusal("b", spec(parents="a")) is not None


@pytest.mark.parametrize("turned", [spec(dependents="a"), spec(handler="a")])
def test_an_edge_can_be_turned_round_in_one_edit(turned: JobSpec) -> None:
    assert Known({"a": spec(), "b": spec(parents="a")}).refusal("b", turned) is None


NAMES = list("abcde")
DEFINITIONS = st.builds(
    spec,
    parents=st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(" ".join),
    dependents=st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(" ".join),
    handler=st.sampled_from([*NAMES, ""]),
)
EDITS = st.lists(st.tuples(st.sampled_from(NAMES), st.one_of(DEFINITIONS, DEFINITIONS, st.none())), max_size=15)


def targets(name: str, specs: Mapping[str, JobSpec]) -> list[str]:
    """What a job's end may start, read off the definitions."""
    named = edges(specs[name]) if name in specs else ()
    return [*named, *(child for child, its_spec in specs.items() if name in (its_spec.parents or ()))]


def has_cycle(specs: Mapping[str, JobSpec]) -> bool:
    reached = {name: set(targets(name, specs)) for name in NAMES}
    for middle, first in product(NAMES, NAMES):
        if middle in reached[first]:
            reached[first] |= reached[middle]
    return any(name in reached[name] for name in NAMES)


@settings(max_examples=300, deadline=None)
@given(edits=EDITS)
def test_exactly_what_closes_a_cycle_is_refused(edits: list[tuple[str, JobSpec | None]]) -> None:
    known, specs = Known({}), dict[str, JobSpec]()
    for name, its_spec in edits:
        if its_spec is None:
            children = known.graph.children(JobId(name))
            if not children:  # children of a deleted parent forget it first
                known.put(name, None)
                specs.pop(name, None)
            continue
        if any(parent not in specs for parent in its_spec.parents or ()):
            assert known.refusal(name, its_spec) is not None
            continue
        refused = known.refusal(name, its_spec) is not None
        turned = bool(name in specs and specs[name].parents and specs[name].parents != its_spec.parents)
        after = specs | {name: its_spec}
        if not turned:  # see test_an_edge_can_be_turned_round_in_one_edit
            assert refused == has_cycle(after)
        if not refused:
            assert not has_cycle(after)
            known.put(name, its_spec)
            specs = after


@settings(max_examples=200, deadline=None)
@given(edits=EDITS)
def test_the_graph_follows_every_change(edits: list[tuple[str, JobSpec | None]]) -> None:
    known, specs = Known({}), dict[str, JobSpec]()
    for name, its_spec in edits:
        known.put(name, its_spec)
        specs.pop(name, None)
        if its_spec is not None:
            specs[name] = its_spec
        loaded = Graph()
        loaded.load(known.graph.dump())
        for job in map(JobId, NAMES):
            children = [child for child, s in specs.items() if job in (s.parents or ())]
            assert sorted(known.graph.children(job)) == sorted(children)
            assert loaded.children(job) == known.graph.children(job)
    for name in NAMES:
        known.put(name, None)
    assert known.graph.dump() == [{}, {}]


def test_children_keep_the_order_in_which_they_came() -> None:
    known = Known({"p": spec(), "q": spec(), "z": spec(parents="p"), "a": spec(parents="p q"), "m": spec(parents="p")})
    known.put("z", spec(parents="q p"))
    assert known.graph.children(JobId("p")) == ("z", "a", "m")
    known.put("z", spec())
    known.put("z", spec(parents="p"))
    assert known.graph.children(JobId("p")) == ("a", "m", "z")
    assert dependents(job_of("p", spec(dependents="m x")), known.graph) == ("m", "x", "a", "z")


@pytest.mark.parametrize(
    ("its_spec", "names", "tied"),
    [
        (spec(), (), False),
        (spec(parents="p"), (), True),
        (spec(dependents="d x"), ("d", "x"), True),
        (spec(handler="h"), ("h",), True),
        (spec(parents="p", dependents="d", handler="h"), ("d", "h"), True),
    ],
)
def test_the_edges_of_a_definition(its_spec: JobSpec, names: tuple[str, ...], tied: bool) -> None:
    assert edges(its_spec) == names
    assert has_edges(its_spec) == tied

"""Facts across jobs: what one run's end makes others do, in which order, and that a crash loses and doubles nothing.

`World` is a node without I/O: commands are decided and folded at once, what they make due waits until it is delivered.
Other tests of folds draw their histories from it (`played`).
"""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es import limits
from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.errors import Refusal
from kala_es.domain.graph import check_links
from kala_es.domain.ids import SECOND, Instant, JobId, RunId, run_after
from kala_es.domain.job import decide
from kala_es.domain.model import Cause, DependencyPolicy, Job, JobSpec, MissReason, Outcome, Run
from kala_es.domain.reactions import Reaction, Trees, outstanding, react
from kala_es.domain.values import replace
from kala_es.projections.jobs import Jobs

YEAR_2030 = 1_893_456_000 * SECOND
BAD_ENDS: list[Outcome] = ["failed", "timed-out", "cancelled", "lost"]


def ids(names: str) -> tuple[JobId, ...]:
    return tuple(JobId(name) for name in names.split())


def spec(
    *,
    parents: str = "",
    dependents: str = "",
    handler: str = "",
    schedule: str = "R0/2099-01-01T00:00:00Z/",
    retries: int = 0,
    policy: DependencyPolicy = "all",
) -> JobSpec:
    """A definition; without parents its tick is far away."""
    return JobSpec(
        name="n",
        command="true",
        parents=ids(parents) or None,
        dependents=ids(dependents) or None,
        on_failure_job=JobId(handler),
        schedule=schedule,
        retries=retries,
        dependency_policy=policy,
    )


class World:
    """Jobs, their trees and their log. `due` are the commands that events made due and that were not delivered yet."""

    def __init__(self) -> None:
        self.jobs = Jobs()
        self.trees = Trees()
        self.log: list[e.JobEvent] = []
        self.steps: list[tuple[Job | None, e.JobEvent, Job | None]] = []
        self.due: list[Reaction] = []
        self.now = Instant(YEAR_2030)
        self._runs = 0

    @classmethod
    def of(cls, **specs: JobSpec) -> "World":
        world = cls()
        for job, its_spec in specs.items():
            world.create(job, its_spec)
        return world

    def take(self, event: e.JobEvent) -> None:
        """Fold an event."""
        before, after = self.jobs.apply(event)
        self.log.append(event)
        self.steps.append((before, event, after))
        self.due += react(self.trees, event, (self.jobs.by_id, self.jobs.graph))

    def do(self, command: c.Command) -> bool:
        """Carry out a command; whether it was not refused."""
        try:
            if isinstance(command, c.CreateJob | c.UpdateJob):
                check_links(command.job, command.spec, (self.jobs.by_id, self.jobs.graph))
            events = decide(self.jobs.by_id.get(command.job), command)
        except Refusal:
            return False
        for event in events:
            self.take(event)
        return True

    def outstanding(self) -> list[Reaction]:
        """What a node that starts with this log repeats."""
        return list(outstanding(self.trees, (self.jobs.by_id, self.jobs.graph), self.now))

    def deliver(self, which: int = 0) -> bool:
        """Deliver a command that is due; each job's in their order. Whether it was not refused."""
        job = self.due[which].job
        first = next(i for i, command in enumerate(self.due) if command.job == job)
        return self.do(replace(self.due.pop(first), at=self.now))

    def settle(self) -> None:
        while self.due:
            self.deliver()

    def create(self, job: str, its_spec: JobSpec, *, disabled: bool = False) -> bool:
        return self.do(c.CreateJob(job=JobId(job), at=self.now, spec=its_spec, disabled=disabled))

    def delete(self, job: str) -> bool:
        return self.do(c.DeleteJob(job=JobId(job), at=self.now))

    def disable(self, job: str) -> bool:
        return self.do(c.DisableJob(job=JobId(job), at=self.now))

    def start(self, job: str, cause: Cause = "manual") -> RunId:
        self._runs += 1
        run = RunId(f"{job}{self._runs}")
        self.do(c.StartRun(job=JobId(job), at=self.now, run=run, cause=cause, root=run))
        return run

    def running(self) -> list[tuple[JobId, Run]]:
        return [(job.id, run) for job in self.jobs.by_id.values() for run in job.runs]

    def finish(self, which: int = 0, outcome: Outcome = "succeeded", *, final: bool = False) -> None:
        """End the present attempt of a run in flight."""
        job, run = self.running()[which]
        self.do(c.EndAttempt(job=job, at=self.now, run=run.id, attempt=run.attempt, outcome=outcome, final=final))

    def carry_out(self, outcomes: dict[str, Outcome] | None = None) -> None:
        """Deliver and finish until nothing is left; at most one run is in flight at any time."""
        self.settle()
        while running := self.running():
            assert len(running) == 1
            self.finish(0, (outcomes or {}).get(running[0][0], "succeeded"))
            self.settle()

    def story(self, job: str, outcomes: dict[str, Outcome] | None = None) -> str:
        """Start a job by hand, carry out its tree, and tell which jobs began in which order."""
        seen = len(self.log)
        self.start(job)
        self.carry_out(outcomes)
        assert self.trees.open == {}
        return " ".join(event.job for event in self.log[seen:] if isinstance(event, e.RunStarted))


FAMILY = {
    "a": spec(),
    "b": spec(parents="a"),
    "c": spec(parents="a"),
    "d": spec(parents="b"),
    "x": spec(parents="b"),
    "y": spec(parents="d"),
}


# ---- order


def test_children_run_depth_first_in_the_order_in_which_they_came() -> None:
    assert World.of(**FAMILY).story("a") == "a b d y x c"
    assert World.of(a=spec(), c=spec(parents="a"), b=spec(parents="a")).story("a") == "a c b"


def test_a_chain_of_fifty() -> None:
    chain = [f"j{i}" for i in range(50)]
    specs = {job: spec(parents=chain[i - 1] if i else "") for i, job in enumerate(chain)}
    assert World.of(**specs).story("j0") == " ".join(chain)


def test_named_dependents_come_before_children_and_none_twice() -> None:
    world = World.of(n=spec(), a=spec(), b=spec(parents="a"), m=spec())
    world.create("a", spec(dependents="m n later"))
    world.create("n", spec(parents="a"))
    assert world.story("a") == "a m n b"
    world.create("later", spec())
    assert world.story("a") == "a m n later b"


@pytest.mark.parametrize("outcome", BAD_ENDS)
def test_a_failure_stops_only_its_own_subtree(outcome: Outcome) -> None:
    assert World.of(**FAMILY).story("a", {"b": outcome}) == "a b c"
    assert World.of(**FAMILY).story("a", {"d": outcome}) == "a b d x c"
    assert World.of(**FAMILY).story("a", {"a": outcome}) == "a"


def test_runs_of_a_tree_know_their_cause_and_their_root() -> None:
    world = World.of(a=spec(), b=spec(parents="a", handler="h"), h=spec())
    root = world.start("a")
    world.carry_out({"b": "failed"})
    _, b, h = (event for event in world.log if isinstance(event, e.RunStarted))
    assert (b.cause, b.after, b.root, b.run) == ("parent", root, root, run_after(root, JobId("b"), "parent"))
    assert (h.cause, h.after, h.root, h.run) == ("on-failure", b.run, root, run_after(b.run, JobId("h"), "on-failure"))


def test_a_retry_is_no_end() -> None:
    world = World.of(a=spec(retries=1), b=spec(parents="a"))
    world.start("a")
    world.finish(0, "failed")
    assert (len(world.running()), world.due) == (1, [])
    world.finish()
    assert [command.job for command in world.due] == ["b"]


def test_trees_of_two_roots_run_beside_each_other() -> None:
    world = World.of(a=spec(), b=spec(parents="a"))
    roots = [world.start("a"), world.start("a")]
    world.finish(0)
    world.finish(0)
    world.settle()
    assert [(job, run.root) for job, run in world.running()] == [("b", root) for root in roots]
    world.finish(0)
    assert list(world.trees.open) == [roots[1]]


# ---- failure handlers


@pytest.mark.parametrize("outcome", BAD_ENDS)
def test_a_handler_runs_after_a_failure_and_before_what_waits(outcome: Outcome) -> None:
    world = World.of(**FAMILY, h=spec(), i=spec(parents="h"))
    world.create("b", spec(parents="a", handler="h"))
    assert world.story("a", {"b": outcome}) == "a b h i c"
    assert world.story("a") == "a b d y x c"


def test_a_handler_may_have_a_handler_and_may_be_unknown() -> None:
    world = World.of(a=spec(handler="h"), h=spec(handler="g"), g=spec(handler="nobody"))
    assert world.story("a", {"a": "failed", "h": "failed", "g": "failed"}) == "a h g"


def test_a_disabled_job_that_is_asked_lets_its_handler_run() -> None:
    world = World.of(a=spec(handler="h"), b=spec(parents="a"), h=spec())
    world.disable("a")
    assert world.story("a") == "h"


def test_a_disabled_child_is_skipped_and_its_handler_runs() -> None:
    world = World.of(**FAMILY, h=spec())
    world.create("b", spec(parents="a", handler="h"))
    world.disable("b")
    assert world.story("a") == "a h c"


def test_a_full_job_is_skipped_and_nothing_follows() -> None:
    world = World.of(a=spec(), b=spec(parents="a", handler="h"), h=spec(), z=spec(parents="a"))
    run = Run(id=RunId("r"), cause="manual", root=RunId("r"), started=world.now)
    world.start("a")
    full = tuple(replace(run, id=RunId(f"r{i}")) for i in range(limits.MAX_RUNS_IN_FLIGHT))
    world.jobs.by_id[JobId("b")] = replace(world.jobs.by_id[JobId("b")], runs=full)
    world.finish()
    world.deliver()
    assert isinstance(world.log[-1], e.RunSkipped)
    assert [command.job for command in world.due] == ["z"]


# ---- children of several parents


def join(policy: DependencyPolicy = "all") -> World:
    return World.of(p=spec(), q=spec(), s=spec(), j=spec(parents="p q s", policy=policy))


# a word: the jobs that are started one after another, in capitals those that fail -> what runs
@pytest.mark.parametrize(
    ("policy", "asked", "ran"),
    [
        ("all", "p q s", "p q s j"),
        ("all", "s p q", "s p q j"),
        ("all", "p p q p s", "p p q p s j"),
        ("all", "p q s p q s", "p q s j p q s j"),
        ("all", "p q s p q", "p q s j p q"),
        ("all", "P p q s", "P p q s j"),
        ("all", "p P q s", "p P q s"),
        ("all", "p q S", "p q S"),
        ("any", "p q s", "p j q j s j"),
        ("any", "P q", "P q j"),
        pytest.param(
            "all",
            "p q S s",
            "p q S s j",
        ),
        pytest.param(
            "all",
            "p q S s p q s",
            "p q S s j p q s j",
        ),
    ],
)
def test_a_child_of_several_parents_runs_once_a_round(policy: DependencyPolicy, asked: str, ran: str) -> None:
    world = join(policy)
    story: list[str] = []
    for word in asked.split():
        told = world.story(word.lower(), {word.lower(): "failed" if word.isupper() else "succeeded"})
        story.append(told.replace(word.lower(), word, 1))
    assert " ".join(story) == ran


def test_a_diamond_is_joined_at_its_end() -> None:
    world = World.of(a=spec(), b=spec(parents="a"), c=spec(parents="a"), d=spec(parents="b c"))
    assert world.story("a") == "a b c d"
    assert world.story("a", {"b": "failed"}) == "a b c"


def test_a_round_without_its_deleted_parent_is_complete() -> None:
    world = join()
    assert [world.story("p"), world.story("q")] == ["p", "q"]
    world.delete("s")
    world.carry_out()
    done = [event.job for event in world.log if isinstance(event, e.RunStarted)]
    assert (done, world.story("p")) in ((["p", "q", "j"], "p"), (["p", "q"], "p"))


def test_a_recreated_child_or_parent_begins_a_round_anew() -> None:
    world = join()
    assert [world.story("p"), world.story("q")] == ["p", "q"]
    world.delete("j")
    world.create("j", spec(parents="p q s"))
    assert [world.story(job) for job in "spq"] == ["s", "p", "q j"]
    assert [world.story("p"), world.story("q")] == ["p", "q"]
    world.delete("q")
    world.settle()
    world.create("q", spec())
    world.create("j", spec(parents="p q s"))
    assert [world.story(job) for job in "spq"] == ["s", "p", "q j"]


# ---- deletion in the middle


def test_a_waiting_job_that_is_deleted_is_left_out() -> None:
    world = World.of(**FAMILY)
    world.start("a")
    world.finish()
    world.deliver()
    world.delete("c")
    world.carry_out()
    assert [event.job for event in world.log if isinstance(event, e.RunStarted)] == ["a", "b", "d", "y", "x"]


def test_a_job_deleted_before_its_run_begins_gives_way_to_the_next() -> None:
    world = World.of(**FAMILY)
    world.start("a")
    world.finish()
    world.delete("b")
    assert [command.job for command in world.due if isinstance(command, c.StartRun)] == ["b", "c"]
    assert not world.deliver()
    world.carry_out()
    assert [event.job for event in world.log if isinstance(event, e.RunStarted)] == ["a", "c"]
    assert world.trees.open == {}


def test_a_job_deleted_while_it_runs_ends_its_part_of_the_tree() -> None:
    world = World.of(**FAMILY)
    world.start("a")
    world.finish()
    world.deliver()
    world.delete("b")
    world.settle()
    world.carry_out()
    assert [event.job for event in world.log if isinstance(event, e.RunStarted)] == ["a", "b", "c"]
    assert sorted(world.jobs.ids()) == ["a", "c"]
    assert world.trees.open == {}


@pytest.mark.parametrize("role", ["dependents", "handler"])
def test_a_deleted_job_that_still_runs_does_not_hold_up_others(role: str) -> None:
    """Its definition is kept while it runs; a run of it that is asked for now would never begin."""
    world = World.of(x=spec(), z=spec())
    world.create("a", spec(dependents="x z") if role == "dependents" else spec(handler="x"))
    world.start("x")
    world.delete("x")
    world.start("a")
    world.finish(1, "succeeded" if role == "dependents" else "failed")
    world.settle()
    world.finish(0)
    world.carry_out()
    assert world.trees.open == {}


def test_children_of_a_deleted_parent_go_with_it_or_keep_the_others() -> None:
    world = World.of(a=spec(), o=spec(), b=spec(parents="a"), j=spec(parents="a o"), d=spec(parents="b"))
    world.delete("a")
    world.settle()
    assert world.jobs.ids() == ["j", "o"]
    assert world.jobs.by_id[JobId("j")].spec.parents == ("o",)
    assert [(event.job, event.cause) for event in world.log if isinstance(event, e.JobDeleted)] == [
        ("a", None),
        ("b", "a"),
        ("d", "b"),
    ]
    assert world.story("o") == "o j"


def test_a_disabled_child_that_loses_a_parent_stays_disabled() -> None:
    world = World.of(a=spec(), o=spec(), j=spec(parents="a o"))
    world.disable("j")
    world.delete("a")
    world.settle()
    child = world.jobs.by_id[JobId("j")]
    assert (child.disabled, child.spec) == (True, spec(parents="o"))
    assert not decide(child, c.ForgetParent(job=child.id, at=world.now, parent=JobId("a")))


def test_a_child_made_while_its_parent_is_deleted_does_not_stay_behind() -> None:
    world = World.of(a=spec(), o=spec())
    world.delete("a")
    for child, parents in (("b", "a"), ("j", "a o")):
        (created,) = decide(None, c.CreateJob(job=JobId(child), at=world.now, spec=spec(parents=parents)))
        world.take(created)
    world.settle()
    assert world.jobs.ids() == ["j", "o"]
    assert world.jobs.by_id[JobId("j")].spec.parents == ("o",)


# ---- crashes


def test_a_job_that_went_with_its_parent_is_asked_nothing_more() -> None:
    world = World.of(a=spec(), b=spec(parents="a"))
    world.start("b")
    world.delete("a")
    world.settle()
    assert world.outstanding() == []


RARE = ["create", "delete", "disable", "enable", "cancel", "report", "crash"]
OFTEN = ["start"] * 3 + ["finish"] * 5 + ["deliver"] * 5 + ["wait"] * 3
STEP = st.tuples(st.sampled_from([*RARE, *OFTEN]), st.integers(0, 4), st.integers(0, 4))
STEPS = st.lists(STEP, min_size=20, max_size=60)
Step = tuple[str, int, int]
JOBS = ("a", "b", "c", "d", "f")
NAMED = ("d", "f")
"""Those that others name. They are not deleted: see test_a_deleted_job_that_still_runs_does_not_hold_up_others."""
OUTCOMES: list[Outcome] = ["succeeded", "succeeded", "succeeded", "succeeded", *BAD_ENDS]
GAPS: tuple[MissReason | None, ...] = (None, None, None, "the server was down", "the server was down")


def drawn_spec(job: str, i: int, now: Instant) -> JobSpec:
    """One of the kinds of definitions: one-off, repeated, tied by names, child, child of two."""
    at = JOBS.index(job)
    first, second = JOBS[at - 1], JOBS[at - 2]
    minute = f"2030-01-01T{(now - YEAR_2030) // (3600 * SECOND):02}:59:00Z"
    kinds = (
        spec(schedule="", retries=i),
        spec(schedule=f"R3/{minute}/PT20S", handler="f"),
        spec(dependents="d later f", handler="nobody"),
        spec(parents=first, retries=1),
        spec(parents=f"{first} {second}", policy="any" if at % 2 else "all", handler="f"),
    )
    return kinds[i % 3 if job in NAMED else i]


def played(steps: Sequence[Step]) -> World:
    """A small world in which the steps were taken, one second after the other, as far as they made sense."""
    world = World.of(a=spec(dependents="d"), b=spec(parents="a"), c=spec(parents="a b"), d=spec(handler="f"))
    world.create("f", spec(schedule="R9/2030-01-01T00:00:10Z/PT30S", retries=2))
    for step in steps:
        world.now = Instant(world.now + SECOND)
        take_step(world, step)
    return world


def take_step(world: World, step: Step) -> None:
    kind, i, k = step
    job, now, running = JobId(JOBS[i]), world.now, world.running()
    match kind:
        case "create":
            while any(r.job == job or (isinstance(r, c.ForgetParent) and r.parent == job) for r in world.due):
                world.deliver()  # what waits for the old job's actor comes first
            world.create(job, drawn_spec(job, k, now), disabled=k == 4)
        case "delete" if job not in NAMED:
            world.delete(job)
        case "disable" | "enable":
            command = c.DisableJob if kind == "disable" else c.EnableJob
            world.do(command(job=job, at=now))
        case "start":
            world.start(job)
        case "finish" if running:
            world.finish(k % len(running), OUTCOMES[(i + 5 * k) % len(OUTCOMES)])
        case "deliver" if world.due:
            world.deliver((i + k) % len(world.due))
        case "wait":
            world.now = Instant(now + (1 + k * k * 20) * SECOND)
            for due in world.jobs.ids():
                world.do(c.AnswerTicks(job=due, at=world.now, gap=GAPS[k]))
        case "cancel" if running:
            its_job, run = running[k % len(running)]
            world.do(c.CancelRun(job=its_job, at=now, run=run.id))
        case "report":
            world.do(c.ReportStatus(job=job, at=now, run=running[0][1].id if running else RunId("r"), status="Running"))
        case "crash":
            world.do(c.RecordCrash(job=job, at=now, error="KeyError"))


def is_answered(reaction: Reaction, world: World, since: int) -> bool:
    """Whether the log since then, or the job's state, says that nothing is left to do."""
    job = world.jobs.get(reaction.job)
    if isinstance(reaction, c.ForgetParent):
        return job is None or reaction.parent not in (job.spec.parents or ())
    for event in world.log[since:]:
        if isinstance(event, e.RunStarted | e.RunSkipped) and event.run == reaction.run:
            return True
        if isinstance(event, e.JobDeleted) and event.job == reaction.job:
            return True
    return False


@settings(max_examples=120, deadline=None)
@given(steps=STEPS)
def test_after_any_crash_what_is_outstanding_is_what_was_named_and_not_answered(steps: list[Step]) -> None:
    whole, part = played(steps), World()
    named: list[tuple[Reaction, int]] = []
    for event in whole.log:
        part.take(event)
        named = [(r, n) for r, n in [*named, *((r, len(part.log)) for r in part.due)] if not is_answered(r, part, n)]
        part.due.clear()
        left = [r for r in part.outstanding() if isinstance(r, c.StartRun) or part.jobs.get(r.job)]
        assert len(left) == len(set(left))
        assert set(left) == {replace(reaction, at=part.now) for reaction, _ in named}


@settings(max_examples=120, deadline=None)
@given(steps=STEPS, cut=st.integers(0, 200), order=st.integers(0, 4))
def test_after_a_crash_every_tree_is_carried_out_once(steps: list[Step], cut: int, order: int) -> None:
    world = World()
    for event in played(steps).log[:cut]:
        world.take(event)
    world.due = world.outstanding()
    while world.due or world.running():
        if world.due:
            world.deliver(order % len(world.due))
        else:
            world.finish(0, "lost", final=True)
    assert world.trees.open == {}
    begun = [event.run for event in world.log if isinstance(event, e.RunStarted | e.RunSkipped)]
    assert len(begun) == len(set(begun))
    ended = [event.run for event in world.log if isinstance(event, e.RunFinished)]
    assert sorted(ended) == sorted(event.run for event in world.log if isinstance(event, e.RunStarted))
    assert due_children(world) <= set(begun)


def due_children(world: World) -> set[RunId]:
    """The runs that successes call for, by the definitions of their time, but for children that were deleted since."""
    jobs, due = Jobs(), set[RunId]()
    for n, event in enumerate(world.log):
        jobs.apply(event)
        job = jobs.get(event.job)
        if job is not None and isinstance(event, e.RunFinished) and event.outcome == "succeeded":
            gone = {later.job for later in world.log[n:] if isinstance(later, e.JobDeleted)}
            for child in (jobs.get(other) for other in jobs.ids()):
                parents = (child.spec.parents or ()) if child else ()
                named = child is not None and child.id in (job.spec.dependents or ())
                if child and child.id not in gone and len(parents) < 2 and (named or job.id in parents):
                    due.add(run_after(event.run, child.id, "parent"))
    return due

"""Random histories of one job with any policy: what holds of its ticks whatever happens.

1. Each tick is answered once, in order and never early; one that a pause skipped is answered at most once more.
2. Once the clock has been heeded it wakes the job later, not again at once.
3. Runs overlap only if they may.
"""

from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.due import wake_at
from kala_es.domain.errors import Conflict
from kala_es.domain.ids import SECOND, Instant, RunId
from kala_es.domain.job import decide, evolve
from kala_es.domain.model import Job, JobSpec
from kala_es.domain.plan import schedule_of
from kala_es.domain.tick_list import TickList
from kala_es.domain.tick_policy import TickPolicy, offset_of
from kala_es.domain.values import replace
from tests.domain.test_job import J, at, minutes

POLICIES = st.builds(
    TickPolicy,
    overlap=st.sampled_from(["allow", "skip", "queue", "replace"]),
    catch_up=st.sampled_from(["", "one", "none"]),
    jitter=st.sampled_from(["", "PT20S"]),
    starting_deadline=st.sampled_from(["", "PT5S", "PT2M"]),
) | st.builds(
    TickPolicy,
    overlap=st.sampled_from(["allow", "queue"]),
    catch_up=st.just("all"),
    catch_up_window=st.sampled_from(["", "PT3M"]),
    jitter=st.sampled_from(["", "PT20S"]),
    starting_deadline=st.sampled_from(["", "PT2M"]),
)
WHATS = (
    ["wake"] * 5 + ["end"] * 3 + ["gap", "pause", "pause a while", "resume", "enable", "disable", "manual", "parent"]
)
WHATS += ["server", "edit"]
STEPS = st.lists(st.tuples(st.sampled_from(WHATS), st.integers(0, 150)), min_size=5, max_size=40)
SCHEDULES = st.sampled_from([minutes("R"), minutes("R3"), minutes("R", interval="PT7S"), ""])


class World:
    """A job, the clock, whether the server is paused, and what each tick came to."""

    def __init__(self, spec: JobSpec) -> None:
        self.now = at(0)
        self.server_paused = False
        self.answers: dict[Instant, list[str]] = {}
        self.log: list[e.JobEvent] = []
        self.job: Job | None = None
        self.count = 0
        self.carry_out(c.CreateJob(job=J, at=self.now, spec=spec))

    def carry_out(self, command: c.Command) -> tuple[e.JobEvent, ...]:
        try:
            events = decide(self.job, c.under(command, server_paused=self.server_paused))
        except Conflict:
            return ()
        for event in events:
            assert self.job is None or self.job.spec.ticks.overlap == "allow" or not _overlaps(self.job, event)
            self.note(event)
            self.job = evolve(self.job, event)
            self.log.append(event)
        return events

    def note(self, event: e.JobEvent) -> None:
        for tick in ticks_of(self.job, event):
            assert self.job is not None
            assert tick + offset_of(self.job.spec.ticks, J) <= event.at, "early"
            said = self.answers.setdefault(tick, [])
            assert said in ([], ["paused"]), f"{tick} was answered {said}"
            said.append(str(getattr(event, "reason", "started")))

    def heed_the_clock(self, gap: Any = None) -> None:
        """Tell the job that something is due, as the timetable does, until nothing is."""
        for _ in range(3_000):
            assert self.job is not None
            due = wake_at(self.job, server_paused=self.server_paused)
            if due is None or due > self.now:
                return
            self.carry_out(c.AnswerTicks(job=J, at=self.now, gap=gap))
        raise AssertionError("the job is woken again and again")

    def step(self, what: str, seconds: int) -> None:
        job = self.job
        assert job is not None
        self.now = Instant(self.now + seconds * SECOND // 10)
        self.count += 1
        run = RunId(f"asked {self.count}")
        ask = c.StartRun(job=J, at=self.now, run=run, cause="manual", root=run)
        commands: dict[str, c.Command] = {
            "pause": c.PauseJob(job=J, at=self.now),
            "pause a while": c.PauseJob(job=J, at=self.now, until=Instant(self.now + 60 * SECOND)),
            "resume": c.ResumeJob(job=J, at=self.now),
            "enable": c.EnableJob(job=J, at=self.now),
            "disable": c.DisableJob(job=J, at=self.now),
            "manual": ask,
            "parent": replace(ask, cause="parent"),
            "edit": c.UpdateJob(job=J, at=self.now, spec=replace(job.spec, retries=self.count), disabled=job.disabled),
        }
        if what in commands:
            self.carry_out(commands[what])
        elif what == "server":
            self.server_paused = not self.server_paused
        elif what == "end" and job.runs:
            end = c.EndAttempt(job=J, at=self.now, run=job.runs[0].id, attempt=1, outcome="succeeded")
            self.carry_out(end)
        else:
            self.now = Instant(self.now + seconds * SECOND)
            self.heed_the_clock("the server was down" if what == "gap" else None)


def _overlaps(job: Job, event: e.JobEvent) -> bool:
    return isinstance(event, e.RunStarted) and bool(job.runs)


def ticks_of(job: Job | None, event: e.JobEvent) -> Iterator[Instant]:
    """The ticks that an event answers, one by one."""
    if isinstance(event, e.RunStarted | e.RunSkipped) and event.tick is not None:
        yield event.tick
    elif isinstance(event, e.TickMissed):
        assert job is not None
        schedule = schedule_of(job.spec, job.planned, job.id)
        tick: Instant | None = event.first
        for _ in range(event.count):
            assert tick is not None
            yield tick
            last, tick = tick, schedule.next_after(tick) if schedule else None
        assert last == event.last


@settings(max_examples=400, deadline=None)
@given(policy=POLICIES, schedule=SCHEDULES, steps=STEPS)
def test_every_tick_has_one_last_answer(policy: TickPolicy, schedule: str, steps: list[tuple[str, int]]) -> None:
    world = World(JobSpec(name="n", command="true", schedule=schedule, ticks=policy))
    for what, seconds in steps:
        world.step(what, seconds)
    world.heed_the_clock()
    job = world.job
    assert job is not None
    plan = schedule_of(job.spec, job.planned, job.id)
    due = plan.between(Instant(job.planned - 1), job.answered) if plan else None
    assert (due.count if due else 0) == len(world.answers), "a tick up to `answered` has no answer"
    owed = plan.between(Instant(job.owed - 1), job.answered) if plan and job.owed is not None else None
    for tick, said in world.answers.items():
        assert owed is None or tick < owed.first or said == ["paused"], "what has its last answer is owed"


@settings(max_examples=100, deadline=None)
@given(policy=POLICIES, steps=STEPS)
def test_the_list_of_ticks_says_what_the_events_say(policy: TickPolicy, steps: list[tuple[str, int]]) -> None:
    world = World(JobSpec(name="n", command="true", schedule=minutes("R"), ticks=policy))
    for what, seconds in steps:
        world.step(what, seconds)
    wanted = TickList(since=at(0), until=Instant(world.now + 120 * SECOND), most=10_000)
    for event in world.log:
        wanted.take(event)
    listed = wanted.listed(world.job, world.now)
    ticks = [each.tick for each in listed]
    assert ticks == sorted(set(ticks))
    assert {each.tick for each in listed if each.outcome not in ("waiting", "coming")} == set(world.answers)
    for each in listed:
        said = world.answers.get(each.tick)
        assert said is None or (each.reason or "started") == said[-1]
        assert said is not None or (each.outcome == "waiting") == (each.tick <= world.now)
    first = TickList(since=at(0), until=Instant(world.now + 120 * SECOND), most=3)
    for event in world.log:
        if not first.is_complete:
            first.take(event)
    assert first.listed(world.job, world.now) == listed[:3]

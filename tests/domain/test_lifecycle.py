"""The table of states and arrows is what `decide` and `evolve` really do, and the pages made of it are fresh.

Random histories take no arrow that the table has not; directed cases take every arrow that it has.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from kala_es import limits
from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.bounds import Bounds
from kala_es.domain.errors import Refusal
from kala_es.domain.ids import SECOND, Instant, JobId, RunId, run_for_tick
from kala_es.domain.imported_runs import ImportedRun
from kala_es.domain.job import decide, evolve
from kala_es.domain.lifecycle import (
    ARROWS,
    DECIDES,
    MOVES_NOTHING,
    STATES,
    Arrow,
    Machine,
    Subject,
    attempt_phase,
    fitting,
    job_phase,
    met,
    run_phase,
)
from kala_es.domain.model import Job, JobSpec, Outcome, Run
from kala_es.domain.plan import schedule_of
from kala_es.domain.terms import AttemptTerms
from kala_es.domain.tick_policy import TickPolicy
from kala_es.domain.values import replace
from tests.domain.test_reactions import STEPS, Step, played
from tools.generate_docs import main, pages

ROOT = Path(__file__).resolve().parents[2]
J, R = JobId("j"), RunId("r")
START = Instant(1_893_456_000 * SECOND)
SPEC = JobSpec(name="n", command="true", schedule="R/2030-01-01T00:01:00Z/PT1M")
OUTCOMES: list[Outcome] = ["succeeded", "failed", "timed-out", "cancelled", "lost"]


class Watch:
    """Follows events along the table. `taken` are the arrows; an event that the table has not is an AssertionError."""

    def __init__(self) -> None:
        self.taken: Counter[Arrow] = Counter()
        self._run_ends: dict[RunId, e.RunFinished | e.RunImported | e.RunSkipped] = {}
        self._attempt_ends: dict[tuple[RunId, int], e.AttemptFailed | e.RunFinished] = {}

    def phase(self, machine: Machine, subject: Subject, job: Job | None) -> str:
        """Where a thing stands when its job is in this state."""
        if machine == "job":
            return job_phase(job)
        assert subject.run is not None
        run = job.run(subject.run) if job else None
        if machine == "run":
            return run_phase(run, self._run_ends.get(subject.run))
        return attempt_phase(run, subject.attempt, self._attempt_ends.get((subject.run, subject.attempt)))

    def see(self, before: Job | None, event: e.JobEvent, after: Job | None) -> None:
        """One step: `after` is what the event made of `before`."""
        things = [(m, s, self.phase(m, s, before)) for m, s in met(before, event)]
        self._note(event)
        for machine, subject, source in things:
            target = self.phase(machine, subject, after)
            arrows = fitting(machine, source, (subject, event))
            if type(event) in MOVES_NOTHING[machine]:
                assert (arrows, source) == ((), target)
            else:
                assert [arrow.target for arrow in arrows] == [target], f"{machine} {source}: {event}"
                self.taken.update(arrows)

    def _note(self, event: e.JobEvent) -> None:
        if isinstance(event, e.RunFinished | e.RunImported | e.RunSkipped):
            self._run_ends[event.run] = event
        if isinstance(event, e.AttemptFailed):
            self._attempt_ends[event.run, event.attempt] = event
        if isinstance(event, e.RunFinished) and event.outcome == "succeeded":
            self._attempt_ends[event.run, event.attempts] = event


def watched(steps: Iterable[tuple[Job | None, e.JobEvent, Job | None]]) -> Watch:
    watch = Watch()
    for before, event, after in steps:
        watch.see(before, event, after)
    return watch


# ---- random histories


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_no_history_takes_an_arrow_that_the_table_has_not(steps: list[Step]) -> None:
    """Each job's histories in a small world, its retries, deletions, namesakes and trees included."""
    by_job: dict[JobId, list[tuple[Job | None, e.JobEvent, Job | None]]] = {}
    for step in played(steps).steps:
        by_job.setdefault(step[1].job, []).append(step)
    for story in by_job.values():
        assert watched(story).taken
        for job in (after for _, _, after in story):
            assert job is None or not job.deleted or job.runs, "a deleted job stays only while it runs"
            assert job is None or len({run.id for run in job.runs}) == len(job.runs)


def schedule_from(now: Instant, kind: int) -> str:
    """A schedule whose first tick lies ahead; "" makes a one-off."""
    minutes, seconds = divmod((now - START) // SECOND + 3, 60)
    start = f"2030-01-01T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}Z"
    return (f"R/{start}/PT1M", f"R3/{start}/PT10S", f"R0/{start}/", f"R/{start}/PT7S", "")[kind]


WHATS = ["ticks", "gap", "enable", "disable", "edit", "edit and enable", "edit and disable"]
TICK_STEPS = st.lists(
    st.tuples(st.integers(1, 200), st.sampled_from(WHATS), st.integers(0, 4)), min_size=3, max_size=30
)


@settings(max_examples=150, deadline=None)
@given(steps=TICK_STEPS, resume=st.booleans())
def test_every_tick_is_answered_once(steps: list[tuple[int, str, int]], resume: bool) -> None:
    """Each plan's ticks have one answer each, in rising order, up to the edit that ends it; none fires after that."""
    now = Instant(START + SECOND // 2)  # half seconds: no edit falls on a tick (see test_job.py for those that do)
    spec = replace(SPEC, resume_at_next_tick=resume)
    (created,) = decide(None, c.CreateJob(job=J, at=now, spec=spec))
    job = evolve(None, created)
    assert job is not None
    answered = job.answered
    for pause, what, kind in steps:
        now = Instant(now + pause * SECOND)
        for event in decide(job, tick_command(job, now, (what, kind))):
            plan = schedule_of(job.spec, job.planned, job.id)
            assert plan is not None
            for first, last, count in answers(event):
                due = plan.between(answered, last)
                assert due is not None
                assert (due.first, due.last, due.count) == (first, last, count)
                assert last <= now
                answered = last
            if isinstance(event, e.JobUpdated) and event.spec.schedule != job.spec.schedule:
                assert plan.between(answered, Instant(now - 1)) is None, "a passed tick has no answer"
                answered = Instant(max(answered, now - 1))
            job = evolve(job, event)
            assert job is not None
        if what in ("ticks", "gap") and not job.disabled:
            assert job.next_tick is None or job.next_tick > now


def tick_command(job: Job, now: Instant, step: tuple[str, int]) -> c.Command:
    what, kind = step
    match what:
        case "ticks" | "gap":
            return c.AnswerTicks(job=J, at=now, gap="the server was down" if what == "gap" else None)
        case "enable" | "disable":
            return c.EnableJob(job=J, at=now) if what == "enable" else c.DisableJob(job=J, at=now)
    disabled = job.disabled if what == "edit" else what == "edit and disable"
    spec = replace(job.spec, schedule=schedule_from(now, kind), retries=kind)
    return c.UpdateJob(job=J, at=now, spec=spec, disabled=disabled)


def answers(event: e.JobEvent) -> Iterator[tuple[Instant, Instant, int]]:
    """The first and last tick that an event answers, and how many."""
    if isinstance(event, e.TickMissed):
        yield event.first, event.last, event.count
    if isinstance(event, e.RunStarted | e.RunSkipped) and event.tick is not None:
        yield event.tick, event.tick, 1


# ---- directed cases


def at(seconds: int) -> Instant:
    return Instant(START + seconds * SECOND)


def create(seconds: int, *, disabled: bool = False, retries: int = 0) -> c.CreateJob:
    spec = replace(SPEC, schedule=schedule_from(at(seconds), 0), retries=retries)
    return c.CreateJob(job=J, at=at(seconds), spec=spec, disabled=disabled)


def update(seconds: int, *, disabled: bool) -> c.UpdateJob:
    spec = replace(SPEC, schedule=schedule_from(at(seconds), 0), command="false")
    return c.UpdateJob(job=J, at=at(seconds), spec=spec, disabled=disabled)


def start(seconds: int, run: str = "r") -> c.StartRun:
    return c.StartRun(job=J, at=at(seconds), run=RunId(run), cause="manual", root=RunId(run))


def end(seconds: int, outcome: Outcome = "succeeded", run: str = "r", attempt: int = 1) -> c.EndAttempt:
    return c.EndAttempt(job=J, at=at(seconds), run=RunId(run), attempt=attempt, outcome=outcome)


def imported(outcome: Outcome) -> c.ImportRuns:
    run = ImportedRun(id=RunId("i"), execution="x", started=at(-9), ended=at(-8), outcome=outcome)
    return c.ImportRuns(job=J, at=at(1), source="nextkala", runs=(run,))


def at_tick(seconds: int) -> c.AnswerTicks:
    return c.AnswerTicks(job=J, at=at(seconds))


def cancel(seconds: int) -> c.CancelRun:
    return c.CancelRun(job=J, at=at(seconds), run=R)


ENABLE, DISABLE, DELETE = (kind(job=J, at=at(500)) for kind in (c.EnableJob, c.DisableJob, c.DeleteJob))
TICKS = c.AnswerTicks(job=J, at=at(500))
REPORT = c.ReportStatus(job=J, at=at(500), run=R, status="Success")
CRASH = c.RecordCrash(job=J, at=at(500), error="KeyError")
BODY = c.ReplaceBody(job=J, at=at(500), body="b")
LATER = replace(create(0), spec=replace(create(0).spec, retries=1, terms=AttemptTerms(retry_delay="PT10S")))
LATE_CHILD = replace(LATER, spec=replace(LATER.spec, schedule="", parents=(JobId("p"), JobId("q"))))
CHILD = replace(create(0), spec=replace(SPEC, schedule="", parents=(JobId("p"), JobId("q"))))
FORGET = [c.ForgetParent(job=J, at=at(500), parent=JobId(parent)) for parent in "pq"]

REPLACED = replace(create(0), spec=replace(create(0).spec, ticks=TickPolicy(overlap="replace")))
EPHEMERAL = replace(create(0), spec=replace(create(0).spec, bounds=Bounds(ephemeral=True)))
PAUSE, RESUME = c.PauseJob(job=J, at=at(100), until=at(450)), c.ResumeJob(job=J, at=at(500))
LATE = replace(update(501, disabled=False), spec=replace(REPLACED.spec, retries=1))
HELD: list[c.Command] = [REPLACED, start(1), PAUSE]
REPLACED_LATER = replace(REPLACED, spec=replace(REPLACED.spec, retries=1, terms=AttemptTerms(retry_delay="PT1H")))
WAITING: list[c.Command] = [REPLACED_LATER, start(1), end(2, "failed")]
EDITED_LATER = replace(LATE, spec=replace(REPLACED_LATER.spec, schedule=LATE.spec.schedule))

CASES: dict[str, Sequence[c.Command]] = {
    "paused": [create(0), PAUSE, replace(TICKS, at=at(400)), RESUME],
    "paused while disabled": [create(0, disabled=True), PAUSE, TICKS],
    "resumed while disabled": [create(0, disabled=True), PAUSE, RESUME],
    "the pause is over": [create(0), PAUSE, TICKS],
    "replaced": [REPLACED, start(1), TICKS],
    "replaced by a dependent's": [REPLACED, start(1), replace(start(2, "s"), cause="parent")],
    "replaced on resuming": [*HELD, RESUME],
    "resumed while full of ticks": [replace(create(0), spec=replace(REPLACED.spec, ticks=TickPolicy(overlap="skip"))),
                                    start(1), replace(PAUSE, at=at(300), until=None), RESUME],
    "replaced on enabling": [*HELD, DISABLE, ENABLE],
    "replaced on an edit": [*HELD, DISABLE, LATE],
    "replaced on creating again": [*HELD, DISABLE, replace(REPLACED, at=at(501), spec=LATE.spec)],
    "replaced while it waits": [*WAITING, TICKS],
    "replaced while it waits, by a dependent's": [*WAITING, replace(start(3, "s"), cause="parent")],
    "replaced while it waits, on resuming": [*WAITING, PAUSE, RESUME],
    "replaced while it waits, on enabling": [*WAITING, PAUSE, DISABLE, ENABLE],
    "replaced while it waits, on an edit": [*WAITING, PAUSE, DISABLE, EDITED_LATER],
    "replaced while it waits, on creating again": [*WAITING, PAUSE, DISABLE,
                                                   replace(REPLACED_LATER, at=at(501), spec=EDITED_LATER.spec)],
    "cleared": [create(0), start(1), end(2), c.ClearHistory(job=J, at=at(3)), DISABLE,
                c.ClearHistory(job=J, at=at(501))],
    "edited": [create(0), update(1, disabled=False), update(400, disabled=True), update(401, disabled=True), BODY],
    "edited and enabled": [create(0, disabled=True), update(400, disabled=False), create(401), create(402)],
    "edited while disabled": [create(0, disabled=True), update(400, disabled=True), ENABLE, DISABLE, DELETE],
    "enabled late": [create(0, disabled=True), replace(update(400, disabled=False), spec=create(0).spec)],
    "created over a disabled job": [create(0, disabled=True), replace(create(0), at=at(400))],
    "ticks": [create(0), TICKS, DISABLE, ENABLE],
    "made up on enabling": [create(0), DISABLE, ENABLE, start(501), DELETE],
    "runs": [create(0), start(1), REPORT, CRASH, end(2), DELETE, REPORT, CRASH],
    "asked while disabled": [create(0, disabled=True), start(1), REPORT, CRASH],
    "ends while disabled": [create(0), start(1), DISABLE, cancel(501), end(502, "failed"), DELETE],
    "ephemeral": [EPHEMERAL, start(1), start(2, "s"), end(3), end(4, run="s")],
    "retried": [create(0, retries=1), start(1), end(2, "lost"), end(3, attempt=2)],
    "retried later": [LATER, start(1), end(2, "failed"), REPORT, at_tick(12), end(13, attempt=2)],
    "retried while disabled": [LATER, start(1), end(2, "failed"), DISABLE, TICKS, end(501, "failed", attempt=2)],
    "cancelled while it waits": [LATER, start(1), end(2, "failed"), cancel(3), end(4)],
    "deleted while it waits": [LATER, start(1), start(2, "s"), end(3, "failed"), DELETE, end(501, run="s")],
    "orphaned while it waits": [LATE_CHILD, start(1), end(2, "failed"), *FORGET],
    "cancelled, yet failed": [create(0, retries=1), start(1), cancel(2), end(3, "failed")],
    "deleted": [create(0), start(1), start(2, "s"), DELETE, REPORT, CRASH, cancel(501), end(502, "failed"),
                end(503, run="s")],
    "deleted while disabled": [create(0), start(1), DISABLE, DELETE, create(501), end(502), DELETE],
    "succeeded by a disabled namesake": [create(0), start(1), DELETE, create(501, disabled=True), end(502)],
    "orphaned": [CHILD, *FORGET],
    **{f"{outcome}": [create(0), start(1), end(2, outcome)] for outcome in OUTCOMES},
    **{f"imported, {outcome}": [create(0), imported(outcome)] for outcome in OUTCOMES},
    "imported while disabled": [create(0, disabled=True), imported("failed")],
    **{f"cancelling, {outcome}": [create(0), start(1), cancel(2), end(3, outcome)] for outcome in OUTCOMES},
}  # fmt: skip


def full(job: Job | None) -> Job:
    """The job with as many runs in flight as it may have."""
    assert job is not None
    run = Run(id=R, cause="manual", root=R, started=at(0))
    return replace(job, runs=tuple(replace(run, id=RunId(f"x{i}")) for i in range(limits.MAX_RUNS_IN_FLIGHT)))


def carried_out(commands: Sequence[c.Command], job: Job | None = None) -> Iterator[tuple[c.Command, Watch, e.JobEvent]]:
    watch = Watch()
    for command in commands:
        for event in decide(job, command):
            before, job = job, evolve(job, event)
            watch.see(before, event, job)
            yield command, watch, event


def full_cases() -> Iterator[tuple[Sequence[c.Command], Job | None]]:
    """What a job that is full does with ticks."""
    for disabled in (False, True):
        (created,) = decide(None, create(0, disabled=disabled))
        job = full(evolve(None, created))
        late = replace(create(0), at=at(400))
        for command in (TICKS, ENABLE, late, replace(update(400, disabled=False), spec=late.spec)):
            yield [command], job


def all_cases() -> Iterator[tuple[c.Command, Watch, e.JobEvent]]:
    for commands, job in [*((commands, None) for commands in CASES.values()), *full_cases()]:
        yield from carried_out(commands, job)


@pytest.mark.parametrize("name", CASES)
def test_a_directed_case_keeps_to_the_table(name: str) -> None:
    assert [event for _, _, event in carried_out(CASES[name])]


def test_every_arrow_is_taken() -> None:
    taken = {arrow for _, watch, _ in all_cases() for arrow in watch.taken}
    assert [arrow for arrow in ARROWS if arrow not in taken] == []


def test_commands_decide_what_the_table_says_and_all_of_it() -> None:
    seen: dict[type[c.Command], set[type[e.JobEvent]]] = {command: set() for command in DECIDES}
    for command, _, event in all_cases():
        seen[type(command)].add(type(event))
    assert seen == {command: set(events) for command, events in DECIDES.items()}


@settings(max_examples=100, deadline=None)
@given(steps=STEPS, again=st.sampled_from(sorted(CASES)))
def test_deciding_is_reproducible_and_keeps_to_the_table(steps: list[Step], again: str) -> None:
    """Any command in any state: the same answer twice, a known refusal, or facts that the table has."""
    for before, _, _ in played(steps).steps[::5]:
        for command in CASES[again]:
            job = replace(before, id=J) if before else None
            answer = outcome(job, command)
            assert outcome(job, command) == answer
            if isinstance(answer, tuple):
                assert {type(event) for event in answer} <= set(DECIDES[type(command)])


def outcome(job: Job | None, command: c.Command) -> tuple[e.JobEvent, ...] | str:
    try:
        return decide(job, command)
    except Refusal as refusal:
        return f"{type(refusal).__name__}: {refusal.reason}"


# ---- the table itself


def test_the_table_is_about_known_states_and_all_events() -> None:
    for machine, states in STATES.items():
        arrows = [arrow for arrow in ARROWS if arrow.machine == machine]
        assert {arrow.source for arrow in arrows} | {arrow.target for arrow in arrows} == set(states)
        rows = [(arrow.source, arrow.event, arrow.condition.text) for arrow in arrows]
        assert len(rows) == len(set(rows)), "two rows say the same"
    jobs = {arrow.event for arrow in ARROWS if arrow.machine == "job"} | set(MOVES_NOTHING["job"])
    assert jobs == set(e.JobEvent.__args__)
    assert set(DECIDES) == set(c.Command.__args__)


def test_what_has_ended_stays_ended() -> None:
    leaving = {(arrow.machine, arrow.source) for arrow in ARROWS}
    for machine in ("run", "attempt"):
        assert {state for m, state in leaving if m == machine} <= {"not begun", "running", "waiting", "cancelling"}
    assert {(arrow.source, arrow.target) for arrow in ARROWS if arrow.event is e.RunStarted} == {
        ("enabled", "enabled"),
        ("not begun", "running"),
    }


def test_a_wrong_step_is_noticed() -> None:
    """The watch can fail: each of these is something that `evolve` might have done wrongly."""
    (created,) = decide(None, create(0))
    job = evolve(None, created)
    assert job is not None
    started = e.RunStarted(job=J, at=at(1), run=R, cause="manual", root=R)
    running = evolve(job, started)
    assert running is not None
    finished = e.RunFinished(job=J, at=at(2), run=R, outcome="succeeded", attempts=1, root=R)
    wrong: list[tuple[Job | None, e.JobEvent, Job | None]] = [
        (None, created, None),
        (job, started, job),
        (running, finished, running),
        (running, e.JobDeleted(job=J, at=at(2)), None),
        (job, e.JobDisabled(job=J, at=at(2)), job),
        (job, e.StatusReported(job=J, at=at(2), run=R, status=""), running),
        (job, e.JobEnabled(job=J, at=at(2)), job),
        (replace(job, disabled=True), started, replace(running, disabled=True)),
        (job, finished, job),
    ]
    for step in wrong:
        with pytest.raises(AssertionError):
            watched([step])
    with pytest.raises(AssertionError, match="run succeeded"):
        watched([(job, started, running), (running, finished, evolve(running, finished)), (job, started, running)])


def test_the_ids_of_ticks_tell_jobs_births_and_ticks_apart() -> None:
    ids = [run_for_tick(job, at(birth), at(tick)) for job in (J, JobId("k")) for birth in (0, 1) for tick in (60, 61)]
    assert len(set(ids)) == len(ids)
    assert ids[0] == run_for_tick(J, at(0), at(60))


# ---- the pages


@pytest.mark.parametrize("name", ["lifecycle.md", "events.md"])
def test_the_generated_page_is_fresh(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == pages()[name], "run `make docs`"


def test_the_pages_tell_of_everything() -> None:
    events, lifecycle = pages()["events.md"], pages()["lifecycle.md"]
    for kind in (
        *e.JobEvent.__args__,
        e.OutputChunk,
        e.RequestAnswered,
        *e.NoticeEvent.__args__,
        *e.HandoverEvent.__args__,
    ):
        (section,) = re.findall(rf"^## {kind.__name__}\n(.*?)(?=^## )", events, re.M | re.S)
        assert " ".join((kind.__doc__ or "?").split()) in section
        assert re.findall(r"^\| `(\w+)` \|", section, re.M) == [field.name for field in fields(kind)]
        assert re.search(r"^Version \d+, in the stream `.+`\. Written by .+\.$", section, re.M)
    for text in (events, lifecycle):
        anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", events, re.M)}
        assert set(re.findall(r"\((?:events\.md)?#([^)]+)\)", text)) <= anchors
    rows = re.findall(r"^\| ([\w -]+) \| \[(\w+)\]\(\S+\) \| ([^|]*) \| ([\w -]+) \|$", lifecycle, re.M)
    assert rows == [(a.source, a.event.__name__, a.condition.text, a.target) for a in ARROWS]
    assert lifecycle.count("stateDiagram-v2") == len(STATES)


def test_a_stale_page_is_noticed_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"], tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    written = (path for path in tmp_path.rglob("*") if path.is_file())
    assert {path.relative_to(tmp_path).as_posix(): path.read_text() for path in written} == pages()
    (tmp_path / "events.md").write_text("old")
    capsys.readouterr()
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().out == "docs/events.md is stale; `make docs` writes it anew\n"


def test_the_tool_runs_as_the_makefile_runs_it() -> None:
    answer = subprocess.run([sys.executable, "tools/generate_docs.py", "--check"], cwd=ROOT, capture_output=True)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, b"", b"")

"""One job's rules as given/when/then: what each command decides in each state, and what the facts make of the job.

Times are seconds after the start of 2030. The usual job has a tick each minute from 60 on and was created at 0.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from kala_es import limits
from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.errors import Invalid, Overloaded, Refusal
from kala_es.domain.ids import SECOND, Instant, JobId, RunId, run_for_tick
from kala_es.domain.imported_runs import ImportedRun
from kala_es.domain.job import decide, evolve
from kala_es.domain.model import Cause, Counters, Job, JobSpec, MissReason, Outcome, RemoteCall, Run
from kala_es.domain.values import replace

J = JobId("j")
R = RunId("r")
P, Q = JobId("p"), JobId("q")
AGAIN, FAILED, DONE = "AttemptFailed", "AttemptFailed RunFinished", "RunFinished"
YEAR_2030 = 1_893_456_000
MINUTES = "R/2030-01-01T00:01:00Z/PT1M"
SPEC = JobSpec(name="n", command="true", schedule=MINUTES)
ONE_OFF = JobSpec(name="n", command="true")
CHILD = JobSpec(name="n", command="true", parents=(P, Q))


def at(seconds: float) -> Instant:
    return Instant(int((YEAR_2030 + seconds) * SECOND))


def shown(tick: Instant | None) -> float | None:
    return None if tick is None else tick / SECOND - YEAR_2030


def minutes(repeats: str, start: str = "00:01:00", interval: str = "PT1M") -> str:
    return f"{repeats}/2030-01-01T{start}Z/{interval}"


def fold(job: Job | None, events: Sequence[e.JobEvent]) -> Job | None:
    for event in events:
        job = evolve(job, event)
    return job


def after(job: Job | None, *commands: c.Command) -> Job:
    """The job when these commands have been carried out."""
    for command in commands:
        job = fold(job, decide(job, command))
    assert job is not None
    return job


def names(events: Sequence[e.JobEvent]) -> str:
    return " ".join(type(event).__name__ for event in events)


def refused(job: Job | None, command: c.Command) -> Refusal:
    with pytest.raises(Refusal) as caught:
        decide(job, command)
    return caught.value


def create(seconds: float = 0, spec: JobSpec = SPEC, *, disabled: bool = False) -> c.CreateJob:
    return c.CreateJob(job=J, at=at(seconds), spec=spec, disabled=disabled)


def update(seconds: float, spec: JobSpec = SPEC, *, disabled: bool = False) -> c.UpdateJob:
    return c.UpdateJob(job=J, at=at(seconds), spec=spec, disabled=disabled)


def ticks(seconds: float, *, down: bool = False) -> c.AnswerTicks:
    return c.AnswerTicks(job=J, at=at(seconds), gap="the server was down" if down else None)


def enable(seconds: float) -> c.EnableJob:
    return c.EnableJob(job=J, at=at(seconds))


def disable(seconds: float) -> c.DisableJob:
    return c.DisableJob(job=J, at=at(seconds))


def delete(seconds: float) -> c.DeleteJob:
    return c.DeleteJob(job=J, at=at(seconds))


def start(seconds: float, run: RunId = R, cause: Cause = "manual") -> c.StartRun:
    return c.StartRun(job=J, at=at(seconds), run=run, cause=cause, root=run)


def cancel(seconds: float, run: RunId = R) -> c.CancelRun:
    return c.CancelRun(job=J, at=at(seconds), run=run)


def end(
    seconds: float, run: RunId = R, outcome: Outcome = "succeeded", attempt: int = 1, *, final: bool = False
) -> c.EndAttempt:
    return c.EndAttempt(job=J, at=at(seconds), run=run, attempt=attempt, outcome=outcome, final=final)


def full_of_runs(job: Job) -> Job:
    """The job with as many runs in flight as it may have."""
    runs = (Run(id=RunId(f"{i}"), cause="manual", root=R, started=job.born) for i in range(limits.MAX_RUNS_IN_FLIGHT))
    return replace(job, runs=tuple(runs))


NEW = after(None, create())
TICK_60 = run_for_tick(J, at(0), at(60))
RUNNING = after(NEW, ticks(60))
IDLE = after(RUNNING, end(61, TICK_60))

IMPORTED = ImportedRun(id=RunId("i"), execution="x", started=at(1), ended=at(2), outcome="failed")

# ---- every command in every state

STATES: dict[str, Job | None] = {
    "absent": None,
    "enabled": IDLE,
    "disabled": after(IDLE, disable(100)),
    "running": RUNNING,
    "cancelling": after(RUNNING, cancel(100, TICK_60)),
    "held": after(RUNNING, disable(100)),
    "deleted": after(RUNNING, delete(100)),
}
COMMANDS: dict[str, c.Command] = {
    "create": create(150, replace(SPEC, command="false")),
    "update": update(150, replace(SPEC, command="false")),
    "body": c.ReplaceBody(job=J, at=at(150), body="b"),
    "enable": enable(150),
    "disable": disable(150),
    "pause": c.PauseJob(job=J, at=at(150), reason="r"),
    "resume": c.ResumeJob(job=J, at=at(150)),
    "delete": delete(150),
    "forget": c.ForgetParent(job=J, at=at(150), parent=P),
    "clear": c.ClearHistory(job=J, at=at(150)),
    "ticks": ticks(150),
    "start": start(150),
    "cancel": cancel(150, TICK_60),
    "end": end(150, TICK_60, "failed"),
    "report": c.ReportStatus(job=J, at=at(150), run=TICK_60, status="Running"),
    "import": c.ImportRuns(job=J, at=at(150), source="nextkala", runs=(IMPORTED,)),
    "crash": c.RecordCrash(job=J, at=at(150), error="KeyError"),
}
TABLE = """
        absent         enabled        disabled       running        cancelling     held           deleted
create  Invalid        JobUpdated     updated+run    JobUpdated     JobUpdated     updated+run    Invalid
update  NotFound       JobUpdated     updated+run    JobUpdated     JobUpdated     updated+run    NotFound
body    NotFound       JobUpdated     JobUpdated     JobUpdated     JobUpdated     JobUpdated     NotFound
enable  NotFound       -              enabled+run    -              -              enabled+run    NotFound
disable NotFound       JobDisabled    -              JobDisabled    JobDisabled    -              NotFound
pause   NotFound       JobPaused      JobPaused      JobPaused      JobPaused      JobPaused      NotFound
resume  NotFound       -              -              -              -              -              NotFound
clear   NotFound       HistoryCleared HistoryCleared HistoryCleared HistoryCleared HistoryCleared NotFound
delete  NotFound       JobDeleted     JobDeleted     JobDeleted     JobDeleted     JobDeleted     NotFound
forget  -              -              -              -              -              -              -
ticks   -              RunStarted     -              RunStarted     RunStarted     -              -
start   NotFound       RunStarted     RunSkipped     RunStarted     RunStarted     RunSkipped     NotFound
cancel  Conflict       Conflict       Conflict       CancelRequested -             CancelRequested CancelRequested
end     -              -              -              failed         failed         failed         failed
report  StatusReported StatusReported StatusReported StatusReported StatusReported StatusReported StatusReported
import  NotFound       RunImported    RunImported    RunImported    RunImported    RunImported    NotFound
crash   ActorCrashed   ActorCrashed   ActorCrashed   ActorCrashed   ActorCrashed   ActorCrashed   ActorCrashed
"""
MEANS = {"-": "", "updated+run": "JobUpdated RunStarted", "enabled+run": "JobEnabled RunStarted", "failed": FAILED}
HEAD, *ROWS = (line.split() for line in TABLE.strip().splitlines())
CELLS = [(row[0], state, said) for row in ROWS for state, said in zip(HEAD, row[1:], strict=True)]


@pytest.mark.parametrize(("command", "state", "said"), CELLS)
def test_each_command_in_each_state(command: str, state: str, said: str) -> None:
    if said in ("NotFound", "Conflict", "Invalid"):
        assert type(refused(STATES[state], COMMANDS[command])).__name__ == said
    else:
        assert names(decide(STATES[state], COMMANDS[command])) == MEANS.get(said, said)


def test_the_table_has_every_command_and_state() -> None:
    assert {type(command) for command in COMMANDS.values()} == set(c.Command.__args__)
    assert {row[0] for row in ROWS} == set(COMMANDS)
    assert set(HEAD) == set(STATES)


# ---- creating


def test_a_created_job_has_its_first_tick_ahead() -> None:
    counters = Counters(success_count=3, finished_runs=4)
    events = decide(None, c.CreateJob(job=J, at=at(0), spec=SPEC, disabled=True, counters=counters))
    assert events == (e.JobCreated(job=J, at=at(0), spec=SPEC, disabled=True, counters=counters),)
    born = at(0)
    times: dict[str, Any] = {"born": born, "planned": born, "answered": Instant(born - 1), "next_tick": at(60)}
    assert evolve(None, events[0]) == Job(id=J, spec=SPEC, **times, disabled=True, counters=counters)


def test_a_start_at_this_very_moment_is_not_past() -> None:
    job = after(None, create(60))
    assert shown(job.next_tick) == 60
    assert names(decide(job, ticks(60))) == "RunStarted"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "n" * (limits.MAX_NAME_CHARS + 1)}, "name"),
        ({"command": ""}, "command"),
        ({"command": "a\0b"}, "command"),
        ({"cwd": "\0"}, "cwd"),
        ({"env": (("A=B", "x"),)}, "env"),
        ({"env": (("", "x"),)}, "env"),
        ({"env": (("A", "\0"),)}, "env"),
        ({"kind": "remote", "command": ""}, "remote_properties.url"),
        ({"remote": RemoteCall(timeout=-1)}, "remote_properties.timeout"),
        ({"remote": RemoteCall(timeout=limits.MAX_TIMEOUT_SECONDS + 1)}, "remote_properties.timeout"),
        ({"retries": -1}, "retries"),
        ({"retries": limits.MAX_RETRIES + 1}, "retries"),
        ({"parents": (P,) * (limits.MAX_PARENTS + 1)}, "parent_jobs"),
        ({"dependents": (P,) * (limits.MAX_PARENTS + 1)}, "dependent_jobs"),
        ({"schedule": "R/2029-12-31T23:59:59Z/PT1M"}, "schedule"),
        ({"schedule": "* * * *"}, "schedule"),
        ({"schedule": "@at 2029-12-31T23:59:59Z"}, "schedule"),
        ({"schedule": minutes("R", interval="PT0S")}, "schedule"),
        ({"timezone": "Nowhere"}, "timezone"),
        ({"epsilon": "5s"}, "epsilon"),
        ({"timeout": "PT0S"}, "timeout"),
        ({"timeout": "P2Y"}, "timeout"),
        ({"timeout": "1"}, "timeout"),
        ({"template_delimiters": "{{ }}", "command": "echo {{.Name"}, "command"),
        ({"template_delimiters": "{{ }}", "remote": RemoteCall(url="{{if}}")}, "remote_properties.url"),
        ({"template_delimiters": "{{ }}", "remote": RemoteCall(body="{{end}}")}, "remote_properties.body"),
    ],
)
def test_a_bad_definition_names_the_field_and_changes_nothing(change: dict[str, Any], field: str) -> None:
    spec = replace(SPEC, **change)
    for job, command in ((None, create(0, spec)), (IDLE, create(62, spec)), (IDLE, update(62, spec))):
        refusal = refused(job, command)
        assert isinstance(refusal, Invalid)
        assert refusal.field == field


# ---- editing


def test_an_edit_keeps_counters_runs_and_birth() -> None:
    job = after(RUNNING, update(70, replace(SPEC, schedule=minutes("R", start="00:10:00"))))
    assert (job.counters, job.runs, job.born) == (RUNNING.counters, RUNNING.runs, RUNNING.born)
    assert (job.planned, shown(job.next_tick)) == (at(70), 600)


def test_an_unchanged_schedule_can_be_edited_though_its_start_is_past() -> None:
    job = after(IDLE, update(100, replace(SPEC, command="false", retries=3)))
    assert (job.spec.command, job.spec.retries) == ("false", 3)
    assert (job.planned, job.answered, job.next_tick) == (IDLE.planned, IDLE.answered, IDLE.next_tick)


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": "R/2030-01-01T00:01:30Z/PT1M"},
        {"timezone": "Europe/Berlin"},
        {"schedule": "R0/2030-01-01T00:01:39Z/"},
    ],
)
def test_a_changed_schedule_with_a_past_start_is_invalid(change: dict[str, Any]) -> None:
    for command in (create(100, replace(SPEC, **change)), update(100, replace(SPEC, **change))):
        refusal = refused(IDLE, command)
        assert isinstance(refusal, Invalid)
        assert refusal.field == "schedule"


def test_an_edit_answers_the_old_plans_passed_ticks_and_fires_none() -> None:
    spec = replace(SPEC, schedule=minutes("R", start="00:05:00"))
    missed, updated = decide(NEW, update(150, spec))
    assert missed == e.TickMissed(job=J, at=at(150), first=at(60), last=at(120), count=2, reason="the job was edited")
    job = fold(NEW, (missed, updated))
    assert job is not None
    assert decide(job, ticks(299)) == ()
    assert [event.tick for event in decide(job, ticks(300)) if isinstance(event, e.RunStarted)] == [at(300)]


def test_an_edit_of_an_answered_schedule_does_not_fire_the_same_tick_again() -> None:
    spec = replace(SPEC, schedule=minutes("R", start="00:01:00", interval="PT2M"))
    job = after(None, create(60), ticks(60), end(60, run_for_tick(J, at(60), at(60))), update(60, spec))
    assert shown(job.next_tick) == 180


@pytest.mark.parametrize("spec", [ONE_OFF, replace(SPEC, schedule=minutes("R0", start="00:02:00", interval=""))])
def test_a_new_plans_tick_at_the_instant_of_the_edit_is_not_lost(spec: JobSpec) -> None:
    job = after(IDLE, update(120, spec))
    assert names(decide(job, ticks(120))) == "RunStarted"


def test_a_tick_at_the_instant_of_an_enabling_edit_is_answered_once() -> None:
    job = after(IDLE, disable(100))
    events = decide(job, update(120, replace(SPEC, schedule=minutes("R", start="00:02:00", interval="PT2M"))))
    missed = [event.last for event in events if isinstance(event, e.TickMissed)]
    started = [event.tick for event in events if isinstance(event, e.RunStarted)]
    assert not set(missed) & set(started)


def test_to_become_a_child_ends_the_ticks_and_to_cease_being_one_plans_anew() -> None:
    child = after(NEW, update(150, replace(SPEC, parents=(P,))))
    assert child.next_tick is None
    assert child.answered == at(150) - 1
    assert isinstance(refused(child, update(160, SPEC)), Invalid)
    again = after(child, update(160, replace(SPEC, schedule=minutes("R", start="00:03:00"))))
    assert shown(again.next_tick) == 180


def test_an_edit_that_enables_makes_up_for_the_passed_ticks() -> None:
    job = after(NEW, disable(30))
    updated, missed, started = decide(job, update(150, replace(SPEC, command="false")))
    assert isinstance(updated, e.JobUpdated)
    assert isinstance(missed, e.TickMissed)
    assert isinstance(started, e.RunStarted)
    assert (missed.reason, started.tick, started.cause) == ("the job was disabled", at(120), "catch-up")


def test_a_body_is_replaced_and_nothing_else() -> None:
    spec = JobSpec(name="n", kind="remote", remote=RemoteCall(url="http://x", body="a"), schedule=MINUTES)
    job = after(None, create(0, spec), c.ReplaceBody(job=J, at=at(70), body="b"))
    assert job.spec == replace(spec, remote=RemoteCall(url="http://x", body="b"))
    assert shown(job.next_tick) == 60


# ---- ticks


@pytest.mark.parametrize("seconds", [0, 59.999999])
def test_a_tick_is_never_early(seconds: float) -> None:
    assert decide(NEW, ticks(seconds)) == ()


def test_a_tick_starts_a_run_that_is_named_after_it() -> None:
    (event,) = decide(NEW, ticks(60.25))
    assert event == e.RunStarted(
        job=J, at=at(60.25), run=TICK_60, cause="schedule", root=TICK_60, tick=at(60), after=None
    )
    job = fold(NEW, (event,))
    assert job is not None
    assert (shown(job.answered), shown(job.next_tick)) == (60, 120)
    assert job.counters.last_attempted_run == at(60.25)


@pytest.mark.parametrize(
    ("down", "reason"), [(False, "the server was late"), (True, "the server was down")], ids=["late", "down"]
)
def test_of_many_passed_ticks_the_last_is_made_up_once(down: bool, reason: MissReason) -> None:
    missed, started = decide(NEW, ticks(330, down=down))
    assert missed == e.TickMissed(
        job=J, at=at(330), first=at(60), last=at(240), count=4, reason=reason, made_up=at(300)
    )
    assert isinstance(started, e.RunStarted)
    assert (started.tick, started.cause) == (at(300), "catch-up")
    assert decide(fold(NEW, (missed, started)), ticks(359.9, down=down)) == ()


def test_a_single_tick_after_a_gap_is_made_up_too() -> None:
    (started,) = decide(NEW, ticks(90, down=True))
    assert isinstance(started, e.RunStarted)
    assert (started.tick, started.cause) == (at(60), "catch-up")


RESUMING = after(None, create(0, replace(SPEC, resume_at_next_tick=True)))


def test_a_resuming_job_waits_for_the_next_tick_after_a_gap() -> None:
    (missed,) = decide(RESUMING, ticks(330, down=True))
    assert missed == e.TickMissed(job=J, at=at(330), first=at(60), last=at(300), count=5, reason="the server was down")
    job = fold(RESUMING, (missed,))
    assert job is not None
    assert shown(job.next_tick) == 360


def test_a_resuming_job_waits_after_enabling_too_but_not_when_merely_late() -> None:
    assert names(decide(after(RESUMING, disable(30)), enable(130))) == "JobEnabled TickMissed"
    assert names(decide(RESUMING, ticks(130))) == "TickMissed RunStarted"


@pytest.mark.parametrize("repeats", [0, 1, 2])
def test_a_resuming_job_without_a_next_tick_makes_up_the_last(repeats: int) -> None:
    spec = replace(SPEC, schedule=minutes(f"R{repeats}"), resume_at_next_tick=True)
    events = decide(after(None, create(0, spec)), ticks(3600, down=True))
    assert isinstance(events[-1], e.RunStarted)
    assert shown(events[-1].tick) == 60 * (repeats + 1)


@pytest.mark.parametrize("repeats", [0, 1, 2, 5])
def test_repeats_follow_the_first_run(repeats: int) -> None:
    job = after(None, create(0, replace(SPEC, schedule=minutes(f"R{repeats}"))))
    started = 0
    for minute in range(1, 10):
        assert not job.is_done
        events = decide(job, ticks(60 * minute))
        runs = [event.run for event in events if isinstance(event, e.RunStarted)]
        started += len(runs)
        job = after(fold(job, events), *(end(60 * minute + 1, run) for run in runs))
        if started == repeats + 1:
            break
    assert (started, job.next_tick, job.is_done) == (repeats + 1, None, True)
    assert decide(job, ticks(1e6, down=True)) == ()


def test_a_manual_run_uses_up_no_tick() -> None:
    job = after(None, create(0, replace(SPEC, schedule=minutes("R0"))), start(10), end(11))
    assert (job.is_done, shown(job.next_tick)) == (False, 60)


@pytest.mark.parametrize("spec", [ONE_OFF, replace(ONE_OFF, resume_at_next_tick=True)])
def test_a_one_off_fires_once(spec: JobSpec) -> None:
    job = after(None, create(5, spec))
    (started,) = decide(job, ticks(5))
    assert isinstance(started, e.RunStarted)
    assert (started.tick, started.cause) == (at(5), "schedule")
    job = after(fold(job, (started,)), end(6, started.run))
    assert job.is_done
    for command in (ticks(7), ticks(1e6, down=True), disable(8), enable(9), update(10, replace(spec, command="x"))):
        events = decide(job, command)
        assert "RunStarted" not in names(events)
        job = after(fold(job, events))
    assert names(decide(after(None, create(5, spec, disabled=True)), enable(99))) == "JobEnabled RunStarted"


def test_a_child_has_no_ticks() -> None:
    for text in (MINUTES, "R/2000-01-01T00:00:00Z/PT1M", "garbage"):
        job = after(None, create(0, replace(CHILD, schedule=text, epsilon="garbage")))
        assert job.next_tick is None
    assert decide(job, ticks(1e6, down=True)) == ()
    assert names(decide(after(job, disable(1)), enable(1e6))) == "JobEnabled"
    assert names(decide(job, start(5, cause="parent"))) == "RunStarted"


def test_too_many_runs_in_flight() -> None:
    job = full_of_runs(NEW)
    (skipped,) = decide(job, ticks(60))
    assert isinstance(skipped, e.RunSkipped)
    assert (skipped.reason, skipped.tick, skipped.run) == ("too many runs in flight", at(60), TICK_60)
    skipped_job = fold(job, (skipped,))
    assert skipped_job is not None
    assert shown(skipped_job.next_tick) == 120
    assert isinstance(refused(job, start(5)), Overloaded)
    (child,) = decide(job, start(5, cause="parent"))
    assert isinstance(child, e.RunSkipped)
    assert child.reason == "too many runs in flight"
    one_fewer = replace(job, runs=job.runs[1:])
    assert names(decide(one_fewer, ticks(60))) == names(decide(one_fewer, start(5))) == "RunStarted"


def test_a_disabled_job_skips_what_is_asked_and_remembers_that_it_was() -> None:
    job = after(IDLE, disable(100))
    (skipped,) = decide(job, start(110))
    assert skipped == e.RunSkipped(job=J, at=at(110), run=R, cause="manual", reason="disabled", root=R)
    assert names(decide(full_of_runs(job), start(110))) == "RunSkipped"
    then = fold(job, (skipped,))
    assert then is not None
    assert (then.counters.last_attempted_run, then.counters.finished_runs) == (at(110), 1)


# ---- attempts


def carry_out(job: Job, run: RunId, outcomes: Sequence[tuple[float, Outcome]]) -> list[str]:
    """What each end of an attempt decides; the last one's is "" when the run was over before."""
    said: list[str] = []
    for number, (seconds, outcome) in enumerate(outcomes, 1):
        events = decide(job, end(seconds, run, outcome, number))
        said.append(names(events))
        job = after(fold(job, events))
    return said


@pytest.mark.parametrize("retries", [0, 1, 2, 4])
@pytest.mark.parametrize("outcome", ["failed", "timed-out", "lost"])
def test_retries_are_further_attempts(retries: int, outcome: Outcome) -> None:
    job = after(None, create(0, replace(SPEC, retries=retries)), ticks(60))
    ends = [(61 + n, outcome) for n in range(retries + 2)]
    assert carry_out(job, TICK_60, ends) == [AGAIN] * retries + [FAILED, ""]


def test_a_success_ends_the_retries_and_errors_count_attempts() -> None:
    job = after(None, create(0, replace(SPEC, retries=5)), ticks(60))
    ends: list[tuple[float, Outcome]] = [(61, "failed"), (62, "lost"), (63, "succeeded"), (64, "failed")]
    assert carry_out(job, TICK_60, ends) == [AGAIN, AGAIN, DONE, ""]
    job = after(job, *(end(s, TICK_60, outcome, n) for n, (s, outcome) in enumerate(ends, 1)))
    assert job.counters == Counters(
        success_count=1,
        last_success=at(63),
        error_count=2,
        last_error=at(62),
        last_attempted_run=at(60),
        finished_runs=1,
    )


def test_the_end_of_a_run_says_how() -> None:
    command = replace(end(65, TICK_60, "failed"), exit_code=3, signal=9, reason="why")
    failed, finished = decide(RUNNING, command)
    told = {"job": J, "at": at(65), "run": TICK_60, "outcome": "failed", "exit_code": 3, "signal": 9, "reason": "why"}
    assert failed == e.AttemptFailed(**told, attempt=1, retrying=False)  # type: ignore[arg-type]
    assert finished == e.RunFinished(**told, attempts=1, root=TICK_60)  # type: ignore[arg-type]
    assert after(RUNNING, command).counters.error_count == 1


@pytest.mark.parametrize(
    ("epsilon", "seconds", "retried"),
    [("PT10S", 69.9, True), ("PT10S", 70, True), ("PT10S", 70.000001, False), ("PT0S", 1e6, True), ("", 1e6, True)],
)
def test_epsilon_counts_from_the_tick(epsilon: str, seconds: float, retried: bool) -> None:
    spec = replace(SPEC, retries=1, epsilon=epsilon)
    late = 65  # the run begins five seconds after its tick, which does not move the limit
    job = after(None, create(0, spec), ticks(late))
    assert carry_out(job, TICK_60, [(seconds, "failed")]) == [AGAIN if retried else FAILED]


def test_epsilon_needs_a_tick() -> None:
    spec = replace(SPEC, retries=1, epsilon="PT1S")
    assert carry_out(after(None, create(0, spec), start(0)), R, [(1e6, "failed")]) == [AGAIN]
    child = replace(CHILD, retries=1, epsilon="PT1S", schedule=MINUTES)
    assert carry_out(after(None, create(0, child), start(0, cause="parent")), R, [(1e6, "failed")]) == [AGAIN]
    one_off = replace(ONE_OFF, retries=1, epsilon="PT1S")
    job = after(None, create(0, one_off), ticks(0))
    assert carry_out(job, job.runs[0].id, [(1e6, "failed")]) == [AGAIN]


def test_a_cancelled_run_and_a_stopping_node_are_not_retried() -> None:
    job = after(None, create(0, replace(SPEC, retries=9)), ticks(60))
    assert names(decide(job, end(61, TICK_60, "cancelled"))) == FAILED
    assert names(decide(job, end(61, TICK_60, "failed", final=True))) == FAILED
    assert names(decide(after(job, cancel(61, TICK_60)), end(62, TICK_60, "failed"))) == FAILED
    assert names(decide(after(job, cancel(61, TICK_60)), end(62, TICK_60))) == DONE
    assert names(decide(after(job, disable(61)), end(62, TICK_60, "failed"))) == AGAIN


def test_an_end_that_is_not_the_present_attempts_is_ignored() -> None:
    job = after(None, create(0, replace(SPEC, retries=9)), ticks(60), end(61, TICK_60, "failed"))
    assert decide(job, end(62, TICK_60, "failed", 1)) == decide(job, end(62, TICK_60, "succeeded", 3)) == ()
    assert decide(job, end(62, R)) == ()


# ---- deleting


def test_a_job_deleted_while_it_runs_ends_and_is_not_retried() -> None:
    job = after(None, create(0, replace(SPEC, retries=9)), ticks(60), start(61), delete(62))
    assert (job.deleted, job.next_tick, len(job.runs)) == (True, None, 2)
    events = decide(job, end(63, TICK_60, "failed"))
    assert names(events) == FAILED
    job = after(fold(job, events))
    assert fold(job, decide(job, end(64, R))) is None
    assert fold(IDLE, decide(IDLE, delete(62))) is None


def test_a_recreated_id_repeats_no_run_id_and_takes_over_what_runs() -> None:
    again = after(RUNNING, delete(70), create(75, ONE_OFF))
    assert (again.runs, again.born, again.counters) == (RUNNING.runs, at(75), Counters())
    (started,) = decide(after(None, create(30)), ticks(60))
    assert isinstance(started, e.RunStarted)
    assert (started.tick, started.run != TICK_60) == (at(60), True)
    ended = after(again, end(80, TICK_60, "failed"))
    assert (ended.runs, ended.counters.error_count) == ((), 1)


def test_a_deleted_jobs_run_is_not_retried_under_its_namesake() -> None:
    again = after(RUNNING, delete(70), create(75, replace(ONE_OFF, retries=9)))
    assert names(decide(again, end(80, TICK_60, "failed"))) == FAILED


# ---- repetition


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (ticks(150), ticks(150)),
        (disable(150), disable(151)),
        (start(150), start(151)),
        (cancel(150, TICK_60), cancel(151, TICK_60)),
        (end(150, TICK_60), end(150, TICK_60)),
        (end(150, TICK_60, "failed"), end(150, TICK_60, "failed")),
        (delete(150), c.ForgetParent(job=J, at=at(151), parent=P)),
        (update(150, replace(SPEC, command="x")), update(151, replace(SPEC, command="x"))),
        (c.ReplaceBody(job=J, at=at(150), body="b"), c.ReplaceBody(job=J, at=at(151), body="b")),
    ],
)
def test_what_is_already_so_decides_nothing(first: c.Command, again: c.Command) -> None:
    events = decide(RUNNING, first)
    assert events
    assert decide(fold(RUNNING, events), again) == ()

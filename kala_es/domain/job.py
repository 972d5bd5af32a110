"""One job: `decide(state, command) -> events` and `evolve(state, event) -> state`.

1. `decide` refuses (raises a Refusal) or names facts; it changes nothing.
2. `evolve` accepts every fact that was ever decided; it refuses nothing.
3. A command that repeats what is already so decides nothing.
4. A tick is answered exactly once: `answered` only rises, and only ticks after it start runs, and those that a pause
   skipped (ticks.py).
"""

from collections.abc import Callable
from typing import assert_never

from kala_es import limits
from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain import imported_runs, starts, ticks
from kala_es.domain.definition import check_id, check_unchanged
from kala_es.domain.errors import Conflict, Invalid, NotFound, Overtaken
from kala_es.domain.ids import Instant, RunId
from kala_es.domain.model import NOTHING_DONE, Job, JobSpec, Run
from kala_es.domain.plan import check, check_start, schedule_of
from kala_es.domain.retry import may_retry, retry_at
from kala_es.domain.tick_policy import Pause, on_change_of
from kala_es.domain.values import replace
from kala_es.domain.waiting import begin_due, give_all_up, give_up


def decide(job: Job | None, command: c.Command) -> tuple[e.JobEvent, ...]:
    """The facts that follow from a command. Raises Refusal."""
    match command:
        case c.CreateJob():
            return _create(job, command)
        case c.ReportStatus():
            return (e.StatusReported(job=command.job, at=command.at, run=command.run, status=command.status),)
        case c.RecordCrash():
            return (e.ActorCrashed(job=command.job, at=command.at, error=command.error),)
        case c.EndAttempt():
            return _end_attempt(job, command)
        case c.CancelRun():
            return _cancel(job, command)
    if job is None or job.deleted:
        return _decide_absent(command)
    return _decide_present(job, command)


def _decide_absent(command: c.Command) -> tuple[e.JobEvent, ...]:
    if isinstance(command, c.AnswerTicks | c.ForgetParent):
        return ()
    raise NotFound(f"there is no job {command.job!r}")


def _decide_present(job: Job, command: c.Command) -> tuple[e.JobEvent, ...]:
    at = command.at
    match command:
        case c.UpdateJob():
            return _update(job, command)
        case c.ReplaceBody():
            spec = replace(job.spec, remote=replace(job.spec.remote, body=command.body))
            same = spec == job.spec
            return () if same else (e.JobUpdated(job=job.id, at=at, spec=spec, disabled=job.disabled),)
        case c.EnableJob():
            return _then_answer(job, e.JobEnabled(job=job.id, at=at), command) if job.disabled else ()
        case c.DisableJob():
            return () if job.disabled else (e.JobDisabled(job=job.id, at=at),)
        case c.PauseJob():
            return _pause(job, command)
        case c.ResumeJob():
            return _resume(job, command)
        case c.ClearHistory():
            return (e.HistoryCleared(job=job.id, at=at),)
        case c.DeleteJob():
            return (e.JobDeleted(job=job.id, at=at, cause=command.cause), *give_all_up(job, at))
        case c.ForgetParent():
            return _forget_parent(job, command)
        case c.AnswerTicks():
            answers = ticks.answer(job, at, command.gap, server_paused=command.server_paused)
            return (*begin_due(job, at, answers), *answers)
        case c.StartRun():
            return starts.start(job, command)
        case c.ImportRuns():
            return _import(command)
        case c.CreateJob() | c.ReportStatus() | c.RecordCrash() | c.EndAttempt() | c.CancelRun():
            raise AssertionError("decided before")
        case _:
            assert_never(command)


def _create(job: Job | None, command: c.CreateJob) -> tuple[e.JobEvent, ...]:
    if job is not None and not job.deleted:
        if command.unknown:
            raise Overtaken(f"there is a job {command.job!r} already")
        update = c.UpdateJob(job=command.job, at=command.at, spec=command.spec, disabled=command.disabled)
        update = replace(update, server_paused=command.server_paused, begun=command.answered is not None)
        return _update(job, replace(update, pause=command.pause))
    check_id(command.job)
    check(command.spec, command.job)
    if command.answered is None:
        check_start(command.spec, command.at, command.job)
    return (
        e.JobCreated(
            job=command.job,
            at=command.at,
            spec=command.spec,
            disabled=command.disabled,
            counters=command.counters,
            answered=command.answered,
        ),
        *_paused_by(None, command),
    )


def _update(job: Job, command: c.UpdateJob) -> tuple[e.JobEvent, ...]:
    if command.instead_of is not None:
        check_unchanged(job, command.instead_of)
    check(command.spec, command.job)
    paused = _paused_by(job, command)
    counters = command.counters or job.counters
    if (command.spec, command.disabled, counters) == (job.spec, job.disabled, job.counters):
        return paused
    edited: tuple[e.JobEvent, ...] = ()
    if replans(job.spec, command.spec):
        if not command.begun and _reschedules(job.spec, command.spec):
            check_start(command.spec, command.at, command.job)
        edited = _leave_plan(job, command)
    updated = e.JobUpdated(
        job=job.id, at=command.at, spec=command.spec, disabled=command.disabled, counters=command.counters
    )
    if job.disabled and not command.disabled:
        return (*edited, *_then_answer(job, updated, command), *paused)
    return (*edited, updated, *paused)


def _paused_by(job: Job | None, command: c.CreateJob | c.UpdateJob) -> tuple[e.JobEvent, ...]:
    """The pause that comes with a definition, unless it is over, or the job's already."""
    pause = command.pause
    if pause is None or pause.is_over(command.at):
        return ()
    paused = e.JobPaused(job=command.job, at=command.at, until=pause.until, reason=pause.reason, by=pause.by)
    return () if job is not None and is_paused_so(job, pause) else (paused,)


def is_paused_so(job: Job, pause: Pause) -> bool:
    """Whether the job is paused for this reason and as long."""
    return job.pause is not None and (job.pause.reason, job.pause.until) == (pause.reason, pause.until)


def _leave_plan(job: Job, command: c.UpdateJob) -> tuple[e.JobEvent, ...]:
    """What is due by the old plan starts nothing; a tick at this very instant is the new plan's, if it has one."""
    schedule = schedule_of(command.spec, command.at, job.id)
    before = Instant(command.at - 1)
    own = schedule is not None and schedule.next_after(before) == command.at
    return ticks.miss(job, before if own else command.at, reason="the job was edited", now=command.at)


def replans(old: JobSpec, new: JobSpec) -> bool:
    """Whether an edit sets other ticks, which are then planned anew."""
    return _reschedules(old, new) or on_change_of(old.ticks) != on_change_of(new.ticks)


def _reschedules(old: JobSpec, new: JobSpec) -> bool:
    """Whether an edit sets another schedule, whose start then must not have passed."""
    return _plan(old) != _plan(new)


def _plan(spec: JobSpec) -> tuple[object, ...]:
    bounds = spec.bounds
    return spec.schedule, spec.timezone, bool(spec.parents), bounds.starts_at, bounds.expires_at


def _then_answer(
    job: Job, event: e.JobEnabled | e.JobUpdated, command: c.EnableJob | c.UpdateJob
) -> tuple[e.JobEvent, ...]:
    """The event, and the answers to the ticks that passed while the job was disabled."""
    after = evolve(job, event)
    assert after is not None
    return (event, *ticks.answer(after, event.at, "the job was disabled", server_paused=command.server_paused))


def _pause(job: Job, command: c.PauseJob) -> tuple[e.JobEvent, ...]:
    check_pause(command.reason, command.until, command.at)
    if job.pause is not None and (job.pause.reason, job.pause.until) == (command.reason, command.until):
        return ()
    return (e.JobPaused(job=job.id, at=command.at, until=command.until, reason=command.reason, by=command.by),)


def check_pause(reason: str, until: Instant | None, at: Instant) -> None:
    """Raise Invalid unless something can be paused like this."""
    if len(reason) > limits.MAX_REASON_CHARS:
        raise Invalid("reason", f"longer than {limits.MAX_REASON_CHARS} characters")
    if until is not None and until <= at:
        raise Invalid("until", "must lie ahead")


def _resume(job: Job, command: c.ResumeJob) -> tuple[e.JobEvent, ...]:
    if job.pause is None:
        return ()
    resumed = e.JobResumed(job=job.id, at=command.at, by=command.by)
    after = replace(job, pause=None)
    return (resumed, *ticks.answer(after, command.at, server_paused=command.server_paused))


def _forget_parent(job: Job, command: c.ForgetParent) -> tuple[e.JobEvent, ...]:
    parents = job.spec.parents or ()
    if command.parent not in parents:
        return ()
    rest = tuple(p for p in parents if p != command.parent)
    if not rest:
        deleted = e.JobDeleted(job=job.id, at=command.at, cause=command.parent)
        return (deleted, *give_all_up(job, command.at))
    return (e.JobUpdated(job=job.id, at=command.at, spec=replace(job.spec, parents=rest), disabled=job.disabled),)


def _cancel(job: Job | None, command: c.CancelRun) -> tuple[e.JobEvent, ...]:
    run = job.run(command.run) if job else None
    if run is None:
        raise Conflict(f"the run {command.run!r} is not in flight")
    if job is not None and run.retry_at is not None:
        return (give_up(job, run, command.at, reason="cancelled on request"),)
    if run.status == "cancelling":
        return ()
    return (e.CancelRequested(job=command.job, at=command.at, run=command.run),)


def _end_attempt(job: Job | None, command: c.EndAttempt) -> tuple[e.JobEvent, ...]:
    run = job.run(command.run) if job else None
    if job is None or run is None or run.attempt != command.attempt or run.retry_at is not None:
        return ()
    finished = e.RunFinished(
        job=job.id,
        at=command.at,
        run=run.id,
        outcome=command.outcome,
        attempts=run.attempt,
        root=run.root,
        exit_code=command.exit_code,
        signal=command.signal,
        reason=command.reason,
        stdout_dropped=command.stdout_dropped,
        stderr_dropped=command.stderr_dropped,
    )
    if command.outcome == "succeeded":
        return (finished, *_end_ephemeral(job, command.at))
    retrying = not command.final and may_retry(job, run, command)
    failed = e.AttemptFailed(
        job=job.id,
        at=command.at,
        run=run.id,
        attempt=run.attempt,
        outcome=command.outcome,
        retrying=retrying,
        exit_code=command.exit_code,
        signal=command.signal,
        reason=command.reason,
        stdout_dropped=command.stdout_dropped,
        stderr_dropped=command.stderr_dropped,
        retry_at=retry_at(job, run, command) if retrying else None,
    )
    return (failed,) if retrying else (failed, finished)


def _end_ephemeral(job: Job, at: Instant) -> tuple[e.JobEvent, ...]:
    if job.deleted or not job.spec.bounds.ephemeral:
        return ()
    return (e.JobDeleted(job=job.id, at=at), *give_all_up(job, at))


def _import(command: c.ImportRuns) -> tuple[e.JobEvent, ...]:
    """A fact a run. What it printed is no matter of the job's, and recorded beside it (runtime/imported_runs.py)."""
    for run in command.runs:
        imported_runs.check(run, command.at)
    return tuple(imported_runs.fact_of(run, command.job, at=command.at, source=command.source) for run in command.runs)


def evolve(job: Job | None, event: e.JobEvent) -> Job | None:
    """The state after a fact; None when the job is gone and nothing of it runs."""
    if isinstance(event, e.JobCreated):
        return _created(job, event)
    if job is None:
        return None
    match event:
        case e.RunStarted():
            return _started(job, event)
        case e.RunFinished():
            return _finished(job, event)
        case e.JobUpdated():
            return _updated(job, event)
        case e.JobEnabled():
            return replace(job, disabled=False)
        case e.JobDisabled():
            return replace(job, disabled=True)
        case e.JobPaused():
            pause = Pause(since=event.at, until=event.until, reason=event.reason, by=event.by)
            return replace(job, pause=pause)
        case e.JobResumed():
            return replace(job, pause=None)
        case e.HistoryCleared():
            return replace(job, counters=NOTHING_DONE)
        case e.JobDeleted():
            return replace(job, deleted=True, next_tick=None) if job.runs else None
        case e.RunSkipped():
            counters = replace(job.counters, last_attempted_run=event.at)
            return ticks.answered(replace(job, counters=counters), event)
        case e.TickMissed():
            return ticks.answered(job, event)
        case e.AttemptFailed():
            return _attempt_failed(job, event)
        case e.AttemptStarted():
            return _change_run(job, event.run, lambda run: replace(run, attempt=event.attempt, retry_at=None))
        case e.CancelRequested():
            return _change_run(job, event.run, lambda run: replace(run, status="cancelling"))
        case e.StatusReported() | e.RunImported() | e.ActorCrashed():
            return job
        case _:
            assert_never(event)


def _created(job: Job | None, event: e.JobCreated) -> Job:
    """The runs of a deleted namesake end under the new job's eyes."""
    schedule = schedule_of(event.spec, event.at, event.job)
    answered = Instant(event.at - 1) if event.answered is None else event.answered
    return Job(
        id=event.job,
        spec=event.spec,
        born=event.at,
        planned=event.at,
        answered=answered,
        next_tick=schedule.next_after(answered) if schedule else None,
        disabled=event.disabled,
        counters=event.counters,
        runs=job.runs if job else (),
    )


def _updated(job: Job, event: e.JobUpdated) -> Job:
    job = replace(job, counters=event.counters or job.counters)
    if not replans(job.spec, event.spec):
        owed = None if ticks.catch_up_of(event.spec) == "none" else job.owed
        return replace(job, spec=event.spec, disabled=event.disabled, owed=owed)
    answered = event.at if job.answered == event.at else Instant(event.at - 1)
    planned = Instant(answered + 1)
    schedule = schedule_of(event.spec, planned, job.id)
    return replace(
        job,
        spec=event.spec,
        disabled=event.disabled,
        planned=planned,
        answered=answered,
        next_tick=schedule.next_after(answered) if schedule else None,
        owed=None,
        not_before=None,
    )


def _started(job: Job, event: e.RunStarted) -> Job:
    run = Run(id=event.run, cause=event.cause, root=event.root, started=event.at, tick=event.tick, after=event.after)
    counters = replace(job.counters, last_attempted_run=event.at)
    return ticks.answered(replace(job, runs=(*job.runs, run), counters=counters), event)


def _change_run(job: Job, run: RunId, change: Callable[[Run], Run]) -> Job:
    return replace(job, runs=tuple(change(r) if r.id == run else r for r in job.runs))


def _attempt_failed(job: Job, event: e.AttemptFailed) -> Job:
    counters = replace(job.counters, error_count=job.counters.error_count + 1, last_error=event.at)
    job = replace(job, counters=counters)
    if not event.retrying:
        return job
    if event.retry_at is not None:
        return _change_run(job, event.run, lambda run: replace(run, retry_at=event.retry_at))
    return _change_run(job, event.run, lambda run: replace(run, attempt=event.attempt + 1))


def _finished(job: Job, event: e.RunFinished) -> Job | None:
    runs = tuple(r for r in job.runs if r.id != event.run)
    if job.deleted and not runs:
        return None
    done, finished = job.counters, job.counters.finished_runs + 1
    if event.outcome == "succeeded":
        done = replace(done, finished_runs=finished, success_count=done.success_count + 1, last_success=event.at)
    else:
        done = replace(done, finished_runs=finished)
    return starts.freed(replace(job, runs=runs, counters=done), event.at)

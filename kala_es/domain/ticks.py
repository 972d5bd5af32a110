"""The answers to a job's ticks, by its policy; and what an answer makes of the job.

1. A tick is due once its moment, with the job's own share of the jitter, has come. Those that are due and have no
   answer, and those that a pause skipped and that are still owed, are the backlog: one row of consecutive ticks.
2. While the job or the server is paused, due ticks are skipped. They stay owed, unless nothing is ever made up.
3. While a run is in flight and the job's overlap is `queue` or `replace`, due ticks wait: they have no answer yet.
4. Otherwise the backlog is answered. With catch-up `one` its last tick starts a run, which covers all of it. With
   `none` the last tick may still run for itself, unless there was a gap. With `all` the oldest tick runs for itself,
   and the next not before a pause.
5. A tick that is older than the starting deadline starts nothing.
"""

from dataclasses import dataclass
from dataclasses import replace as change

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.commands import StartRun
from kala_es.domain.ids import SECOND, Instant, Micros, run_for_tick, run_made_up
from kala_es.domain.model import Cause, Job, JobSpec, MissReason
from kala_es.domain.plan import schedule_of
from kala_es.domain.schedule import Schedule, Ticks
from kala_es.domain.starts import begin, hindrance, make_way, must_wait, skip
from kala_es.domain.tick_policy import CatchUp, Covered, deadline_of, offset_of, window_of
from kala_es.domain.values import replace


@dataclass(frozen=True, slots=True, kw_only=True)
class _Backlog:
    """What is to be answered. `gap` says why it may have passed unanswered; `offset` is the job's jitter."""

    job: Job
    at: Instant
    gap: MissReason | None
    schedule: Schedule
    offset: Micros
    due: Ticks

    @property
    def reason(self) -> MissReason:
        """Why more than one tick is due."""
        if self.gap:
            return self.gap
        held_up = self.job.freed is not None and self.job.freed > self.due.first + self.offset
        return "a run was in flight" if held_up else "the server was late"


def catch_up_of(spec: JobSpec) -> CatchUp:
    """What is done about passed ticks: one, none or all."""
    return spec.ticks.catch_up or ("none" if spec.resume_at_next_tick else "one")


# Deciding


def answer(
    job: Job, at: Instant, gap: MissReason | None = None, *, server_paused: bool = False
) -> tuple[e.JobEvent, ...]:
    """What the clock says to the job: the end of its pause, and the answers to what is due."""
    resumed: tuple[e.JobEvent, ...] = ()
    if job.pause is not None and job.pause.is_over(at):
        resumed = (e.JobResumed(job=job.id, at=at),)
        job = replace(job, pause=None)
    backlog = _backlog(job, at, gap)
    if backlog is None:
        return resumed
    if server_paused or job.pause is not None:
        return (*resumed, *_hold(backlog))
    if must_wait(job):
        return (*resumed, *make_way(job, at, backlog.due.last))
    all_of_them = catch_up_of(job.spec) == "all"
    return (*resumed, *(_run_each(backlog) if all_of_them else _run_last(backlog)))


def _backlog(job: Job, at: Instant, gap: MissReason | None) -> _Backlog | None:
    if job.disabled or (job.owed is None and job.next_tick is None):
        return None
    schedule, offset = schedule_of(job.spec, job.planned, job.id), offset_of(job.spec.ticks, job.id)
    after = job.answered if job.owed is None else Instant(job.owed - 1)
    due = schedule.between(after, Instant(at - offset)) if schedule else None
    if schedule is None or due is None:
        return None
    return _Backlog(job=job, at=at, gap=gap, schedule=schedule, offset=offset, due=due)


def _hold(backlog: _Backlog) -> tuple[e.JobEvent, ...]:
    """The due ticks are skipped, because of a pause; the last by name."""
    job, due = backlog.job, backlog.schedule.between(backlog.job.answered, Instant(backlog.at - backlog.offset))
    if due is None:
        return ()
    earlier = miss(job, Instant(due.last - 1), reason="paused", now=backlog.at)
    return (*earlier, skip(job, _ask(backlog, due.last, "schedule"), "paused", tick=due.last))


def _run_last(backlog: _Backlog) -> tuple[e.JobEvent, ...]:
    """The last tick starts a run. It stands for those before it, unless each tick is for itself."""
    job, due, alone = backlog.job, backlog.due, catch_up_of(backlog.job.spec) == "none"
    oldest = _oldest_to_start(backlog)
    if oldest is not None and due.last < oldest:
        return _give_up(backlog, due.last, "the starting deadline passed")
    if alone and backlog.gap and backlog.schedule.next_after(due.last) is not None:
        return _give_up(backlog, due.last, backlog.gap)
    for_itself = alone and not backlog.gap and due.last > job.answered
    made_up = None if for_itself or hindrance(job) == "overlap" else due.last
    earlier: tuple[e.JobEvent, ...] = ()
    if due.count > 1:
        earlier = miss(job, Instant(due.last - 1), reason=backlog.reason, made_up=made_up, now=backlog.at)
    late = backlog.gap or due.count > 1 or due.last <= job.answered
    ask = _ask(backlog, due.last, "catch-up" if late and not for_itself else "schedule")
    covers = Covered(first=due.first, last=due.last, count=due.count) if due.count > 1 and not for_itself else None
    return (*earlier, begin(job, ask, tick=due.last, covers=covers))


def _run_each(backlog: _Backlog) -> tuple[e.JobEvent, ...]:
    """The oldest tick that may still be made up starts a run; those before it are given up."""
    job, due = backlog.job, backlog.due
    if job.not_before is not None and backlog.at < job.not_before:
        return ()
    given_up: tuple[e.JobEvent, ...] = ()
    for reason, last in _too_old(backlog):
        if last >= due.first:
            given_up += _give_up(backlog, last, reason)
            rest = backlog.schedule.between(last, due.last)
            if rest is None:
                return given_up
            due = rest
            backlog = change(backlog, due=due)
    held_back = job.not_before is not None and job.not_before > due.first + backlog.offset
    late = backlog.gap or due.count > 1 or due.first <= job.answered or held_back
    return (*given_up, begin(job, _ask(backlog, due.first, "catch-up" if late else "schedule"), tick=due.first))


def _too_old(backlog: _Backlog) -> tuple[tuple[MissReason, Instant], ...]:
    """The last tick, or a moment before the first one that may run, for each reason to give ticks up."""
    policy, now = backlog.job.spec.ticks, backlog.at - backlog.offset
    window, oldest = window_of(policy), _oldest_to_start(backlog)
    limits_of_age: list[tuple[MissReason, Instant]] = []
    if oldest is not None:
        limits_of_age.append(("the starting deadline passed", Instant(oldest - 1)))
    if window is not None:
        limits_of_age.append(("older than the catch-up window", Instant(now - window - 1)))
    limits_of_age.append(("too many to make up", _before_the_newest(backlog, limits.MAX_CATCH_UP_RUNS)))
    return tuple(limits_of_age)


def _oldest_to_start(backlog: _Backlog) -> Instant | None:
    """No tick before this one may start a run any more."""
    deadline = deadline_of(backlog.job.spec.ticks)
    return None if deadline is None else Instant(backlog.at - backlog.offset - deadline)


def _before_the_newest(backlog: _Backlog, most: int) -> Instant:
    """The moment after which the newest `most` ticks of the backlog lie."""
    low, high = backlog.due.first - 1, backlog.due.last
    if backlog.due.count <= most:
        return Instant(low)
    while high - low > 1:
        middle = Instant((low + high) // 2)
        newer = backlog.schedule.between(middle, backlog.due.last)
        low, high = (middle, high) if newer is not None and newer.count > most else (low, middle)
    return Instant(high)


def _ask(backlog: _Backlog, tick: Instant, cause: Cause) -> StartRun:
    """The run's id follows from the tick. One that was skipped at its time had another."""
    job = backlog.job
    run = (run_for_tick if tick > job.answered else run_made_up)(job.id, job.planned, tick)
    return StartRun(job=job.id, at=backlog.at, run=run, cause=cause, root=run)


def _give_up(backlog: _Backlog, until: Instant, reason: MissReason) -> tuple[e.JobEvent, ...]:
    """The backlog's ticks up to `until` start nothing."""
    ticks = backlog.schedule.between(Instant(backlog.due.first - 1), until)
    return _missed(backlog.job, ticks, reason=reason, now=backlog.at) if ticks else ()


def miss(
    job: Job, until: Instant, *, reason: MissReason, made_up: Instant | None = None, now: Instant
) -> tuple[e.JobEvent, ...]:
    """The unanswered ticks up to `until` start nothing."""
    schedule = schedule_of(job.spec, job.planned, job.id)
    ticks = schedule.between(job.answered, until) if schedule else None
    return _missed(job, ticks, reason=reason, made_up=made_up, now=now) if ticks else ()


def _missed(
    job: Job, ticks: Ticks, *, reason: MissReason, made_up: Instant | None = None, now: Instant
) -> tuple[e.JobEvent, ...]:
    missed = e.TickMissed(
        job=job.id, at=now, first=ticks.first, last=ticks.last, count=ticks.count, reason=reason, made_up=made_up
    )
    return (missed,)


# Folding


def answered(job: Job, event: e.RunStarted | e.RunSkipped | e.TickMissed) -> Job:
    """The job when ticks have got their answer."""
    if isinstance(event, e.RunStarted):
        return job if event.tick is None else _spaced(_settled(job, event.tick), event)
    first, last = (event.first, event.last) if isinstance(event, e.TickMissed) else (event.tick, event.tick)
    if first is None or last is None:
        return job
    return _held(job, first, last) if event.reason == "paused" else _settled(job, last)


def _settled(job: Job, tick: Instant) -> Job:
    """All ticks up to this one have their last answer."""
    if tick <= job.answered and job.owed is None:
        return job
    schedule = schedule_of(job.spec, job.planned, job.id)
    following = schedule.next_after(tick) if schedule else None
    if tick > job.answered:
        return replace(job, answered=tick, next_tick=following, owed=None)
    left = following is not None and following <= job.answered
    return replace(job, owed=following if left else None)


def _held(job: Job, first: Instant, last: Instant) -> Job:
    """A job that makes nothing up owes nothing, but for its very last tick: else it might never run."""
    schedule = schedule_of(job.spec, job.planned, job.id)
    following = schedule.next_after(last) if schedule else None
    owed = job.owed
    if owed is None and catch_up_of(job.spec) != "none":
        owed = first
    elif owed is None and following is None:
        owed = last
    return replace(job, answered=last, next_tick=following, owed=owed)


def _spaced(job: Job, event: e.RunStarted) -> Job:
    """After a run that makes up one of many ticks, the next waits a little; less than new ticks take to come."""
    if event.cause != "catch-up" or catch_up_of(job.spec) != "all":
        return job
    following = job.next_tick if job.owed is None else job.owed
    pause = int(limits.CATCH_UP_SPACING_SECONDS * SECOND)
    if event.tick is not None and following is not None:
        pause = min(pause, (following - event.tick) // 2)
    return replace(job, not_before=Instant(event.at + pause))

"""What calls for a notice, whom it goes to, and when it is tried again.

    a run failed (failed, timed out, lost)    failure; first-failure too unless the one before failed as well
    a run succeeded after one that failed     recovery
    a tick started nothing                    missed, unless someone asked for that (disabled, edited)
    a run takes longer than expected          overdue, once for each run
    a run was cancelled                       nothing: who ended it knows, and it changes neither

A target is told once of a thing, whatever its `when` says of it. What is due is decided on the job as it was before
its events and recorded with them, so neither is there without the other. A notice's id is made of its cause: what is
decided again has the same id.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid5

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.domain.model import Job, Run
from kala_es.domain.notify import MAIL, OWNER, NoticeId, Notify, Occasion, Target, expected_of, is_address
from kala_es.domain.values import Value, replace

_NOTICES: Final = UUID("9d0f2c4e-8f1b-4c58-a4d5-0f7f0c2b7a11")
_ASKED_FOR: Final = ("disabled", "paused", "the job was disabled", "the job was edited")
_TOO_MANY: Final = f"{limits.MAX_NOTICES_WAITING} notices wait already"


class Waiting(Value, frozen=True):
    """A notice that is to be told, at `next_at` or later. `attempts` is how many there were."""

    to: str
    next_at: Instant
    attempts: int = 0


@dataclass(slots=True)
class Watch:
    """The fold: the jobs whose last run failed, and the notices that wait."""

    failing: set[JobId] = field(default_factory=set)
    waiting: dict[NoticeId, Waiting] = field(default_factory=dict)


def note(watch: Watch, event: e.Event, job: Job | None) -> None:
    """Fold one event. `job` is its job after it, if it changed one."""
    match event:
        case e.RunStarted():  # there are most of these
            pass
        case e.RunFinished():
            _note_end(watch, event, job)
        case e.JobDeleted():
            watch.failing.discard(event.job)
        case e.NoticeDue():
            watch.waiting[event.notice] = Waiting(to=event.to, next_at=event.at)
        case e.NoticeAttempted():
            waiting = watch.waiting.pop(event.notice, None)
            if waiting is not None and event.next_at is not None:
                watch.waiting[event.notice] = replace(waiting, next_at=event.next_at, attempts=event.attempt)


def _note_end(watch: Watch, event: e.RunFinished, job: Job | None) -> None:
    if event.outcome == "succeeded" or job is None or job.deleted:
        watch.failing.discard(event.job)
    elif event.outcome != "cancelled":
        watch.failing.add(event.job)


class _Call(Value, frozen=True):
    """Something that calls for notices: by what name their ids know it, and on which occasions, closest word first."""

    name: str
    at: Instant
    occasions: tuple[Occasion, ...]
    about: e.About


def due(
    job: Job | None, events: Sequence[e.JobEvent], *, watch: Watch, defaults: tuple[Target, ...]
) -> tuple[e.NoticeEvent, ...]:
    """The notices that a job's events call for. `job` and `watch` are as they were before them."""
    if job is None:
        return ()
    calls = [call for event in events for call in _calls(job, event, failing=job.id in watch.failing)]
    return bounded([notice for call in calls for notice in _notices(job, call, defaults)], watch) if calls else ()


def overdue_at(notify: Notify, run: Run) -> Instant | None:
    """When a run will have taken longer than expected; None when nobody wants to hear of it."""
    expected = expected_of(notify)
    wanted = any("overdue" in target.when for target in notify.targets or ())
    return Instant(run.started + expected) if expected is not None and wanted else None


def overdue(job: Job, run: Run, at: Instant) -> tuple[e.NoticeDue, ...]:
    """The notices that a run which takes longer than expected calls for."""
    about = replace(_about_run(job, run), expected_duration=job.spec.notify.expected_duration)
    return tuple(_notices(job, _Call(name=run.id, at=at, occasions=("overdue",), about=about), ()))


def bounded(notices: Sequence[e.NoticeDue], watch: Watch) -> tuple[e.NoticeEvent, ...]:
    """The notices; those for which there is no room are given up at once."""
    events: list[e.NoticeEvent] = [*notices]
    room = max(limits.MAX_NOTICES_WAITING - len(watch.waiting), 0)
    for notice in notices[room:]:
        events.append(
            e.NoticeAttempted(notice=notice.notice, job=notice.job, at=notice.at, attempt=0, reason=_TOO_MANY)
        )
    return tuple(events)


def attempted(notice: e.NoticeDue, at: Instant, attempt: int) -> e.NoticeAttempted:
    """An attempt that failed at `at`, with the time of the next one if there is to be one."""
    next_at = None
    if attempt < limits.NOTICE_ATTEMPTS:
        delay = min(limits.NOTICE_DELAY_SECONDS << (attempt - 1), limits.MAX_NOTICE_DELAY_SECONDS)
        next_at = Instant(at + delay * SECOND)
    return e.NoticeAttempted(notice=notice.notice, job=notice.job, at=at, attempt=attempt, next_at=next_at)


def _calls(job: Job, event: e.JobEvent, *, failing: bool) -> Iterator[_Call]:
    match event:
        case e.RunFinished():
            yield from _of_end(job, event, failing=failing)
        case e.TickMissed():
            about = _about_ticks(job, (event.first, event.last, event.count))
            yield from _of_missed(job, event, about)
        case e.RunSkipped() if event.tick is not None:
            yield from _of_missed(job, event, _about_ticks(job, (event.tick, event.tick, 1)))


def _of_end(job: Job, event: e.RunFinished, *, failing: bool) -> Iterator[_Call]:
    run = job.run(event.run)
    if run is None or event.outcome == "cancelled":
        return
    occasions: tuple[Occasion, ...] = ("failure",) if failing else ("first-failure", "failure")
    if event.outcome == "succeeded":
        occasions = ("recovery",) if failing else ()
    about = replace(
        _about_run(job, run),
        ended=event.at,
        outcome=event.outcome,
        attempts=event.attempts,
        exit_code=event.exit_code,
        signal=event.signal,
        reason=event.reason,
    )
    yield _Call(name=run.id, at=event.at, occasions=occasions, about=about)


def _of_missed(job: Job, event: e.TickMissed | e.RunSkipped, about: e.About) -> Iterator[_Call]:
    if event.reason not in _ASKED_FOR:
        about = replace(about, reason=event.reason)
        yield _Call(name=f"{job.planned} {about.first}", at=event.at, occasions=("missed",), about=about)


def _about_ticks(job: Job, ticks: tuple[Instant, Instant, int]) -> e.About:
    first, last, count = ticks
    return e.About(name=job.spec.name, owner=job.spec.owner, first=first, last=last, count=count)


def _about_run(job: Job, run: Run) -> e.About:
    return e.About(
        name=job.spec.name,
        owner=job.spec.owner,
        run=run.id,
        cause=run.cause,
        tick=run.tick,
        started=run.started,
        attempts=run.attempt,
    )


def _notices(job: Job, call: _Call, defaults: tuple[Target, ...]) -> Iterator[e.NoticeDue]:
    """One for each target that wants to hear of any of the occasions, named after the first of them that it wants."""
    targets = defaults if job.spec.notify.targets is None else job.spec.notify.targets
    for i, target in enumerate(targets):
        when = next((occasion for occasion in call.occasions if occasion in target.when), None)
        to = _address(target, job.spec.owner)
        if when is not None and to is not None:
            yield e.NoticeDue(
                notice=NoticeId(str(uuid5(_NOTICES, f"{when} {i} {call.name} {job.id}"))),
                job=job.id,
                at=call.at,
                when=when,
                to=to,
                about=call.about,
                template=target.template,
                headers=target.headers,
            )


def _address(target: Target, owner: str) -> str | None:
    """Where a notice goes; None when the owner, whom it is for, has no mail address."""
    if target.to != OWNER:
        return target.to
    return MAIL + owner if is_address(owner) else None

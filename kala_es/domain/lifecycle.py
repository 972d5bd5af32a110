"""The lives of a job, a run and an attempt: every state and every arrow, as a table. `docs/lifecycle.md` is made of it.

1. A job is enabled or disabled, and either kind may have runs in flight, ticks ahead, both or neither, and may be
   paused: those are figures of the job and no states. Only an enabled job's ticks and asks start runs.
2. Deletion does not end runs. A job that is deleted while a run of it is in flight stays until the last has ended; a
   namesake that is created meanwhile takes them over. A job that is gone leaves nothing but its records.
3. A run is begun or skipped, once. Whatever happens to its job, a run that has begun ends, with one outcome, and stays
   ended. A request to cancel it forbids further attempts; it does not say how the run ends. One that is imported was
   elsewhere, and has ended when it is first told.
4. An attempt begins with its run or, the same instant, with the end of the attempt before it; or, with a delay, by an
   event of its own, and until then the run waits. The last one's outcome is the run's: when it failed, `AttemptFailed`
   and `RunFinished` stand in one commit. A run that is given up while it waits is cancelled.
5. An event without an arrow from the present state never occurs there, unless it is one that moves nothing.

`evolve` (job.py) follows the table and `decide` keeps to it: tests/domain/test_lifecycle.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeGuard

from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.ids import RunId
from kala_es.domain.model import Job, Outcome, Run

Machine = Literal["job", "run", "attempt"]
JobPhase = Literal["absent", "enabled", "disabled", "deleted"]
AttemptPhase = Literal["not begun", "running"] | Outcome
RunPhase = Literal["waiting", "cancelling", "skipped"] | AttemptPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom an event meets: the job's state before it, and the run and attempt in question."""

    job: Job | None
    run: RunId | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """When an arrow is taken. `text` says it to people, "" for always."""

    text: str
    holds: Callable[[Subject, e.JobEvent], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """In `source`, the event leads to `target` when the condition holds. At most one arrow fits."""

    machine: Machine
    source: str
    event: type[e.JobEvent]
    condition: Condition
    target: str


STATES: Final[Mapping[Machine, Mapping[str, str]]] = {
    "job": {
        "absent": "it never was, or it is gone",
        "enabled": "its ticks, and requests, start runs",
        "disabled": "nothing starts a run of it; its ticks are answered when it is enabled",
        "deleted": "nobody sees it any more, but a run of it is still in flight",
    },
    "run": {
        "not begun": "no event names it",
        "running": "an attempt is under way",
        "waiting": "its attempt has failed, and the next one begins when its delay is over",
        "cancelling": "an attempt is under way, and someone has asked for its end",
        "skipped": "a tick or a request named it, and nothing was started",
        "succeeded": "its last attempt succeeded",
        "failed": "its last attempt failed",
        "timed-out": "its last attempt took longer than the job allows",
        "cancelled": "its last attempt was ended by a request, or it was given up while it waited for the next",
        "lost": "the node stopped while its last attempt ran, so nobody knows how it ended",
    },
    "attempt": {
        "not begun": "no event names it",
        "running": "it is on its way to the agent, or carried out",
        "succeeded": "the process ended with 0, or the answer was an expected one",
        "failed": "it ended in any other way, or could not begin",
        "timed-out": "it took longer than the job allows",
        "cancelled": "it was ended by a request",
        "lost": "the node stopped while it ran",
    },
}

_ENDS: Final[tuple[Outcome, ...]] = ("succeeded", "failed", "timed-out", "cancelled", "lost")
_Row = tuple[str, type[e.JobEvent], Condition, str]


def _in_flight(subject: Subject) -> int:
    return len(subject.job.runs) if subject.job else 0


def _is_enabling(event: e.JobEvent) -> bool:
    return isinstance(event, e.JobCreated | e.JobUpdated) and not event.disabled


def _ends_with(outcome: Outcome) -> Condition:
    return Condition(f"outcome {outcome}", lambda _, event: _has_outcome(event) and event.outcome == outcome)


def _has_outcome(event: e.JobEvent) -> TypeGuard[e.AttemptFailed | e.RunFinished | e.RunImported]:
    return isinstance(event, e.AttemptFailed | e.RunFinished | e.RunImported)


def _attempt_ends_with(outcome: Outcome) -> Condition:
    def holds(subject: Subject, event: e.JobEvent) -> bool:
        return isinstance(event, e.AttemptFailed) and (event.attempt, event.outcome) == (subject.attempt, outcome)

    return Condition(f"outcome {outcome}", holds)


ALWAYS: Final = Condition("", lambda _, event: True)
NOT_DISABLED: Final = Condition("not disabled", lambda _, event: _is_enabling(event))
DISABLED: Final = Condition("disabled", lambda _, event: not _is_enabling(event))
NONE_IN_FLIGHT: Final = Condition("no run in flight", lambda subject, _: _in_flight(subject) == 0)
SOME_IN_FLIGHT: Final = Condition("runs in flight", lambda subject, _: _in_flight(subject) > 0)
LAST_IN_FLIGHT: Final = Condition("the last in flight", lambda subject, _: _in_flight(subject) == 1)
OTHERS_IN_FLIGHT: Final = Condition("others in flight", lambda subject, _: _in_flight(subject) > 1)
NO_RETRY: Final = Condition(
    "no retry follows", lambda _, event: isinstance(event, e.AttemptFailed) and not event.retrying
)
FIRST: Final = Condition("the first attempt", lambda subject, _: subject.attempt == 1)
NEXT: Final = Condition(
    "a retry of the one before",
    lambda subject, event: (
        isinstance(event, e.AttemptFailed) and event.retrying and event.attempt + 1 == subject.attempt
    ),
)
WITH_DELAY: Final = Condition(
    "a retry is to follow later", lambda _, event: isinstance(event, e.AttemptFailed) and event.retry_at is not None
)
WITHOUT_DELAY: Final = Condition(
    "otherwise", lambda _, event: isinstance(event, e.AttemptFailed) and event.retry_at is None
)
LAST_SUCCEEDED: Final = Condition(
    "outcome succeeded",
    lambda subject, event: (
        isinstance(event, e.RunFinished) and event.outcome == "succeeded" and event.attempts == subject.attempt
    ),
)

_JOB: Final[tuple[_Row, ...]] = (
    ("absent", e.JobCreated, NOT_DISABLED, "enabled"),
    ("absent", e.JobCreated, DISABLED, "disabled"),
    ("enabled", e.JobUpdated, NOT_DISABLED, "enabled"),
    ("enabled", e.JobUpdated, DISABLED, "disabled"),
    ("enabled", e.JobDisabled, ALWAYS, "disabled"),
    ("enabled", e.JobPaused, ALWAYS, "enabled"),
    ("enabled", e.JobResumed, ALWAYS, "enabled"),
    ("enabled", e.JobDeleted, NONE_IN_FLIGHT, "absent"),
    ("enabled", e.JobDeleted, SOME_IN_FLIGHT, "deleted"),
    ("enabled", e.RunStarted, ALWAYS, "enabled"),
    ("enabled", e.RunSkipped, ALWAYS, "enabled"),
    ("enabled", e.TickMissed, ALWAYS, "enabled"),
    ("enabled", e.AttemptFailed, ALWAYS, "enabled"),
    ("enabled", e.AttemptStarted, ALWAYS, "enabled"),
    ("enabled", e.CancelRequested, ALWAYS, "enabled"),
    ("enabled", e.RunFinished, ALWAYS, "enabled"),
    ("disabled", e.JobUpdated, NOT_DISABLED, "enabled"),
    ("disabled", e.JobUpdated, DISABLED, "disabled"),
    ("disabled", e.JobEnabled, ALWAYS, "enabled"),
    ("disabled", e.JobPaused, ALWAYS, "disabled"),
    ("disabled", e.JobResumed, ALWAYS, "disabled"),
    ("disabled", e.JobDeleted, NONE_IN_FLIGHT, "absent"),
    ("disabled", e.JobDeleted, SOME_IN_FLIGHT, "deleted"),
    ("disabled", e.RunSkipped, ALWAYS, "disabled"),
    ("disabled", e.TickMissed, ALWAYS, "disabled"),
    ("disabled", e.AttemptFailed, ALWAYS, "disabled"),
    ("disabled", e.AttemptStarted, ALWAYS, "disabled"),
    ("disabled", e.CancelRequested, ALWAYS, "disabled"),
    ("disabled", e.RunFinished, ALWAYS, "disabled"),
    ("deleted", e.JobCreated, NOT_DISABLED, "enabled"),
    ("deleted", e.JobCreated, DISABLED, "disabled"),
    ("deleted", e.AttemptFailed, ALWAYS, "deleted"),
    ("deleted", e.CancelRequested, ALWAYS, "deleted"),
    ("deleted", e.RunFinished, OTHERS_IN_FLIGHT, "deleted"),
    ("deleted", e.RunFinished, LAST_IN_FLIGHT, "absent"),
)
_RUN: Final[tuple[_Row, ...]] = (
    ("not begun", e.RunStarted, ALWAYS, "running"),
    ("not begun", e.RunSkipped, ALWAYS, "skipped"),
    *(("not begun", e.RunImported, _ends_with(end), end) for end in _ENDS),
    ("running", e.AttemptFailed, WITHOUT_DELAY, "running"),
    ("running", e.AttemptFailed, WITH_DELAY, "waiting"),
    ("waiting", e.AttemptStarted, ALWAYS, "running"),
    ("waiting", e.RunFinished, _ends_with("cancelled"), "cancelled"),
    ("running", e.CancelRequested, ALWAYS, "cancelling"),
    *(("running", e.RunFinished, _ends_with(end), end) for end in _ENDS),
    ("cancelling", e.AttemptFailed, NO_RETRY, "cancelling"),
    *(("cancelling", e.RunFinished, _ends_with(end), end) for end in _ENDS),
)
_ATTEMPT: Final[tuple[_Row, ...]] = (
    ("not begun", e.RunStarted, FIRST, "running"),
    ("not begun", e.AttemptFailed, NEXT, "running"),
    ("not begun", e.AttemptStarted, ALWAYS, "running"),
    ("running", e.RunFinished, LAST_SUCCEEDED, "succeeded"),
    *(("running", e.AttemptFailed, _attempt_ends_with(end), end) for end in _ENDS[1:]),
)

_TABLES: Final[Mapping[Machine, tuple[_Row, ...]]] = {"job": _JOB, "run": _RUN, "attempt": _ATTEMPT}
ARROWS: Final[tuple[Arrow, ...]] = tuple(
    Arrow(machine=machine, source=source, event=event, condition=condition, target=target)
    for machine, rows in _TABLES.items()
    for source, event, condition, target in rows
)
MOVES_NOTHING: Final[Mapping[Machine, tuple[type[e.JobEvent], ...]]] = {
    "job": (e.HistoryCleared, e.StatusReported, e.RunImported, e.ActorCrashed),
    "run": (e.StatusReported,),
    "attempt": (),
}
"""Events that meet such a thing and leave it where it is, whatever its state."""

_ANSWERS: Final = (e.JobResumed, e.TickMissed, e.RunStarted, e.RunSkipped, e.CancelRequested, e.RunFinished)
DECIDES: Final[Mapping[type[c.Command], tuple[type[e.JobEvent], ...]]] = {
    c.CreateJob: (e.JobCreated, e.JobUpdated, *_ANSWERS),
    c.UpdateJob: (e.JobUpdated, *_ANSWERS),
    c.ReplaceBody: (e.JobUpdated,),
    c.EnableJob: (e.JobEnabled, *_ANSWERS),
    c.DisableJob: (e.JobDisabled,),
    c.PauseJob: (e.JobPaused,),
    c.ResumeJob: _ANSWERS,
    c.ClearHistory: (e.HistoryCleared,),
    c.DeleteJob: (e.JobDeleted, e.RunFinished),
    c.ForgetParent: (e.JobUpdated, e.JobDeleted, e.RunFinished),
    c.AnswerTicks: (e.AttemptStarted, *_ANSWERS),
    c.StartRun: (e.RunStarted, e.RunSkipped, e.CancelRequested, e.RunFinished),
    c.CancelRun: (e.CancelRequested, e.RunFinished),
    c.EndAttempt: (e.AttemptFailed, e.RunFinished, e.JobDeleted),
    c.ReportStatus: (e.StatusReported,),
    c.ImportRuns: (e.RunImported,),
    c.RecordCrash: (e.ActorCrashed,),
}
"""The facts that may follow from each command."""


def job_phase(job: Job | None) -> JobPhase:
    """Where a job stands."""
    if job is None:
        return "absent"
    if job.deleted:
        return "deleted"
    return "disabled" if job.disabled else "enabled"


def run_phase(run: Run | None, end: e.RunFinished | e.RunImported | e.RunSkipped | None = None) -> RunPhase:
    """Where a run stands. `run`: it as its job's state has it; `end`: the event that ended it, if there is one."""
    if run is not None:
        return run.status if run.retry_at is None else "waiting"
    if isinstance(end, e.RunFinished | e.RunImported):
        return end.outcome
    return "skipped" if end else "not begun"


def attempt_phase(run: Run | None, attempt: int, end: e.AttemptFailed | e.RunFinished | None = None) -> AttemptPhase:
    """Where the run's attempt of this number stands. `end`: the event that ended it, if there is one."""
    if end is not None:
        return end.outcome
    return "running" if run is not None and run.attempt == attempt else "not begun"


def met(job: Job | None, event: e.JobEvent) -> Iterator[tuple[Machine, Subject]]:
    """Whom an event meets: its job, the run that it names, and the attempts that it begins or ends."""
    yield "job", Subject(job=job)
    match event:
        case e.RunStarted():
            attempts: tuple[int, ...] = (1,)
        case e.AttemptFailed():
            begins = event.retrying and event.retry_at is None
            attempts = (event.attempt, event.attempt + 1) if begins else (event.attempt,)
        case e.AttemptStarted():
            attempts = (event.attempt,)
        case e.RunFinished():
            attempts = (event.attempts,) if event.outcome == "succeeded" else ()
        case e.RunSkipped() | e.CancelRequested() | e.StatusReported() | e.RunImported():
            attempts = ()
        case _:
            return
    yield "run", Subject(job=job, run=event.run)
    for attempt in attempts:
        yield "attempt", Subject(job=job, run=event.run, attempt=attempt)


def fitting(machine: Machine, source: str, happening: tuple[Subject, e.JobEvent]) -> tuple[Arrow, ...]:
    """The arrows that an event takes from a state: one, or none when it moves nothing or cannot occur."""
    subject, event = happening
    return tuple(
        arrow
        for arrow in ARROWS
        if (arrow.machine, arrow.source, arrow.event) == (machine, source, type(event))
        and arrow.condition.holds(subject, event)
    )

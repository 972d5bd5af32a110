"""What became of a run: its events, each in a sentence, and the attempts that they tell of.

They are read from the job's stream, from the run's start on: at most RUN_FACTS_READ records, of which the first
RUN_EVENTS_SHOWN that are about the run are told. Its end is told in any case. What others wrote is cut.
"""

from dataclasses import dataclass, replace
from typing import Final, assert_never

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.ids import Instant
from kala_es.domain.model import Outcome
from kala_es.projections.recorded import Recorded
from kala_es.projections.runs import RunSummary
from kala_es.runtime.log_reader import LogReader
from kala_es.web.pages.words import short

_PAGE: Final = 200
_REASON_CHARS: Final = 200
RunEvent = (
    e.RunStarted
    | e.AttemptFailed
    | e.AttemptStarted
    | e.CancelRequested
    | e.StatusReported
    | e.RunFinished
    | e.RunImported
)
Ended = e.AttemptFailed | e.RunFinished | e.RunImported | RunSummary
_CAUSES: Final = {
    "schedule": "a tick of its schedule",
    "catch-up": "ticks that had passed",
    "manual": "a request",
    "parent": "another job's success",
    "on-failure": "another job's failure",
    "imported": "another server",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event of a run, and what it says. `then` is a moment that the sentence ends with."""

    position: int
    at: Instant
    kind: str
    says: str
    then: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of the run. `why` says how it ended, beside its outcome."""

    number: int
    began: Instant
    ended: Instant | None = None
    outcome: Outcome | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A run's events and attempts. With `cut` there are more of them."""

    events: tuple[Told, ...]
    attempts: tuple[Attempt, ...]
    cut: bool
    cancelling: bool


async def story_of(reader: LogReader, run: RunSummary, position: int) -> Story:
    """The story of a run as it was told up to a position of the log."""
    facts = await _facts(reader, run, min(position, run.end_position or position))
    attempts: dict[int, Attempt] = {1: Attempt(number=1, began=run.started)}
    for fact in facts:
        _note(attempts, fact.event)
    return Story(
        events=tuple(told for fact in facts if (told := _told(fact)) is not None),
        attempts=tuple(attempts.values())[: limits.RUN_EVENTS_SHOWN],
        cut=run.attempts > len(attempts),
        cancelling=run.outcome is None and any(isinstance(fact.event, e.CancelRequested) for fact in facts),
    )


async def _facts(reader: LogReader, run: RunSummary, last: int) -> list[Recorded]:
    found: list[Recorded] = []
    here, read = run.position - 1, 0
    while here < last and read < limits.RUN_FACTS_READ and len(found) < limits.RUN_EVENTS_SHOWN:
        page = await reader.facts(here, job=run.job, limit=_PAGE)
        found += [fact for fact in page if fact.position <= last and getattr(fact.event, "run", None) == run.id]
        read += len(page)
        here = page[-1].position if page else last
    found = found[: limits.RUN_EVENTS_SHOWN]
    if run.end_position and (not found or found[-1].position < run.end_position):
        found += await reader.facts(run.end_position - 1, job=run.job, limit=1)
    return found


def _note(attempts: dict[int, Attempt], event: e.Event) -> None:
    """Follow the attempts."""
    match event:
        case e.AttemptStarted():
            attempts[event.attempt] = Attempt(number=event.attempt, began=event.at)
        case e.AttemptFailed():
            _end(attempts, event.attempt, event)
            if event.retrying and event.retry_at is None:
                attempts[event.attempt + 1] = Attempt(number=event.attempt + 1, began=event.at)
        case e.RunFinished() if event.outcome == "succeeded" or event.attempts not in attempts:
            _end(attempts, event.attempts, event)
        case e.RunImported():
            began = Attempt(number=1, began=event.started)
            attempts[1] = replace(began, ended=event.ended, outcome=event.outcome, why=_how(event))


def _end(attempts: dict[int, Attempt], number: int, event: e.AttemptFailed | e.RunFinished) -> None:
    begun = attempts.get(number)
    if begun is not None:
        attempts[number] = replace(begun, ended=event.at, outcome=event.outcome, why=_how(event))


def _told(fact: Recorded) -> Told | None:
    event = fact.event
    if not isinstance(event, RunEvent):
        return None
    then = event.retry_at if isinstance(event, e.AttemptFailed) else None
    return Told(position=fact.position, at=event.at, kind=type(event).__name__, says=_sentence(event), then=then)


def _sentence(event: RunEvent) -> str:
    """What an event says. The page's module says the same of one that comes while it is open (static/run.js)."""
    match event:
        case e.RunStarted():
            return f"began because of {_CAUSES[event.cause]}"
        case e.AttemptFailed():
            later = "; to be tried again at" if event.retry_at is not None else "; tried again at once"
            return f"attempt {event.attempt}: {ending(event)}{later if event.retrying else ''}"
        case e.AttemptStarted():
            return f"attempt {event.attempt} began"
        case e.CancelRequested():
            return "its end was asked for" if event.tick is None else "its end was asked for by the next tick"
        case e.StatusReported():
            return f"the status “{short(event.status, _REASON_CHARS)}” was reported"
        case e.RunFinished():
            return f"{ending(event)}, after {event.attempts} attempt{'' if event.attempts == 1 else 's'}"
        case e.RunImported():
            return f"{ending(event)}; it was imported from {short(event.source)}"
        case _:
            assert_never(event)


def ending(event: Ended, *, most: int = _REASON_CHARS) -> str:
    """How a run or an attempt ended, in a few words, the reason cut."""
    return ", ".join(filter(None, ((event.outcome or "").replace("-", " "), _how(event, most))))


def _how(event: Ended, most: int = _REASON_CHARS) -> str:
    signal = None if isinstance(event, e.RunImported) else event.signal
    code = f"exit code {event.exit_code}" if event.exit_code is not None and event.exit_code >= 0 else ""
    reason = "" if event.reason == f"exit status {event.exit_code}" else short(event.reason, most)
    return ", ".join(filter(None, (code or (f"signal {signal}" if signal else ""), reason)))

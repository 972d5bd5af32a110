"""A moment for which a job's stream has no answer: it is no tick, or its answer went, or there never will be one."""

from typing import Literal

from kala_es.domain.changes import Change
from kala_es.domain.ids import Instant
from kala_es.domain.job import replans
from kala_es.domain.model import JobDraft
from kala_es.domain.plan import schedule_of
from kala_es.domain.values import Value

Lack = Literal["no tick", "forgotten", "unanswered"]


class Plan(Value, frozen=True):
    """The definition that held at a moment, and since when its schedule did; no definition while there was no job."""

    draft: JobDraft | None = None
    planned: Instant = Instant(0)


def plan_after(plan: Plan, change: Change) -> Plan:
    """What holds after a change."""
    before, after = change.before, change.after
    anew = after is not None and (before is None or replans(before.spec, after.spec))
    return Plan(draft=after, planned=change.event.at if anew else plan.planned)


def lack_of(tick: Instant, held: Plan, kept_since: Instant) -> tuple[Lack, str]:
    """Why there is no answer, and a sentence. Answers to ticks up to `kept_since` may have been erased."""
    if held.draft is None:
        return "no tick", "there was no such job then"
    assert held.draft.id is not None
    schedule = schedule_of(held.draft.spec, held.planned, held.draft.id)
    if schedule is None:
        return "no tick", "a job with parents has no ticks of its own"
    if schedule.next_after(Instant(tick - 1)) != tick:
        return "no tick", "the schedule that held then has no such tick"
    if tick <= kept_since:
        return "forgotten", "what became of it is kept no longer"
    return "unanswered", "the job was deleted before it had an answer"

"""A job's changes, newest first, each with what it changed and what going back to it would change.

A page ends early where its changes say so much that it would be large; one that alone says as much is told in short.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from kala_es import limits
from kala_es.dialects.kala_declared import fields_json
from kala_es.domain import events as e
from kala_es.domain.changes import Change
from kala_es.domain.definition import tag_of
from kala_es.domain.ids import JobId
from kala_es.domain.model import JobDraft
from kala_es.web.pages.job_fields import MOST_CHARS, label_of, written
from kala_es.web.pages.words import weight
from kala_es.web.site import Site

WORDS: Final[Mapping[str, str]] = {
    "JobCreated": "created",
    "JobUpdated": "edited",
    "JobEnabled": "enabled",
    "JobDisabled": "disabled",
    "JobPaused": "paused",
    "JobResumed": "resumed",
    "JobDeleted": "deleted",
}
_ROW_BYTES: Final = 250
"""What a difference takes of a page beside its texts."""
_SHORT_CHARS: Final = 200
_DEFINING: Final = (e.JobCreated, e.JobUpdated, e.JobEnabled, e.JobDisabled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field that is another: its label, and what is said of it before and after; "" for nothing."""

    key: str
    label: str
    before: str
    after: str

    @property
    def weight(self) -> int:
        """What it takes of a page, in bytes."""
        return _ROW_BYTES + weight(self.before) + weight(self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A change as it is shown. `back` is what a revert to it would change; empty when there is no use in one."""

    change: Change
    word: str
    fields: tuple[Difference, ...]
    back: tuple[Difference, ...]

    @property
    def weight(self) -> int:
        """What it takes of a page, in bytes."""
        return sum(each.weight for each in (*self.fields, *self.back))

    @property
    def why(self) -> str:
        """What brought it about, if it says so."""
        event = self.change.event
        if isinstance(event, e.JobDeleted) and event.cause is not None:
            return f"because its parent {event.cause} was deleted"
        return event.reason if isinstance(event, e.JobPaused) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some changes; `earlier` is the position before which there are more, None when these are the first. `tag` is that
    of the present definition, "" when the job is deleted."""

    changes: tuple[Told, ...]
    earlier: int | None
    tag: str


async def newest(site: Site, job: JobId, before: int | None) -> Page:
    """The newest changes, or those before a position. Raises NotFound when there never was such a job."""
    await site.scheduler.history.check(job)
    last: deque[Change] = deque(maxlen=limits.CHANGES_ON_A_PAGE + 1)
    async with aclosing(site.scheduler.history.changes(job)) as changes:
        async for change in changes:
            if before is not None and change.position >= before:
                break
            last.append(change)
    present = draft_of(site, job)
    shown = _fitting(reversed(last), present)
    return Page(
        changes=shown,
        earlier=shown[-1].change.position if len(shown) < len(last) else None,
        tag="" if present is None else tag_of(present.spec, disabled=present.disabled),
    )


def _fitting(changes: Iterable[Change], present: JobDraft | None) -> tuple[Told, ...]:
    """The first of these, as many as a page has room for; the first that says anything in any case."""
    shown: list[Told] = []
    spent = 0
    for change in islice(changes, limits.CHANGES_ON_A_PAGE):
        told = _told(change, present)
        if told.weight > limits.CHANGES_BYTES:
            told = _told(change, present, most=_SHORT_CHARS)
        if spent and spent + told.weight > limits.CHANGES_BYTES:
            break
        spent += told.weight
        shown.append(told)
    return tuple(shown)


def draft_of(site: Site, job: JobId) -> JobDraft | None:
    """The job's definition as it is now."""
    state = site.scheduler.folds.jobs.get(job)
    return None if state is None else JobDraft(id=job, spec=state.spec, disabled=state.disabled)


def _told(change: Change, present: JobDraft | None, *, most: int = MOST_CHARS) -> Told:
    """A change of a job whose definition is now the `present` one; `most` characters of each text."""
    useful = isinstance(change.event, _DEFINING) and change.after != present
    return Told(
        change=change,
        word=WORDS[type(change.event).__name__],
        fields=_differences(fields_json(change.before, change.after), most) if change.after else (),
        back=_differences(fields_json(present, change.after), most) if useful else (),
    )


def _differences(fields: Mapping[str, Iterable[Any]], most: int) -> tuple[Difference, ...]:
    """What the API says of fields that differ, in words."""
    return tuple(
        Difference(key=key, label=label_of(key), before=written(before, most), after=written(after, most))
        for key, (before, after) in fields.items()
    )

"""The log as a page: the newest events, or those before a position; live ones are put on top by the browser.

The log is read forwards only, so what comes before a position is looked for a stretch at a time, and not without end: a
rare event may lie further back than one page looks, which says how far it did.
"""

from dataclasses import dataclass
from typing import Any, Final

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import JobId
from kala_es.projections.recorded import Recorded
from kala_es.web.exchange import Request, Response
from kala_es.web.frames import event_fields
from kala_es.web.pages.now import name_of
from kala_es.web.parameters import LAST_POSITION, whole
from kala_es.web.site import Site
from kala_es.web.stream import EVENT_TYPES, AllSource

PAGE: Final = 100
MOST_CHARS: Final = 160
_STRETCH: Final = 250
_STRETCHES: Final = 12
_ELSEWHERE: Final = ("position", "type", "job", "run", "at", "base64")
ALL: Final = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An event of the page. `fields` are its further ones, as text; a run that is its own root says so by silence."""

    recorded: Recorded
    kind: str
    job: str
    name: str
    run: str
    fields: tuple[tuple[str, str], ...]


async def show_events(request: Request, site: Site) -> Response:
    """GET /webui/events/."""
    kind = request.query.get("type", "")
    if kind not in ("", ALL, *EVENT_TYPES):
        raise Invalid("type", f"there is no event {kind[:40]!r}")
    job = request.query.get("job", "").strip()
    head = site.scheduler.folds.position
    before = whole(request, "before", (1, LAST_POSITION)) or head + 1
    found, reached = await _find(site, _source(site, job, kind), min(before, head + 1))
    values = {
        "here": "events",
        "kind": kind,
        "job": job,
        "types": EVENT_TYPES,
        "events": [shown(site, recorded) for recorded in found],
        "head": head,
        "reached": reached,
        "is_newest": before > head,
        "page_size": PAGE,
        "most_chars": MOST_CHARS,
    }
    return site.pages.render("events.html", values)


def _source(site: Site, job: str, kind: str) -> AllSource:
    """What is asked for; without a type all but output, which is most of a log and little of its story."""
    one = frozenset((kind,)) if kind not in ("", ALL) else None
    return AllSource(site.scheduler, job or None, one, output=kind != "")


async def _find(site: Site, source: AllSource, before: int) -> tuple[list[Recorded], int]:
    """The newest events before a position, newest first, and the first position that was looked at."""
    found: list[Recorded] = []
    first = before
    for _ in range(_STRETCHES):
        if first <= 1 or len(found) >= PAGE:
            break
        last, first = first, max(first - _STRETCH, 1)
        stretch = await site.scheduler.reader.events(first - 1, limit=last - first)
        found += [r for r in reversed(stretch) if r.position < last and source.wants(r.event)]
    if len(found) > PAGE:
        found, first = found[:PAGE], found[PAGE - 1].position
    return found, first


def shown(site: Site, recorded: Recorded) -> Shown:
    """An event as the page has it."""
    fields = event_fields(recorded)
    job, run = str(fields.get("job", "")), str(fields.get("run", ""))
    if fields.get("root") == run:
        del fields["root"]
    return Shown(
        recorded=recorded,
        kind=fields["type"],
        job=job,
        name=name_of(site.scheduler.folds, JobId(job)) if job else "",
        run=run,
        fields=tuple((key, _text(value)) for key, value in fields.items() if key not in _ELSEWHERE),
    )


def _text(value: Any) -> str:
    """A field's value on one line, cut."""
    text = value if isinstance(value, str) else _flat(value)
    text = " ".join(text.split())
    return text if len(text) <= MOST_CHARS else f"{text[: MOST_CHARS - 3]}..."


def _flat(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key}: {_flat(inner)}" for key, inner in value.items())
        case list() | tuple():
            return ", ".join(map(_flat, value))
        case bytes():
            return value.hex()
        case _:
            return str(value)

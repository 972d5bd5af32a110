"""The overview: what runs now, what failed, what comes next, how the server is. The pulse keeps it up to date."""

from dataclasses import dataclass
from typing import Final

from kala_es.domain.ids import Instant
from kala_es.projections.recent import HOUR, Hour
from kala_es.web.exchange import Request, Response
from kala_es.web.pages import now as present
from kala_es.web.pages.coming import ComingTick, coming_ticks
from kala_es.web.pages.pulse import COMING_TICKS, COMING_WITHIN, columns
from kala_es.web.pages.words import iso, short
from kala_es.web.site import Site

LIST_TICKS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """An hour of the chart, with its counts."""

    begins: Instant
    succeeded: int
    failed: int
    skipped: int


def chart(hours: list[tuple[int, Hour]]) -> list[Column]:
    """The chart's columns, oldest first."""
    made: list[Column] = []
    for number, hour in hours:
        succeeded, failed, skipped = columns(hour)
        made.append(Column(begins=Instant(number * HOUR), succeeded=succeeded, failed=failed, skipped=skipped))
    return made


async def show_overview(request: Request, site: Site) -> Response:
    """GET /webui/."""
    scheduler = site.scheduler
    folds, now = scheduler.folds, scheduler.clock.now()
    ticks = coming_ticks(folds, (now, Instant(now + COMING_WITHIN)), most=COMING_TICKS)
    shown = chart(present.last_hours(folds, now))
    values = {
        "here": "overview",
        "now": now,
        "figures": present.figures(scheduler, ready=site.edge.ready()),
        "flights": await present.Watching().look(scheduler),
        "failures": present.failures(folds),
        "ticks": ticks,
        "marks": [tick_mark(tick) for tick in ticks],
        "listed": LIST_TICKS,
        "columns": shown,
        "ended": sum(column.succeeded for column in shown),
        "failed": sum(column.failed for column in shown),
        "skipped": sum(column.skipped for column in shown),
        "pause": folds.server_pause,
        "elapsed": present.elapsed,
        "share": present.share,
        "node": site.edge.node,
        "version": site.edge.version,
    }
    return site.pages.render("overview.html", values)


def tick_mark(tick: ComingTick) -> list[str]:
    """A tick on the time line, as a script draws it: when, whose, and whether it is going to be skipped."""
    return [iso(tick.due), short(tick.job.spec.name), "skipped" if tick.paused else ""]

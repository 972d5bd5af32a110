"""Time travel: the jobs as they were known at a time, or at a position of the log.

1. To read the past may take seconds. The page comes at once, without it; its script asks again, and says that it waits.
2. Few moments are held at a time (MAX_MOMENTS), so a page waits for its turn, and a template is given no folds: what it
   was given lives until the garbage collector comes by.
"""

from dataclasses import dataclass
from math import inf

import trio

from kala_es import limits
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant
from kala_es.domain.tick_policy import Pause
from kala_es.projections.folds import Folds
from kala_es.web.exchange import Request, Response
from kala_es.web.pages.job_query import PAGE, Found, JobQuery, find, query_of
from kala_es.web.pages.job_rows import JobRow, rows_of
from kala_es.web.pages.now import last_hours
from kala_es.web.pages.pulse import columns
from kala_es.web.parameters import flag
from kala_es.web.past import folds_of
from kala_es.web.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    """The figures of a moment."""

    position: int
    latest: Instant
    server_pause: Pause | None
    jobs: int
    disabled_jobs: int
    in_flight: int


def _then(folds: Folds) -> Then:
    return Then(
        position=folds.position,
        latest=folds.latest,
        server_pause=folds.server_pause,
        jobs=folds.stats.jobs,
        disabled_jobs=folds.stats.disabled_jobs,
        in_flight=len(folds.busy),
    )


async def show_past(request: Request, site: Site) -> Response:
    """GET /webui/at/. A moment that cannot be shown is said on the page, whose form asks for another."""
    at, query = request.query.get("at", "").strip(), query_of(request.query)
    folds, wrong = None, ""
    patience = inf if flag(request, "wait") else site.edge.first_content_seconds
    with trio.move_on_after(patience) as scope:
        try:
            folds = await folds_of(request, site, patience=limits.MOMENT_PATIENCE_SECONDS) if at else None
        except Invalid as error:
            wrong = error.reason
    values = {
        "here": "at",
        "at": at,
        "wrong": wrong,
        "is_read": not scope.cancelled_caught,
        "query": query,
        "page_size": PAGE,
        "head": site.scheduler.folds.position,
        **await _as_it_was(folds, query),
    }
    return site.pages.render("at.html", values, status=400 if wrong else 200)


async def _as_it_was(folds: Folds | None, query: JobQuery) -> dict[str, object]:
    found = Found() if folds is None else await find(folds, query)
    rows: list[JobRow] = [] if folds is None else rows_of(folds, found.jobs, with_runs=False)
    sums = (0, 0, 0)
    if folds is not None:
        hours = [columns(hour) for _, hour in last_hours(folds, folds.latest)]
        sums = (sum(h[0] for h in hours), sum(h[1] for h in hours), sum(h[2] for h in hours))
    return {"then": None if folds is None else _then(folds), "found": found, "rows": rows, "sums": sums}

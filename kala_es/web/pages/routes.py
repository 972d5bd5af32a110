"""All pages of the web UI, in one table, after the API's.

A page is a row made by `page(pattern, handler, summary)`. Its module gives the handler: it takes the request and the
site, and answers `site.pages.render("name.html", {...})`. A refusal that it raises becomes a page that says why.
"""

from dataclasses import replace
from functools import partial
from typing import Final

from kala_es.domain.errors import Refusal
from kala_es.web.exchange import Request, Response
from kala_es.web.pages import calendar, events, job, job_form, jobs, live, overview, past, run, settings, static
from kala_es.web.pages.rendering import refused
from kala_es.web.routes import API, ROUTES
from kala_es.web.site import Site
from kala_es.web.table import Handler, Reply, Row

AS_PAGE: Final = (Reply(status=200, about="A page.", schema="", media="text/html"),)


class _Leads:
    """The handler of an address that leads to another."""

    def __init__(self, to: str) -> None:
        self._to = to

    async def __call__(self, request: Request, site: Site) -> Response:
        """Answer with the way."""
        return Response(status=302, headers=(("Location", self._to),))


class _Shows:
    """The handler of a page: what it refuses becomes a page, too."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, request: Request, site: Site) -> Response:
        """Answer with the page."""
        try:
            return await self._handler(request, site)
        except Refusal as error:
            return refused(site.pages, error)


def page(pattern: str, handler: Handler, summary: str, *, direct: bool = True) -> Row:
    """The row of a page. It is named after its pattern."""
    return Row(method="GET", pattern=pattern, handler=_Shows(handler), summary=summary, replies=AS_PAGE, direct=direct)


def _also_here(row: Row) -> Row:
    """A route of the API, where a page asks for it: in the API `/job/start/revert/` starts the job `revert`."""
    return replace(row, pattern=row.pattern.replace(f"{API}/job/", "/webui/jobs/"), handler=partial(row.handler))


_ASKED: Final = {f"{API}/job/{{id}}/{each}/" for each in ("history", "why", "revert", "ticks", "next")}
PAGES: Final = (
    *(_also_here(row) for row in ROUTES if row.pattern in _ASKED),
    *(page(pattern, _Leads("/webui/"), "Lead to the web UI") for pattern in ("/", "/dashboard/", "/ui/")),
    page("/webui/static/{digest}/{name}", static.get_asset, "A file that pages load"),
    page("/webui/", overview.show_overview, "What runs, what failed, what comes"),
    page("/webui/pulse", live.follow_pulse, "What changes, once a second", direct=False),
    page("/webui/calendar/", calendar.show_calendar, "Ticks and runs by day and week"),
    page("/webui/at/", past.show_past, "Jobs as they were"),
    page("/webui/events/", events.show_events, "The log, live"),
    page("/webui/settings/", settings.show_settings, "The pause of all jobs, export, import, the node"),
    page("/webui/jobs/", jobs.show_jobs, "The list of jobs"),
    page("/webui/runs/{id}/", run.show_run, "A run: its state, its output, what became of it"),
    page("/webui/new-job", job_form.new_job, "A form for a new job"),
    page("/webui/jobs/{id}/", job.show_job, "A job: its definition, ticks, runs, and place among others"),
    page("/webui/jobs/{id}/changes/", job.show_changes, "What changed a job, and the way back"),
    page("/webui/jobs/{id}/edit", job_form.edit_job, "The form, for a job that there is"),
    Row(
        method="GET",
        pattern="/webui/jobs/{id}/edit/declaration",
        handler=job_form.get_declaration,
        summary="What the form begins with",
        replies=(Reply(status=200, about="The job, and the tag of its definition."),),
        direct=True,
    ),
    page("/webui/jobs/{id}/duplicate", job_form.duplicate_job, "The form, for another job like it"),
)

"""Over HTTP: pauses of a job and of the server, and the list of a job's ticks."""

from typing import Final
from urllib.parse import urlencode

from kala_es import limits
from kala_es.dialects import kala_ticks
from kala_es.dialects.go_json import instant_text
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.web.edge import Site
from kala_es.web.exchange import NO_CONTENT, Request, Response, answer_json
from kala_es.web.parameters import whole

_USUAL_TICKS: Final = 1_000
_DAY: Final = 24 * 3600 * SECOND


async def pause_job(request: Request, site: Site) -> Response:
    """POST /job/pause/{id}/."""
    return await _pause(request, site, JobId(request.params["id"]))


async def pause_server(request: Request, site: Site) -> Response:
    """POST /pause/."""
    return await _pause(request, site, None)


async def _pause(request: Request, site: Site, job: JobId | None) -> Response:
    await site.scheduler.pause(job, kala_ticks.parse_pause(request.body), request.origin(NO_CONTENT))
    return NO_CONTENT


async def resume_job(request: Request, site: Site) -> Response:
    """POST /job/resume/{id}/."""
    await site.scheduler.resume(JobId(request.params["id"]), request.origin(NO_CONTENT))
    return NO_CONTENT


async def resume_server(request: Request, site: Site) -> Response:
    """POST /resume/."""
    await site.scheduler.resume(None, request.origin(NO_CONTENT))
    return NO_CONTENT


async def get_pause(request: Request, site: Site) -> Response:
    """GET /pause/."""
    return answer_json(kala_ticks.server_pause_json(site.scheduler.folds.server_pause))


async def list_ticks(request: Request, site: Site) -> Response:
    """GET /job/{id}/ticks/."""
    job, now = site.scheduler.job(JobId(request.params["id"])), site.scheduler.clock.now()
    since = _moment(request, "from", Instant(now - _DAY))
    until = _moment(request, "to", Instant(now + _DAY))
    if until < since:
        raise Invalid("to", "must not come before from")
    limit = whole(request, "limit", (1, limits.MAX_PAGE)) or _USUAL_TICKS
    ticks = await site.scheduler.ticks(job.id, within=(since, until), most=limit + 1)
    link = (_next_page(request, ticks[limit].tick, until),) if len(ticks) > limit else ()
    return answer_json(kala_ticks.ticks_json(ticks[:limit]), headers=link)


def _moment(request: Request, name: str, default: Instant) -> Instant:
    text = request.query.get(name)
    return default if not text else kala_ticks.parse_moment(text.replace(" ", "+"), name)


def _next_page(request: Request, first: Instant, until: Instant) -> tuple[str, str]:
    query = urlencode({**request.query, "from": instant_text(first), "to": instant_text(until)})
    return "Link", f'<{request.path}?{query}>; rel="next"'

"""Over HTTP: pauses of a job and of the server, and the list of a job's ticks."""

from typing import Final
from urllib.parse import urlencode

from kala_es import limits
from kala_es.dialects import kala_ticks
from kala_es.dialects.go_json import instant_text
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.domain.moved import moved
from kala_es.domain.plan import schedule_of
from kala_es.web.exchange import NO_CONTENT, Request, Response, answer_json
from kala_es.web.parameters import whole
from kala_es.web.replies import BUSY, DONE, FULL, KEY, KEY_USED, LARGE, LIMIT, NO_JOB, WRONG
from kala_es.web.site import Site
from kala_es.web.table import Parameter, Reply, Row

_API: Final = "/api/v1"
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
    schedule = schedule_of(job.spec, job.planned, job.id)
    why = {each.tick: moved(schedule, each.tick) for each in ticks[:limit] if each.tick >= job.planned}
    return answer_json(kala_ticks.ticks_json(ticks[:limit], why), headers=link)


def _moment(request: Request, name: str, default: Instant) -> Instant:
    text = request.query.get(name)
    return default if not text else kala_ticks.parse_moment(text.replace(" ", "+"), name)


def _next_page(request: Request, first: Instant, until: Instant) -> tuple[str, str]:
    query = urlencode({**request.query, "from": instant_text(first), "to": instant_text(until)})
    return "Link", f'<{request.path}?{query}>; rel="next"'


OF_TICKS: Final = (
    Row(
        method="GET",
        pattern=f"{_API}/job/{{id}}/ticks/",
        handler=list_ticks,
        summary="List the job's due moments, each with what became of it",
        parameters=(
            Parameter(name="from", kind="string", about="RFC 3339; a day ago if not given."),
            Parameter(name="to", kind="string", about="RFC 3339, exclusive; a day ahead if not given."),
            LIMIT,
        ),
        replies=(Reply(status=200, about="The ", schema="Ticks"), WRONG, NO_JOB),
    ),
    Row(
        method="POST",
        pattern=f"{_API}/job/pause/{{id}}/",
        handler=pause_job,
        summary="Skip the job's ticks, for a reason, until a time or until it is resumed",
        parameters=(KEY,),
        takes="PauseDraft",
        replies=(DONE, WRONG, NO_JOB, LARGE, KEY_USED, BUSY),
    ),
    Row(
        method="POST",
        pattern=f"{_API}/job/resume/{{id}}/",
        handler=resume_job,
        summary="End the job's pause; what it skipped is made up by the job's policy",
        parameters=(KEY,),
        replies=(DONE, WRONG, NO_JOB, KEY_USED, BUSY, FULL),
    ),
    Row(
        method="GET",
        pattern=f"{_API}/pause/",
        handler=get_pause,
        summary="Read whether the server is paused",
        replies=(Reply(status=200, about="Its pause, or null.", schema="ServerPause"),),
    ),
    Row(
        method="POST",
        pattern=f"{_API}/pause/",
        handler=pause_server,
        summary="Skip the ticks of all jobs, for a reason, until a time or until the server is resumed",
        parameters=(KEY,),
        takes="PauseDraft",
        replies=(DONE, WRONG, LARGE, KEY_USED, BUSY, FULL),
    ),
    Row(
        method="POST",
        pattern=f"{_API}/resume/",
        handler=resume_server,
        summary="End the server's pause; what it skipped is made up by each job's policy, in turn",
        parameters=(KEY,),
        replies=(DONE, WRONG, KEY_USED, BUSY, FULL),
    ),
)

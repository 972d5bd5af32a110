"""A job's page: its definition, its ticks, its runs, its place among others, what changed it; or how to bring it back.

1. What goes on by itself is patched by the page's script (static/job.js), from the position that the page was made at.
2. The changes are read from the job's whole stream, so they are a page of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kala_es import limits
from kala_es.dialects.go_json import dumps
from kala_es.dialects.kala_declared import definition
from kala_es.domain.bounds import Bounded
from kala_es.domain.cron import Cron
from kala_es.domain.errors import Invalid, NotFound
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import Job
from kala_es.domain.moved import moved
from kala_es.domain.plan import schedule_of
from kala_es.domain.schedule import Schedule
from kala_es.domain.schedule_words import explain
from kala_es.projections.runs import RunSummary
from kala_es.web.exchange import Request, Response
from kala_es.web.pages import changes, kin
from kala_es.web.pages.job_fields import said, shown
from kala_es.web.parameters import LAST_POSITION, whole
from kala_es.web.runs import is_shown
from kala_es.web.site import Site

TICKS: Final = 8
"""Coming ticks on the page."""


def _job_id(request: Request) -> JobId:
    return JobId(request.params["id"])


async def show_job(request: Request, site: Site) -> Response:
    """GET /webui/jobs/{id}/."""
    job = site.scheduler.folds.jobs.get(_job_id(request))
    if job is None:
        return await _show_gone(request, site)
    return site.pages.render("job.html", _definition(site, job) | _now(request, site, job))


async def show_changes(request: Request, site: Site) -> Response:
    """GET /webui/jobs/{id}/changes/: also of a job that is deleted."""
    job = _job_id(request)
    page = await changes.newest(site, job, whole(request, "before", (1, LAST_POSITION)))
    state = site.scheduler.folds.jobs.get(job)
    return site.pages.render("job_changes.html", {"here": "jobs", "id": job, "job": state, "page": page})


async def _show_gone(request: Request, site: Site) -> Response:
    """The page of a job that was deleted. Raises NotFound when there never was one."""
    job = _job_id(request)
    page = await changes.newest(site, job, None)
    last = next((each for each in page.changes if each.change.after is not None), None)
    taken = [JobId(each) for each in request.query.get("took", "").split(",") if each]
    values = {
        "here": "jobs",
        "id": job,
        "page": page,
        "deletion": page.changes[0],
        "last": last,
        "taken": [each for each in taken if site.scheduler.folds.jobs.get(each) is None],
        "runs": _runs(site, job, None)[0],
    }
    return site.pages.render("job_gone.html", values)


def _definition(site: Site, job: Job) -> dict[str, Any]:
    """What is so until somebody changes the job."""
    jobs = site.scheduler.folds.jobs
    return {
        "here": "jobs",
        "groups": list(said(definition(changes.draft_of(site, job.id)) | {"id": job.id})),
        "shown": shown,
        "drawing": kin.draw(jobs, job.id),
        "parents": kin.started_by(jobs, job.id),
        "children": kin.starts(jobs, job.id),
        "listed": kin.LISTED,
        "named": jobs.get,
        "doomed": dumps(kin.going_with(jobs, (job.id,)).get(job.id) or {"count": 0, "jobs": [], "losing": 0}).decode(),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A tick to come, and why it is at another moment than usual."""

    tick: Instant
    moved: str


def _now(request: Request, site: Site, job: Job) -> dict[str, Any]:
    """What goes on by itself, as it is at this moment; the page's script follows it from `position` on."""
    before = request.query.get("before")
    runs, earlier = _runs(site, job.id, before)
    schedule = schedule_of(job.spec, job.planned, job.id)
    return {
        "job": job,
        "position": site.scheduler.folds.position,
        "explained": explain(job.spec, job.planned, job.id),
        "coming": [Coming(tick=each, moved=moved(schedule, each)) for each in site.scheduler.next_ticks(job.id, TICKS)],
        "zone": _zone(job, schedule),
        "server_pause": site.scheduler.folds.server_pause,
        "runs": runs,
        "most": limits.RUNS_ON_A_PAGE,
        "earlier": earlier,
        "before": before,
        "now": site.scheduler.clock.now(),
    }


def _zone(job: Job, schedule: Schedule | None) -> str:
    """By whose clocks the job goes."""
    match schedule:
        case Bounded(schedule=whole):
            return _zone(job, whole)
        case Cron(zone=zone):
            return str(zone or "UTC")
        case _:
            return job.spec.timezone or "UTC"


def _runs(site: Site, job: JobId, before: str | None) -> tuple[Sequence[RunSummary], RunId | None]:
    """A page of a job's runs, newest first, and the run before which there are more. Raises Invalid."""
    after = None
    if before:
        try:
            after = site.scheduler.run(RunId(before))
        except NotFound:
            raise Invalid("before", f"there is no run {before[:40]!r}") from None
    most = limits.RUNS_ON_A_PAGE
    found = site.scheduler.folds.runs.of_job(job, after=after, limit=most + 1, newest_first=True)
    runs = [run for run in found if is_shown(site, run)]
    return runs[:most], runs[most - 1].id if len(runs) > most else None

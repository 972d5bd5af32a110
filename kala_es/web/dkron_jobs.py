"""Jobs over Dkron's API: list, create or replace, read, run, toggle, delete."""

from collections.abc import AsyncGenerator, Callable
from typing import Any, Final
from urllib.parse import quote

import trio

from kala_es.dialects import dkron
from kala_es.dialects.dkron_runs import execution_id
from kala_es.domain.errors import Invalid, NotFound, Refusal, Unavailable
from kala_es.domain.graph import dependents
from kala_es.domain.ids import JobId
from kala_es.domain.labels import has_all
from kala_es.domain.model import Job
from kala_es.domain.values import replace
from kala_es.web.dkron_replies import answer, answer_list, descending, window
from kala_es.web.exchange import Request, Response
from kala_es.web.parameters import flag
from kala_es.web.schedules import explained_if_asked
from kala_es.web.site import Site

API: Final = "/v1"
_SLICE: Final = 250
_LABEL: Final = "metadata["
_UNTRIGGERED: Final = "untriggered"
_STATUSES: Final = ("success", "failed", "partially_failed", "unplaced", _UNTRIGGERED)
"""What a client may look for; a run on one node is never `partially_failed`."""


def job_named(request: Request, site: Site) -> Job:
    """The job that a path names. Raises NotFound."""
    return site.scheduler.job(JobId(request.params["job"]))


def fields_of(site: Site, job: Job) -> dict[str, Any]:
    """The job's JSON object."""
    return dkron.job_fields(job, dependents(job, site.scheduler.folds.jobs.graph), site.scheduler.rules.tags)


def _located(request: Request, fields: dict[str, Any]) -> Response:
    path = "/" + "/".join(quote(segment, safe="") for segment in request.segments)
    return answer(request, fields, headers=(("Location", path),))


# The list


async def list_v1_jobs(request: Request, site: Site) -> Response:
    """GET /v1/jobs."""
    wants = _filter(request, site)
    start, end = window(request)
    found: list[Job] = []
    for i, job in enumerate(site.scheduler.jobs()):
        if wants(job):
            found.append(job)
        if i % _SLICE == 0:
            await trio.lowlevel.checkpoint()
    found = await _sorted(site, found, request.query.get("_sort", "id"))
    if descending(request, usual=False):
        found.reverse()
    return await answer_list(request, _slices(site, found[start:end]), total=len(found))


async def _sorted(site: Site, jobs: list[Job], key: str) -> list[Job]:
    """Jobs, which come in order of id, by a key of their JSON. Raises Invalid."""
    if jobs and key not in fields_of(site, jobs[0]):
        raise Invalid("_sort", f"jobs have no key {key[:40]!r}")
    if key in ("id", "name"):
        return jobs
    values: dict[JobId, tuple[bool, Any]] = {}
    for i, job in enumerate(jobs):
        values[job.id] = _sortable(fields_of(site, job)[key])
        if i % _SLICE == 0:
            await trio.lowlevel.checkpoint()
    return sorted(jobs, key=lambda job: values[job.id])


def _sortable(value: Any) -> tuple[bool, Any]:
    """What is not there comes first; maps and lists are compared as text."""
    return (value is not None, value if isinstance(value, int | str) else str(value or ""))


def _filter(request: Request, site: Site) -> Callable[[Job], bool]:
    labels = [
        (key.removeprefix(_LABEL).removesuffix("]"), value)
        for key, value in request.query.items()
        if key.startswith(_LABEL)
    ]
    text, disabled, status = request.query.get("q", ""), flag(request, "disabled"), request.query.get("status")
    if status is not None and status not in _STATUSES:
        raise Invalid("status", f"must be one of {', '.join(_STATUSES)}, not {status[:40]!r}")
    wanted = "" if status == _UNTRIGGERED else status
    tags = site.scheduler.rules.tags

    def wants(job: Job) -> bool:
        return (
            (disabled is None or job.disabled is disabled)
            and (wanted is None or dkron.status_of(job, tags) == wanted)
            and (not text or text in job.id or text in job.spec.name)
            and has_all(job.spec.labels, labels)
        )

    return wants


async def _slices(site: Site, jobs: list[Job]) -> AsyncGenerator[list[dict[str, Any]], None]:
    for i in range(0, len(jobs), _SLICE):
        yield [fields_of(site, job) for job in jobs[i : i + _SLICE]]
        await trio.lowlevel.checkpoint()


# One job


async def create_v1_job(request: Request, site: Site) -> Response:
    """POST /v1/jobs: create the job, or replace the one of this name."""
    return await _put(request, site, dkron.parse_job(request.body))


async def patch_v1_job(request: Request, site: Site) -> Response:
    """PATCH /v1/jobs: the same; it is no merge."""
    return await create_v1_job(request, site)


async def put_v1_job(request: Request, site: Site) -> Response:
    """PUT /v1/jobs/{job}: the same for the job that the path names."""
    named = request.params["job"]
    read = dkron.parse_job(request.body)
    if read.setdefault("name", named) != named:
        raise Invalid("name", f"must be {named!r}, as in the path")
    return await _put(request, site, read, status=200)


async def _put(request: Request, site: Site, read: dict[str, Any], *, status: int = 201) -> Response:
    if site.submissions.paused:
        raise Unavailable("New job submissions are currently paused")
    jobs = site.scheduler.folds.jobs.by_id
    if read.get("parent_job") and read["parent_job"] not in jobs and read["parent_job"] != read.get("name"):
        raise NotFound("specified parent job not found")
    draft = dkron.draft_of(read, jobs, default_owner=site.edge.default_owner)
    assert draft.id is not None
    explained = explained_if_asked(request, site, draft)
    await site.scheduler.create(draft, request.origin(), unasked=True)  # Dkron's know no /validate
    fields = {**fields_of(site, site.scheduler.job(draft.id)), **explained}
    if "runoncreate" in request.query and not draft.disabled:
        fields |= await _begun(request, site, draft.id)
    return answer(request, fields, status, headers=(("Location", f"{API}/jobs/{quote(draft.id, safe='')}"),))


async def _begun(request: Request, site: Site, job: JobId) -> dict[str, str]:
    """A run of a job that is created already, whether it may run or not: which execution it is, or why it is none."""
    run = site.scheduler.new_run_id(job)
    try:
        await site.scheduler.start(job, run, request.origin())
    except Refusal as error:
        return {"execution_refused": error.reason}
    return {"execution_id": execution_id(run, 1)}


async def get_v1_job(request: Request, site: Site) -> Response:
    """GET /v1/jobs/{job}."""
    return answer(request, fields_of(site, job_named(request, site)))


async def delete_v1_job(request: Request, site: Site) -> Response:
    """DELETE /v1/jobs/{job}: what was deleted. A job with dependents stays, as there."""
    job = job_named(request, site)
    after = dependents(job, site.scheduler.folds.jobs.graph)
    if after:
        raise NotFound(f"the job {job.id!r} has dependents: {', '.join(after[:10])}; delete them first")
    fields = fields_of(site, job)
    await site.scheduler.delete(job.id, request.origin())
    return answer(request, fields)


async def run_v1_job(request: Request, site: Site) -> Response:
    """POST /v1/jobs/{job}: start a run; answered at once."""
    job = job_named(request, site)
    force = flag(request, "force") or False
    if job.disabled and not force:
        raise NotFound(f"the job {job.id!r} is disabled; ?force=true runs it all the same")
    run = site.scheduler.new_run_id(job.id, request.key)
    granted = _located(request, {**fields_of(site, job), "execution_id": execution_id(run, 1)})
    await site.scheduler.start(job.id, run, request.origin(granted), force=force)
    return granted


async def run_v1_job_by_name(request: Request, site: Site) -> Response:
    """POST /v1/jobs/{job}/run: the same, as version 3 has it."""
    return await run_v1_job(request, site)


async def clear_v1_executions(request: Request, site: Site) -> Response:
    """DELETE /v1/jobs/{job}/executions: forget them, and count anew; the job then."""
    job = job_named(request, site).id
    await site.scheduler.clear(job, request.origin())
    return answer(request, fields_of(site, job_named(request, site)))


async def toggle_v1_job(request: Request, site: Site) -> Response:
    """POST /v1/jobs/{job}/toggle."""
    job = job_named(request, site)
    change = site.scheduler.enable if job.disabled else site.scheduler.disable
    granted = _located(request, fields_of(site, replace(job, disabled=not job.disabled)))
    await change(job.id, request.origin(granted))
    return granted

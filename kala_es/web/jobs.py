"""Jobs over HTTP: create, read, replace, delete, start, enable, disable."""

from collections.abc import Iterable
from functools import partial
from typing import Final
from urllib.parse import quote

from kala_es.dialects import kala
from kala_es.dialects.go_json import dumps
from kala_es.domain.errors import Forbidden, Invalid, NotFound
from kala_es.domain.graph import dependents
from kala_es.domain.ids import JobId, RunId, run_for_key
from kala_es.domain.model import Job, JobDraft
from kala_es.domain.values import replace
from kala_es.projections.folds import Folds
from kala_es.web.body import parsed
from kala_es.web.exchange import JSON, NO_CONTENT, Request, Response, answer_json
from kala_es.web.past import folds_of
from kala_es.web.preconditions import must_be_new, tag_header, wanted_definitions
from kala_es.web.schedules import explained_if_asked
from kala_es.web.site import Site

API: Final = "/api/v1"
_PREFERENCE_APPLIED: Final = ("Preference-Applied", "respond-async")


def _job(request: Request) -> JobId:
    return JobId(request.params["id"])


def job_json(site: Site, job: Job) -> bytes:
    """A job's JSON: made once while the job and its dependents are the same."""
    after = dependents(job, site.scheduler.folds.jobs.graph)
    kept = site.jobs.get(job.id)
    if kept is not None and kept[0][0] is job and kept[0][1] == after:
        return kept[1]
    return site.jobs.keep(job.id, (job, after), kala.job_json(job, after))


def _wrapped(site: Site, job: Job, beside: dict[str, object] | None = None) -> bytes:
    more = b"," + dumps(beside)[1:-1] if beside else b""
    return b'{"job":' + job_json(site, job) + more + b"}"


def past_json(folds: Folds, job: Job) -> bytes:
    """A job's JSON as it was."""
    return kala.job_json(job, dependents(job, folds.jobs.graph))


async def create_job(request: Request, site: Site) -> Response:
    """POST /job/."""
    draft = kala.parse_job(request.body, default_owner=site.edge.default_owner)
    job = draft.id or site.scheduler.new_job_id(request.key)
    draft = replace(draft, id=job)
    granted = answer_json(dumps({"id": job, **explained_if_asked(request, site, draft)}), 201)
    await site.scheduler.create(draft, request.origin(granted), unknown=must_be_new(request))
    return granted


async def create_jobs(request: Request, site: Site) -> Response:
    """POST /job/bulk/."""
    parse = partial(kala.parse_jobs, default_owner=site.edge.default_owner)
    drafts = await parsed(request.body, parse)
    if not drafts:
        raise Invalid("", "there are no jobs in the body")
    named = [_with_id(draft, i, (request, site)) for i, draft in enumerate(drafts)]
    granted = answer_json(dumps({"ids": [draft.id for draft in named]}), 201)
    await site.scheduler.create_all(named, request.origin(granted))
    return granted


def _with_id(draft: JobDraft, index: int, asked: tuple[Request, Site]) -> JobDraft:
    request, site = asked
    return draft if draft.id else replace(draft, id=site.scheduler.new_job_id(request.key, index))


async def get_job(request: Request, site: Site) -> Response:
    """GET /job/{id}/."""
    folds = await folds_of(request, site)
    if folds is site.scheduler.folds:
        job = site.scheduler.job(_job(request))
        return answer_json(_wrapped(site, job), headers=(tag_header(job),))
    found = folds.jobs.get(_job(request))
    if found is None:
        raise NotFound(f"there was no job {_job(request)!r} at that moment")
    return answer_json(b'{"job":' + past_json(folds, found) + b"}")


async def replace_job(request: Request, site: Site) -> Response:
    """PUT /job/{id}/. The path's id counts, and the job is looked for before the body is looked at.

    With If-Match it is replaced only if it has that definition.
    """
    job = site.scheduler.job(_job(request)).id
    draft = replace(kala.parse_job(request.body), id=job)
    explained = explained_if_asked(request, site, draft)
    await site.scheduler.update(draft, request.origin(), instead_of=wanted_definitions(request))
    after = site.scheduler.job(job)
    return answer_json(_wrapped(site, after, explained), headers=(tag_header(after),))


async def delete_job(request: Request, site: Site) -> Response:
    """DELETE /job/{id}/."""
    await site.scheduler.delete(_job(request), request.origin())
    return NO_CONTENT


async def delete_all_jobs(request: Request, site: Site) -> Response:
    """DELETE /job/all/."""
    await site.scheduler.delete_all(request.origin())
    return NO_CONTENT


def _remote(request: Request, site: Site) -> Job:
    job = site.scheduler.job(_job(request))
    if job.spec.kind != "remote":
        raise Forbidden("Job is not a remote job")
    return job


async def get_params(request: Request, site: Site) -> Response:
    """GET /job/{id}/params/: the remote request's body as it is."""
    return Response(body=_remote(request, site).spec.remote.body.encode(), headers=(JSON,))


async def replace_params(request: Request, site: Site) -> Response:
    """PUT /job/{id}/params/: any text."""
    job = _remote(request, site).id
    await site.scheduler.replace_body(job, request.body.decode("utf-8", "replace"), request.origin())
    return NO_CONTENT


async def enable_job(request: Request, site: Site) -> Response:
    """POST /job/enable/{id}/."""
    await site.scheduler.enable(_job(request), request.origin(NO_CONTENT))
    return NO_CONTENT


async def disable_job(request: Request, site: Site) -> Response:
    """POST /job/disable/{id}/."""
    await site.scheduler.disable(_job(request), request.origin(NO_CONTENT))
    return NO_CONTENT


async def start_job(request: Request, site: Site) -> Response:
    """POST /job/start/{id}/: answered when the run and its consequences are over, or at once if that is preferred."""
    job = _job(request)
    run = site.scheduler.new_run_id(job, request.key)
    at_once = _prefers_async(request) and not site.scheduler.job(job).disabled  # a skipped run is nowhere to be found
    granted = _accepted(job, run) if at_once else NO_CONTENT
    await site.scheduler.start(job, run, request.origin(granted))
    return granted if at_once else Response(status=204, until_over=run)


def start_replayed(request: Request, response: Response) -> Response:
    """A start that was to be awaited is awaited again."""
    if response.status != 204 or request.key is None:
        return response
    return Response(status=204, headers=response.headers, until_over=run_for_key(_job(request), request.key.key))


def _accepted(job: JobId, run: RunId) -> Response:
    return Response(status=202, headers=(("Location", run_path(job, run)), _PREFERENCE_APPLIED))


def run_path(job: JobId, run: RunId) -> str:
    """Where a run is found."""
    return f"{API}/job/{quote(job, safe='')}/executions/{quote(run, safe='')}/"


def _prefers_async(request: Request) -> bool:
    items: Iterable[str] = request.headers.get("prefer", "").lower().split(",")
    return any(item.partition(";")[0].strip() == "respond-async" for item in items)

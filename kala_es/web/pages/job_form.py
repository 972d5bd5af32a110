"""The form for a job: a new one, one that there is, or another like it.

The form's fields are those of job_fields.py; what they say of the job reaches the script (static/job_form.js) as the
declaration that the job comes from, in the API's own JSON. The script saves by the API that everyone has.
"""

from typing import Any, Final, Literal

from kala_es.dialects import kala
from kala_es.dialects.go_json import dumps
from kala_es.dialects.kala_declared import declared
from kala_es.domain.definition import tag_of
from kala_es.domain.ids import JobId
from kala_es.domain.model import Job
from kala_es.domain.notify import OCCASIONS
from kala_es.web.exchange import Request, Response
from kala_es.web.pages.job_fields import GROUPS
from kala_es.web.site import Site

Purpose = Literal["new", "edit", "duplicate"]
_COPY: Final = " (copy)"


async def new_job(request: Request, site: Site) -> Response:
    """GET /webui/new-job."""
    return _form(site, ("new", None), {"owner": site.edge.default_owner} if site.edge.default_owner else {})


async def edit_job(request: Request, site: Site) -> Response:
    """GET /webui/jobs/{id}/edit."""
    job = site.scheduler.job(JobId(request.params["id"]))
    return _form(site, ("edit", job), _declaration(job) | {"id": job.id})


async def duplicate_job(request: Request, site: Site) -> Response:
    """GET /webui/jobs/{id}/duplicate: another job, made by hand, with what this one's owner gave."""
    job = site.scheduler.job(JobId(request.params["id"]))
    said = _declaration(job)
    said.pop("managed_by", None)
    return _form(site, ("duplicate", job), said | {"name": f"{job.spec.name}{_COPY}"})


def _declaration(job: Job) -> dict[str, Any]:
    """What the job's owner gave; a child is not named as a dependent."""
    said = declared(kala.job_fields(job, ()))
    return said | ({"managed_by": job.spec.managed_by} if job.spec.managed_by else {})


def _form(site: Site, wanted: tuple[Purpose, Job | None], said: dict[str, Any]) -> Response:
    purpose, job = wanted
    values = {
        "here": "jobs",
        "purpose": purpose,
        "job": job,
        "definition": dumps(said).decode(),
        "tag": tag_of(job.spec, disabled=job.disabled) if job is not None else "",
        "groups": GROUPS,
        "occasions": OCCASIONS,
        "local_jobs": site.scheduler.rules.local_jobs,
    }
    return site.pages.render("job_form.html", values)

"""The form for a job: a new one, one that there is, or another like it.

The form's fields are those of job_fields.py. Its script (static/job_form.js) asks what they say of the job: the
declaration that it comes from, in the API's own JSON, which may be far more than a page has room for. It saves by the
API that everyone has.
"""

from typing import Literal

from kala_es.dialects import kala
from kala_es.dialects.go_json import dumps
from kala_es.dialects.kala_declared import declared
from kala_es.domain.definition import tag_of
from kala_es.domain.ids import JobId
from kala_es.domain.model import Job
from kala_es.domain.notify import OCCASIONS
from kala_es.web.exchange import Request, Response, answer_json
from kala_es.web.pages.job_fields import GROUPS
from kala_es.web.site import Site

Purpose = Literal["new", "edit", "duplicate"]


async def new_job(request: Request, site: Site) -> Response:
    """GET /webui/new-job."""
    return _form(site, "new", None)


async def edit_job(request: Request, site: Site) -> Response:
    """GET /webui/jobs/{id}/edit."""
    return _form(site, "edit", site.scheduler.job(JobId(request.params["id"])))


async def duplicate_job(request: Request, site: Site) -> Response:
    """GET /webui/jobs/{id}/duplicate: another job, made by hand, with what this one's owner gave."""
    return _form(site, "duplicate", site.scheduler.job(JobId(request.params["id"])))


async def get_declaration(request: Request, site: Site) -> Response:
    """GET /webui/jobs/{id}/edit/declaration: what the job's owner gave; a child is not named as a dependent."""
    job = site.scheduler.job(JobId(request.params["id"]))
    said = declared(kala.job_fields(job, ()))
    if job.spec.managed_by:
        said["managed_by"] = job.spec.managed_by
    begun = {"job": said | {"id": job.id}, "tag": tag_of(job.spec, disabled=job.disabled)}
    return answer_json(dumps(begun), headers=(("Cache-Control", "no-store"),))


def _form(site: Site, purpose: Purpose, job: Job | None) -> Response:
    values = {
        "here": "jobs",
        "purpose": purpose,
        "job": job,
        "owner": site.edge.default_owner,
        "groups": GROUPS,
        "occasions": OCCASIONS,
        "local_jobs": site.scheduler.rules.local_jobs,
    }
    return site.pages.render("job_form.html", values)

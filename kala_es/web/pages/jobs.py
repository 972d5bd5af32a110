"""The list of jobs."""

from kala_es.web.edge import Site
from kala_es.web.exchange import Request, Response


async def show_jobs(request: Request, site: Site) -> Response:
    """GET /webui/jobs/."""
    return site.pages.render("jobs.html", {"here": "jobs", "site": site, "jobs": site.scheduler.jobs(limit=50)})

"""The list of jobs: searched, filtered, sorted and paged here; patched in the browser from the pulse."""

from kala_es.web.exchange import Request, Response
from kala_es.web.pages import job_query, kin
from kala_es.web.pages.job_query import find, query_of
from kala_es.web.pages.job_rows import SPARK_RUNS, rows_of
from kala_es.web.site import Site


async def show_jobs(request: Request, site: Site) -> Response:
    """GET /webui/jobs/."""
    query, folds = query_of(request.query), site.scheduler.folds
    position, jobs = folds.position, folds.stats.jobs  # of before the jobs were looked at: what comes meanwhile is told
    found = await find(folds, query)
    values = {
        "here": "jobs",
        "query": query,
        "found": found,
        "rows": rows_of(folds, found.jobs),
        "doomed": kin.going_with(folds.jobs, (job.id for job in found.jobs)),
        "states": job_query.STATES,
        "page_size": job_query.PAGE,
        "spark_runs": SPARK_RUNS,
        "position": position,
        "jobs": jobs,
        "pause": folds.server_pause,
    }
    return site.pages.render("jobs.html", values)

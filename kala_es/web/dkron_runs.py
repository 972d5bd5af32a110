"""Executions over Dkron's API: of a job, one of them, all that are busy, and one's live stream."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, Final

import trio

from kala_es import limits
from kala_es.dialects.dkron_runs import Execution, execution_fields, parse_id
from kala_es.domain.errors import Invalid, NotFound
from kala_es.domain.ids import JobId, RunId
from kala_es.projections.runs import RunSummary
from kala_es.web.attempts import attempts_of
from kala_es.web.dkron_jobs import job_named
from kala_es.web.dkron_replies import answer, answer_list, descending
from kala_es.web.exchange import Request, Response
from kala_es.web.parameters import whole
from kala_es.web.site import Site
from kala_es.web.stream import stream_run

_SLICE: Final = 20


async def list_v1_executions(request: Request, site: Site) -> Response:
    """GET /v1/jobs/{job}/executions: newest first, or with `_order=ASC` oldest first."""
    job = job_named(request, site).id
    if request.query.get("_sort", "started_at") not in ("started_at", "id"):
        raise Invalid("_sort", "executions are sorted by started_at only")
    limit = whole(request, "output_size_limit", (0, limits.EXECUTION_OUTPUT_BYTES))
    newest = descending(request, usual=True)
    past = site.scheduler.folds.history.of(job)
    total = past.kept + past.trimmed + len(site.scheduler.job(job).runs)
    return await answer_list(request, _executions(site, job, (newest, limit)), total=total)


async def _executions(
    site: Site, job: JobId, wanted: tuple[bool, int | None]
) -> AsyncGenerator[list[dict[str, Any]], None]:
    newest, limit = wanted
    most = limits.EXECUTION_OUTPUT_BYTES if limit is None else limit
    last: RunSummary | None = None
    catalogue = site.scheduler.folds.runs
    while runs := list(catalogue.of_job(job, after=last, limit=_SLICE, newest_first=newest)):
        last = runs[-1]
        for run in runs:
            found = await attempts_of(site, run, most)
            ordered = reversed(found) if newest else found
            yield [execution_fields(each, site.edge.node, cut=limit is not None) for each in ordered]
        await trio.lowlevel.checkpoint()


async def get_v1_execution(request: Request, site: Site) -> Response:
    """GET /v1/jobs/{job}/executions/{execution}."""
    run, attempt = _named(request, site)
    limit = whole(request, "output_size_limit", (0, limits.OUTPUT_IN_RUN_BYTES))
    found = await attempts_of(site, run, limits.OUTPUT_IN_RUN_BYTES if limit is None else limit)
    for each in found:
        if each.attempt == attempt:
            return answer(request, execution_fields(each, site.edge.node, cut=limit is not None))
    raise NotFound(f"the run {run.id!r} has no attempt {attempt}")


def _named(request: Request, site: Site) -> tuple[RunSummary, int]:
    """The run and the attempt that a path names. Raises NotFound."""
    run, attempt = parse_id(request.params["execution"])
    summary = site.scheduler.run(run)
    if summary.job != request.params["job"]:
        raise NotFound(f"the job {request.params['job']!r} has no execution {request.params['execution'][:80]!r}")
    return summary, attempt


async def stream_v1_execution(request: Request, site: Site) -> Response:
    """GET /v1/jobs/{job}/executions/{execution}/stream: live, of the run with all its attempts."""
    run, _ = _named(request, site)
    return await stream_run(replace(request, params={"id": run.job, "run": run.id}), site)


async def list_v1_busy(request: Request, site: Site) -> Response:
    """GET /v1/busy: every execution that runs, with what it has printed so far."""
    waiting = [run.id for _, run in site.scheduler.folds.busy if run.retry_at is None]
    return await answer_list(request, _busy(site, waiting), total=len(waiting))


async def _busy(site: Site, runs: list[RunId]) -> AsyncGenerator[list[dict[str, Any]], None]:
    for run in runs:
        summary = site.scheduler.folds.runs.get(run)
        if summary is not None and summary.outcome is None and summary.retry_at is None:
            yield [execution_fields(await _last(site, summary), site.edge.node)]
        await trio.lowlevel.checkpoint()


async def _last(site: Site, run: RunSummary) -> Execution:
    return (await attempts_of(site, run, limits.EXECUTION_OUTPUT_BYTES))[-1]

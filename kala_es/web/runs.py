"""Runs over HTTP: the executions of a job, one of them, its status, its cancellation."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, cast

import trio

from kala_es import limits
from kala_es.dialects import kala
from kala_es.domain.errors import Invalid, NotFound
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.values import replace
from kala_es.projections.runs import RunSummary
from kala_es.web.edge import Site
from kala_es.web.exchange import NO_CONTENT, Parts, Request, Response, answer_json
from kala_es.web.job_list import next_link
from kala_es.web.parameters import whole

_SLICE: Final = 100


def run_of(request: Request, site: Site) -> RunSummary:
    """The run that a path names; its job's id is not looked at, as in the original. Raises NotFound."""
    return as_now(site, site.scheduler.run(RunId(request.params["run"])))


def as_now(site: Site, run: RunSummary) -> RunSummary:
    """The run with the sizes of its output so far."""
    if run.outcome is not None:
        return run
    stdout, stderr = site.scheduler.folds.output.sizes(run.id)
    return replace(run, stdout_bytes=stdout, stderr_bytes=stderr)


def read_output(site: Site, run: RunSummary, *, channel: str | None, within: tuple[int, int]) -> Parts:
    """Bytes [start, stop) of a run's output, a chunk at a time."""
    pieces = site.scheduler.output(run.id, channel=channel, start=within[0], stop=within[1])
    return cast("Parts", pieces)


async def list_runs(request: Request, site: Site) -> Response:
    """GET /job/{id}/executions/: oldest first, each with its output. With `limit` a page."""
    job = site.scheduler.job(JobId(request.params["id"])).id
    after = _after(request, site)
    limit = whole(request, "limit", (1, limits.MAX_PAGE))
    slices = _slices(site, job, after)
    if limit is None:
        return answer_json(_stream(site, slices))
    page: list[RunSummary] = []
    async with aclosing(slices):
        async for runs in slices:
            page += runs
            if len(page) > limit:
                break
    link = (next_link(request, page[limit - 1].id),) if len(page) > limit else ()
    return answer_json(_stream(site, _cut(page[:limit])), headers=link)


def _after(request: Request, site: Site) -> RunId | None:
    text = request.query.get("after")
    if text is None:
        return None
    try:
        return site.scheduler.run(RunId(text)).id
    except NotFound:
        raise Invalid("after", f"there is no run {text[:40]!r}") from None


Slices = AsyncGenerator[list[RunSummary], None]


async def _slices(site: Site, job: JobId, after: RunId | None) -> Slices:
    """The job's runs; none more when it is deleted meanwhile."""
    while runs := _read(site, job, after):
        after = runs[-1].id
        yield runs
        await trio.lowlevel.checkpoint()


def _read(site: Site, job: JobId, after: RunId | None) -> list[RunSummary]:
    try:
        return site.scheduler.runs(job, after=after, limit=_SLICE)
    except NotFound:
        return []


async def _cut(runs: list[RunSummary]) -> Slices:
    for i in range(0, len(runs), _SLICE):
        yield runs[i : i + _SLICE]


async def _stream(site: Site, slices: Slices) -> Parts:
    before = b'{"job_stats":['
    async with aclosing(slices):
        async for runs in slices:
            items = [await _run_json(site, as_now(site, run), limits.OUTPUT_IN_LIST_BYTES) for run in runs]
            yield before + b",".join(items)
            before = b","
    yield b"]}\n" if before == b"," else before + b"]}\n"


async def _run_json(site: Site, run: RunSummary, limit: int) -> bytes:
    output = bytearray()
    size = run.stdout_bytes + run.stderr_bytes
    if size:
        async with aclosing(read_output(site, run, channel=None, within=(0, min(limit, size)))) as pieces:
            async for piece in pieces:
                output += piece
    text = output.decode("utf-8", "replace")
    return kala.run_json(run, text, remote=run.kind == "remote", truncated=size > limit)


async def get_run(request: Request, site: Site) -> Response:
    """GET /job/{id}/executions/{run}/."""
    run = await _run_json(site, run_of(request, site), limits.OUTPUT_IN_RUN_BYTES)
    return answer_json(b'{"job_run":' + run + b"}")


async def report_status(request: Request, site: Site) -> Response:
    """PUT /job/{id}/executions/{run}/: what a client says of the run."""
    run = run_of(request, site).id
    await site.scheduler.report_status(run, kala.parse_status(request.body), request.origin())
    return NO_CONTENT


async def cancel_run(request: Request, site: Site) -> Response:
    """DELETE /job/{id}/executions/{run}/: ask for the run's end."""
    await site.scheduler.cancel(run_of(request, site).id, request.origin())
    return NO_CONTENT


async def get_legacy_stats(request: Request, site: Site) -> Response:
    """GET /job/stats/{id}/: Kala's list of a job's runs."""
    job = site.scheduler.job(JobId(request.params["id"])).id
    every: list[RunSummary] = []
    async with aclosing(_slices(site, job, None)) as slices:
        async for runs in slices:
            every += runs
    return answer_json(kala.legacy_stats_json(every))

"""Runs over HTTP: the executions of a job, one of them, its status, its cancellation."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

import trio

from kala_es import limits
from kala_es.dialects import kala, kala_own
from kala_es.domain.errors import Gone, Invalid, NotFound
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.values import replace
from kala_es.projections.runs import RunSummary
from kala_es.web import gaps
from kala_es.web.exchange import NO_CONTENT, Parts, Request, Response, answer_json
from kala_es.web.listing import Listing, answer_list
from kala_es.web.site import Site
from kala_es.web.table import Reply, Row

_SLICE: Final = 100
_ENDS: Final = (b'{"job_stats":[', b"]}\n")


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
    return site.scheduler.reader.output(run.id, channel=channel, start=within[0], stop=within[1])


async def list_runs(request: Request, site: Site) -> Response:
    """GET /job/{id}/executions/: oldest first, each with its output."""

    async def write(runs: list[RunSummary]) -> bytes:
        return b",".join([await _item(site, run) for run in runs])

    return await _list(request, site, write)


async def clear_runs(request: Request, site: Site) -> Response:
    """DELETE /job/{id}/executions/: forget those that are over, and count anew."""
    await site.scheduler.clear(JobId(request.params["id"]), request.origin())
    return NO_CONTENT


async def get_legacy_stats(request: Request, site: Site) -> Response:
    """GET /job/stats/{id}/: Kala's list of a job's runs."""
    opening, closing = _ENDS

    async def write(runs: list[RunSummary]) -> bytes:
        return kala.legacy_stats_json(runs).removeprefix(opening).removesuffix(closing.rstrip())

    return await _list(request, site, write)


async def _list(request: Request, site: Site, write: Callable[[list[RunSummary]], Awaitable[bytes]]) -> Response:
    job = site.scheduler.job(JobId(request.params["id"])).id
    slices = _slices(site, job, _after(request, site))
    return await answer_list(request, Listing(slices=slices, write=write, ends=_ENDS, id_of=lambda run: run.id))


def _after(request: Request, site: Site) -> RunSummary | None:
    text = request.query.get("after")
    if text is None:
        return None
    try:
        return site.scheduler.run(RunId(text))
    except NotFound:
        raise Invalid("after", f"there is no run {text[:40]!r}") from None


async def _slices(site: Site, job: JobId, after: RunSummary | None) -> AsyncGenerator[list[RunSummary], None]:
    """The runs of a job, a few at a time."""
    while runs := list(site.scheduler.folds.runs.of_job(job, after=after, limit=_SLICE)):
        after = runs[-1]
        yield runs if site.scheduler.rules.runs_kept_seconds is None else [r for r in runs if is_shown(site, r)]
        await trio.lowlevel.checkpoint()


def is_shown(site: Site, run: RunSummary) -> bool:
    """Whether the node shows a run that it still knows."""
    try:
        return site.scheduler.run(run.id) is not None
    except NotFound:
        return False


async def _item(site: Site, run: RunSummary) -> bytes:
    """A run as lists have it: made once when it is over."""
    kept = site.runs.get(run.id)
    if kept is not None and kept[0] == run:
        return kept[1]
    made = await _run_json(site, as_now(site, run), limits.OUTPUT_IN_LIST_BYTES)
    return made if run.outcome is None else site.runs.keep(run.id, run, made)


async def _run_json(site: Site, run: RunSummary, limit: int) -> bytes:
    size = 0 if run.trimmed else run.stdout_bytes + run.stderr_bytes
    try:
        output = await output_of(site, run, (0, min(limit, size)))
    except Gone:  # trimmed this moment
        output, size, run = bytearray(), 0, site.scheduler.folds.runs.get(run.id) or run
    text = gaps.marked(output, gaps.places(site, run, None)).decode("utf-8", "replace")
    left_out = await site.scheduler.reader.is_left_out(run)
    return kala.run_json(run, text, remote=run.kind == "remote", truncated=size > limit, left_out=left_out)


async def output_of(site: Site, run: RunSummary, within: tuple[int, int]) -> bytearray:
    """Bytes [start, stop) of a run's output, at once. Raises Gone."""
    output = bytearray()
    if within[0] < within[1]:
        async with aclosing(read_output(site, run, channel=None, within=within)) as pieces:
            async for piece in pieces:
                output += piece
    return output


async def get_run(request: Request, site: Site) -> Response:
    """GET /job/{id}/executions/{run}/."""
    run = await _run_json(site, run_of(request, site), limits.OUTPUT_IN_RUN_BYTES)
    return answer_json(b'{"job_run":' + run + b"}")


async def report_status(request: Request, site: Site) -> Response:
    """PUT /job/{id}/executions/{run}/: what a client says of the run."""
    run = run_of(request, site).id
    await site.scheduler.report_status(run, kala.parse_status(request.body), request.origin())
    return NO_CONTENT


async def redact_run(request: Request, site: Site) -> Response:
    """POST /job/{id}/executions/{run}/redact/: erase what the run printed, for a reason."""
    reason = kala_own.parse_reason(request.body)
    await site.scheduler.redact(run_of(request, site).id, reason, request.origin())
    return NO_CONTENT


REDACT: Final = Row(
    method="POST",
    pattern="/api/v1/job/{id}/executions/{run}/redact/",
    handler=redact_run,
    summary="Erase what a run printed, and note who asked for it, and why",
    takes="Redaction",
    replies=(
        Reply(status=204, about="Noted, erased, and durable."),
        Reply(status=400, about="The request is wrong; the answer says where.", schema="Error"),
        Reply(status=404, about="There is no such run.", schema="Error"),
        Reply(status=409, about="The run is in flight.", schema="Error"),
        Reply(status=413, about="The body is too large.", schema="Error"),
        Reply(status=503, about="The server is stopping; try again.", schema="Error"),
        Reply(status=507, about="The disk has no room to erase; ask again.", schema="Error"),
    ),
)


async def cancel_run(request: Request, site: Site) -> Response:
    """DELETE /job/{id}/executions/{run}/: ask for the run's end."""
    await site.scheduler.cancel(run_of(request, site).id, request.origin())
    return NO_CONTENT

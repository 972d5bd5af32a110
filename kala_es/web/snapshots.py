"""The log as one file, over HTTP: an archive of it as it is when it is asked for; and one taken in.

Where there is no record yet an archive becomes the log, position by position; elsewhere, or if the query says what is
to become of jobs that are there, its jobs are taken in.
"""

from contextlib import closing
from functools import partial
from typing import IO, Final, cast

import trio

from kala_es import limits
from kala_es.dialects.kala_declared import plan_json
from kala_es.dialects.kala_taken import log_json
from kala_es.domain.declared import Declaration, OnConflict
from kala_es.web.edge import TakeOver
from kala_es.web.exchange import Parts, Request, Response, answer_json
from kala_es.web.parameters import LAST_POSITION, checked, choice, flag
from kala_es.web.replies import BUSY, FULL
from kala_es.web.site import Site
from kala_es.web.table import Parameter, Reply, Row

MEDIA: Final = "application/cbor-seq"
_PIECE_BYTES: Final = 256 * 1024


async def get_snapshot(request: Request, site: Site) -> Response:
    """GET /snapshot/: made whole first, then sent; so what fails has a status, and what is sent a length."""
    since = checked(request.query.get("since") or "0", "since", (0, LAST_POSITION))
    output = choice(request, "output", ("all", "none")) != "none"
    headers = (("Content-Type", MEDIA), ("Content-Disposition", 'attachment; filename="kala-es.archive"'))
    if request.method == "HEAD":
        return Response(headers=headers)
    file = await site.scheduler.archives.make(after=since, output=output)
    size = file.seek(0, 2)
    file.seek(0)
    return Response(headers=(*headers, ("Content-Length", str(size))), body=_pieces(file))


async def post_snapshot(request: Request, site: Site) -> Response:
    """POST /snapshot/: the whole log, if there is none yet; else the jobs, as they were at its end, without runs."""
    on_conflict = choice(request, "on_conflict", ("fail", "skip", "replace"))
    dry_run = bool(flag(request, "dry_run"))
    if on_conflict is None and not site.scheduler.folds.position and site.edge.take_over is not None:
        return await _take_log(request, site, site.edge.take_over, dry_run=dry_run)
    assert request.file is not None
    jobs = await site.scheduler.archives.jobs(request.file)
    wanted = cast("OnConflict", on_conflict or "fail")
    declaration = Declaration(jobs=jobs, begun=True, dry_run=dry_run, on_conflict=wanted)
    steps = await site.scheduler.apply(declaration, request.origin())
    return answer_json(await trio.to_thread.run_sync(partial(plan_json, steps, dry_run=dry_run)))


async def _take_log(request: Request, site: Site, take_over: TakeOver, *, dry_run: bool) -> Response:
    """The archive becomes the log. With a dry run it is made ready, and thrown away."""
    assert request.file is not None
    async with site.scheduler.archives.ready(request.file) as incoming:
        if not dry_run:
            await take_over(incoming)
    return answer_json(log_json(incoming.made, dry_run=dry_run))


async def _pieces(file: IO[bytes]) -> Parts:
    with closing(file):
        while piece := await trio.to_thread.run_sync(file.read, _PIECE_BYTES):
            yield piece


ROWS: Final = (
    Row(
        method="GET",
        pattern="/api/v1/snapshot/",
        handler=get_snapshot,
        summary="Read the whole log as one file, an archive, while the server runs",
        parameters=(
            Parameter(name="since", kind="integer", about="Only what comes after this position of the log."),
            Parameter(name="output", kind="string", about="none: without the output of runs."),
        ),
        replies=(
            Reply(status=200, about="The archive.", schema="Bytes", media=MEDIA),
            Reply(status=400, about="There is no such position to go on from.", schema="Error"),
            Reply(status=403, about="The server keeps everything in memory.", schema="Error"),
            Reply(status=503, about="Archives are being made already; try again.", schema="Error"),
            Reply(status=507, about="The disk has no room for the archive.", schema="Error"),
        ),
    ),
    Row(
        method="POST",
        pattern="/api/v1/snapshot/",
        handler=post_snapshot,
        summary="Make an archive the log of an empty server; of another one, take its jobs in, without their runs",
        parameters=(
            Parameter(
                name="on_conflict",
                kind="string",
                about="Take only the jobs in, and what becomes of those that are there: fail, skip, replace.",
            ),
            Parameter(name="dry_run", kind="boolean", about="Only say what would become of the log, or of each job."),
        ),
        takes="Bytes",
        replies=(
            Reply(status=200, about="The log, or what became of each job; with `dry_run`, what would.", schema="Taken"),
            Reply(status=400, about="This is no whole archive, or a job is refused; nothing changed.", schema="Error"),
            Reply(
                status=409,
                about="One of the jobs is there already, or the server was used meanwhile; nothing changed.",
                schema="Error",
            ),
            Reply(status=413, about="The archive is too large.", schema="Error"),
            Reply(status=500, about="What read the archive failed; nothing changed.", schema="Error"),
            BUSY,
            FULL,
        ),
        direct=True,
        max_body=limits.MAX_ARCHIVE_BYTES,
        body_patience=120,
        spooled=True,
    ),
)

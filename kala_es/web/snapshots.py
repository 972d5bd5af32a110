"""The log as one file, over HTTP: an archive of it as it is when it is asked for; and the jobs of one, taken in."""

from contextlib import closing
from functools import partial
from typing import IO, Final, cast

import trio

from kala_es import limits
from kala_es.dialects.kala_declared import plan_json
from kala_es.domain.declared import Declaration, OnConflict
from kala_es.web.edge import Site
from kala_es.web.exchange import Parts, Request, Response, answer_json
from kala_es.web.parameters import checked, choice, flag
from kala_es.web.replies import BUSY, FULL
from kala_es.web.table import Parameter, Reply, Row

MEDIA: Final = "application/cbor-seq"
_PIECE_BYTES: Final = 256 * 1024
_LAST_POSITION: Final = (1 << 63) - 1


async def get_snapshot(request: Request, site: Site) -> Response:
    """GET /snapshot/: made whole first, then sent; so what fails has a status, and what is sent a length."""
    since = checked(request.query.get("since") or "0", "since", (0, _LAST_POSITION))
    output = choice(request, "output", ("all", "none")) != "none"
    headers = (("Content-Type", MEDIA), ("Content-Disposition", 'attachment; filename="kala-es.archive"'))
    if request.method == "HEAD":
        return Response(headers=headers)
    file = await site.scheduler.archives.make(after=since, output=output)
    size = file.seek(0, 2)
    file.seek(0)
    return Response(headers=(*headers, ("Content-Length", str(size))), body=_pieces(file))


async def post_snapshot(request: Request, site: Site) -> Response:
    """POST /snapshot/: the jobs of an archive, as they were at its end, without their runs."""
    on_conflict = choice(request, "on_conflict", ("fail", "skip", "replace")) or "fail"
    dry_run = bool(flag(request, "dry_run"))
    assert request.file is not None
    jobs = await site.scheduler.archives.jobs(request.file)
    declaration = Declaration(jobs=jobs, begun=True, dry_run=dry_run, on_conflict=cast("OnConflict", on_conflict))
    steps = await site.scheduler.apply(declaration, request.origin())
    return answer_json(await trio.to_thread.run_sync(partial(plan_json, steps, dry_run=dry_run)))


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
        summary="Take the jobs of an archive in, without their runs, all or none",
        parameters=(
            Parameter(
                name="on_conflict", kind="string", about="What becomes of jobs that are there: fail, skip, replace."
            ),
            Parameter(name="dry_run", kind="boolean", about="Only say what would become of each job."),
        ),
        takes="Bytes",
        replies=(
            Reply(status=200, about="What became of each job; with `dry_run`, what would.", schema="Plan"),
            Reply(status=400, about="This is no whole archive, or a job is refused; nothing changed.", schema="Error"),
            Reply(status=409, about="One of the jobs is there already; nothing changed.", schema="Error"),
            Reply(status=413, about="The archive is too large.", schema="Error"),
            BUSY,
            FULL,
        ),
        direct=True,
        max_body=limits.MAX_ARCHIVE_BYTES,
        body_patience=120,
        spooled=True,
    ),
)

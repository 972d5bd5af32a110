"""The log as one file, over HTTP: an archive of it as it is when it is asked for."""

from contextlib import closing
from typing import IO, Final

import trio

from kala_es.web.edge import Site
from kala_es.web.exchange import Parts, Request, Response
from kala_es.web.parameters import checked, choice
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
)

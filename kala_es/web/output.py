"""A run's output as raw bytes, whole or a range of it, read from the log piece by piece while it is sent."""

import re
from typing import Final

from kala_es.domain.errors import Gone
from kala_es.projections.output import CHANNELS
from kala_es.projections.runs import RunSummary
from kala_es.runtime.log_reader import OUTPUT_GONE, OUTPUT_LEFT_OUT
from kala_es.web import gaps
from kala_es.web.exchange import Refused, Request, Response, refuse
from kala_es.web.parameters import choice
from kala_es.web.runs import read_output, run_of
from kala_es.web.site import Site

_RANGE: Final = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII | re.IGNORECASE)
_HEADERS: Final = (
    ("Content-Type", "application/octet-stream"),
    ("X-Content-Type-Options", "nosniff"),
    ("Accept-Ranges", "bytes"),
)


async def get_output(request: Request, site: Site) -> Response:
    """GET /job/{id}/executions/{run}/output/: both channels as they came, or one. What a run in flight has so far."""
    run = await kept(run_of(request, site), site)
    channel = choice(request, "channel", CHANNELS)
    size = size_of(run, channel)
    wanted = None if "if-range" in request.headers else _range(request.headers.get("range", ""), size)
    start, stop = wanted or (0, size)
    headers = [*_HEADERS, ("Content-Length", str(stop - start)), *gaps.headers(gaps.places(site, run, channel))]
    if wanted:
        headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
    return Response(
        status=206 if wanted else 200,
        headers=tuple(headers),
        body=read_output(site, run, channel=channel, within=(start, stop)) if stop > start else b"",
    )


async def kept(run: RunSummary, site: Site) -> RunSummary:
    """The run. Raises Gone when what it has printed is kept no longer, or never was here."""
    if run.trimmed and run.stdout_bytes + run.stderr_bytes:
        raise Gone(OUTPUT_GONE if run.redacted is None else f"the output was erased: {run.redacted.reason}")
    if await site.scheduler.reader.is_left_out(run):
        raise Gone(OUTPUT_LEFT_OUT)
    return run


def size_of(run: RunSummary, channel: str | None) -> int:
    """How many bytes of output there are, of one channel or of both together."""
    if channel is None:
        return run.stdout_bytes + run.stderr_bytes
    return run.stdout_bytes if channel == "stdout" else run.stderr_bytes


def _range(header: str, size: int) -> tuple[int, int] | None:
    """The bytes [start, stop) that a single range means; None for all (no range, several, or not understood)."""
    match = _RANGE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start, stop = int(match[1]), min(int(match[2] or size) + 1, size)
        if match[2] and int(match[2]) < start:
            return None
    else:
        start, stop = max(size - int(match[2]), 0), size
    if start >= stop:
        raise Refused(refuse(416, f"the output has {size} bytes", ("Content-Range", f"bytes */{size}")))
    return start, stop

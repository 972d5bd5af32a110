"""What every text/event-stream has: how it opens, its heartbeat, its headers, and how many there may be.

A reader reconnects by itself, after as many milliseconds as the first line says.
"""

from typing import Final

from kala_es import limits
from kala_es.web.exchange import Parts, Refused, Response, refuse
from kala_es.web.site import Site

OPENING: Final = b"retry: 1000\n\n"
PING: Final = b": ping\n\n"
_HEADERS: Final = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),
)


def answer_stream(site: Site, parts: Parts) -> Response:
    """Send these, unless so many read a stream already, be it of events or the pulse. Raises Refused."""
    if site.scheduler.broadcaster.readers + site.pulse.readers >= limits.MAX_SSE_READERS:
        raise Refused(refuse(503, f"{limits.MAX_SSE_READERS} streams are open already", ("Retry-After", "10")))
    return Response(headers=_HEADERS, body=parts)

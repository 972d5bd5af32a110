"""The pulse over HTTP: a stream of events that all open pages follow."""

from typing import Final

import trio

from kala_es import limits
from kala_es.web.exchange import Parts, Refused, Request, Response, refuse
from kala_es.web.site import Site

_OPENING: Final = b"retry: 1000\n\n"
_PING: Final = b": ping\n\n"
_HEADERS: Final = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),
)


async def follow_pulse(request: Request, site: Site) -> Response:
    """GET /webui/pulse."""
    if site.scheduler.broadcaster.readers + site.pulse.readers >= limits.MAX_SSE_READERS:
        raise Refused(refuse(503, f"{limits.MAX_SSE_READERS} streams are open already", ("Retry-After", "10")))
    return Response(headers=_HEADERS, body=_beats(site))


async def _beats(site: Site) -> Parts:
    with site.pulse.follow(site.scheduler):
        yield _OPENING
        sent, ping_at = b"", trio.current_time() + limits.SSE_HEARTBEAT_SECONDS
        while True:
            frame = await site.pulse.beat(site.scheduler, ready=site.edge.ready())
            now = trio.current_time()
            if frame is not sent or now >= ping_at:
                yield _PING if frame is sent else frame
                sent, ping_at = frame, now + limits.SSE_HEARTBEAT_SECONDS
            await trio.sleep_until(site.pulse.next_at)

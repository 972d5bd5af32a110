"""The pulse over HTTP: a stream of events that all open pages follow."""

import trio

from kala_es import limits
from kala_es.web.exchange import Parts, Request, Response
from kala_es.web.site import Site
from kala_es.web.sse import OPENING, PING, answer_stream


async def follow_pulse(request: Request, site: Site) -> Response:
    """GET /webui/pulse."""
    return answer_stream(site, _beats(site))


async def _beats(site: Site) -> Parts:
    with site.pulse.follow(site.scheduler):
        yield OPENING
        sent, ping_at = b"", trio.current_time() + limits.SSE_HEARTBEAT_SECONDS
        while True:
            frame = await site.pulse.beat(site.scheduler, ready=site.edge.ready())
            now = trio.current_time()
            if frame is not sent or now >= ping_at:
                yield PING if frame is sent else frame
                sent, ping_at = frame, now + limits.SSE_HEARTBEAT_SECONDS
            await trio.sleep_until(site.pulse.next_at)

"""What is asked about the server itself: counters, health, readiness, and the description of this API."""

from kala_es.dialects import kala
from kala_es.replay.moments import first_tick
from kala_es.web.exchange import Request, Response, answer_json
from kala_es.web.past import folds_of
from kala_es.web.site import Site


async def get_stats(request: Request, site: Site) -> Response:
    """GET /stats/."""
    scheduler, folds = site.scheduler, await folds_of(request, site)
    if folds is not scheduler.folds:
        return answer_json(kala.stats_json(folds.stats, next_run_at=first_tick(folds), created=folds.latest))
    return answer_json(kala.stats_json(folds.stats, next_run_at=scheduler.first_tick(), created=scheduler.clock.now()))


async def compact(request: Request, site: Site) -> Response:
    """POST /compact/: the log's file is copied without what was erased."""
    before, after = await site.scheduler.compact()
    return answer_json(b'{"before_bytes":%d,"after_bytes":%d}' % (before, after))


async def get_health(request: Request, site: Site) -> Response:
    """GET /healthz: this process answers."""
    return answer_json(b'{"status":"ok"}')


async def get_readiness(request: Request, site: Site) -> Response:
    """GET /readyz: it takes new work."""
    if site.edge.ready():
        return answer_json(b'{"status":"ready"}')
    return answer_json(b'{"status":"not ready"}', 503)


async def get_openapi(request: Request, site: Site) -> Response:
    """GET /openapi.json."""
    return answer_json(site.openapi)

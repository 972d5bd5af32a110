"""What a monitoring system reads of this node: GET /metrics."""

from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Final

import trio

from kala_es.web.exchange import Request, Response
from kala_es.web.site import Site
from kala_es.web.table import Reply, Row

_EXPOSITION: Final = "kala_es.web.exposition"
_MEDIA: Final = "text/plain; version=0.0.4; charset=utf-8"


async def get_metrics(request: Request, site: Site) -> Response:
    """GET /metrics. What writes them is imported at the first request, on a thread."""
    with suppress(RuntimeError):  # the system has no thread to spare: then it is imported here
        await trio.to_thread.run_sync(partial(import_module, _EXPOSITION))
    from kala_es.web.exposition import exposed

    return Response(body=exposed(site.scheduler, site.edge), headers=(("Content-Type", _MEDIA),))


ROWS: Final = (
    Row(
        method="GET",
        pattern="/metrics",
        handler=get_metrics,
        summary="Read the node's figures in Prometheus' text format",
        replies=(Reply(status=200, about="The figures.", schema="Metrics", media="text/plain"),),
    ),
)

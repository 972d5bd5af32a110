"""The ASGI application: guards, then the route table; Quart behind it serves what is not on the direct way.

1. Every request passes the guards first, whatever it asks for.
2. A direct route is answered here, the others by Quart, which notices a client that leaves; both by the same handlers.
3. HEAD, OPTIONS and 405 follow from the table.
"""

from typing import Any, Final, cast

from kala_es.domain.errors import NotFound
from kala_es.runtime.scheduler import Scheduler
from kala_es.web import guards
from kala_es.web.asgi import Message, Receive, Send, body_of, path_of, request_of, send_response
from kala_es.web.dispatch import respond
from kala_es.web.edge import Edge
from kala_es.web.encoding import finish
from kala_es.web.exchange import Request, Response, refuse
from kala_es.web.openapi import describe
from kala_es.web.pages import rendering
from kala_es.web.pages.routes import PAGES
from kala_es.web.pages.words import ROOT
from kala_es.web.quart_app import make_quart
from kala_es.web.routes import ROUTES
from kala_es.web.site import Site
from kala_es.web.table import Table, cut

_SHOWN_CHARS: Final = 80

__all__ = ["App", "Edge", "make_app"]


def make_app(scheduler: Scheduler, edge: Edge) -> "App":
    """The application for one scheduler."""
    return App(Site(scheduler=scheduler, edge=edge, openapi=describe(ROUTES, edge.version)))


class App:
    """Give it to an ASGI server. `quart` may be given more routes; the table's come first."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._table = Table((*ROUTES, *PAGES))
        self.quart = make_quart(site, self._table)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve as ASGI has it."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await self._quart(scope, receive, send)

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        segments = cut(path_of(scope))
        found = self._table.find(scope["method"], segments)
        request = request_of(scope, segments, found.params if found else {})
        refused = guards.check(request.method, request.headers, self._site.edge)
        if refused is not None:
            await send_response(send, finish(request, refused))
        elif found is None:
            await self._without_route(request, segments, (scope, receive, send))
        elif found.row.direct:
            answer = await respond(found.row, request, self._site, body=body_of(receive))
            await send_response(send, answer)
        else:
            await self._quart({**scope, "path": request.path}, receive, send)

    async def _without_route(
        self, request: Request, segments: tuple[str, ...], asgi: tuple[Message, Receive, Send]
    ) -> None:
        """OPTIONS, a method that the path does not know, or an unknown path."""
        methods = self._table.methods(segments)
        if not methods:
            await self._without_path(request, asgi)
            return
        allow = ("Allow", ", ".join(methods))
        answer = refuse(405, f"{request.method} is not allowed here, only {allow[1]}", allow)
        if request.method == "OPTIONS":
            answer = Response(status=204, headers=(allow,))
        await send_response(asgi[2], finish(request, answer))

    async def _without_path(self, request: Request, asgi: tuple[Message, Receive, Send]) -> None:
        """Who looks at pages gets one that says so; what a NextKala server answers there, whoever else asks."""
        if request.path.startswith(ROOT) and "text/html" in request.headers.get("accept", ""):
            reason = NotFound(f"there is no page {request.path[:_SHOWN_CHARS]}")
            await send_response(asgi[2], finish(request, rendering.refused(self._site.pages, reason)))
        else:
            await self._quart(*asgi)

    async def _quart(self, scope: Message, receive: Receive, send: Send) -> None:
        await self.quart(cast("Any", scope), cast("Any", receive), cast("Any", send))

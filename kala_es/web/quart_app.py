"""The route table in Quart: one rule and one view for each row. Quart cancels what a client no longer waits for."""

from collections.abc import Awaitable, Callable
from typing import Final, cast
from urllib.parse import unquote

from quart import Response as QuartResponse
from quart import request as current
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from kala_es import limits
from kala_es.web.asgi import Message, request_of
from kala_es.web.body import too_large
from kala_es.web.dispatch import respond
from kala_es.web.exchange import Parts, Response, refuse
from kala_es.web.site import Site
from kala_es.web.table import Row, Table, cut

_NOT_FOUND: Final = refuse(404, "404 page not found")
View = Callable[..., Awaitable[QuartResponse]]


def make_quart(site: Site, table: Table) -> QuartTrio:
    """The table's rows as Quart rules. Paths come canonical, their segments quoted."""
    app = QuartTrio("kala_es.web", static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=limits.MAX_BODY_BYTES,
        BODY_TIMEOUT=None,
        RESPONSE_TIMEOUT=None,
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    for row in table.rows:
        rule = row.pattern.replace("{", "<").replace("}", ">")
        rule = rule if rule.endswith("/") else rule + "/"
        app.add_url_rule(rule, endpoint=row.name, view_func=_view(row, site), methods=[row.method])
    app.register_error_handler(HTTPException, _refused)
    return app


def _view(row: Row, site: Site) -> View:
    async def view(**params: str) -> QuartResponse:
        scope = cast("Message", current.scope)
        request = request_of(scope, cut(scope["path"]), {name: unquote(value) for name, value in params.items()})
        return _as_quart(await respond(row, request, site, body=_body()))

    return view


async def _body() -> Parts:
    try:
        async for part in current.body:
            yield part
    except RequestEntityTooLarge:
        raise too_large(limits.MAX_BODY_BYTES) from None


async def _refused(error: HTTPException) -> QuartResponse:
    """What Quart itself refuses is a path that no route knows, or a method that no page knows."""
    status = error.code or 500
    return _as_quart(_NOT_FOUND if status == 404 else refuse(status, error.name.lower()))


def _as_quart(response: Response) -> QuartResponse:
    made = QuartResponse(response.body, status=response.status)
    made.headers.clear()
    made.headers.extend(response.headers)
    made.timeout = None
    return made

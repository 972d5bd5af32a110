"""From a route and a request to the answer as it is sent: body, key, handler, errors, encoding.

Whatever goes wrong in a handler is answered: a refusal by its status and reason, a bug by 500, with its traceback on
stderr only.
"""

import traceback
from dataclasses import replace
from functools import partial

from kala_es.domain.errors import ActorCrashed, Refusal
from kala_es.web.body import read_body, spool_body
from kala_es.web.encoding import finish
from kala_es.web.exchange import Parts, Refused, Request, Response, refuse
from kala_es.web.idempotency import is_replay, once, with_key
from kala_es.web.site import Site
from kala_es.web.table import Row


async def respond(row: Row, request: Request, site: Site, *, body: Parts) -> Response:
    """The answer, ready to be sent. Never raises but for a cancellation."""
    try:
        response = await _answer(row, request, site, body=body)
    except Refused as refused:
        response = refused.response
    except (Refusal, ActorCrashed) as error:
        response = row.refuse(error, initializing=row.initializing)
    except Exception as bug:
        site.edge.complain(f"{request.method} {request.path}:\n{''.join(traceback.format_exception(bug))}")
        response = refuse(500, "an error of the server's own; its log has the details")
    return finish(request, response)


async def _answer(row: Row, request: Request, site: Site, *, body: Parts) -> Response:
    seconds = site.edge.body_seconds * row.body_patience
    if row.spooled:
        return await _answer_file(row, request, site, body=body)
    content = await read_body(body, request.headers, limit=row.max_body, seconds=seconds)
    request = with_key(replace(request, body=content))
    if request.key is None:
        response = await row.handler(request, site)
    else:
        carry_out = partial(row.handler, request, site)
        response = await once(request.key, site.keys, first=site.scheduler.answered, carry_out=carry_out)
        if row.replayed is not None and is_replay(response):
            response = row.replayed(request, response)
    if response.until_over is not None:
        await site.scheduler.tree_end(response.until_over)
    return response


async def _answer_file(row: Row, request: Request, site: Site, *, body: Parts) -> Response:
    seconds = site.edge.body_seconds * row.body_patience
    with await spool_body(body, site.scheduler.archives, limit=row.max_body, seconds=seconds) as file:
        return await row.handler(replace(request, file=file), site)

"""Jobs as declared, over HTTP: one request makes many as they are to be, and answers what became of each."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from kala_es import limits
from kala_es.dialects import kala_declared
from kala_es.domain.declared import Step
from kala_es.runtime.scheduler import Answer, Origin
from kala_es.web.body import parsed
from kala_es.web.exchange import JSON, Request, Response, answer_json
from kala_es.web.replies import BUSY, FULL, KEY, KEY_USED, LARGE
from kala_es.web.site import Site
from kala_es.web.table import Reply, Row

_IN_A_THREAD_STEPS: Final = 200
"""A longer plan is rendered in a thread."""


async def apply_jobs(request: Request, site: Site) -> Response:
    """POST /job/apply/."""
    parse = partial(kala_declared.parse_apply, default_owner=site.edge.default_owner)
    declaration = await parsed(request.body, parse)
    render = partial(kala_declared.plan_json, dry_run=declaration.dry_run)

    def granted(steps: Sequence[Step]) -> Answer:
        body = render(steps)
        short = len(body) >= limits.MAX_RECEIPT_BYTES
        return Answer(status=200, headers=(JSON,), body=(render(steps, only_counts=True) if short else body) + b"\n")

    origin = Origin(principal=request.principal, key=request.key)
    steps = await site.scheduler.apply(declaration, origin, granted)
    in_a_thread = len(steps) > _IN_A_THREAD_STEPS
    return answer_json(await trio.to_thread.run_sync(render, steps) if in_a_thread else render(steps))


APPLY: Final = Row(
    method="POST",
    pattern="/api/v1/job/apply/",
    handler=apply_jobs,
    summary="Make many jobs as declared, all or none: create, change, and with `prune` delete",
    parameters=(KEY,),
    takes="Apply",
    replies=(
        Reply(status=200, about="What became of each job; with `dry_run`, what would.", schema="Plan"),
        Reply(status=400, about="A job is refused; the answer says which, and why. Nothing changed.", schema="Error"),
        LARGE,
        KEY_USED,
        BUSY,
        FULL,
    ),
    direct=True,
    max_body=limits.MAX_BULK_BODY_BYTES,
    body_patience=10,
)

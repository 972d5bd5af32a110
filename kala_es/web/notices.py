"""Notices over HTTP: who was told what, who is still to be told, and why not."""

from collections.abc import AsyncGenerator
from typing import Final, get_args

import trio

from kala_es.dialects.notices import notice_json
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import JobId
from kala_es.domain.notify import NoticeId
from kala_es.projections.notices import NoticeState, NoticeSummary
from kala_es.web.exchange import Request, Response
from kala_es.web.listing import Listing, answer_list
from kala_es.web.parameters import choice
from kala_es.web.site import Site

_SLICE: Final = 100
_ENDS: Final = (b'{"notices":[', b"]}\n")
STATES: Final[tuple[str, ...]] = get_args(NoticeState)


async def list_notices(request: Request, site: Site) -> Response:
    """GET /notices/: all notices, oldest first; of a job, or in a state."""
    place = _after(request, site)
    slices = _slices(site, place, job=request.query.get("job"), state=choice(request, "state", STATES))

    async def write(notices: list[NoticeSummary]) -> bytes:
        await trio.lowlevel.checkpoint()
        return b",".join(map(notice_json, notices))

    return await answer_list(request, Listing(slices=slices, write=write, ends=_ENDS, id_of=lambda n: n.due.notice))


async def _slices(
    site: Site, position: int, *, job: str | None, state: str | None
) -> AsyncGenerator[list[NoticeSummary], None]:
    """A few at a time. A deleted job's are still there."""
    only = None if job is None else JobId(job)
    while page := list(site.scheduler.folds.notices.after(position, job=only, limit=_SLICE)):
        position = page[-1].position
        yield [notice for notice in page if state in (None, notice.state)]
        await trio.lowlevel.checkpoint()


def _after(request: Request, site: Site) -> int:
    text = request.query.get("after")
    found = None if text is None else site.scheduler.folds.notices.get(NoticeId(text))
    if text is not None and found is None:
        raise Invalid("after", f"there is no notice {text[:40]!r}")
    return found.position if found else 0

"""Lists: whole as the original has them, sent in slices so that a long one holds up nobody; or in pages."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import urlencode

import trio

from kala_es import limits
from kala_es.web.exchange import Parts, Request, Response, answer_json
from kala_es.web.parameters import whole

_CUT: Final = 100
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[Item]):
    """What is listed. `write` gives a slice's JSON without the brackets, which are `ends`; `id_of` a page's last.

    `size_of` says how many bytes an item holds, if that may be many: a page of large ones ends early.
    """

    slices: AsyncGenerator[list[Item], None]
    write: Callable[[list[Item]], Awaitable[bytes]]
    ends: tuple[bytes, bytes]
    id_of: Callable[[Item], str]
    size_of: Callable[[Item], int] = lambda _: 0


async def answer_list(request: Request, listing: Listing[Item]) -> Response:
    """The list; with `limit` a page of it, whose successor is named by a Link header. Raises Invalid."""
    limit = whole(request, "limit", (1, limits.MAX_PAGE))
    if limit is None:
        return answer_json(_written(listing, listing.slices))
    page: list[Item] = []
    held = 0
    async with aclosing(listing.slices):
        async for items in listing.slices:
            page += items
            held += sum(map(listing.size_of, items))
            if held > limits.PAGE_BYTES:
                limit = min(limit, max(len(page) - 1, 1))
            if len(page) > limit:
                break
    link = (_next_link(request, listing.id_of(page[limit - 1])),) if len(page) > limit else ()
    return answer_json(_written(listing, _cut(page[:limit])), headers=link)


def _next_link(request: Request, last: str) -> tuple[str, str]:
    query = urlencode({**request.query, "after": last})
    return "Link", f'<{request.path}?{query}>; rel="next"'


async def _cut(items: list[Item]) -> AsyncGenerator[list[Item], None]:
    for i in range(0, len(items), _CUT):
        yield items[i : i + _CUT]
        await trio.lowlevel.checkpoint()


async def _written(listing: Listing[Item], slices: AsyncGenerator[list[Item], None]) -> Parts:
    opening, closing = listing.ends
    before = opening
    async with aclosing(slices):
        async for items in slices:
            if items:
                yield before + await listing.write(items)
                before = b","
    yield closing if before == b"," else opening + closing

"""A request's body, read whole within its limits: too large is 413, too slow is 408."""

from collections.abc import Mapping
from contextlib import aclosing

import trio

from kala_es.web.exchange import Parts, Refused, refuse


async def read_body(parts: Parts, headers: Mapping[str, str], *, limit: int, seconds: float) -> bytes:
    """The body. Raises Refused."""
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise too_large(limit)
    read = bytearray()
    with trio.move_on_after(seconds) as scope:
        async with aclosing(parts):
            async for part in parts:
                read += part
                if len(read) > limit:
                    raise too_large(limit)
    if scope.cancelled_caught:
        raise Refused(refuse(408, f"the body did not arrive within {seconds:g} seconds"))
    return bytes(read)


def too_large(limit: int) -> Refused:
    """The refusal of a body over the limit."""
    return Refused(refuse(413, f"the body is larger than {limit} bytes"))

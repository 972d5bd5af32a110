"""How an answer's body goes out: as what it says it is and nothing else, gzipped when the client takes that, its length
said when known; left out for HEAD."""

import zlib
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from kala_es.web.exchange import Parts, Request, Response

_AS_IT_SAYS: Final = ("X-Content-Type-Options", "nosniff")
_LEVEL: Final = 1
_GZIP: Final = 31  # zlib's window bits for a gzip frame


def finish(request: Request, response: Response) -> Response:
    """The answer as it is to be sent."""
    headers = response.headers
    if not response.header("x-content-type-options"):
        headers = (*headers, _AS_IT_SAYS)
    body = response.body
    if _is_text(response.header("content-type")):
        headers = (*headers, ("Vary", "Accept-Encoding"))
        if _takes_gzip(request.headers):
            headers = (*headers, ("Content-Encoding", "gzip"))
            body = zlib.compress(body, _LEVEL, _GZIP) if isinstance(body, bytes) else _zip(body)
    if isinstance(body, bytes) and response.status != 204 and not response.header("content-length"):
        headers = (*headers, ("Content-Length", str(len(body))))
    if request.method == "HEAD":
        body = b""
    return replace(response, headers=headers, body=body)


def _is_text(content_type: str) -> bool:
    return content_type.startswith(("application/json", "text/")) and not content_type.startswith("text/event-stream")


def _takes_gzip(headers: Mapping[str, str]) -> bool:
    for item in headers.get("accept-encoding", "").lower().split(","):
        coding, _, quality = item.partition(";")
        if coding.strip() == "gzip":
            return _weight(quality) > 0
    return False


def _weight(quality: str) -> float:
    """What `q=0.5` says; 1 for what says nothing."""
    name, _, value = quality.partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 1.0


async def _zip(parts: Parts) -> Parts:
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    async with aclosing(parts):
        async for part in parts:
            squeezed = squeeze.compress(part)
            if squeezed:
                yield squeezed
    yield squeeze.flush()

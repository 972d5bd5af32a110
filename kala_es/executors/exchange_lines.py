"""An exchange as lines for people, as `curl -v` shows it: `> ` what was asked, `< ` what was answered, heads only.

The values of headers that are secrets by their nature are left out.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import httpx

_SECRET: Final = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"})


def request_lines(request: "httpx.Request") -> bytes:
    """The head of a request."""
    first = b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)
    return _lines(b"> ", (first, *_headers(request.headers.raw), b""))


def answer_lines(response: "httpx.Response") -> bytes:
    """The head of an answer; before it those that led elsewhere, each with the request that followed."""
    first, *rest = (*response.history, response)
    return _answer_lines(first) + b"".join(request_lines(each.request) + _answer_lines(each) for each in rest)


def _answer_lines(response: "httpx.Response") -> bytes:
    version, words = (response.extensions.get(key, b"") for key in ("http_version", "reason_phrase"))
    first = b"%s %d %s" % (version, response.status_code, words)
    return _lines(b"< ", (first.rstrip(), *_headers(response.headers.raw), b""))


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for name, value in raw:
        yield name + b": " + (b"(not shown)" if name.lower() in _SECRET else value)


def _lines(mark: bytes, lines: Iterable[bytes]) -> bytes:
    return b"".join(mark + line + b"\n" for line in lines)

"""Answers in Dkron's manner: JSON without a newline, `?pretty` with four blanks, lists that say how long they are."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from msgspec import json

from kala_es.dialects import dkron
from kala_es.dialects.go_json import dumps
from kala_es.domain.errors import Invalid
from kala_es.web.exchange import Parts, Request, Response, answer_error
from kala_es.web.parameters import whole
from kala_es.web.table import Parameter

JSON: Final = ("Content-Type", "application/json; charset=utf-8")
_MOST: Final = 1 << 53
_BLANKS: Final = 4
Headers = tuple[tuple[str, str], ...]

PRETTY: Final = Parameter(name="pretty", kind="string", about="Indented JSON; any value, or none.")
ORDER: Final = (
    Parameter(name="_sort", kind="string", about="The key by which to sort."),
    Parameter(name="_order", kind="string", about="ASC or DESC."),
    Parameter(name="_start", kind="integer", about="Leave out so many."),
    Parameter(name="_end", kind="integer", about="Stop before this one, counted from 0."),
)


def answer(request: Request, value: Any, status: int = 200, *, headers: Headers = ()) -> Response:
    """A value as JSON."""
    return Response(status=status, body=_shaped(request, dumps(value)), headers=(JSON, *headers))


def _shaped(request: Request, body: bytes) -> bytes:
    body = body.rstrip(b"\n")
    return json.format(body, indent=_BLANKS) if "pretty" in request.query else body


async def answer_list(request: Request, slices: AsyncGenerator[list[dict[str, Any]], None], *, total: int) -> Response:
    """A list, sent a slice at a time; `total` is how many there are before it was cut."""
    parts = _written(slices)
    headers = (JSON, ("X-Total-Count", str(total)))
    if "pretty" not in request.query:
        return Response(body=parts, headers=headers)
    async with aclosing(parts):
        whole_list = b"".join([part async for part in parts])
    return Response(body=_shaped(request, whole_list), headers=headers)


async def _written(slices: AsyncGenerator[list[dict[str, Any]], None]) -> Parts:
    before = b"["
    async with aclosing(slices):
        async for items in slices:
            if items:
                yield before + dumps(items).rstrip(b"\n")[1:-1]
                before = b","
    yield b"[]" if before == b"[" else b"]"


def window(request: Request) -> tuple[int, int]:
    """Which part of a list is wanted: `_start` and `_end`. Raises Invalid."""
    start = whole(request, "_start", (0, _MOST)) or 0
    end = whole(request, "_end", (0, _MOST))
    if end is not None and end < start:
        raise Invalid("_end", "must not be before _start")
    return start, _MOST if end is None else end


def descending(request: Request, *, usual: bool) -> bool:
    """Whether `_order` says DESC. Raises Invalid."""
    order = request.query.get("_order", "").upper()
    if order not in ("", "ASC", "DESC"):
        raise Invalid("_order", f"must be ASC or DESC, not {order[:40]!r}")
    return order == "DESC" if order else usual


def refuse_as_dkron(error: Exception, *, initializing: bool = False) -> Response:
    """The answer to a refusal, or to a bug."""
    return answer_error(error, dkron.error_json(error, initializing=initializing), JSON)

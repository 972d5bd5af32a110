"""ASGI's dictionaries to our values, and back."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kala_es.web.exchange import Parts, Refused, Request, Response, refuse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


def path_of(scope: Message) -> str:
    """The path as it was sent, not unquoted; of an absolute URL its path."""
    raw: bytes | None = scope.get("raw_path")
    sent = raw.decode("latin-1") if raw is not None else scope["path"]
    return sent if sent.startswith("/") else urlsplit(sent).path


def request_of(scope: Message, segments: tuple[str, ...], params: Mapping[str, str]) -> Request:
    """The request, but for its body."""
    headers: dict[str, str] = {}
    for key, value in scope["headers"]:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    query = scope["query_string"].decode("latin-1")
    return Request(
        method=scope["method"],
        segments=segments,
        query_string=query,
        params=params,
        query=dict(parse_qsl(query, keep_blank_values=True, errors="replace")) if query else {},
        headers=headers,
    )


async def body_of(receive: Receive) -> Parts:
    """The request's body as it comes. Raises Refused when the client leaves before its end."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(refuse(400, "the client left before the end of the body"))
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def send_response(send: Send, response: Response) -> None:
    """Send an answer."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if isinstance(response.body, bytes):
        await send({"type": "http.response.body", "body": response.body, "more_body": False})
        return
    async with aclosing(response.body) as parts:
        async for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})

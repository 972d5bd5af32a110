"""A POST with an `Idempotency-Key` is carried out once; repeated, it is given its first answer again.

1. The answer is recorded in the same commit as what the request did, so both are there after a restart, or neither.
2. Requests with one key take turns: a repetition waits until the first is recorded.
3. A refused request is not remembered: it changed nothing, and may be asked again.
4. A request with a key is carried out whole even if its client leaves, so that no turn overlaps the next.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import trio

from kala_es import limits
from kala_es.runtime.scheduler import Answer, Key
from kala_es.web.exchange import Refused, Request, Response, refuse

_HEADER: Final = "idempotency-key"
_REPLAYED: Final = ("Idempotency-Replayed", "true")
"""A request whose client has left is given up after this long; what it asked of a job is done all the same."""


class KeyLocks:
    """Whose turn it is, by key."""

    def __init__(self) -> None:
        self._locks: dict[str, trio.Lock] = {}

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Hold the key's turn."""
        lock = self._locks.setdefault(key, trio.Lock())
        async with lock:
            try:
                yield
            finally:
                if not lock.statistics().tasks_waiting:
                    del self._locks[key]


def with_key(request: Request) -> Request:
    """The request with its key, if it has one. Raises Refused."""
    text = request.headers.get(_HEADER)
    if text is None or request.method != "POST":
        return request
    if not 0 < len(text) <= limits.MAX_IDEMPOTENCY_KEY_CHARS:
        raise Refused(refuse(400, f"Idempotency-Key: not 1 to {limits.MAX_IDEMPOTENCY_KEY_CHARS} characters"))
    target = f"{request.path}?{request.query_string}".encode()
    return replace(request, key=Key.of(text, request.method.encode(), target, request.body))


async def once(
    key: Key,
    turns: KeyLocks,
    *,
    first: Callable[[Key], Answer | None],
    carry_out: Callable[[], Awaitable[Response]],
) -> Response:
    """The first answer to this key, or that of carrying the request out now. Raises what these raise."""
    async with turns.turn(key.key):
        answer = first(key)
        if answer is not None:
            return Response(status=answer.status, body=answer.body, headers=(*answer.headers, _REPLAYED))
        with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.KEYED_REQUEST_SECONDS):
            return await carry_out()
    raise Refused(refuse(503, "this took too long; ask again with the same key"))


def is_replay(response: Response) -> bool:
    """Whether this is an answer given before."""
    return _REPLAYED in response.headers

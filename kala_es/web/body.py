"""A request's body, read whole within its limits: too large is 413, too slow is 408. A large one becomes a file."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, aclosing
from typing import IO, Final, TypeVar

import trio

from kala_es.runtime.archives import Archives
from kala_es.web.exchange import Parts, Refused, refuse

Result = TypeVar("Result")
_WRITE_BYTES: Final = 1024 * 1024
_IN_A_THREAD_BYTES: Final = 64 * 1024


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


async def parsed(body: bytes, parse: Callable[[bytes], Result]) -> Result:
    """What a parser makes of a body: of a large one in a thread, so that other requests do not wait for it."""
    return parse(body) if len(body) <= _IN_A_THREAD_BYTES else await trio.to_thread.run_sync(parse, body)


async def spool_body(parts: Parts, archives: Archives, *, limit: int, seconds: float) -> IO[bytes]:
    """The body as a file without a name, which the caller closes. Raises Refused."""
    with ExitStack() as undo:
        file = undo.enter_context(archives.spool())
        left, waiting = limit, bytearray()
        with trio.move_on_after(seconds) as scope:
            async with aclosing(parts):
                async for part in parts:
                    waiting += part
                    if len(waiting) > left:
                        raise too_large(limit)
                    if len(waiting) >= _WRITE_BYTES:
                        left -= len(waiting)
                        await _write(file, bytes(waiting), archives)
                        waiting.clear()
            await _write(file, bytes(waiting), archives)
        if scope.cancelled_caught:
            raise Refused(refuse(408, f"the body did not arrive within {seconds:g} seconds"))
        undo.pop_all()
    file.seek(0)
    return file


async def _write(file: IO[bytes], content: bytes, archives: Archives) -> None:
    if not archives.has_room():
        raise Refused(refuse(507, "the disk has no room for this body"))
    await trio.to_thread.run_sync(file.write, content)


def too_large(limit: int) -> Refused:
    """The refusal of a body over the limit."""
    return Refused(refuse(413, f"the body is larger than {limit} bytes"))

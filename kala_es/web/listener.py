"""The serving of an ASGI app on the node's listening sockets until it is told to stop.

Stop: no new connection is accepted, idle ones and event streams are closed, requests under way get `graceful`
seconds, then they are cancelled. No write is shielded, so a client that reads nothing delays nothing; it is cut off
after `limits.STALLED_CLIENT_MS` in any case.
"""

import resource
import sys
from collections.abc import Callable, Sequence
from functools import partial
from time import time
from wsgiref.handlers import format_date_time

import trio
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app

from kala_es import limits
from kala_es.web.asgi import App
from kala_es.web.connection import Connection
from kala_es.web.sockets import url_of


class _Config(Config):
    """Hypercorn's settings. The date is made once a second."""

    keep_alive_timeout = limits.KEEP_ALIVE_SECONDS
    keep_alive_max_requests = sys.maxsize
    accesslog = None
    errorlog = "-"
    include_server_header = False

    def __init__(self) -> None:
        self._dated: tuple[int, list[tuple[bytes, bytes]]] = (0, [])

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """The headers of every answer."""
        now = int(time())
        if self._dated[0] != now:
            self._dated = (now, [(b"date", format_date_time(now).encode())])
        return self._dated[1]


async def serve(
    app: App,
    listeners: Sequence[trio.SocketListener],
    *,
    stop: trio.Event,
    graceful: float = 3.0,
    complain: Callable[[str], None] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve on these until `stop`, and close them; the task's status is the URLs."""
    complain = complain or partial(print, file=sys.stderr, flush=True)
    config, context = _Config(), WorkerContext(None)
    open_now: set[Connection] = set()
    most = max(16, int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * limits.FILES_FOR_CONNECTIONS))

    async def handle(stream: trio.SocketStream) -> None:
        if len(open_now) >= most:
            stream.socket.close()
            return
        connection = Connection(app, stream, config=config, context=context)
        open_now.add(connection)
        try:
            await connection.run(complain)
        finally:
            open_now.discard(connection)

    lifespan = Lifespan(wrap_app(app, 0, "asgi"), config, {})
    async with trio.open_nursery() as living:
        await living.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        async with trio.open_nursery() as serving, trio.open_nursery() as accepting:
            accept = partial(trio.serve_listeners, handle, list(listeners), handler_nursery=serving)
            await accepting.start(accept)
            task_status.started([url_of(listener) for listener in listeners])
            await stop.wait()
            accepting.cancel_scope.cancel()
            await context.terminated.set()
            serving.cancel_scope.deadline = trio.current_time() + graceful
            for connection in tuple(open_now):
                connection.retire()
        await lifespan.wait_for_shutdown()
        living.cancel_scope.cancel()

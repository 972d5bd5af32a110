"""The node's listening sockets. They are had first: a port that is taken is told before anything slow is done."""

from typing import Final

import trio

from kala_es import limits

_TCP_USER_TIMEOUT: Final = 18  # Linux


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Sockets that listen on all addresses of `host`; "" for every address. Raises OSError, naming both."""
    try:
        listeners = list(await trio.open_tcp_listeners(port, host=host or None, backlog=limits.MAX_CONNECTIONS_BACKLOG))
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host or '*'}:{port}: {error.strerror or error}") from error
    for listener in listeners:
        listener.socket.setsockopt(trio.socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, limits.STALLED_CLIENT_MS)
    return listeners


def url_of(listener: trio.SocketListener) -> str:
    """Where a client finds it."""
    host, port = listener.socket.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

"""Who is sent log lines, for tests, on the loopback: syslog by UDP and by a socket's path, Fluent by TCP."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgpack

PATIENCE: Final = 10.0


class Syslog:
    """A socket that takes datagrams: of a path, or a free port of the loopback."""

    def __init__(self, path: Path | None = None) -> None:
        self._socket = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0) if path is None else str(path))
        self._socket.settimeout(PATIENCE)
        self.address = "" if path is not None else f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._got: list[str] = []

    def got(self, count: int) -> list[str]:
        """The first messages, once there are so many."""
        while len(self._got) < count:
            self._got.append(self._socket.recv(65_536).decode())
        return self._got

    def close(self) -> None:
        """Nobody listens any more."""
        self._socket.close()


class _FluentServer(socketserver.TCPServer):
    """One connection after another: so what comes by the later one is later."""

    allow_reuse_address = True
    fluent: "Fluent"


class Fluent:
    """A server that speaks the forward protocol."""

    def __init__(self, port: int = 0) -> None:
        self.got: list[tuple[str, float, dict[str, Any]]] = []
        self._news = threading.Condition()
        self._server = _FluentServer(("127.0.0.1", port), _Forward)
        self._server.fluent = self
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def add(self, tag: str, time: float, event: dict[str, Any]) -> None:
        """Take an event."""
        with self._news:
            self.got.append((tag, time, event))
            self._news.notify_all()

    def events(self, count: int) -> list[tuple[str, float, dict[str, Any]]]:
        """The first events, once there are so many."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.got) >= count, PATIENCE), self.got
        return self.got

    def close(self) -> None:
        """Nobody listens any more."""
        self._server.shutdown()
        self._server.server_close()


class _Forward(socketserver.BaseRequestHandler):
    server: _FluentServer

    def handle(self) -> None:
        unpacker = msgpack.Unpacker()
        with suppress(OSError):
            while received := self.request.recv(65_536):
                unpacker.feed(received)
                for tag, time, event in unpacker:
                    seconds, nanoseconds = (int.from_bytes(time.data[i : i + 4], "big") for i in (0, 4))
                    self.server.fluent.add(tag, seconds + nanoseconds / 1e9, event)


@contextmanager
def syslog(path: Path | None = None) -> Iterator[Syslog]:
    """A syslog server."""
    server = Syslog(path)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def fluent() -> Iterator[Fluent]:
    """A Fluent server."""
    server = Fluent()
    try:
        yield server
    finally:
        server.close()

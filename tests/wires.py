"""A TCP wire between a client and a server, which a test can slow down, silence and cut.

`hush`: what the server says does not come back. `cut` ends what is connected. `refuse`: who connects is hung up on.
"""

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

_PIECE: Final = 65536


@dataclass
class Wire:
    """One that leads to a port on this machine; `port` is where it begins. `delay` in seconds, each way."""

    target: int
    delay: float = 0.0
    port: int = 0
    hush: bool = False
    refuse: bool = False
    sent: int = 0
    """Bytes that the client has sent."""
    _pairs: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    _ended: bool = False

    def cut(self) -> None:
        """End what is connected now."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while not self._ended:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs.append((client, server))
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        """Both ways, each piece at its time."""
        waiting: deque[tuple[float, socket.socket, bytes]] = deque()
        with client, server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            with suppress(OSError):
                while True:
                    pause = max(waiting[0][0] - time.monotonic(), 0) if waiting else None
                    for key, _ in ready.select(pause):
                        source, target = key.fileobj, key.data
                        assert isinstance(source, socket.socket)
                        piece = source.recv(_PIECE)
                        if not piece:
                            return
                        if source is client:
                            self.sent += len(piece)
                        if not (self.hush and source is server):
                            waiting.append((time.monotonic() + self.delay, target, piece))
                    while waiting and waiting[0][0] <= time.monotonic():
                        _, target, piece = waiting.popleft()
                        target.sendall(piece)


@contextmanager
def wire(target: int, *, delay: float = 0.0) -> Iterator[Wire]:
    """A wire, as long as the test needs it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Wire(target, delay=delay, port=listener.getsockname()[1])
        threading.Thread(target=made._accept, args=(listener,), daemon=True).start()
        try:
            yield made
        finally:
            made._ended = True
            made.cut()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)

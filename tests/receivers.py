"""Who is told, for tests: a notifier that does as a script says, and a mail server and a web server on the loopback.

The servers live in threads of their own and keep what they were sent; `say` is what they answer from then on.
"""

import json
import socket
import socketserver
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import trio

from kala_es.domain import events as e
from kala_es.domain.notify import NoticeId
from kala_es.notifier import Message, Sent
from tests.nodes import RunningNode

DELIVERED: Final = Sent(outcome="delivered", status=204)
FAILED: Final = Sent(outcome="failed", status=503, reason="answered 503")
REFUSED: Final = Sent(outcome="refused", reason="never")


@dataclass
class ScriptedNotifier:
    """Tells nobody. What becomes of each message comes from `script`, then from `fate`; each takes `seconds`."""

    script: deque[Sent | Exception] = field(default_factory=deque)
    seconds: float = 0.0
    told: list[Message] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    busy: int = 0
    most: int = 0
    fate: Callable[[], Sent] = lambda: DELIVERED

    async def send(self, message: Message) -> Sent:
        """As the script says."""
        self.times.append(trio.current_time())
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await trio.sleep(self.seconds)
        finally:
            self.busy -= 1
        self.told.append(message)
        said = self.script.popleft() if self.script else self.fate()
        if isinstance(said, Exception):
            raise said
        return said

    @property
    def subjects(self) -> list[str]:
        """What was told, in short."""
        return [message.subject for message in self.told]


def check_notices(node: RunningNode) -> None:
    """Every notice is due once and has attempts 1, 2, 3... to its last; none follows that, none is forgotten."""
    tries: dict[NoticeId, int] = {}
    over: set[NoticeId] = set()
    for recorded in node.history():
        match recorded.event:
            case e.NoticeDue(notice=notice):
                assert notice not in tries, f"{notice} was due already"
                tries[notice] = 0
            case e.NoticeAttempted(notice=notice, attempt=attempt, next_at=again):
                assert notice not in over, f"{notice} was told already"
                assert attempt == tries[notice] + 1
                tries[notice] = attempt
                over.update([notice] if again is None else [])
    waiting = {notice: waits.attempts for notice, waits in node.node.folds.watch.waiting.items()}
    assert waiting == {notice: count for notice, count in tries.items() if notice not in over}


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came: the id that its receiver would know it by, its text, its headers."""

    id: str
    body: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        """The body of a request."""
        return json.loads(self.body)


class _HookServer(ThreadingHTTPServer):
    daemon_threads = True
    hook: "Hook"


class Hook:
    """A web server. `say` is the status of its answers; 0 hangs up, -1 says nothing until it is closed."""

    def __init__(self, port: int = 0) -> None:
        self.say = 200
        self.got: list[Received] = []
        self.quiet = threading.Event()
        self._server = _HookServer(("127.0.0.1", port), _Request)
        self._server.hook = self
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Nobody listens any more."""
        self.quiet.set()
        self._server.shutdown()
        self._server.server_close()


class _Request(BaseHTTPRequestHandler):
    server: _HookServer

    def do_POST(self) -> None:
        hook = self.server.hook
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        hook.got.append(Received(headers.get("idempotency-key", ""), body, headers))
        if hook.say == -1:
            hook.quiet.wait()
        if hook.say <= 0:
            return
        self.send_response(hook.say)
        if hook.say in (302, 307):
            self.send_header("Location", f"{hook.url}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


class _MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    post: "Post"


class Post:
    """A mail server. `say` is its answer to a recipient or, with `after`, to the text; "" says nothing.

    With a certificate (key and certificate in one file) it offers STARTTLS.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.say = "250 OK"
        self.after = False
        self.got: list[Received] = []
        self.logins: list[str] = []
        self.secure: list[bool] = []
        self.quiet = threading.Event()
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self._server = _MailServer(("127.0.0.1", 0), _Session)
        self._server.post = self
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Nobody listens any more."""
        self.quiet.set()
        self._server.shutdown()
        self._server.server_close()


class _Session(socketserver.StreamRequestHandler):
    server: _MailServer

    def handle(self) -> None:
        self.is_secure = False
        with suppress(OSError):
            self._answer("220 here")
            while line := self.rfile.readline().decode("ascii", "replace").strip():
                if not self._take(line):
                    return

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def _answer(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def _take(self, line: str) -> bool:
        post, verb = self.server.post, line.split(" ")[0].upper()
        if verb == "EHLO":
            offers = ["SIZE", "AUTH PLAIN", *(["STARTTLS"] if post.context and not self.is_secure else [])]
            self._answer("250-here\r\n" + "\r\n".join(f"250{' ' if o == offers[-1] else '-'}{o}" for o in offers))
        elif verb == "STARTTLS":
            self._answer("220 go on")
            self._secure()
        elif verb == "AUTH":
            post.logins.append(line)
            self._answer("235 OK" if "bad" not in post.say else "535 no")
        elif verb == "RCPT" and not post.after:
            return self._say()
        elif verb == "DATA":
            self._answer("354 go on")
            return self._text()
        else:
            self._answer("221 bye" if verb == "QUIT" else "250 OK")
        return verb != "QUIT"

    def _say(self) -> bool:
        post = self.server.post
        if not post.say:
            post.quiet.wait()
            return False
        self._answer(post.say)
        return True

    def _text(self) -> bool:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        mail = message_from_bytes(b"".join(lines), policy=default)
        assert isinstance(mail, EmailMessage)
        headers = {name.lower(): str(value) for name, value in mail.items()}
        post = self.server.post
        if post.say.startswith("250"):
            name = headers["message-id"].removeprefix("<").removesuffix("@kala-es>")
            post.got.append(Received(name, mail.get_content().replace("\r\n", "\n"), headers))
            post.secure.append(self.is_secure)
        return self._say()

    def _secure(self) -> None:
        assert self.server.post.context is not None
        self.connection: socket.socket = self.server.post.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)  # type: ignore[assignment]
        self.is_secure = True


@contextmanager
def hook(port: int = 0) -> Iterator[Hook]:
    """A web server."""
    server = Hook(port)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def post(certificate: Path | None = None) -> Iterator[Post]:
    """A mail server."""
    server = Post(certificate)
    try:
        yield server
    finally:
        server.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""What the executor's tests order, of whom, and where the output goes.

A `World` is one adapter of the port and knows how to order the same things of it; requests go to a server on the
loopback that answers with prepared bytes.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import trio
from msgspec.structs import replace

from kala_es import limits
from kala_es.executor import AttemptEnd, Channel, Emit, Executor, Local, Named, NamedExecutor, Order, Remote
from kala_es.executors.http import HttpExecutor
from kala_es.executors.named import NamedWorkExecutor
from kala_es.executors.shell import ShellExecutor
from kala_es.options import Option

_STANDING_BY: Final = (b"postgres", b"playwright", b"tests.warm")
"""What is in the command lines of processes that a suite keeps."""


class Sink:
    """Takes what is emitted."""

    def __init__(self) -> None:
        self.chunks: list[tuple[Channel, bytes]] = []
        self._changed = trio.Event()

    async def emit(self, channel: Channel, content: bytes) -> None:
        assert 1 <= len(content) <= limits.CHUNK_BYTES
        await trio.lowlevel.checkpoint()
        self.chunks.append((channel, content))
        self._changed.set()

    def of(self, channel: Channel) -> bytes:
        return b"".join(content for each, content in self.chunks if each == channel)

    async def until(self, content: bytes) -> None:
        """Until this was written to stdout."""
        while content not in self.of("stdout"):
            self._changed = trio.Event()
            await self._changed.wait()


class World(Protocol):
    """One adapter, and how to order of it what the port's tests need."""

    @property
    def executor(self) -> Executor: ...

    def printing(self, content: bytes) -> Order: ...

    def failing(self) -> Order: ...

    def hanging(self, first: bytes) -> Order: ...

    def other(self) -> Order: ...


def local(command_line: str, **more: object) -> Order:
    fields = {
        name: more.pop(name) for name in ("env", "cwd", "stdin", "shell", "confines", "success_codes") if name in more
    }
    return Order(run="r", attempt=1, work=Local(command_line=command_line, **fields), **more)  # type: ignore[arg-type]


def script(text: str, **more: object) -> Order:
    return local(text, shell=True, **more)


def remote(url: str, method: str = "", body: str = "", **more: object) -> Order:
    return Order(run="r", attempt=1, work=Remote(url=url, method=method, body=body, **more))  # type: ignore[arg-type]


@dataclass
class Processes:
    directory: Path
    executor: Executor = field(default_factory=lambda: ShellExecutor(kill_grace=0.2, pipe_idle=0.1, pipe_linger=0.3))

    def printing(self, content: bytes) -> Order:
        path = self.directory / "content"
        path.write_bytes(content)
        return local(f"cat '{path}'")

    def failing(self) -> Order:
        return local("false")

    def hanging(self, first: bytes) -> Order:
        return script(f"printf {first.decode()}; exec sleep 1000")

    def other(self) -> Order:
        return remote("http://127.0.0.1:1/")


@dataclass
class Request:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each.lower() == name.lower()]


@dataclass
class Server:
    """Answers what `answers` holds for a target: bytes to send, then (when `hang`) nothing more."""

    url: str = ""
    answers: dict[str, bytes] = field(default_factory=dict)
    hang: bool = False
    drip: bytes = b""
    requests: list[Request] = field(default_factory=list)

    async def serve(self, stream: trio.abc.Stream) -> None:
        with suppress(trio.BrokenResourceError):
            request = await self._request(stream)
            self.requests.append(request)
            await stream.send_all(self.answers.get(request.target, answer(404)))
            while self.drip:
                await stream.send_all(self.drip)
                await trio.sleep(0.01)
            if self.hang:
                await stream.receive_some()  # until the other side leaves
            await stream.aclose()

    async def _request(self, stream: trio.abc.Stream) -> Request:
        received = b""
        while b"\r\n\r\n" not in received:
            received += await self._some(stream)
        head, body = received.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [tuple(line.split(": ", 1)) for line in lines]
        headers = [(pair[0], pair[1]) for pair in pairs]
        length = sum(int(value) for name, value in headers if name.lower() == "content-length")
        while len(body) < length:
            body += await self._some(stream)
        method, target, _ = first.split(" ")
        return Request(method, target, headers, body)

    async def _some(self, stream: trio.abc.Stream) -> bytes:
        if not (received := await stream.receive_some(65536)):
            raise trio.BrokenResourceError
        return bytes(received)


def answer(status: int, content: bytes = b"", *, headers: str = "", length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    return f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\n{headers}\r\n".encode() + content


@dataclass
class Requests(Server):
    executor: HttpExecutor = field(default_factory=HttpExecutor)

    def printing(self, content: bytes) -> Order:
        self.answers["/"] = answer(200, content)
        return remote(self.url + "/")

    def failing(self) -> Order:
        return remote(self.url + "/unknown")

    def hanging(self, first: bytes) -> Order:
        self.hang = True
        self.answers["/"] = answer(200, first, length=len(first) + 1)
        return remote(self.url + "/")

    def other(self) -> Order:
        return local("true")


@dataclass
class Parrot:
    """An executor as a package brings it. It says what `says` has, and does then what its config's `then` is."""

    says: bytes = b""

    @property
    def options(self) -> Sequence[Option]:
        return (Option(key="then", about="end, hang or raise", pattern="end|hang|raise"),)

    async def execute(self, order: Order, emit: Emit) -> AttemptEnd:
        assert isinstance(order.work, Named)
        await emit("stdout", self.says)
        match dict(order.work.config).get("then"):
            case "hang":
                await trio.sleep_forever()
            case "raise":
                raise RuntimeError("it is dead")
        return AttemptEnd(outcome="succeeded")


@dataclass
class Packages:
    parrot: Parrot = field(default_factory=Parrot)

    @property
    def executor(self) -> Executor:
        return NamedWorkExecutor(self._find)

    async def _find(self, name: str) -> NamedExecutor:
        await trio.lowlevel.checkpoint()
        return self.parrot

    def printing(self, content: bytes) -> Order:
        self.parrot.says = content
        return named(then="end")

    def failing(self) -> Order:
        return named(then="raise")

    def hanging(self, first: bytes) -> Order:
        self.parrot.says = first
        return named(then="hang")

    def other(self) -> Order:
        return local("true")


def named(**config: str) -> Order:
    return Order(run="r", attempt=1, work=Named(executor="parrot", config=tuple(config.items())))


async def carried_out(world: World, order: Order) -> tuple[AttemptEnd, Sink]:
    """How the attempt ended, whenever that was, and what it wrote."""
    sink = Sink()
    with trio.fail_after(15):
        end = await world.executor.execute(order, sink.emit)
    assert end.since >= 0
    return replace(end, since=0.0), sink


def living(group: int) -> list[int]:
    """The members of a process group that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found


async def gone(group: int) -> None:
    """Until a group that was killed has no member; one that gets KILL still takes a moment to end."""
    with trio.fail_after(5):
        while await trio.to_thread.run_sync(living, group):
            await trio.lowlevel.checkpoint()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> str:
    """The processes that this thread has started and that are not reaped, by pid; but for those that stand by for other
    tests: their PostgreSQL, their browser, what their servers are forked from."""
    pids = Path("/proc/thread-self/children").read_text().split()
    return " ".join(pid for pid in pids if not any(word in _command(pid) for word in _STANDING_BY))


def _command(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "cmdline").read_bytes()
    except OSError:  # it is over
        return b""

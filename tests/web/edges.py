"""The HTTP edge for tests: a node in memory (tests/nodes.py), served on a loopback port, and clients of it."""

import codecs
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import h11
import httpx
import trio

from kala_es.executor import Channel
from kala_es.runtime.scheduler import Rules
from kala_es.storage import Storage
from kala_es.web.app import App, Edge, make_app
from kala_es.web.listener import serve
from kala_es.web.sockets import open_listeners
from tests.nodes import RunningNode, Script, ScriptedShell, running_node

API = "/api/v1"
FAR = "R/2099-01-01T00:00:00Z/P1D"


@dataclass(frozen=True)
class Site:
    """A served node: its parts, and an HTTP client whose base is its address."""

    node: RunningNode
    app: App
    http: httpx.AsyncClient
    port: int
    stop: trio.Event
    complaints: list[str]

    async def create(self, job: str, command: str = "succeeds", **fields: Any) -> None:
        answer = await self.http.post(f"{API}/job/", json=draft(id=job, command=command, **fields))
        assert answer.status_code == 201, (answer.text, self.complaints)

    async def start(self, job: str) -> str:
        """Start a run by hand; its id, at once."""
        answer = await self.http.post(f"{API}/job/start/{job}/", headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"].split("/")[-2]

    async def run_whole(self, job: str) -> str:
        """Start a run, and wait for its end."""
        run = await self.start(job)
        await self.node.scheduler.tree_end(run)  # type: ignore[arg-type]
        return run


@asynccontextmanager
async def serving(
    scripts: Mapping[str, Script] | None = None,
    *,
    storage: Storage | None = None,
    rules: Rules | None = None,
    shell: ScriptedShell | None = None,
    graceful: float = 1.0,
    **edge: Any,
) -> AsyncIterator[Site]:
    """A node that is served on a free port."""
    complaints: list[str] = []
    async with running_node(storage, shell=shell or ScriptedShell(scripts), rules=rules) as node:
        app = make_app(node.scheduler, Edge(complain=complaints.append, **edge))
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            listeners = await open_listeners("127.0.0.1", 0)
            listening = partial(serve, app, listeners, stop=stop, graceful=graceful, complain=complaints.append)
            (url,) = await nursery.start(listening)
            async with httpx.AsyncClient(base_url=url, timeout=20) as http:
                yield Site(node, app, http, int(url.rpartition(":")[2]), stop, complaints)
            stop.set()


def draft(**fields: Any) -> dict[str, Any]:
    """A job as a client sends it."""
    return {"name": "a job", "command": "succeeds", "schedule": FAR, **fields}


def writes(*output: tuple[Channel, bytes], seconds: float = 0.0, **rest: Any) -> Script:
    """An attempt with this output."""
    return Script(output=output, seconds=seconds, **rest)


@dataclass(frozen=True)
class Frame:
    """An event of a text/event-stream."""

    id: int
    event: str
    data: dict[str, Any]


def frames(text: str) -> list[Frame]:
    """The events of a stream's text; comments and what is not an event are passed over."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in lines:
            found.append(Frame(int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


class Stream:
    """An answer that is read a part at a time, and may be left at any moment."""

    def __init__(self, tcp: trio.SocketStream) -> None:
        self._tcp = tcp
        self._h11 = h11.Connection(h11.CLIENT)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""
        self._decode = codecs.getincrementaldecoder("utf-8")().decode

    async def open(self, path: str, headers: Mapping[str, str]) -> None:
        request = h11.Request(method="GET", target=path, headers=[("Host", "localhost"), *headers.items()])
        await self._tcp.send_all(self._h11.send(request) + self._h11.send(h11.EndOfMessage()))
        head = await self._next()
        assert isinstance(head, h11.Response)
        self.status = head.status_code
        self.headers = {name.decode(): value.decode() for name, value in head.headers}

    async def read(self) -> bool:
        """Read one more part into `text`; False at the end."""
        event = await self._next()
        if isinstance(event, h11.Data):
            self.text += self._decode(bytes(event.data))
        return isinstance(event, h11.Data)

    async def read_all(self) -> None:
        """Read to the end."""
        while await self.read():
            pass

    async def _next(self) -> Any:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._h11.receive_data(await self._tcp.receive_some())
        return event

    @property
    def frames(self) -> list[Frame]:
        """The events that are there whole."""
        return frames(self.text[: self.text.rfind("\n\n") + 2])


@asynccontextmanager
async def streaming(site: Site, path: str, **headers: str) -> AsyncIterator[Stream]:
    """A stream, open; leaving the block leaves it."""
    async with await trio.open_tcp_stream("127.0.0.1", site.port) as tcp:
        stream = Stream(tcp)
        await stream.open(path, headers)
        yield stream


async def read_frames(
    site: Site, path: str, *, until: Callable[[list[Frame]], bool] = lambda _: False, **headers: str
) -> list[Frame]:
    """The events of a stream, to its end or until there are enough."""
    async with streaming(site, path, **headers) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        while not until(stream.frames) and await stream.read():
            pass
        return stream.frames


async def raw(site: Site, *parts: bytes, pause: float = 0.0) -> bytes:
    """What the server sends to these bytes until it closes, or is silent for a second."""
    answer = b""
    async with await trio.open_tcp_stream("127.0.0.1", site.port) as stream:
        for part in parts:
            await stream.send_all(part)
            await trio.sleep(pause)
        while True:
            with trio.move_on_after(1) as scope:
                more = await stream.receive_some()
            if scope.cancelled_caught or not more:
                return answer
            answer += more

"""The HTTP edge for tests: a node in memory (tests/nodes.py), served on a loopback port, and clients of it."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import trio

from kala_es.executor import Channel
from kala_es.node import Storage
from kala_es.runtime.scheduler import Rules
from kala_es.web.app import App, Edge, make_app
from kala_es.web.listener import serve
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
        assert answer.status_code == 201, answer.text

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
            listening = partial(serve, app, port=0, stop=stop, graceful=graceful, complain=complaints.append)
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


async def read_frames(
    site: Site, path: str, *, until: Callable[[list[Frame]], bool] = lambda _: False, **headers: str
) -> list[Frame]:
    """The events of a stream, to its end or until there are enough."""
    text = ""
    async with site.http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.status_code
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        async for part in answer.aiter_text():
            text += part
            if until(frames(text[: text.rfind("\n\n") + 2])):
                break
    return frames(text[: text.rfind("\n\n") + 2])


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

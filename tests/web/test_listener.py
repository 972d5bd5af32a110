"""The listening socket and its connections: addresses, keep-alive, pipelines, clients that misbehave, the stop."""

import re
import socket
from functools import partial

import h11
import pytest
import trio

from kala_es import limits
from kala_es.runtime.scheduler import Origin
from kala_es.web import listener
from kala_es.web.listener import serve
from kala_es.web.sockets import open_listeners
from tests.nodes import HANGS
from tests.web.edges import API, draft, raw, serving, streaming

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLOSE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def hello(scope, receive, send) -> None:
    """An app that reads nothing of what it is sent."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_it_listens_where_it_is_told(host, shown):
    async with trio.open_nursery() as nursery:
        stop = trio.Event()
        (url,) = await nursery.start(partial(serve, hello, await open_listeners(host, 0), stop=stop))
        assert url.startswith(f"http://{shown}:")
        async with await trio.open_tcp_stream(host, int(url.rpartition(":")[2])) as stream:
            await stream.send_all(GET)
            assert b"hello" in await stream.receive_some()
        stop.set()


async def test_every_address():
    async with trio.open_nursery() as nursery:
        stop = trio.Event()
        urls = await nursery.start(partial(serve, hello, await open_listeners("", 0), stop=stop))
        assert any("0.0.0.0" in url for url in urls)
        stop.set()


async def test_an_address_in_use_is_refused_by_name():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: .*in use"):
            await open_listeners("127.0.0.1", port)
    with pytest.raises(OSError, match=r"cannot listen on nowhere\.invalid:80"):
        await open_listeners("nowhere.invalid", 80)


async def test_the_sockets_options():
    (listening,) = await open_listeners("127.0.0.1", 0)
    option = listening.socket.getsockopt
    assert option(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    address = listening.socket.getsockname()
    async with listening, await trio.open_tcp_stream(*address), await listening.accept() as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, 18) == limits.STALLED_CLIENT_MS
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_connection_serves_many_requests_also_in_a_pipeline():
    async with serving() as site:
        assert (await raw(site, GET * 5 + CLOSE)).count(b'{"status":"ok"}') == 6
        post = f"POST {API}/job/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        answer = await raw(site, post + GET + CLOSE)
        assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"400", b"200", b"200"]
        drip = await raw(site, *(bytes([byte]) for byte in CLOSE))
        assert drip.count(b'{"status":"ok"}') == 1


async def test_an_expectation_is_met():
    async with serving() as site:
        head = f"POST {API}/job/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        answer = await raw(site, head.encode(), b"{}", pause=0.1)
        assert answer.startswith(b"HTTP/1.1 100")
        assert b"HTTP/1.1 400" in answer


@pytest.mark.parametrize(
    "request_", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"\x16\x03\x01\x00"]
)
async def test_nonsense_is_answered_and_cut_off(request_):
    async with serving() as site:
        answer = await raw(site, request_)
        assert answer.startswith(b"HTTP/1.1 400") or answer == b""
        assert not site.complaints


async def test_no_http_2_and_no_web_socket():
    async with serving() as site:
        upgrade = (
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n"
        )
        assert (await raw(site, upgrade)).startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1" in await raw(site, b"PRI * HTTP/2.0\r\nHost: localhost\r\n\r\nSM\r\n\r\n")
        socket_ = (
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert (await raw(site, socket_)).startswith(b"HTTP/1.1 403")
        assert not site.complaints


async def test_idle_and_half_begun_connections_are_closed(monkeypatch):
    monkeypatch.setattr(listener._Config, "keep_alive_timeout", 0.3)
    monkeypatch.setattr(limits, "REQUEST_HEAD_SECONDS", 0.1)
    async with serving() as site:
        for begun, least, most in ((b"", 0.25, 0.9), (GET[:20], 0.05, 0.29)):
            async with await trio.open_tcp_stream("127.0.0.1", site.port) as stream:
                if begun:
                    await stream.send_all(begun)
                before = trio.current_time()
                with trio.fail_after(2):
                    assert await stream.receive_some() == b""
                assert least < trio.current_time() - before < most
        # one that is being answered is not idle
        await site.create("j", "hangs")
        async with streaming(site, f"{API}/events/") as stream:
            await trio.sleep(0.5)
            await site.create("k")
            while not stream.frames:
                assert await stream.read()


async def test_what_the_app_does_not_read_leaves_nothing_behind():
    """hypercorn's own connection waits for room in a queue that nobody reads any more."""
    async with trio.open_nursery() as nursery:
        stop = trio.Event()
        (url,) = await nursery.start(partial(serve, hello, await open_listeners("127.0.0.1", 0), stop=stop))
        tasks = trio.lowlevel.current_statistics().tasks_living
        async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as stream:
            await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
            answer = b""
            while more := await stream.receive_some():
                answer += more
            assert answer.endswith(b"hello")
        with trio.fail_after(5):
            while trio.lowlevel.current_statistics().tasks_living > tasks:  # noqa: ASYNC110
                await trio.sleep(0.01)
        stop.set()


# The stop


async def test_a_stop_closes_idle_connections_at_once_and_lets_requests_end():
    async with serving({"slow": HANGS}, graceful=5) as site:
        await site.create("j", "slow")
        run = await site.start("j")
        async with await trio.open_tcp_stream("127.0.0.1", site.port) as idle, trio.open_nursery() as nursery:
            await idle.send_all(GET)
            await idle.receive_some()
            answers = []

            async def start() -> None:
                answers.append(await site.http.post(f"{API}/job/start/k/"))

            await site.http.post(f"{API}/job/", json=draft(id="k", command="slow"))
            nursery.start_soon(start)
            await site.node.until(lambda: len(site.node.node.folds.busy) == 2)
            site.stop.set()
            with trio.fail_after(1):
                assert await idle.receive_some() == b""
            with pytest.raises(OSError, match="connect"):
                await trio.open_tcp_stream("127.0.0.1", site.port)
            for _, one in list(site.node.node.folds.busy):
                await site.node.scheduler.cancel(one.id, Origin())
        assert [answer.status_code for answer in answers] == [204]
        assert run


async def test_a_stop_ends_streams_at_once():
    async with serving(graceful=10) as site, streaming(site, f"{API}/events/") as stream:
        site.stop.set()
        with trio.fail_after(2), pytest.raises(h11.RemoteProtocolError):
            await stream.read_all()


async def test_a_stop_does_not_wait_for_ever():
    async with serving({"hangs": HANGS}, graceful=0.3) as site:
        await site.create("j", "hangs")
        await site.http.post(f"{API}/job/bulk/", json=[draft(stdin="x" * 5_000) for _ in range(1_000)])
        async with (
            await trio.open_tcp_stream("127.0.0.1", site.port) as waiting,
            await trio.open_tcp_stream("127.0.0.1", site.port) as deaf,
        ):
            await waiting.send_all(f"POST {API}/job/start/j/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await deaf.send_all(f"GET {API}/job/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())  # and reads nothing
            await trio.sleep(0.2)
            site.stop.set()
            with trio.fail_after(2):
                assert await waiting.receive_some() == b""

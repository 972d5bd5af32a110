"""What the edge refuses before it looks at what is asked: foreign hosts and pages, bodies too large or too slow."""

import json

import pytest
import trio

from kala_es import limits
from kala_es.web.edge import Edge
from kala_es.web.guards import check
from tests.web.edges import API, draft, raw, serving

EDGE = Edge(allowed_hosts=("kala.example", "with.port:81"), allowed_origins=("https://ui.example",))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "127.0.0.1",
        "10.1.2.3:80",
        "[::1]",
        "[fe80::1]:8000",
        "kala.example",
        "Kala.Example:8443",
        "with.port:81",
    ],
)
def test_hosts_that_may_be_called(host):
    assert check("GET", {"host": host}, EDGE) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "kala.example.evil",
        "with.port",
        "with.port:82",
        "::1",
        "[127.0.0.1]",
        "[::1",
        "localhost:x",
        "user@localhost",
        "0x7f.1",
        "127.0.0.1, evil.example",
    ],
)
def test_hosts_that_may_not(host):
    refused = check("GET", {"host": host}, EDGE)
    assert refused is not None
    assert refused.status == 403
    assert b"the Host" in refused.body


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8000", "localhost:8000"),
        ("HTTP://LocalHost", "localhost"),
        ("http://localhost:80", "localhost"),
        ("https://kala.example", "kala.example"),
        ("https://kala.example", "kala.example:443"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://ui.example", "localhost:8000"),
    ],
)
def test_origins_that_may_ask(origin, host):
    assert check("POST", {"host": host, "origin": origin}, EDGE) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("null", "localhost"),
        ("", "localhost"),
        ("http://localhost", "localhost:8000"),
        ("https://localhost", "localhost:80"),
        ("http://evil.example", "localhost"),
        ("http://localhost.evil.example", "localhost"),
        ("http://localhost@evil.example", "localhost"),
        ("http://localhost/", "localhost"),
        ("ftp://localhost", "localhost"),
        ("localhost", "localhost"),
        ("https://ui.example:444", "localhost"),
        ("http://localhost, http://evil.example", "localhost"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_origins_that_may_not(method, origin, host):
    refused = check(method, {"host": host, "origin": origin}, EDGE)
    assert refused is not None
    assert (refused.status, b"the Origin" in refused.body) == (403, True)


def test_a_cross_site_request_may_only_read():
    headers = {"host": "localhost", "sec-fetch-site": "cross-site"}
    assert check("GET", headers, EDGE) is None
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        refused = check(method, headers, EDGE)
        assert refused is not None
        assert refused.status == 403
    assert check("POST", {**headers, "sec-fetch-site": "same-origin"}, EDGE) is None


@pytest.mark.parametrize(
    ("dest", "origin", "may"),
    [
        ("document", None, True),
        ("image", None, False),
        ("iframe", None, False),
        ("empty", None, False),
        ("empty", "https://ui.example", True),
    ],
)
def test_a_foreign_page_may_lead_here_and_load_nothing(dest, origin, may):
    headers = {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-dest": dest}
    refused = check("GET", headers | ({"origin": origin} if origin else {}), EDGE)
    assert (refused is None) == may


async def test_every_path_is_guarded():
    async with serving() as site:
        for method, path in (
            ("GET", f"{API}/job/"),
            ("POST", f"{API}/job/"),
            ("GET", "/nowhere"),
            ("DELETE", f"{API}/job/all/"),
        ):
            refused = await site.http.request(method, path, headers={"Host": "evil.example"})
            assert refused.status_code == 403, path
            assert refused.headers["Content-Type"] == "application/json"
            assert "Host" in refused.json()["error"]
        foreign = await site.http.post(f"{API}/job/", json=draft(), headers={"Origin": "http://evil.example"})
        assert foreign.status_code == 403
        assert (await site.http.get(f"{API}/job/")).json() == {"jobs": {}}
        assert b" 400 " in (await raw(site, b"GET / HTTP/1.1\r\n\r\n")).split(b"\r\n")[0]
        assert b" 403 " in (await raw(site, b"GET / HTTP/1.0\r\n\r\n")).split(b"\r\n")[0]


# Bodies

DIRECT, BEHIND = f"{API}/job/", f"{API}/job/j/params/"


@pytest.mark.parametrize(("method", "path"), [("POST", DIRECT), ("PUT", BEHIND)])
async def test_a_body_over_the_limit_is_refused(method, path):
    async with serving() as site:
        await site.create("j", type=1, remote_properties={"url": "http://example.org"})
        large = b"x" * (limits.MAX_BODY_BYTES + 1)
        told = await site.http.request(method, path, content=large)
        assert (told.status_code, told.headers["Content-Type"]) == (413, "application/json")
        assert str(limits.MAX_BODY_BYTES) in told.json()["error"]

        async def chunks():
            for _ in range(40):
                yield b"x" * 65536

        chunked = await site.http.request(method, path, content=chunks())
        assert chunked.status_code == 413
        assert not site.complaints
        assert (await site.http.get("/healthz")).status_code == 200


async def test_a_body_at_the_limit_is_taken():
    async with serving() as site:
        rest = limits.MAX_BODY_BYTES - len(json.dumps(draft(id="j", stdin="")))
        await site.create("j", stdin="")
        body_ = json.dumps(draft(id="k", stdin="x" * rest)).encode()
        assert len(body_) == limits.MAX_BODY_BYTES
        assert (await site.http.post(DIRECT, content=body_)).status_code == 201
        async with serving() as other:
            await other.create("j", type=1, remote_properties={"url": "http://example.org"})
            assert (await other.http.put(BEHIND, content=b"y" * limits.MAX_BODY_BYTES)).status_code == 204


async def test_a_bulk_body_has_a_limit_of_its_own():
    async with serving() as site:
        many = "\n".join(json.dumps(draft(stdin="x" * 100_000)) for _ in range(12)).encode()
        assert len(many) > limits.MAX_BODY_BYTES
        assert len((await site.http.post(f"{API}/job/bulk/", content=many)).json()["ids"]) == 12


@pytest.mark.parametrize(("method", "path"), [("POST", DIRECT), ("PUT", BEHIND)])
async def test_a_slow_body_is_given_up(method, path):
    async with serving(body_seconds=0.2) as site:
        await site.create("j", type=1, remote_properties={"url": "http://example.org"})
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nxx".encode()
        answer = await raw(site, head)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"0.2 seconds" in answer


async def test_an_early_answer_reaches_a_client_that_is_still_sending():
    async with serving() as site:
        head = f"POST {DIRECT} HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 5000000\r\n\r\n".encode()
        async with await trio.open_tcp_stream("127.0.0.1", site.port) as stream:
            await stream.send_all(head)
            for _ in range(50):
                await stream.send_all(b"x" * 100_000)
            answer = b""
            with trio.fail_after(5):
                while more := await stream.receive_some():
                    answer += more
        assert answer.startswith(b"HTTP/1.1 403")
        assert b"evil.example" in answer

"""What a remote job may say of its request and of the answer: the body that it expects, leniency, TLS, debugging."""

import os
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from kala_es import limits
from kala_es.executor import AttemptEnd, Remote, Tls
from tests.conformance.executor_worlds import Requests, answer, carried_out, children, descriptors, remote


@asynccontextmanager
async def listening(context: ssl.SSLContext | None = None) -> AsyncIterator[Requests]:
    """A server that answers; by TLS if there is a context."""
    world = Requests()
    async with trio.open_nursery() as nursery:
        serve = (
            partial(trio.serve_tcp, world.serve, 0, host="127.0.0.1")
            if context is None
            else partial(trio.serve_ssl_over_tcp, world.serve, 0, context, host="127.0.0.1")
        )
        listeners = await nursery.start(serve)
        transport = listeners[0] if context is None else listeners[0].transport_listener
        world.url = f"http{'s' * (context is not None)}://127.0.0.1:{transport.socket.getsockname()[1]}"
        await world.executor.validate(Remote(url="", method="", body=""))  # opens the client, which takes its time
        yield world
        await world.executor.aclose()
        nursery.cancel_scope.cancel()


@pytest.fixture
async def server() -> AsyncIterator[Requests]:
    async with listening() as world:
        yield world


# What is expected of an answer


@pytest.mark.parametrize(
    ("pattern", "body", "found"),
    [
        ("ok", b"all is ok\n", True),
        ("OK", b"all is ok\n", False),
        ("(?i)OK", b"all is ok\n", True),
        ("^line 2$", b"line 1\nline 2\n", False),
        ("(?m)^line 2$", b"line 1\nline 2\n", True),
        (r"it's \"(\d+)\" $HOME `x` \\", b'it\'s "42"  `x` \\', False),
        (r"it's \"(\d+)\" \$HOME `x` \\", b'it\'s "42" $HOME `x` \\', True),
        ("\u00e4{2}", "\u00e4\u00e4".encode(), True),
        ("\ufffd", b"\xff", True),
        ("a\nb", b"a\nb", True),
        (r"\d", "\u0663".encode(), False),
        ("^$", b"", True),
        (".", b"", False),
        ("--help", b"--help", True),
        (r"a\x00b", b"a\0b", True),
    ],
)
async def test_what_is_expected_is_looked_for_in_the_body(
    server: Requests, pattern: str, body: bytes, *, found: bool
) -> None:
    server.answers["/"] = answer(200, body)
    end, sink = await carried_out(server, remote(server.url + "/", expected_body=pattern))
    failed = AttemptEnd(
        outcome="failed", http_status=200, reason="expected_body was not found in the body of the answer"
    )
    assert end == (AttemptEnd(outcome="succeeded", http_status=200) if found else failed)
    assert sink.of("stdout") == body


async def test_a_status_is_looked_at_first(server: Requests) -> None:
    server.answers["/"] = answer(201, b"ok")
    end, _ = await carried_out(server, remote(server.url + "/", expected_body="ok"))
    assert end == AttemptEnd(outcome="failed", http_status=201, reason="answered 201, expected 200")


async def test_only_the_first_part_of_a_body_is_searched(server: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEARCHED_BODY_BYTES", 100_000)
    for size, outcome in ((99_999, "succeeded"), (100_000, "failed")):
        server.answers["/"] = answer(200, b"." * size + b"x" * 100_000)
        end, sink = await carried_out(server, remote(server.url + "/", expected_body="x"))
        assert end.outcome == outcome
        assert len(sink.of("stdout")) == size + 100_000
    assert end.reason == "expected_body was not found in the first 100000 bytes of the answer"


@pytest.mark.slow
async def test_a_search_that_takes_too_long_is_ended_and_holds_up_nobody(
    server: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEARCH_CPU_SECONDS", 1)
    server.answers["/"] = answer(200, b"a" * 60 + b"!")
    turns, ends = 0, []

    async def search() -> None:
        ends.append((await carried_out(server, remote(server.url + "/", expected_body="(a+)+$")))[0])
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(search)
        while True:
            await trio.sleep(0.01)
            turns += bool(children())
    assert [(end.outcome, end.reason) for end in ends] == [
        ("failed", "to look for expected_body took more than 1 s of CPU time")
    ]
    assert turns > 10
    assert not children()


async def test_a_search_that_needs_too_much_memory_fails(server: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEARCH_MEMORY_BYTES", 1024 * 1024)
    server.answers["/"] = answer(200, b"ok")
    end, _ = await carried_out(server, remote(server.url + "/", expected_body="ok"))
    assert end.outcome == "failed"
    assert end.reason.startswith("expected_body could not be looked for: ")


async def test_a_search_is_ended_with_its_attempt(server: Requests) -> None:
    server.answers["/"] = answer(200, b"a" * 60 + b"!")
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carried_out, server, remote(server.url + "/", expected_body="(a+)+$"))
            while not children():  # noqa: ASYNC110 - nobody tells when there is one
                await trio.sleep(0.01)
            scope.cancel()
    assert scope.cancelled_caught
    assert not children()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, ""),
        (204, ""),
        (404, ""),
        (499, ""),
        (500, "answered 500, expected less than 500"),
        (503, "answered 503, expected less than 500"),
    ],
)
async def test_a_lenient_request_fails_by_an_error_of_the_server_alone(
    server: Requests, status: int, reason: str
) -> None:
    server.answers["/"] = answer(status)
    end, _ = await carried_out(server, remote(server.url + "/", lenient=True))
    assert end == AttemptEnd(outcome="failed" if reason else "succeeded", http_status=status, reason=reason)
    strict, _ = await carried_out(server, remote(server.url + "/"))
    assert (strict.outcome == "succeeded") == (status == 200)


async def test_a_header_is_sent_whole(server: Requests) -> None:
    headers = (("X-Link", "http://x:1/y?z=a:b"), ("X-Time", "12:30:00"))
    await carried_out(server, remote(server.url + "/", headers=headers))
    assert [server.requests[0].all(name) for name, _ in headers] == [[value] for _, value in headers]


# The lines to debug


async def test_the_output_begins_with_the_exchange(server: Requests) -> None:
    server.answers["/a?b=c"] = answer(200, b"ok\n", headers="Set-Cookie: s=secret\r\nX-Odd: a: b\r\n")
    headers = (("Authorization", "Bearer secret"), ("cookie", "s=secret"), ("X-Own", "1"))
    order = remote(server.url + "/a?b=c", "put", "{}", headers=headers, debug=True, expected_body="^ok")
    end, sink = await carried_out(server, order)
    assert end == AttemptEnd(outcome="succeeded", http_status=200)
    lines = sink.of("stdout").decode().split("\n")
    asked = [line for line in lines if line.startswith("> ")]
    answered = [line for line in lines if line.startswith("< ")]
    assert lines == [*asked, *answered, "ok", ""]
    assert (asked[0], asked[-1]) == ("> PUT /a?b=c HTTP/1.1", "> ")
    host = server.url.removeprefix("http://")
    assert {f"> Host: {host}", "> Authorization: (not shown)", "> cookie: (not shown)", "> X-Own: 1"} < set(asked)
    assert answered == [
        "< HTTP/1.1 200 X",
        "< Content-Length: 3",
        "< Set-Cookie: (not shown)",
        "< X-Odd: a: b",
        "< ",
    ]
    assert server.requests[0].all("authorization") == ["Bearer secret"]


async def test_redirects_are_shown_in_their_order(server: Requests) -> None:
    server.answers["/"] = answer(302, headers="Location: /there\r\n")
    server.answers["/there"] = answer(200, b"here")
    _, sink = await carried_out(server, remote(server.url + "/", debug=True))
    heads = [line for line in sink.of("stdout").decode().split("\n") if "HTTP/1.1" in line or line == "here"]
    assert heads == ["> GET / HTTP/1.1", "< HTTP/1.1 302 X", "> GET /there HTTP/1.1", "< HTTP/1.1 200 X", "here"]


async def test_a_request_without_an_answer_is_shown(server: Requests) -> None:
    server.hang, server.answers["/"] = True, b""
    end, sink = await carried_out(server, replace(remote(server.url + "/", debug=True), timeout=0.3))
    assert end.outcome == "timed-out"
    assert sink.of("stdout").startswith(b"> GET / HTTP/1.1\n")
    end, sink = await carried_out(server, remote("http://127.0.0.1:1/", debug=True))
    assert end.reason.startswith("the request failed: ")
    assert sink.of("stdout").startswith(b"> GET / HTTP/1.1\n")


async def test_long_lines_leave_in_chunks_and_take_no_room_of_the_body(
    server: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_REMOTE_OUTPUT_BYTES", 10)
    server.answers["/"] = answer(200, b"0123456789", headers=f"X-Long: {'x' * 40_000}\r\n")
    end, sink = await carried_out(server, remote(server.url + "/", debug=True))
    assert end == AttemptEnd(outcome="succeeded", http_status=200)
    assert sink.of("stdout").endswith(b"< X-Long: " + b"x" * 40_000 + b"\n< \n0123456789")


async def test_the_question_before_a_job_is_made_is_not_debugged(server: Requests) -> None:
    server.answers["/validate"] = answer(200, b"true")
    work = Remote(url=server.url, method="", body="", debug=True, expected_body="no such", lenient=True)
    assert await server.executor.validate(work) == ""


# TLS


class Papers:
    """An authority of our own, and what it vouches for: a server at 127.0.0.1, and a client with its key."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        ours = ["-addext", "basicConstraints=critical,CA:TRUE"]
        self._openssl("req", "-x509", *new, "-subj", "/CN=authority", *ours, "-keyout", "ca.key", "-out", "ca.pem")
        for name, more in (("server", ["-addext", "subjectAltName=IP:127.0.0.1"]), ("client", [])):
            self._openssl("req", *new, "-subj", f"/CN={name}", *more, "-keyout", f"{name}.key", "-out", f"{name}.csr")
            signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-copy_extensions", "copy"]
            self._openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-days", "2", "-out", f"{name}.pem")
        whole = (directory / "client.pem").read_text() + (directory / "client.key").read_text()
        (directory / "both.pem").write_text(whole)
        locked = ["-aes128", "-passout", "pass:secret", "-out", "locked.key"]
        self._openssl("ec", "-in", "client.key", *locked)
        (directory / "junk.pem").write_text("junk")

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.directory)

    def of(self, name: str) -> str:
        """The path of a file."""
        return str(self.directory / name)

    def context(self, *, asks: bool = False) -> ssl.SSLContext:
        """The server's; `asks` for a certificate of the client."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.of("server.pem"), self.of("server.key"))
        context.load_verify_locations(self.of("ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
        return context


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    if shutil.which("openssl") is None:
        assert "CI" not in os.environ, "CI needs openssl (Debian: openssl)"
        pytest.skip("there is no openssl to make certificates with")
    return Papers(tmp_path_factory.mktemp("papers"))


async def test_the_other_side_is_trusted_as_the_request_says(papers: Papers) -> None:
    async with listening(papers.context()) as server:
        order = server.printing(b"secret")
        untrusted, _ = await carried_out(server, order)
        assert untrusted.outcome == "failed"
        assert untrusted.reason.startswith("the request failed: ")
        assert "certificate verify failed" in untrusted.reason
        for tls in (Tls(ca_file=papers.of("ca.pem")), Tls(verify=False), Tls(verify=False, ca_file="/nowhere")):
            end, sink = await carried_out(server, remote(server.url + "/", tls=tls))
            assert (end, sink.of("stdout")) == (AttemptEnd(outcome="succeeded", http_status=200), b"secret"), tls
        wrong, _ = await carried_out(server, remote(server.url + "/", tls=Tls(ca_file=papers.of("client.pem"))))
        assert "certificate verify failed" in wrong.reason
        again, _ = await carried_out(server, order)
        assert again == untrusted, "what one request trusts, no other does"


async def test_a_name_that_is_not_the_certificates_is_refused(papers: Papers) -> None:
    async with listening(papers.context()) as server:
        server.printing(b"x")
        url = server.url.replace("127.0.0.1", "localhost") + "/"
        end, _ = await carried_out(server, remote(url, tls=Tls(ca_file=papers.of("ca.pem"))))
        assert "certificate verify failed" in end.reason
        end, _ = await carried_out(server, remote(url, tls=Tls(verify=False)))
        assert end.outcome == "succeeded"


async def test_a_request_shows_its_certificate(papers: Papers) -> None:
    ca = papers.of("ca.pem")
    async with listening(papers.context(asks=True)) as server:
        server.printing(b"x")
        server.answers["/validate"] = answer(200, b"true")
        without, _ = await carried_out(server, remote(server.url + "/", tls=Tls(ca_file=ca)))
        assert without.outcome == "failed"
        apart = Tls(
            ca_file=ca, client_certificate_file=papers.of("client.pem"), client_key_file=papers.of("client.key")
        )
        for tls in (apart, Tls(ca_file=ca, client_certificate_file=papers.of("both.pem"))):
            end, _ = await carried_out(server, remote(server.url + "/", tls=tls))
            assert end.outcome == "succeeded", end.reason
        assert await server.executor.validate(Remote(url=server.url, method="", body="", tls=apart)) == ""


NO_PEM = "no PEM, or a key with a password"
UNUSABLE = [
    ({"ca_file": "nowhere"}, "ca_file {nowhere} cannot be read (No such file or directory)"),
    ({"ca_file": "."}, "ca_file {.} cannot be read (Is a directory)"),
    ({"ca_file": "junk.pem"}, "ca_file {junk.pem} cannot be used (no certificate or crl found)"),
    (
        {"client_certificate_file": "nowhere"},
        "client_certificate_file {nowhere} cannot be read (No such file or directory)",
    ),
    (
        {"client_certificate_file": "client.pem", "client_key_file": "nowhere"},
        "client_key_file {nowhere} cannot be read (No such file or directory)",
    ),
    (
        {"client_certificate_file": "junk.pem"},
        f"client_certificate_file {{junk.pem}} with its key cannot be used ({NO_PEM})",
    ),
    (
        {"client_certificate_file": "client.pem"},
        f"client_certificate_file {{client.pem}} with its key cannot be used ({NO_PEM})",
    ),
    (
        {"client_certificate_file": "client.pem", "client_key_file": "locked.key"},
        f"client_certificate_file {{client.pem}} with its key cannot be used ({NO_PEM})",
    ),
    (
        {"client_certificate_file": "client.pem", "client_key_file": "server.key"},
        "client_certificate_file {client.pem} with its key cannot be used (key values mismatch)",
    ),
]


@pytest.mark.parametrize(("files", "reason"), UNUSABLE)
async def test_a_file_that_is_of_no_use_is_the_reason(
    papers: Papers, server: Requests, files: dict[str, str], reason: str
) -> None:
    paths: dict[str, Any] = {key: papers.of(name) for key, name in files.items()}
    tls = Tls(**paths)
    reason = re.sub(r"\{(.*)\}", lambda match: papers.of(match[1]), reason)
    end, sink = await carried_out(server, remote(server.url + "/", tls=tls))
    assert end == AttemptEnd(outcome="failed", reason=reason)
    assert not sink.chunks
    said = await server.executor.validate(Remote(url=server.url, method="", body="", tls=tls))
    assert said == "/validate: " + reason


async def test_nothing_stays_open_of_a_request_with_its_own_tls(papers: Papers) -> None:
    async with listening(papers.context()) as server:
        server.hang = True
        server.answers["/"] = answer(200, b"x", length=2)
        order = replace(remote(server.url + "/", tls=Tls(ca_file=papers.of("ca.pem"))), timeout=0.3)
        await carried_out(server, order)
        before = descriptors()
        end, sink = await carried_out(server, order)
        assert (end.outcome, sink.of("stdout")) == ("timed-out", b"x")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert descriptors() == before


async def test_certificates_on_a_disk_that_hangs_hold_up_no_other_request(server: Requests, tmp_path: Path) -> None:
    pipe = tmp_path / "ca.pem"
    os.mkfifo(pipe)  # who opens it waits for a writer
    hanging = replace(remote(server.url + "/", tls=Tls(ca_file=str(pipe))), timeout=0.01)
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(carried_out, server, hanging)
    assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
    end, _ = await carried_out(server, remote(server.url + "/"))
    assert end.http_status is not None
    while True:  # let each go on that waits
        try:
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            break
        await trio.sleep(0.01)

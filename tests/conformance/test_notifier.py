"""The notifier's conformance suite: what every adapter of the port keeps, then what only mail or requests have.

A `World` is an adapter with somebody to tell, who can be made to take things, to fail, or to say nothing.
"""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest
import trio

from kala_es.notifier import Message, Notifier, Sent
from kala_es.notifiers.smtp import Mailer, SmtpNotifier, mailer_of
from kala_es.notifiers.webhook import WebhookNotifier
from kala_es.settings import Settings
from tests.programs import needs
from tests.receivers import FAILED, Hook, Post, Received, ScriptedNotifier, free_port, hook, post

PATIENCE: Final = 30.0
TEXT: Final = "It's over:\n\u00fcber 3 \u2264 4 \u00ab\U0001f600\u00bb\n.\n..two\n" + "long " * 400 + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An adapter; where it can tell somebody; what he got; how he is made to fail, and to say nothing."""

    notifier: Notifier
    to: str
    got: Callable[[], list[Received]]
    fail: Callable[[], None]
    hush: Callable[[], None]

    async def tell(self) -> Sent:
        with trio.fail_after(PATIENCE):
            return await self.notifier.send(Message(id="id-1", to=self.to, subject="job n failed", body=TEXT))


def scripted() -> World:
    notifier = ScriptedNotifier()

    def hush() -> None:
        notifier.seconds = 1e9

    return World(
        notifier=notifier,
        to="https://example.com/",
        got=lambda: [Received(m.id, m.body, {}) for m in notifier.told],
        fail=lambda: notifier.script.append(FAILED),
        hush=hush,
    )


def webhook(server: Hook) -> World:
    def say(status: int) -> None:
        server.say = status

    return World(
        notifier=WebhookNotifier(),
        to=server.url,
        got=lambda: server.got,
        fail=lambda: say(500),
        hush=lambda: say(-1),
    )


def mail(server: Post, **fields: object) -> World:
    def say(answer: str) -> None:
        server.say = answer

    settings = {"host": "127.0.0.1", "port": server.port, "from_address": "kala@example.com", "skip_verify": True}
    return World(
        notifier=SmtpNotifier(Mailer(**{**settings, **fields})),  # type: ignore[arg-type]
        to="mailto:ops@example.com",
        got=lambda: server.got,
        fail=lambda: say("451 later"),
        hush=lambda: say(""),
    )


@pytest.fixture
def web() -> Iterator[Hook]:
    with hook() as server:
        yield server


@pytest.fixture
def mailbox() -> Iterator[Post]:
    with post() as server:
        yield server


@pytest.fixture(params=["scripted", "webhook", "smtp"])
def world(request: pytest.FixtureRequest, web: Hook, mailbox: Post) -> World:
    worlds = {"scripted": scripted, "webhook": lambda: webhook(web), "smtp": lambda: mail(mailbox)}
    return worlds[request.param]()


# The port


async def test_what_is_delivered_is_there_with_its_id(world: World) -> None:
    sent = await world.tell()
    assert (sent.outcome, sent.reason) == ("delivered", "")
    (got,) = world.got()
    assert (got.id, got.body) == ("id-1", TEXT)


async def test_what_is_told_again_has_the_same_id(world: World) -> None:
    await world.tell()
    await world.tell()
    assert [got.id for got in world.got()] == ["id-1", "id-1"]


async def test_what_fails_says_why_and_may_go_better_later(world: World) -> None:
    world.fail()
    sent = await world.tell()
    assert sent.outcome == "failed"
    assert sent.reason
    assert sent.status in (451, 500, 503)


async def test_a_receiver_that_says_nothing_can_be_left(world: World) -> None:
    world.hush()
    with trio.move_on_after(0.2) as patience:
        await world.notifier.send(Message(id="id-1", to=world.to, subject="s", body="b"))
    assert patience.cancelled_caught


async def test_several_are_told_at_a_time(world: World) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(world.tell)
    assert len(world.got()) == 5


# Requests


async def test_a_request_has_the_job_s_headers_and_ours(web: Hook) -> None:
    world = webhook(web)
    await world.notifier.send(
        Message(id="id-1", to=world.to, subject="s", body="b", headers=(("Authorization", "Bearer x"),))
    )
    headers = web.got[0].headers
    assert headers["authorization"] == "Bearer x"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == "id-1"
    await world.notifier.send(
        Message(id="id-1", to=world.to, subject="s", body="b", headers=(("content-TYPE", "text/plain"),))
    )
    assert web.got[1].headers["content-type"] == "text/plain"


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [
        (204, "delivered", ""),
        (302, "failed", "answered 302, and redirects are not followed"),
        (404, "failed", "answered 404"),
        (500, "failed", "answered 500"),
    ],
)
async def test_what_an_answer_means(web: Hook, status: int, outcome: str, reason: str) -> None:
    web.say = status
    assert await webhook(web).tell() == Sent(outcome=outcome, status=status, reason=reason)  # type: ignore[arg-type]
    assert len(web.got) == 1


async def test_a_connection_that_breaks_off_is_a_failure(web: Hook) -> None:
    web.say = 0
    sent = await webhook(web).tell()
    assert (sent.outcome, sent.status) == ("failed", None)
    assert "the request failed" in sent.reason


@pytest.mark.parametrize("to", ["http://127.0.0.1:{}/", "http://\udcff/", "https://127.0.0.1:{}/", "gopher://x/"])
async def test_a_url_that_nobody_serves_is_a_failure(to: str) -> None:
    sent = await WebhookNotifier().send(Message(id="i", to=to.format(free_port()), subject="s", body="b"))
    assert sent.outcome == "failed"
    assert sent.reason.startswith("the request failed: ")


# Mail


async def test_a_mail_says_who_and_what(mailbox: Post) -> None:
    await mail(mailbox).tell()
    headers = mailbox.got[0].headers
    assert headers["from"] == "kala@example.com"
    assert headers["to"] == "ops@example.com"
    assert headers["subject"] == "job n failed"
    assert headers["auto-submitted"] == "auto-generated"
    assert headers["message-id"] == "<id-1@kala-es>"
    assert headers["date"]


async def test_who_has_a_name_and_password_logs_in(mailbox: Post) -> None:
    world = mail(mailbox, username="u", password="pass")
    assert (await world.tell()).outcome == "delivered"
    assert len(mailbox.logins) == 1
    assert "pass" not in repr(Mailer(password="pass"))
    mailbox.say = "535 bad"
    sent = await world.tell()
    assert (sent.outcome, sent.status, sent.reason) == ("failed", 535, "no")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("say", "outcome"), [("550 nobody here", "refused"), ("452 no room", "failed")])
async def test_what_is_refused_for_good_is_not_tried_again(
    mailbox: Post, say: str, outcome: str, *, after: bool
) -> None:
    mailbox.say, mailbox.after = say, after
    sent = await mail(mailbox).tell()
    assert sent == Sent(outcome=outcome, status=int(say[:3]), reason=say[4:])  # type: ignore[arg-type]


async def test_without_a_server_mail_is_refused() -> None:
    sent = await SmtpNotifier().send(Message(id="i", to="mailto:a@b", subject="s", body="b"))
    assert sent == Sent(outcome="refused", reason="no mail server is set (--mailer-host)")


@pytest.mark.parametrize("port", [465, None])
async def test_a_server_that_is_down_is_a_failure(port: int | None) -> None:
    mailer = Mailer(host="127.0.0.1", port=port or free_port(), from_address="a@b")
    sent = await SmtpNotifier(mailer).send(Message(id="i", to="mailto:a@b", subject="s", body="b"))
    assert (sent.outcome, sent.status) == ("failed", None)
    assert "refused" in sent.reason


async def test_a_server_without_tls_is_not_spoken_to(mailbox: Post) -> None:
    sent = await mail(mailbox, skip_verify=False, username="u", password="secret").tell()
    assert sent.outcome == "failed"
    assert "STARTTLS" in sent.reason
    assert mailbox.logins == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and its certificate for 127.0.0.1 in one file."""
    openssl = needs("openssl", "openssl")
    pem = tmp_path / "server.pem"
    wish = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]
    made = [openssl, "req", "-x509", *wish, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "-", "-out", "-"]
    pem.write_bytes(subprocess.run(made, check=True, capture_output=True, cwd=tmp_path).stdout)
    return pem


async def test_a_server_with_tls_is_spoken_to_behind_it(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with post(certificate) as server:
        sent = await mail(server, skip_verify=False).tell()
        assert sent.outcome == "failed"
        assert "certificate verify failed" in sent.reason
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert (await mail(server, skip_verify=False, username="u", password="p").tell()).outcome == "delivered"
        monkeypatch.delenv("SSL_CERT_FILE")
        assert (await mail(server).tell()).outcome == "delivered"
        assert server.secure == [True, True]


def test_the_settings_name_the_server(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from the file\n")
    settings = Settings(mailer_host="h", mailer_port=25, mailer_username="u", mailer_password="p")
    mailer = mailer_of(settings)
    assert (mailer.host, mailer.port, mailer.username, mailer.password) == ("h", 25, "u", "p")
    assert mailer.from_address.startswith("kala_es@")
    assert mailer_of(replace(settings, mailer_password_file=secret)).password == "from the file"
    with pytest.raises(FileNotFoundError):
        mailer_of(replace(settings, mailer_password_file=tmp_path / "nowhere"))

"""A real server, a real mail server and a real web server: who is told of a failure, also after kill -9."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.receivers import Hook, Post, hook, post
from tests.servers import DidNotStart, Server, eventually
from tests.system.lives import Lives

pytestmark = pytest.mark.system


@pytest.fixture
def web() -> Iterator[Hook]:
    with hook() as server:
        yield server


@pytest.fixture
def mailbox() -> Iterator[Post]:
    with post() as server:
        yield server


@pytest.fixture
def lives(tmp_path: Path, mailbox: Post) -> Iterator[Lives]:
    """A server that mails. Its file is as NextKala's, in TOML."""
    config = tmp_path / "kala.toml"
    config.write_text(
        f'[mailer]\nhost = "127.0.0.1"\nport = {mailbox.port}\nusername = "u"\npassword = "hush-hush"\n'
        'fromAddress = "kala@example.com"\nskipVerify = true\n'
    )
    with Lives(tmp_path / "server", "--config", str(config), "--default-owner", "ops@example.com", "--verbose") as life:
        yield life


def notices(lives: Lives, state: str) -> list[dict[str, object]]:
    status, answer = lives.call("GET", f"/api/v1/notices/?state={state}")
    assert status == 200, answer
    return list(answer["notices"])


def test_a_failure_is_mailed_and_posted(lives: Lives, web: Hook, mailbox: Post) -> None:
    told = [{"to": "mail"}, {"to": web.url, "headers": {"Authorization": "Bearer x"}}]
    job = lives.make(name="b\u00fcild", command="echo oh no; exit 3", shell=True, notify=told)
    lives.run_now(job)
    eventually(lambda: len(notices(lives, "delivered")) == 2)
    (mail,), (request,) = mailbox.got, web.got
    assert mail.headers["subject"] == "kala_es: job b\u00fcild failed"
    assert (mail.headers["to"], mail.headers["from"]) == ("ops@example.com", "kala@example.com")
    assert "oh no" in mail.body
    assert "Exit code: 3" in mail.body
    assert (request.json["job_id"], request.json["exit_code"], request.json["output"]) == (job, 3, "oh no\n")
    assert (request.json["id"], request.headers["authorization"]) == (request.id, "Bearer x")
    kept = b"".join(
        file.read_bytes() for file in lives.data.rglob("*") if file.is_file() and file.stat().st_size < 1 << 28
    )
    assert kept
    assert b"hush-hush" not in kept
    assert "hush-hush" not in lives.server.stderr + lives.server.stdout


def test_the_owner_is_mailed_as_the_original_does(lives: Lives, mailbox: Post) -> None:
    lives.run_now(lives.make(command="false"))
    lives.run_now(lives.make(command="false", notify=[]))
    lives.run_now(lives.make(command="true"))
    eventually(lambda: len(notices(lives, "delivered")) == 1)
    assert len(mailbox.got) == 1


def test_what_kill_9_left_undelivered_is_delivered_by_the_next_life(lives: Lives, web: Hook, mailbox: Post) -> None:
    web.say, mailbox.say = -1, ""
    lives.run_now(lives.make(command="false", notify=[{"to": web.url}, {"to": "mailto:a@example.com"}]))
    eventually(lambda: len(web.got) == 1 and len(notices(lives, "waiting")) == 2)
    lives.server.kill9()
    web.say, mailbox.say = 200, "250 OK"
    lives.again()
    eventually(lambda: len(notices(lives, "delivered")) == 2)
    first, again = web.got
    assert (first.id, first.body) == (again.id, again.body)
    assert len(mailbox.got) == 1


def test_what_is_wrong_about_the_mail_server_is_said(tmp_path: Path) -> None:
    with pytest.raises(DidNotStart, match=r"exit code 1: kala-es: .*nowhere"):
        Server.start(tmp_path / "a", "--mailer-host", "h", "--mailer-password-file", str(tmp_path / "nowhere"))
    with pytest.raises(DidNotStart, match=r"exit code 2: kala-es: --notify-url: 'ftp://x' is not an http or https URL"):
        Server.start(tmp_path / "b", "--notify-url", "ftp://x")
    config = tmp_path / "kala.toml"
    config.write_text("[mailer]\npassword = 123456\n")
    with pytest.raises(DidNotStart) as refusal:
        Server.start(tmp_path / "c", "--config", str(config))
    assert "123456" not in str(refusal.value)
    assert "mailer_password" in str(refusal.value)
    config.write_text('[mailer]\nhots = "x"\n')
    with pytest.raises(DidNotStart, match="no setting 'mailer_hots'"):
        Server.start(tmp_path / "d", "--config", str(config))

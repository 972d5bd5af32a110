"""A server whose log is in PostgreSQL: its flags, its life, what is lost with a directory, and every verb."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.databases import PASSWORD, Postgres, postgres, schema_of, shared
from tests.programs import needs
from tests.servers import DidNotStart, Server, eventually, kala_es
from tests.system.faults import family
from tests.system.lives import FAR, JOB, Lives, keeping
from tests.system.test_archive import done

pytestmark = pytest.mark.system
SECRETS = (PASSWORD, "se%20cret", "se cret")


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """A server on an empty log."""
    with Lives(tmp_path / "server", *keeping("postgres", tmp_path)) as running:
        yield running


def certify(directory: Path) -> None:
    """A key and a certificate for this machine, signed by itself."""
    names = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(directory / "server.key"), "-out", str(directory / "server.crt"))
    command = [
        needs("openssl", "openssl"),
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        *names,
        *files,
    ]
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def secured(directory: Path) -> Iterator[Postgres]:
    """A server that speaks TLS."""
    with postgres() as server:
        certify(directory)
        for name in ("server.key", "server.crt"):
            kept = server.directory / "data" / name
            shutil.copy(directory / name, kept)
            kept.chmod(0o600)
            if server.user is not None:
                os.chown(kept, server.user, -1)
        server.stop()
        server.start(["ssl=on"])
        yield server


def log_url(lives: Lives) -> str:
    return lives.args[1]


def test_nextkalas_flags_name_the_database_and_no_password_is_shown(tmp_path: Path) -> None:
    server, secret, name = shared(), tmp_path / "secret", schema_of(tmp_path)
    server.create(name=name)
    secret.write_text(f"{PASSWORD}\n")
    address = ("--jobdb", "postgres", "--jobdb-address", f"127.0.0.1:{server.port}/{name}", "--jobdb-username", "kala")
    with Lives(tmp_path / "file", *address, "--jobdb-password-file", str(secret), cold=True) as lives:
        job = lives.make(command="env; cat /proc/$PPID/environ", shell=True)
        lives.run_now(job)
        with pytest.raises(DidNotStart, match=r"exit code 1: kala-es: The log in \S+ is in use by another server: "):
            Server.start(tmp_path / "second", *address, "--jobdb-password-file", str(secret))
        kala_es("export", str(tmp_path / "a.kala"), "--server", lives.server.url)
        arguments = "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in family(lives.server.pid))
        shown = [lives.server.stderr, lives.server.stdout, lives.server.get("/debug/vars").body.decode()]
        printed = lives.runs(job)[0]["output"]
        assert not any(secret in text for secret in SECRETS for text in (*shown, printed, arguments))
    with Lives(tmp_path / "flag", *address, "--jobdb-password", PASSWORD) as lives:
        assert lives.job(job)["id"] == job
    with pytest.raises(
        DidNotStart, match="has no log, and what else is there is of the log in postgresql://"
    ) as refused:
        Server.start(tmp_path / "flag", "--jobdb", "lmdb")
    assert PASSWORD not in str(refused.value)
    environment = {"KALA_ES_JOBDB": "postgres", "KALA_ES_JOBDB_URL": server.url(name=name)}
    with Server.start(tmp_path / "variable", env=environment) as again:
        assert job in again.get(JOB).json["jobs"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--jobdb", "boltdb"], "--jobdb: 'boltdb' is none of lmdb, postgres"),
        (["--jobdb-address", "h/d"], "--jobdb-address: is for --jobdb postgres"),
        (["--jobdb-password", "hush"], "--jobdb-password: is for --jobdb postgres"),
        (["--log", "mysql://u:hush@h/d"], "log is not a URL that begins with postgresql://"),
        (["--log", "postgresql://u:hush/x@h/d"], "is percent-encoded (@ is %40, / is %2F)"),
        (["--log", "postgresql://u:x@hush@h/d"], "is percent-encoded (@ is %40, / is %2F)"),
        (["--log", "postgresql://u:hush@h/d", "--jobdb-url", "postgresql://h/d"], "--log and --jobdb-url both name"),
        (
            ["--log", "postgresql://u:hush@h/d", "--jobdb-username", "u"],
            "for a database that is given without a URL",
        ),
    ],
)
def test_flags_that_contradict_each_other_are_refused(tmp_path: Path, flags: list[str], sentence: str) -> None:
    with pytest.raises(DidNotStart, match="exit code 2") as refusal:
        Server.start(tmp_path, *flags)
    assert sentence in str(refusal.value)
    assert "hush" not in str(refusal.value)


def test_what_is_wrong_with_the_database_is_said_at_the_start(tmp_path: Path) -> None:
    for url, reason in (
        (shared().url("wr0ng"), 'password authentication failed for user "kala"'),
        (shared().url(name="nowhere"), 'database "nowhere" does not exist'),
        (shared().url(port=9), "Connection refused"),
        (f"{shared().url()}?sslmode=require", "server does not support SSL"),
        (f"{shared().url()}?sslmod=require", "invalid URI query parameter"),
    ):
        with pytest.raises(DidNotStart, match=r"exit code 1: kala-es: The log in ") as refusal:
            Server.start(tmp_path, "--log", url)
        said = str(refusal.value)
        assert reason in said
        assert "Traceback" not in said
        assert not any(secret in said for secret in (*SECRETS, "wr0ng"))


def test_nothing_is_lost_with_the_data_directory(lives: Lives) -> None:
    parent = lives.make(command="echo so it was")
    child = lives.make(parent_jobs=[parent], schedule="")
    lives.run_now(parent)
    before = [lives.call("GET", path) for path in (JOB, f"{JOB}{parent}/executions/", f"{JOB}{child}/executions/")]
    assert lives.server.stop() == 0
    shutil.rmtree(lives.data)
    lives.again()
    paths = (JOB, f"{JOB}{parent}/executions/", f"{JOB}{child}/executions/")
    assert [lives.call("GET", path) for path in paths] == before
    assert lives.runs(parent)[0]["output"] == "so it was"


def test_a_run_outlives_its_server(lives: Lives, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job = lives.start(f"echo begun; until [ -e {go} ]; do sleep 0.05; done; echo ended")
    lives.printed(job)
    lives.kill_and_restart()
    go.touch()
    assert [(run["outcome"], run["output"]) for run in lives.ended(job)] == [("succeeded", "begun\nended")]


def test_every_verb_reads_it(lives: Lives, tmp_path: Path) -> None:
    archive, url = tmp_path / "a.kala", log_url(lives)
    job = lives.make(command="echo so it was")
    lives.run_now(job)
    end = done("export", str(archive), "--server", lives.server.url)
    assert done("verify", "--log", url, "--folds", str(lives.data)) == end
    assert done("verify", str(archive), "--against", end) == end
    assert done("export", str(tmp_path / "b.kala"), "--log", url) == end
    events = [json.loads(line) for line in kala_es("replay", "events", "--log", url, "--job", job).stdout.splitlines()]
    assert [event["type"] for event in events][:2] == ["JobCreated", "RunStarted"]
    assert job in json.loads(kala_es("replay", "show", "--log", url, "jobs").stdout)["jobs"]
    at = events[0]["position"]
    assert lives.call("GET", f"{JOB}{job}/?at={at}")[1]["job"]["metadata"]["success_count"] == 0
    assert kala_es("compact", "--server", lives.server.url).returncode == 0
    refused = kala_es("compact", "--log", url)
    assert (refused.returncode, "in use by another server" in refused.stderr) == (1, True)
    assert not any(secret in refused.stderr for secret in SECRETS)
    other = shared().create(name=f"{schema_of(tmp_path)}-2")
    done("restore", "--log", url, "--until", str(at), "--into", other)
    with Lives(tmp_path / "other", "--log", other) as copy:
        assert copy.runs(job) == []
    assert done("import", str(archive), "--data", str(tmp_path / "back" / "data")) == end
    with Lives(tmp_path / "back", *keeping("lmdb", tmp_path)) as back:
        assert back.runs(job)[0]["output"] == "so it was"


def test_a_verb_takes_the_password_from_where_a_server_does(lives: Lives, tmp_path: Path) -> None:
    job, secret, wrong = lives.make(), tmp_path / "secret", tmp_path / "wrong"
    secret.write_text(f"{PASSWORD}\n")
    bare = log_url(lives).replace(":se%20cret%2F%40@", "@")
    for url, told in (
        (bare, {"KALA_ES_JOBDB_PASSWORD": PASSWORD}),
        (bare, {"KALA_ES_JOBDB_PASSWORD_FILE": str(secret)}),
        (log_url(lives), {"KALA_ES_JOBDB_PASSWORD": "the server's of another log"}),
    ):
        assert job in kala_es("replay", "events", "--log", url, env=told).stdout
        assert kala_es("verify", "--log", url, env=told).returncode == 0
    for words in (("verify",), ("replay", "events")):
        refused = kala_es(*words, "--log", bare, env={"KALA_ES_JOBDB_PASSWORD_FILE": str(wrong)})
        assert (refused.returncode, f"{wrong}: No such file" in refused.stderr) == (1, True), refused.stderr
        assert "Traceback" not in refused.stderr


def test_who_follows_is_told_at_once(lives: Lives) -> None:
    flags = ("--log", log_url(lives), "--follow", "--type", "JobCreated")
    command = [sys.executable, "-m", "kala_es", "replay", "events", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        try:
            assert following.stdout is not None
            for _ in range(3):
                job = lives.make()
                assert json.loads(following.stdout.readline())["stream"].endswith(job)
        finally:
            following.terminate()


def test_what_a_run_printed_is_redacted_from_the_tables(lives: Lives) -> None:
    job = lives.make(command="head -c 20000 /dev/zero | tr '\\0' s; printf hush-%s hush", shell=True)
    lives.run_now(job)
    run = lives.runs(job)[0]["id"]
    assert kala_es("redact", "--run", run, "--reason", "a secret", "--server", lives.server.url).returncode == 0
    name = log_url(lives).rpartition("/")[2]
    assert shared().execute("SELECT count(*) FROM kala_es.log WHERE position('hush-hush' IN value) > 0", name) == "0\n"
    assert lives.call("GET", f"{JOB}{job}/executions/{run}/output/")[0] == 410
    assert not list(lives.data.rglob("redacting"))


def test_an_idle_server_asks_less_than_once_a_second(lives: Lives) -> None:
    lives.make(schedule=FAR)
    name = log_url(lives).rpartition("/")[2]
    asked = f"SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{name}'"
    time.sleep(2)
    before = int(shared().execute(asked))
    time.sleep(10)
    assert int(shared().execute(asked)) - before < 10


def test_retention_makes_room_in_the_tables(tmp_path: Path) -> None:
    with Lives(tmp_path / "server", *keeping("postgres", tmp_path), "--keep-runs", "1") as lives:
        talkative = lives.make(command="head -c 3000000 /dev/zero")
        for _ in range(4):
            lives.run_now(talkative)
        assert eventually(lambda: sum(run["output_trimmed"] for run in lives.runs(talkative)) == 3)
        name = log_url(lives).rpartition("/")[2]
        size = "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
        before = int(shared().execute(size, name))
        assert eventually(
            lambda: (
                kala_es("compact", "--server", lives.server.url).returncode == 0
                and int(shared().execute(size, name)) < before / 2
            )
        )
        lives.kill_and_restart()
        assert len(lives.runs(talkative)) == 4


def test_tls_is_spoken_as_the_url_says(tmp_path: Path) -> None:
    with secured(tmp_path) as server:
        trusted = f"sslmode=verify-ca&sslrootcert={tmp_path / 'server.crt'}"
        with Lives(tmp_path / "trusted", "--log", f"{server.url()}?{trusted}") as lives:
            lives.make()
            assert server.execute("SELECT count(*) > 1 FROM pg_stat_ssl WHERE ssl") == "t\n"
        (tmp_path / "other").mkdir()
        certify(tmp_path / "other")
        other = f"sslmode=verify-ca&sslrootcert={tmp_path / 'other' / 'server.crt'}"
        with pytest.raises(DidNotStart, match="certificate verify failed"):
            Server.start(tmp_path / "untrusted", "--log", f"{server.url()}?{other}")


def test_an_archive_becomes_the_log_of_a_server_that_runs_and_of_one_that_is_stopped(
    lives: Lives, tmp_path: Path
) -> None:
    archive = tmp_path / "a.kala"
    with Lives(tmp_path / "other") as other:
        job = other.make(command="echo so it was")
        other.run_now(job)
        end = done("export", str(archive), "--server", other.server.url)
    assert done("import", str(archive), "--server", lives.server.url) == end
    assert done("verify", "--log", log_url(lives), "--folds", str(lives.data), "--against", end) == end
    assert lives.runs(job)[0]["output"] == "so it was"
    assert not (lives.data / "incoming").exists()
    refused = kala_es("import", str(archive), "--server", lives.server.url, "--on-conflict", "fail")
    assert (refused.returncode, "409: there is a job" in refused.stderr) == (1, True), refused.stderr
    empty = shared().create(name=f"{schema_of(tmp_path)}-2")
    with Lives(tmp_path / "third", "--log", empty) as third:
        assert third.server.stop() == 0
        assert done("import", str(archive), "--log", empty) == end
        third.again()
        assert third.runs(job)[0]["output"] == "so it was"


def test_an_empty_database_is_refused_beside_a_directory_with_a_log(tmp_path: Path) -> None:
    archive, empty = str(tmp_path / "a.kala"), shared().create(name=schema_of(tmp_path))
    with Lives(tmp_path / "server", *keeping("lmdb", tmp_path)) as lives:
        job = lives.make(command="echo so it was")
    with pytest.raises(DidNotStart, match=r"kala-es: The log in \S+ is empty, and \S+ has a log"):
        Server.start(tmp_path / "server", "--log", empty)
    done("export", archive, "--data", str(lives.data))
    done("import", archive, "--log", empty)
    with Server.start(tmp_path / "server", "--log", empty) as server:
        assert job in server.get(JOB).json["jobs"]

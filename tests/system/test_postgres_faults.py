"""PostgreSQL fails under a server: a clear answer, nothing acknowledged lost or doubled, then it goes on by itself."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest

from kala_es.event_logs.postgres_reader import PostgresReader
from tests.databases import PASSWORD, Postgres, postgres, schema_of, shared
from tests.programs import needs
from tests.receivers import free_port
from tests.servers import DidNotStart, Server, eventually
from tests.system.faults import disk
from tests.system.lives import FAR, JOB, Lives
from tests.system.test_kill import kill_rounds
from tests.wires import Wire, wire

pytestmark = [pytest.mark.system, pytest.mark.slow]
ROUNDS = int(os.environ.get("KILL_ROUNDS", "4"))
BODY = {"name": "t", "command": "true", "schedule": FAR}
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'kala'"


@pytest.fixture
def server() -> Iterator[Postgres]:
    """One that a test may harm."""
    with postgres() as running:
        yield running


def is_ready(lives: Lives) -> bool:
    return lives.server.get("/readyz").status == 200


def test_a_restart_of_the_database_is_waited_for_and_nobody_sees_an_error(server: Postgres, tmp_path: Path) -> None:
    with Lives(tmp_path / "server", "--log", server.url()) as lives:
        job = lives.start(f"echo begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo ended")
        lives.printed(job)
        made: list[str] = []
        server.stop()
        creator = threading.Thread(target=lambda: made.extend(lives.make() for _ in range(3)))
        creator.start()
        (tmp_path / "go").touch()
        assert eventually(lambda: not is_ready(lives))
        server.start()
        creator.join(30)
        assert len(made) == 3
        assert [(run["outcome"], run["output"]) for run in lives.ended(job)] == [("succeeded", "begun\nended")]
        assert eventually(lambda: is_ready(lives))
        lives.kill_and_restart()
        assert set(lives.call("GET", JOB)[1]["jobs"]) == {job, *made}


def test_who_follows_the_log_waits_for_the_database(server: Postgres, tmp_path: Path) -> None:
    with Lives(tmp_path / "server", "--log", server.url()) as lives:
        words = ("replay", "events", "--log", server.url(), "--follow", "--type", "JobCreated")
        command = [sys.executable, "-m", "kala_es", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
            try:
                assert following.stdout is not None
                assert following.stderr is not None
                for _ in range(2):
                    made = [lives.make() for _ in range(2)]
                    told = [json.loads(following.stdout.readline())["stream"] for _ in made]
                    assert told == [f"job:{job}" for job in made]
                    server.stop()
                    assert "cannot be read: " in following.stderr.readline()
                    server.start()
            finally:
                following.terminate()


@pytest.mark.soak
def test_while_the_database_is_away_for_long_changes_are_refused_and_reading_goes_on(
    server: Postgres, tmp_path: Path
) -> None:
    with Lives(tmp_path / "server", "--log", server.url()) as lives:
        marks = tmp_path / "marks"
        job = lives.make(command=f"echo >> {marks}", shell=True)
        running = lives.start(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo ended")
        server.stop()
        assert eventually(lambda: not is_ready(lives))
        status, answer = lives.call("POST", JOB, BODY)
        assert status == 503
        assert "the log's database is away: " in answer["error"]
        assert lives.call("GET", f"{JOB}{job}/")[0] == 200
        assert not is_ready(lives)
        assert lives.server.get("/healthz").status == 200
        (tmp_path / "go").touch()
        began = time.monotonic()
        assert lives.call("POST", JOB, BODY)[0] == 503
        assert time.monotonic() - began < 4, "it waited for what is known to be away"
        server.start()
        assert eventually(lambda: is_ready(lives))
        assert [run["outcome"] for run in lives.ended(running)] == ["succeeded"]
        lives.run_now(job)
        assert marks.read_text() == "\n"
        before = lives.call("GET", JOB)[1]["jobs"]
        lives.kill_and_restart()
        assert lives.call("GET", JOB)[1]["jobs"].keys() == before.keys()


@contextmanager
def read_only(server: Postgres) -> Iterator[str]:
    """Nothing can be written there."""
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    server.execute("SELECT pg_reload_conf()")
    yield "the server is read-only at present"
    server.execute("ALTER SYSTEM RESET default_transaction_read_only")
    server.execute("SELECT pg_reload_conf()")


@contextmanager
def locked(server: Postgres) -> Iterator[str]:
    """A statement takes longer than it may."""
    with psycopg.connect(server.url(name="kala")) as other:
        other.execute("LOCK TABLE kala_es.log IN EXCLUSIVE MODE")
        yield "canceling statement due to statement timeout"


@contextmanager
def other_password(server: Postgres) -> Iterator[str]:
    """The one that the node was told is wrong by now."""
    before = server.password
    server.execute(f"ALTER ROLE kala PASSWORD 'other'; {END_SESSIONS}")
    server.password = "other"
    yield 'password authentication failed for user "kala"'
    server.execute(f"ALTER ROLE kala PASSWORD '{before}'")
    server.password = before


@contextmanager
def moved(server: Postgres) -> Iterator[str]:
    """The database is not there any more."""
    server.execute(f"ALTER DATABASE kala ALLOW_CONNECTIONS false; {END_SESSIONS}")
    server.execute("ALTER DATABASE kala RENAME TO other")
    yield 'database "kala" does not exist'
    server.execute("ALTER DATABASE other RENAME TO kala; ALTER DATABASE kala ALLOW_CONNECTIONS true")


@pytest.mark.soak
@pytest.mark.parametrize("fault", [read_only, locked, other_password, moved])
def test_what_may_pass_is_named_and_waited_for_and_nothing_is_lost_or_done_twice(
    server: Postgres, tmp_path: Path, fault: Callable[[Postgres], AbstractContextManager[str]]
) -> None:
    url = f"{server.create(name='kala')}?options=-c%20statement_timeout%3D500"
    with Lives(tmp_path / "server", "--log", url) as lives:
        marks = tmp_path / "marks"
        job = lives.start(f"echo >> {marks}; echo begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo ended")
        lives.printed(job)
        answers: list[tuple[int, dict[str, str]]] = []
        with fault(server) as reason:
            creator = threading.Thread(target=lambda: answers.append(lives.call("POST", JOB, BODY)))
            creator.start()
            assert eventually(lambda: not is_ready(lives))
            (tmp_path / "go").touch()
            status, answer = lives.call("POST", JOB, BODY)
            assert (status, "the log's database is away: " in answer["error"]) == (503, True)
            assert reason in answer["error"]
            assert lives.call("GET", f"{JOB}{job}/")[0] == 200
        creator.join(30)
        assert eventually(lambda: is_ready(lives))
        assert [(run["outcome"], run["output"]) for run in lives.ended(job)] == [("succeeded", "begun\nended")]
        lives.kill_and_restart()
        assert set(lives.call("GET", JOB)[1]["jobs"]) == {job, *(said["id"] for code, said in answers if code == 201)}
        assert marks.read_text() == "\n"
        assert PASSWORD not in lives.server.stderr


@pytest.mark.soak
def test_twenty_milliseconds_away_and_cut_off_under_load_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    name = schema_of(tmp_path)
    shared().create(name=name)
    with (
        wire(shared().port, delay=0.01) as line,
        Lives(tmp_path / "server", "--log", shared().url(port=line.port, name=name)) as lives,
    ):
        assert is_ready(lives)
        kill_rounds(lives, tmp_path / "marks", ROUNDS, disturb=lambda number: cut_off(line))
        assert is_ready(lives)


def cut_off(line: Wire) -> None:
    """Again and again; clients see nothing of it."""
    for _ in range(3):
        line.cut()
        time.sleep(0.3)


@pytest.mark.soak
def test_a_stop_does_not_wait_for_a_database_that_is_away_and_runs_go_on(server: Postgres, tmp_path: Path) -> None:
    with Lives(tmp_path / "server", "--log", server.url()) as lives:
        job = lives.start(f"echo begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo ended")
        lives.printed(job)
        server.stop()
        lives.server.terminate()
        assert lives.server.wait(60) == 1
        assert "cannot be written: " in lives.server.stderr
        assert "Traceback" not in lives.server.stderr
        with pytest.raises(DidNotStart, match=r"cannot be opened: connection failed: .* Connection refused"):
            lives.again()
        server.start()
        lives.again()
        (tmp_path / "go").touch()
        assert [(run["outcome"], run["output"]) for run in lives.ended(job)] == [("succeeded", "begun\nended")]


@pytest.mark.soak
def test_a_full_disk_of_the_database_refuses_new_work_and_keeps_ends_until_there_is_room(
    server: Postgres, tmp_path: Path
) -> None:
    with disk(tmp_path / "disk", 4 << 20) as small:
        os.chown(small, server.user or os.getuid(), -1)
        for parent in (tmp_path, *list(tmp_path.parents)[:3]):
            parent.chmod(0o755)
        server.execute(f"CREATE TABLESPACE small LOCATION '{small}'")
        url = server.create(name="full")
        server.execute('ALTER DATABASE "full" SET default_tablespace TO small')
        with Lives(tmp_path / "server", "--log", url) as lives:
            job = lives.make(command="echo so it was")
            talkative = lives.make(command=f"head -c 8000000 /dev/urandom; touch {tmp_path}/ended", shell=True)
            asked = lives.server.request("POST", f"{JOB}start/{talkative}/", headers={"Prefer": "respond-async"})
            assert asked.status == 202
            status, answer = eventually(lambda: full(lives))
            assert status == 507
            assert re.search("No space left on device|the disk of the log is full", answer["error"])
            assert not is_ready(lives)
            assert lives.call("GET", f"{JOB}{job}/")[0] == 200
            subprocess.run(["mount", "-o", f"remount,size={64 << 20}", str(small)], check=True)
            run = lives.ended(talkative)[0]
            assert (run["outcome"], run["stdout_bytes"]) == ("succeeded", 8_000_000)
            lives.run_now(job)
            assert eventually(lambda: is_ready(lives))
            lives.kill_and_restart()
            assert lives.runs(job)[0]["output"] == "so it was"
        server.execute('DROP DATABASE "full"')
        server.execute("DROP TABLESPACE small")


def full(lives: Lives) -> tuple[int, dict[str, str]] | None:
    answer = lives.server.send("POST", JOB, {**BODY, "name": "x" * 900})
    return (answer.status, answer.json) if answer.status == 507 else None


@pytest.mark.soak
def test_a_standby_is_refused_until_it_is_promoted(server: Postgres, tmp_path: Path) -> None:
    with Lives(tmp_path / "server", "--log", server.url()) as lives:
        job = lives.make(command="echo so it was")
        lives.run_now(job)
        with standby(server) as second:
            with pytest.raises(DidNotStart, match="this server is a read-only replica; name the primary"):
                Server.start(tmp_path / "other", "--log", second.url())
            with PostgresReader(second.database()) as reader:
                for _ in range(2):
                    reader.wait(0.0)  # which a replica does not help with
                assert reader.head > 0
            lives.run_now(job)
            caught_up = "SELECT pg_last_wal_replay_lsn() >= '{}'::pg_lsn"
            end = server.execute("SELECT pg_current_wal_lsn()").strip()
            assert eventually(lambda: second.execute(caught_up.format(end)) == "t\n")
            server.kill9()
            second.execute("SELECT pg_promote()")
            with Lives(tmp_path / "other", "--log", second.url()) as other:
                assert [run["output"] for run in other.runs(job)] == ["so it was"] * 2
                assert other.make()
        server.start()


@contextmanager
def standby(primary: Postgres) -> Iterator[Postgres]:
    """A replica that follows a server."""
    copy = primary.directory / "standby"
    copy.mkdir()
    if primary.user is not None:
        os.chown(copy, primary.user, -1)
    second = Postgres(free_port(), copy, primary.user)
    flags = ("-D", str(copy / "data"), "-R", "-c", "fast", "-d", primary.url())
    subprocess.run([needs("pg_basebackup", "postgresql"), *flags], user=primary.user, check=True, capture_output=True)
    second.start()
    try:
        yield second
    finally:
        second.stop()


def test_nothing_acknowledged_is_lost_at_kill_9_of_the_database_and_of_the_server_in_turn(
    server: Postgres, tmp_path: Path
) -> None:
    with Lives(tmp_path / "server", "--log", server.url()) as lives:
        kill_rounds(lives, tmp_path / "marks", ROUNDS, disturb=lambda number: kill_in_turn(server, number))


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_at_kill_9_of_both_in_turn_for_long(server: Postgres, tmp_path: Path) -> None:
    with Lives(tmp_path / "server", "--log", server.url()) as lives:
        rounds = 20 * int(os.environ.get("SOAK_ROUNDS", "1"))
        kill_rounds(lives, tmp_path / "marks", rounds, disturb=lambda number: kill_in_turn(server, number))


def kill_in_turn(server: Postgres, number: int) -> None:
    """In every other round the database dies under the load; clients go on when it is back."""
    if number % 2:
        server.kill9()
        server.start()
        time.sleep(0.5)

"""A server's life: start, a second one, a full disk, lost folds, missed ticks, settings."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.servers import ROOT, DidNotStart, Server, eventually, kala_es
from tests.system.lives import FAR, JOB, Lives

pytestmark = pytest.mark.system


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """A server on an empty directory."""
    with Lives(tmp_path / "server") as running:
        yield running


def test_missed_ticks_are_made_up_once_or_not_at_all(lives: Lives) -> None:
    start = (datetime.now(UTC) + timedelta(seconds=0.8)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    made_up = lives.make(schedule=f"R/{start}/PT1000H")
    left = lives.make(schedule=f"R/{start}/PT1000H", resume_at_next_scheduled_time=True)
    lives.server.kill9()
    time.sleep(1.0)
    lives.again()
    eventually(lambda: [r["outcome"] for r in lives.runs(made_up)] == ["succeeded"])
    assert lives.runs(made_up)[0]["cause"] == "catch-up"
    assert lives.runs(left) == []


def test_a_second_server_on_the_same_directory_ends_with_one_sentence(lives: Lives) -> None:
    command = [sys.executable, "-m", "kala_es", "serve", "--port", "0", "--data", str(lives.data)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "in use" in second.stderr
    assert lives.call("GET", "/api/v1/stats/")[0] == 200


def test_a_port_in_use_is_said_in_one_sentence_and_starts_nothing(lives: Lives, tmp_path: Path) -> None:
    with pytest.raises(DidNotStart, match=f"cannot listen on 127.0.0.1:{lives.server.port}"):
        Server.start(tmp_path / "other", "--port", str(lives.server.port), cold=True)


def test_it_says_over_dkrons_api_on_which_port_it_listens(lives: Lives) -> None:
    leader = lives.call("GET", "/v1/leader")[1]
    assert (leader["Port"], leader["Tags"]["rpc_addr"]) == (lives.server.port, f"127.0.0.1:{lives.server.port}")


@pytest.mark.files("how long they may get")
def test_a_full_disk_refuses_new_work_loses_nothing_and_recovers(lives: Lives) -> None:
    kept = lives.make()
    size = max(p.stat().st_size for p in (lives.data / "log").iterdir())
    resource.prlimit(lives.server.pid, resource.RLIMIT_FSIZE, (size + 64 * 1024, resource.RLIM_INFINITY))
    made = []
    for _ in range(400):
        body = {"name": "x" * 900, "command": "true", "schedule": FAR}
        status, answer = lives.call("POST", JOB, body)
        if status != 201:
            break
        made.append(answer["id"])
    assert status == 507
    assert answer["error"]
    assert lives.call("GET", JOB)[0] == 200
    assert lives.server.get("/readyz").status == 503
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(lives.server.pid, resource.RLIMIT_FSIZE, unlimited)
    again = lives.make()
    assert lives.server.get("/readyz").status == 200
    lives.kill_and_restart()
    assert set(lives.call("GET", JOB)[1]["jobs"]) == {kept, *made, again}


def test_the_folds_are_rebuilt_when_they_are_gone(lives: Lives) -> None:
    parent = lives.make()
    child = lives.make(parent_jobs=[parent], schedule="")
    lives.run_now(parent)
    before = [lives.call("GET", path) for path in (JOB, f"{JOB}{child}/executions/")]
    assert lives.server.stop() == 0
    for left in ("snapshot.cbor", "folds/data.mdb", "folds/lock.mdb"):
        (lives.data / left).unlink(missing_ok=True)
    lives.again()
    assert [lives.call("GET", path) for path in (JOB, f"{JOB}{child}/executions/")] == before


def test_settings_come_from_flag_then_variable_then_file(tmp_path: Path) -> None:
    config = tmp_path / "kala.toml"
    config.write_text('default_owner = "from file"\nno_delete_all = true\n')
    with Lives(tmp_path / "file", "--config", str(config)) as lives:
        assert lives.job(lives.make())["owner"] == "from file"
        assert lives.call("DELETE", f"{JOB}all/")[0] == 403
    environment = {"KALA_ES_DEFAULT_OWNER": "from variable", "KALA_ES_CONFIG": str(config)}
    with Server.start(tmp_path / "variable", env=environment, cold=True) as server:
        made = server.send("POST", JOB, {"id": "a", "name": "t", "command": "true", "schedule": FAR})
        assert made.status == 201
        assert server.get(f"{JOB}a/").json["job"]["owner"] == "from variable"
    with Server.start(tmp_path / "flag", "-o", "from flag", "--no-local-jobs", env=environment) as server:
        refused = server.send("POST", JOB, {"name": "t", "command": "true", "schedule": FAR})
        assert (refused.status, refused.json["error"]) == (403, "local jobs are disabled")


def test_run_does_as_the_server_would(tmp_path: Path) -> None:
    def run(*args: str) -> "subprocess.CompletedProcess[str]":
        return kala_es("run", *args, env={"SECRET": "x"})

    assert run("echo 'a  b' | cat").stdout == "a  b | cat\n"
    failed = run("--shell", "echo out; echo err >&2; exit 3")
    assert (failed.returncode, failed.stdout) == (3, "out\n")
    assert failed.stderr.startswith("err\n")
    assert "SECRET" not in run("env").stdout
    assert "command not found" in run("no-such-binary-xyz").stderr
    assert json.dumps(run("no-such-binary-xyz").returncode) == "1"


def test_what_is_slow_to_import_is_not_imported_before_the_start() -> None:
    listed = "import sys, kala_es.cli; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"quart", "hypercorn", "httpx", "jinja2", "asyncio", "urllib.request"}.intersection(
        modules.stdout.split()
    )

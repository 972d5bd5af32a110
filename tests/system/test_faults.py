"""The system refuses what the node needs, or is slow: a clear answer, nothing acknowledged lost, then it goes on."""

import http.client
import json
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from kala_es.limits import DISK_RESERVE_BYTES
from tests.servers import Server, eventually
from tests.system.faults import disk, inject, limited
from tests.system.lives import FAR, JOB, Lives

pytestmark = pytest.mark.system
SPAWNS = ("clone", "clone3", "?vfork", "?fork")


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """A server on an empty directory."""
    with Lives(tmp_path / "server") as running:
        yield running


def log_file(lives: Lives) -> Path:
    return lives.data / "log" / "data.mdb"


def jobs(lives: Lives) -> set[str]:
    return set(lives.call("GET", JOB)[1]["jobs"])


@pytest.mark.files("how they are synced")
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64", "writev"])
def test_an_io_error_of_the_log_ends_the_node_with_a_sentence_and_loses_nothing(lives: Lives, call: str) -> None:
    acknowledged = {lives.make() for _ in range(5)}
    lives.run_now(min(acknowledged))
    with inject(lives.server.pid, f"{call}:error=EIO", path=log_file(lives)):
        with suppress(OSError, HTTPException):  # cut off: it was told nothing
            assert lives.call("POST", JOB, {"name": "t", "command": "true", "schedule": FAR})[0] == 503
        assert lives.server.wait() == 1
    assert "takes no more records, because writing failed" in lives.server.stderr
    assert "Traceback" not in lives.server.stderr
    assert (lives.data / "opened").read_text().strip() == "failed"
    lives.again()
    assert acknowledged <= jobs(lives)
    assert [run["outcome"] for run in lives.runs(min(acknowledged))] == ["succeeded"]


@pytest.mark.files("how they are synced")
def test_an_answer_waits_for_a_slow_sync_and_readings_do_not(lives: Lives) -> None:
    before = jobs(lives) | {lives.make()}
    made: list[str] = []
    with inject(lives.server.pid, "fdatasync:delay_enter=1000000", path=log_file(lives)):
        creator = threading.Thread(target=lambda: made.append(lives.make()))
        began = time.monotonic()
        creator.start()
        early = []
        while creator.is_alive():
            seen = [lives.server.get("/readyz").status, lives.server.get("/healthz").status, jobs(lives)]
            if time.monotonic() - began < 1.0:
                early.append(seen)
        creator.join()
        assert time.monotonic() - began >= 1.0, "it was answered before it was durable"
    assert len(early) >= 5, "readings waited for the disk"
    assert all(seen == [200, 200, before] for seen in early), "what is not durable was shown"
    lives.run_now(made[0])
    lives.kill_and_restart()
    assert jobs(lives) == before | set(made)


def test_a_slow_disk_delays_a_run_and_changes_nothing_else(lives: Lives, tmp_path: Path) -> None:
    job = lives.make(command=f"echo $KALA_ATTEMPT; echo >> {tmp_path}/marks", shell=True)
    with inject(lives.server.pid, "fdatasync:delay_enter=300000", path=log_file(lives)):
        lives.run_now(job)
    run = lives.runs(job)[0]
    assert (run["outcome"], run["output"]) == ("succeeded", "1")
    assert (tmp_path / "marks").read_text() == "\n"


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ([f"{call}:error=EAGAIN" for call in SPAWNS], "Resource temporarily unavailable"),
        ([f"{call}:error=ENOMEM" for call in SPAWNS], "Cannot allocate memory"),
        (["execve:error=ENOMEM"], "Cannot allocate memory"),
    ],
)
def test_an_attempt_that_cannot_be_started_fails_with_the_reason(lives: Lives, faults: list[str], reason: str) -> None:
    job, retried = lives.make(), lives.make(retries=1)
    with inject(lives.server.pid, *faults):
        lives.run_now(job)
        lives.run_now(retried)
    run = lives.runs(job)[0]
    assert (run["outcome"], run["exit_code"]) == ("failed", None)
    assert reason in run["reason"]
    assert (lives.runs(retried)[0]["outcome"], lives.runs(retried)[0]["number_of_retries"]) == ("failed", 1)
    lives.run_now(job)
    assert [run["outcome"] for run in lives.runs(job)] == ["failed", "succeeded"]


def test_without_a_file_to_spare_runs_fail_clearly_and_connections_wait(lives: Lives) -> None:
    job = lives.make()
    kept = http.client.HTTPConnection(lives.server.host, lives.server.port, timeout=30)
    late = http.client.HTTPConnection(lives.server.host, lives.server.port, timeout=30)
    assert ask(kept, "GET", "/readyz")[0] == 200
    with limited(lives.server.pid, resource.RLIMIT_NOFILE, 3):
        assert ask(kept, "POST", f"{JOB}start/{job}/")[0] == 204
        run = ask(kept, "GET", f"{JOB}{job}/executions/")[1]["job_stats"][0]
        assert ask(kept, "POST", JOB, {"id": "new", "name": "t", "command": "true", "schedule": FAR})[0] == 201
        late.request("GET", f"{JOB}new/")  # the system takes the connection, the node does not yet
        eventually(lambda: "EMFILE" in lives.server.stderr)
    assert late.getresponse().status == 200
    assert run["outcome"] == "failed"
    assert "Too many open files" in run["reason"]
    lives.run_now(job)
    assert lives.runs(job)[-1]["outcome"] == "succeeded"
    kept.close()
    late.close()


def ask(connection: http.client.HTTPConnection, method: str, path: str, value: object = None) -> tuple[int, Any]:
    connection.request(method, path, body=None if value is None else json.dumps(value).encode())
    response = connection.getresponse()
    content = response.read()
    return response.status, json.loads(content) if content.strip() else None


@pytest.mark.files("the disk that has them")
def test_a_disk_without_a_byte_keeps_the_end_of_a_run_until_there_is_room(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", DISK_RESERVE_BYTES + (8 << 20)) as small, Lives(small / "server") as lives:
        go, gone = tmp_path / "go", tmp_path / "gone"
        job = lives.make(command=f"until [ -e {go} ]; do sleep 0.05; done; touch {gone}", shell=True)
        assert lives.server.request("POST", f"{JOB}start/{job}/", headers={"Prefer": "respond-async"}).status == 202
        ballast = fill(small)
        assert lives.call("POST", JOB, {"name": "t", "command": "true", "schedule": FAR})[0] == 507
        assert lives.call("DELETE", f"{JOB}{job}/")[0] == 507
        assert lives.server.get("/readyz").status == 503
        go.touch()
        eventually(gone.exists)
        assert lives.runs(job)[0]["outcome"] in (None, "")
        ballast.unlink()
        assert eventually(lambda: lives.runs(job)[0]["outcome"]) == "succeeded"
        eventually(lambda: lives.call("POST", JOB, {"name": "t", "command": "true", "schedule": FAR})[0] == 201)
        assert lives.server.get("/readyz").status == 200
        before = jobs(lives)
        lives.kill_and_restart()
        assert jobs(lives) == before
        assert lives.server.stop() == 0


def fill(directory: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = directory / "ballast"
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 20, 4096):
        try:
            while True:
                assert os.write(descriptor, bytes(size)) > 0
        except OSError:
            continue
    os.close(descriptor)
    return ballast


@pytest.mark.soak
@pytest.mark.parametrize("spare", [2, 6, 10])
def test_without_memory_it_goes_on_or_ends_and_loses_nothing(tmp_path: Path, spare: int) -> None:
    lives = Lives(tmp_path / "server", cold=True)
    with lives:
        made = [lives.make(command="head -c 30000000 /dev/zero", shell=True) for _ in range(6)]
        data = Path(f"/proc/{lives.server.pid}/status").read_text().partition("VmData:")[2].split()[0]
        with limited(lives.server.pid, resource.RLIMIT_DATA, int(data) * 1024 + (spare << 20)):
            for job in made:
                try:
                    lives.server.request("POST", f"{JOB}start/{job}/", headers={"Prefer": "respond-async"}, timeout=5)
                except (OSError, HTTPException):
                    break
            time.sleep(2)
        if not answers(lives.server):
            assert lives.server.wait(90) in (1, -signal.SIGABRT, -signal.SIGALRM)
            lives.again()
        assert jobs(lives) == set(made)
        eventually(lambda: all(run["outcome"] for job in made for run in lives.runs(job)))


def answers(server: Server) -> bool:
    """Whether it does, now."""
    try:
        return server.request("GET", "/readyz", timeout=5).status == 200
    except (OSError, HTTPException):
        return False

"""The original's defects, B1 to B16 of its contract: each test fails on what the original does."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.servers import DidNotStart, Server, eventually
from tests.system.lives import FAR, JOB, KEPT, Lives, keeping

pytestmark = pytest.mark.system


@pytest.fixture(params=KEPT)
def lives(standing_on: Callable[[str], Lives], tmp_path: Path, request: pytest.FixtureRequest) -> Lives:
    """A server without a job: the original's two drivers differ (B4)."""
    return standing_on(request.param).lent(tmp_path)


@pytest.fixture(params=KEPT)
def own(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lives]:
    """One on an empty log, that may be killed."""
    with Lives(tmp_path / "server", *keeping(request.param, tmp_path)) as running:
        yield running


def soon(seconds: float = 1.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_b1_a_deleted_job_stops_and_toggling_does_not_multiply_it(lives: Lives, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    line = f"echo $KALA_TICK >> {marks}"
    toggled = lives.make(command=line, shell=True, schedule=f"R/{soon()}/PT1S")
    assert eventually(marks.exists)
    for _ in range(3):
        assert lives.call("POST", f"{JOB}disable/{toggled}/")[0] == 204
        assert lives.call("POST", f"{JOB}enable/{toggled}/")[0] == 204
    time.sleep(3.2)
    assert lives.call("DELETE", f"{JOB}{toggled}/")[0] == 204
    written = marks.read_text().split()
    assert 3 <= len(written) <= 6
    assert len(written) == len(set(written)), "a tick ran twice"
    time.sleep(2.2)
    assert marks.read_text().split() == written, "a deleted job went on"


def test_b2_a_schedule_without_r_is_refused_and_poisons_nothing(own: Lives) -> None:
    body = {"name": "t", "command": "true", "schedule": "2099/2099-01-01T00:00:00Z/PT1S"}
    status, answer = own.call("POST", JOB, body)
    assert status == 400
    assert "schedule" in answer["error"]
    own.kill_and_restart()
    assert own.call("GET", JOB) == (200, {"jobs": {}})


def test_b3_a_bad_edit_changes_nothing_and_a_good_one_keeps_what_was_done(lives: Lives, tmp_path: Path) -> None:
    parent = lives.make(name="before")
    child = lives.make(name="child", parent_jobs=[parent], schedule="")
    lives.run_now(parent)
    for schedule in ("asdf", "R/2015-06-04T19:25:16Z/PT10S"):
        assert lives.call("PUT", f"{JOB}{parent}/", {"name": "x", "command": "true", "schedule": schedule})[0] == 400
        assert lives.call("POST", JOB, {"id": parent, "name": "x", "command": "true", "schedule": schedule})[0] == 400
        assert lives.job(parent)["name"] == "before"
    marks = tmp_path / "marks"
    new = {"name": "after", "command": f"touch {marks}", "schedule": FAR}
    assert lives.call("PUT", f"{JOB}{parent}/", new)[0] == 200
    edited = lives.job(parent)
    assert edited["dependent_jobs"] == [child]
    assert edited["metadata"]["success_count"] == 1
    lives.run_now(parent)
    assert marks.exists(), "the old command ran"
    assert lives.job(parent)["name"] == "after"
    assert lives.job(child)["metadata"]["success_count"] == 2
    assert lives.call("DELETE", f"{JOB}{child}/")[0] == 204
    assert lives.job(parent)["dependent_jobs"] is None


def test_b3_an_edit_of_a_due_job_runs_the_new_command_only(lives: Lives, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    due = f"R0/{soon(1.5)}/PT1S"
    edited = lives.make(command=f"touch {old}", schedule=due)
    body = {"name": "new", "command": f"touch {new}", "schedule": due}
    assert lives.call("PUT", f"{JOB}{edited}/", body)[0] == 200
    assert eventually(new.exists)
    assert not old.exists()
    assert lives.job(edited)["name"] == "new"


def test_b4_a_restart_neither_starts_what_is_not_due_nor_stops_what_recurs(own: Lives) -> None:
    far = own.make()
    recurring = own.make(schedule=f"R/{soon(0.5)}/PT1S")
    assert eventually(lambda: own.runs(recurring) or None)
    own.kill_and_restart()
    before = len(own.runs(recurring))
    assert eventually(lambda: len(own.runs(recurring)) >= before + 2)
    assert own.runs(far) == []
    run = own.runs(recurring)[0]["id"]
    assert own.call("PUT", f"{JOB}{recurring}/executions/{run}/", "Success")[0] == 204


def test_b5_a_failing_child_with_schedule_epsilon_and_retries_is_retried(lives: Lives) -> None:
    parent = lives.make()
    child = lives.make(command="false", parent_jobs=[parent], epsilon="PT5S", retries=2)
    lives.run_now(parent)
    metadata = lives.job(child)["metadata"]
    assert (metadata["error_count"], metadata["number_of_finished_runs"]) == (3, 1)


def test_b6_delete_all_with_dependents_deletes_all(lives: Lives) -> None:
    parents = [lives.make() for _ in range(10)]
    for parent in parents:
        child = lives.make(parent_jobs=[parent], schedule="")
        lives.make(parent_jobs=[child], schedule="")
    lives.make(parent_jobs=parents, schedule="")
    assert lives.call("DELETE", f"{JOB}all/") == (204, None)
    assert lives.call("GET", JOB) == (200, {"jobs": {}})


def test_b7_a_child_is_still_linked_after_kill_9(own: Lives) -> None:
    parent = own.make()
    child = own.make(parent_jobs=[parent], schedule="")
    own.kill_and_restart()
    assert own.job(parent)["dependent_jobs"] == [child]
    own.run_now(parent)
    assert [r["status"] for r in own.runs(child)] == ["Success"]


def test_b8_executions_are_those_of_the_job_newest_last(lives: Lives) -> None:
    one, other = lives.make(command="echo one"), lives.make(command="echo other")
    for _ in range(3):
        lives.run_now(one)
        lives.run_now(other)
    listed = lives.runs(one)
    assert [r["output"] for r in listed] == ["one"] * 3
    assert {r["job_id"] for r in listed} == {one}
    assert [r["ran_at"] for r in listed] == sorted(r["ran_at"] for r in listed)


def test_b9_a_status_can_be_reported_after_a_restart_and_after_deletion(own: Lives) -> None:
    made = own.make()
    own.run_now(made)
    path = f"{JOB}{made}/executions/{own.runs(made)[0]['id']}/"
    own.kill_and_restart()
    assert own.call("PUT", path, "Failed")[0] == 204
    assert own.call("GET", path)[1]["job_run"]["status"] == "Failed"
    assert own.call("DELETE", f"{JOB}{made}/")[0] == 204
    assert own.call("PUT", path, "Success")[0] == 204
    assert own.call("GET", path)[1]["job_run"]["status"] == "Success"


@pytest.fixture
def remote() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A remote side that accepts all; its url, and the headers of what it was asked."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append({k.lower(): v for k, v in self.headers.items()})
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-length", "4")
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.server_port}", asked
    listener.shutdown()
    listener.server_close()
    thread.join()


def test_b10_no_credential_or_run_header_is_kept_in_a_remote_job(
    own: Lives, remote: tuple[str, list[dict[str, str]]]
) -> None:
    url, asked = remote
    body = {
        "name": "r",
        "type": 1,
        "schedule": FAR,
        "remote_properties": {"url": url, "method": "post", "headers": {"X-Own": ["1"]}},
    }
    answer = own.server.send("POST", JOB, body, headers={"Authorization": "Bearer secret"})
    assert answer.status == 201, answer.body
    made = answer.json["id"]
    own.run_now(made)
    assert "nextkala-runid" in asked[-1]
    properties = own.job(made)["remote_properties"]
    assert properties["headers"] == {"X-Own": ["1"]}
    assert properties["expected_response_codes"] is None
    assert b"JobCreated" in own.stored()
    assert b"secret" not in own.stored()


def test_b11_counters_are_exact_under_concurrent_runs(lives: Lives) -> None:
    made = lives.make(command="sleep 0.05")
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: lives.run_now(made), range(48)))
    metadata = lives.job(made)["metadata"]
    assert (metadata["success_count"], metadata["number_of_finished_runs"]) == (48, 48)


@pytest.mark.parametrize("interval", ["PT0S", "PT0.000001S"])
def test_b12_an_interval_that_would_be_a_busy_loop_is_refused(lives: Lives, interval: str) -> None:
    body = {"name": "t", "command": "true", "schedule": f"R/2099-01-01T00:00:00Z/{interval}"}
    status, answer = lives.call("POST", JOB, body)
    assert status == 400
    assert "schedule" in answer["error"]


def test_b13_flags_do_what_they_say_or_are_refused(tmp_path: Path) -> None:
    with Lives(tmp_path / "memory", "--no-persist") as lives:
        lives.make()
        assert not lives.data.exists()
        lives.kill_and_restart()
        assert lives.call("GET", JOB) == (200, {"jobs": {}})
    with Lives(tmp_path / "ttl", "--jobstat-ttl", "0.01") as lives:
        made = lives.make()
        lives.run_now(made)
        assert len(lives.runs(made)) == 1
        assert eventually(lambda: lives.runs(made) == [])
    with pytest.raises(DidNotStart, match="--data"):
        Server.start(tmp_path / "refused", "--bolt-path", "x")


def test_b14_a_job_that_would_start_itself_is_refused(lives: Lives) -> None:
    def refused(**fields: Any) -> str:
        status, answer = lives.call("POST", JOB, {"name": "t", "command": "false", "schedule": FAR, **fields})
        assert status == 400
        return str(answer["error"])

    assert "own failure handler" in refused(id="self", on_failure_job="self")
    assert "own parent" in refused(id="self", parent_jobs=["self"])
    lives.make(id="a", on_failure_job="b")
    assert "start itself again" in refused(id="b", on_failure_job="a")
    lives.make(id="p")
    lives.make(id="c", parent_jobs=["p"], schedule="")
    body = {"name": "p", "command": "true", "parent_jobs": ["c"]}
    assert lives.call("PUT", f"{JOB}p/", body)[0] == 400


def test_b15_a_childs_own_schedule_is_not_read_and_does_not_hinder_a_start(own: Lives) -> None:
    parent = own.make()
    child = own.make(parent_jobs=[parent], schedule="not even a schedule")
    own.kill_and_restart()
    assert own.job(child)["schedule"] == "not even a schedule"
    own.run_now(parent)
    assert len(own.runs(child)) == 1


def test_b16_a_long_command_holds_up_nobody(tmp_path: Path) -> None:
    with Lives(tmp_path / "server", "--grace", "0.1s") as lives:
        hold_up_nobody(lives)


def hold_up_nobody(lives: Lives) -> None:
    slow = lives.make(command="sleep 8")
    answer = lives.server.request("POST", f"{JOB}start/{slow}/", headers={"Prefer": "respond-async"})
    assert answer.status == 202
    began = time.monotonic()
    assert lives.call("POST", f"{JOB}disable/{slow}/")[0] == 204
    assert lives.call("GET", f"{JOB}{slow}/")[0] == 200
    assert lives.call("GET", JOB)[0] == 200
    assert lives.call("GET", "/api/v1/stats/")[0] == 200
    assert lives.call("DELETE", f"{JOB}{slow}/")[0] == 204
    assert time.monotonic() - began < 4, "the answers waited for the command"

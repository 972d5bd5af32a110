"""What a stop does to runs: wait for them, leave them, cancel them; what further signals do; what goes on meanwhile."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.servers import DidNotStart, Server, eventually
from tests.system.lives import FAR, JOB, Lives

pytestmark = pytest.mark.system


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """A server on an empty directory."""
    with Lives(tmp_path / "server", cold=True) as running:
        yield running


def test_a_stop_waits_for_the_run_and_records_its_end(lives: Lives) -> None:
    job = lives.start("sleep 0.7; echo done")
    agent = lives.agent
    assert lives.server.stop() == 0
    eventually(lambda: not Path(f"/proc/{agent}").exists())
    lives.again()
    run = lives.runs(job)[0]
    assert (run["outcome"], run["output"], run["exit_code"]) == ("succeeded", "done", 0)
    assert "1 run left, they have 3:00:00" in lives.server.stderr


def test_a_stop_cancels_what_outlasts_the_grace(tmp_path: Path) -> None:
    with Lives(tmp_path / "server", "--grace", "0.2s") as lives:
        job = lives.start("echo begun; sleep 30")
        eventually(lambda: lives.runs(job)[0]["output"] == "begun")
        assert lives.server.stop(15) == 0
        lives.again()
        run = lives.runs(job)[0]
        assert (run["outcome"], run["output"], run["reason"]) == ("cancelled", "begun", "the server was stopped")


def test_a_stop_may_cancel_at_once(tmp_path: Path) -> None:
    with Lives(tmp_path / "server", "--on-stop", "cancel") as lives:
        job = lives.start("sleep 30", retries=3)
        assert lives.server.stop(15) == 0
        lives.again()
        run = lives.runs(job)[0]
        assert (run["outcome"], run["number_of_retries"]) == ("cancelled", 0)


def test_a_stop_may_leave_the_run_to_the_next_start(tmp_path: Path) -> None:
    with Lives(tmp_path / "server", "--on-stop", "leave") as lives:
        job = lives.start("echo begun; sleep 1; echo ended; exit 3")
        eventually(lambda: lives.runs(job)[0]["output"] == "begun")
        agent = lives.agent
        assert lives.server.stop(5) == 0
        assert "1 run left to the agent" in lives.server.stderr
        time.sleep(1.0)  # it ends while nobody is there
        lives.again()
        assert lives.agent == agent
        run = lives.ended(job)[0]
        assert (run["outcome"], run["output"], run["exit_code"]) == ("failed", "begun\nended", 3)
        assert 1.0e9 < run["execution_duration"] < 1.9e9


def test_leaving_needs_a_next_start(tmp_path: Path) -> None:
    with pytest.raises(DidNotStart, match="--on-stop: 'leave' needs a data directory"):
        Server.start(tmp_path / "server", "--on-stop", "leave", "--no-persist", cold=True)


def test_without_a_data_directory_the_agent_goes_with_the_server(tmp_path: Path) -> None:
    with Lives(tmp_path / "server", "--no-persist") as lives, ExitStack() as after:
        job = lives.start("echo $$; exec sleep 60")
        child = int(lives.printed(job))
        after.callback(end, child)
        lives.server.kill9()
        eventually(lambda: not Path(f"/proc/{child}").exists())


def end(pid: int) -> None:
    """End a process if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_second_signal_cancels(lives: Lives) -> None:
    job = lives.start("exec sleep 30")
    lives.server.terminate()
    eventually(lambda: "1 run left" in lives.server.stderr)
    lives.server.terminate()
    assert lives.server.wait(15) == 0
    lives.again()
    assert lives.runs(job)[0]["outcome"] == "cancelled"


def test_a_third_signal_ends_at_once_and_the_run_goes_on(lives: Lives) -> None:
    job = lives.start("trap '' TERM; echo deaf; sleep 4; echo survived")
    lives.printed(job)
    lives.server.terminate()
    eventually(lambda: "1 run left" in lives.server.stderr)
    lives.server.terminate()
    eventually(lambda: "cancelling what runs" in lives.server.stderr)
    lives.server.terminate()
    assert lives.server.wait(5) == 128 + signal.SIGTERM
    lives.again()
    run = lives.ended(job)[0]
    assert run["output"] == "deaf\nsurvived"


def test_new_work_is_refused_and_readings_go_on_while_it_stops(lives: Lives) -> None:
    job = lives.start("sleep 2")
    lives.server.terminate()
    eventually(lambda: lives.server.get("/readyz").status == 503)
    for path, value in ((JOB, {"name": "t", "command": "true", "schedule": FAR}), (f"{JOB}start/{job}/", None)):
        status, answer = lives.call("POST", path, value)
        assert status == 503
        assert "stopping" in answer["error"]
    assert lives.call("GET", "/api/v1/stats/")[0] == 200
    run = lives.runs(job)[0]["id"]
    stream = lives.server.get(f"{JOB}{job}/executions/{run}/stream/")
    assert b"event: end" in stream.body
    assert lives.server.wait() == 0

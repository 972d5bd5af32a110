"""The ten lines by which Dkron's contract says it is to be beaten, each against a real server over `/v1`.

On Dkron 2.2.1 each of these fails.
"""

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.servers import eventually
from tests.system.lives import Lives

pytestmark = pytest.mark.system

TICKING = 'i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo "line $i"; sleep 0.1; done'


class Dkron(Lives):
    """A server, as a client of Dkron's sees it."""

    def put(self, name: str, command: str = "true", **fields: object) -> Any:
        """Create or replace a job; it."""
        config = {"command": command, "shell": "true"}
        job = {"name": name, "schedule": "@manually", "executor": "shell", "executor_config": config, **fields}
        status, answer = self.call("POST", "/v1/jobs", job)
        assert status == 201, answer
        return answer

    def run(self, name: str, query: str = "") -> str:
        """Start it; the execution's id."""
        status, answer = self.call("POST", f"/v1/jobs/{name}{query}")
        assert status == 200, answer
        return str(answer["execution_id"])

    def get(self, path: str) -> Any:
        """What a path says."""
        status, answer = self.call("GET", f"/v1/{path}")
        assert status == 200, answer
        return answer

    def ends(self, name: str, count: int = 1) -> list[Any]:
        """Its executions, newest first, once so many have ended."""

        def enough() -> list[Any] | None:
            found = [each for each in self.get(f"jobs/{name}/executions") if each["outcome"]]
            return found if len(found) >= count else None

        return eventually(enough)


@pytest.fixture
def dkron(tmp_path: Path) -> Iterator[Dkron]:
    with Dkron(tmp_path, "--on-stop", "cancel") as lives:
        yield lives


def test_1_output_is_durable_while_it_runs_and_busy_shows_all_of_it(dkron: Dkron) -> None:
    dkron.put("j", TICKING)
    execution = dkron.run("j")

    def shown() -> str:
        return "".join(each.get("output", "") for each in dkron.get("busy"))

    before = eventually(lambda: text if (text := shown()).count("\n") > 5 else None)
    assert before.startswith("line 1\nline 2\n")
    dkron.kill_and_restart()
    assert shown().startswith(before)
    (end,) = dkron.ends("j")
    assert end["output"] == "".join(f"line {i}\n" for i in range(1, 101))
    stream = dkron.server.request("GET", f"/v1/jobs/j/executions/{execution}/stream")
    assert stream.body.count(b"event: output") >= 2
    cut = dkron.get(f"jobs/j/executions/{execution}?output_size_limit=9")
    assert (cut["output"], cut["output_truncated"], cut["output_bytes"]) == ("line 100\n", True, len(end["output"]))


def test_2_a_run_whose_agent_died_is_lost_at_once_and_forbids_nothing(dkron: Dkron) -> None:
    dkron.put("j", "sleep 60", concurrency="forbid")
    dkron.run("j")
    eventually(lambda: dkron.get("busy"))
    os.kill(dkron.agent, signal.SIGKILL)
    began = time.monotonic()
    (end,) = dkron.ends("j")
    assert time.monotonic() - began < 5  # there: never, or after four hours
    assert (end["outcome"], bool(end["reason"])) == ("lost", True)
    eventually(lambda: dkron.call("POST", "/v1/jobs/j")[0] == 200)


def test_3_a_graceful_stop_records_how_the_run_ended(tmp_path: Path) -> None:
    with Dkron(tmp_path) as dkron:
        dkron.put("j", "sleep 1; echo done")
        dkron.run("j")
        eventually(lambda: dkron.get("busy"))
        assert dkron.server.stop() == 0
        dkron.again()
        (end,) = dkron.ends("j")
        assert (end["outcome"], end["output"]) == ("succeeded", "done\n")
        assert dkron.get("jobs/j")["success_count"] == 1


def test_4_what_was_due_while_it_was_down_is_made_up_and_every_keeps_its_phase(dkron: Dkron) -> None:
    due = datetime.now(UTC) + timedelta(seconds=1)
    dkron.put("once", schedule=f"@at {due:%Y-%m-%dT%H:%M:%SZ}")
    phase = dkron.put("often", schedule="@every 1h")["next"]
    dkron.server.kill9()
    time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()) + 0.2)
    dkron.again()
    assert dkron.ends("once")[0]["success"] is True
    assert dkron.get("jobs/often")["next"] == phase


def test_5_a_success_after_a_retry_is_one_and_dependents_run_though_nobody_can_be_told(dkron: Dkron) -> None:
    flag = dkron.directory / "tried"
    dkron.put("j", f"test -e {flag} || {{ touch {flag}; exit 1; }}", retries=1, owner_email="nobody@nowhere.invalid")
    dkron.put("kid", schedule="", parent_job="j")
    dkron.run("j")
    assert len(dkron.ends("kid")) == 1
    job = dkron.get("jobs/j")
    assert (job["status"], job["success_count"], job["error_count"]) == ("success", 1, 1)


def test_6_deleting_a_job_leaves_those_whose_names_begin_alike(dkron: Dkron) -> None:
    for name in ("foo", "foobar"):
        dkron.put(name)
        dkron.run(name)
        dkron.ends(name)
    assert dkron.call("DELETE", "/v1/jobs/foo")[0] == 200
    assert len(dkron.get("jobs/foobar/executions")) == 1


def test_7_a_start_by_hand_is_answered_at_once_and_kept_to_the_rules(dkron: Dkron) -> None:
    dkron.put("j", "sleep 60", concurrency="forbid")
    began = time.monotonic()
    execution = dkron.run("j")
    assert time.monotonic() - began < 2  # there: 3.2 s
    assert execution in [each["id"] for each in eventually(lambda: dkron.get("busy"))]
    status, answer = dkron.call("POST", "/v1/jobs/j")
    assert (status, "in flight" in answer["error"]) == (409, True)
    dkron.run("j", "?force=true")
    dkron.put("off", disabled=True)
    dkron.run("off", "?force=true")
    assert len(dkron.ends("off")) == 1


def test_8_errors_say_why_ids_are_text_and_next_is_in_the_jobs_zone(dkron: Dkron) -> None:
    status, answer = dkron.call("GET", "/v1/jobs/nope")
    assert (status, bool(answer["error"])) == (404, True)
    assert dkron.put("j", schedule="0 0 9 * * *", timezone="Asia/Tokyo")["next"].endswith("T00:00:00Z")
    dkron.run("j")
    (end,) = dkron.ends("j")
    assert isinstance(end["id"], str)
    assert end["group"] > 2**53  # JavaScript loses its last digits
    dkron.put("gap", schedule="0 30 2 * * *", timezone="Europe/Berlin")
    ticks = dkron.call("GET", "/api/v1/job/gap/next/?count=400")[1]["next"]
    days = [tick[:10] for tick in ticks]
    assert len(set(days)) == 400  # once each day, also when 02:30 is jumped over or comes twice


def test_9_more_than_it_can_take_is_refused_and_the_server_lives(dkron: Dkron) -> None:
    dkron.put("j", "sleep 60")
    statuses = {dkron.call("POST", "/v1/jobs/j")[0] for _ in range(1_010)}
    assert statuses == {200, 503}
    assert dkron.call("GET", "/health")[0] == 200
    assert len(dkron.get("busy")) == 1_000


def test_10_no_answer_lacks_a_job_while_the_log_is_still_read(tmp_path: Path) -> None:
    jobs = [{"name": f"j{i}", "command": "true", "schedule": "R/2099-01-01T00:00:00Z/P1D"} for i in range(2_000)]
    with Dkron(tmp_path) as dkron:
        assert dkron.call("POST", "/api/v1/job/bulk/", jobs)[0] == 201
        dkron.server.kill9()
        for folded in (tmp_path / "data" / "folds").glob("*"):
            folded.unlink()
        (tmp_path / "data" / "snapshot.cbor").unlink(missing_ok=True)
        dkron.again()
        first = dkron.server.request("GET", "/v1/jobs?_end=1")
        assert (first.status, first.headers["X-Total-Count"]) == (200, "2000")

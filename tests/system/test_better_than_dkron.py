"""The ten lines by which Dkron's contract says it is to be beaten, each against a real server over `/v1`.

On Dkron 2.2.1 each of these fails.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from http.client import HTTPConnection, HTTPResponse
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import pytest

from tests.servers import eventually
from tests.system.lives import Lives

pytestmark = pytest.mark.system

Frame = tuple[int, str, dict[str, Any]]
"""Of a stream: its id, its event, its data."""
EMPTY: Final = {"text": ""}
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

    def frames(self, execution: str, *, after: int = 0, until: str = "") -> list[Frame]:
        """What the stream of an execution of `j` tells after a position, until its end or so much output."""
        connection = HTTPConnection(self.server.host, self.server.port, timeout=30)
        headers = {"Last-Event-ID": str(after)}
        connection.request("GET", f"/v1/jobs/j/executions/{execution}/stream", headers=headers)
        found: list[Frame] = []
        told = ""
        with closing(connection), connection.getresponse() as stream:
            for frame in stream_frames(stream):
                found.append(frame)
                told += str(frame[2].get("text", ""))
                if until and len(told) >= len(until):
                    break
        return found


def stream_frames(stream: HTTPResponse) -> Iterator[Frame]:
    """The frames as they come, until the stream is over."""
    said: dict[str, str] = {}
    for line in stream:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            said[name] = value
        else:
            if "id" in said:
                yield int(said["id"]), said["event"], json.loads(said["data"])
            said = {}


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
    seen = dkron.frames(execution, until=before)
    dkron.kill_and_restart()
    assert shown().startswith(before)
    (end,) = dkron.ends("j")
    assert end["output"] == "".join(f"line {i}\n" for i in range(1, 101))
    resumed = dkron.frames(execution, after=seen[-1][0])
    assert [*seen, *resumed] == dkron.frames(execution)
    pieces = [said for _, kind, said in (*seen, *resumed) if kind == "output"]
    assert "".join(piece["text"] for piece in pieces) == end["output"]
    assert [piece["offset"] for piece in pieces] == [*accumulate(len(piece["text"]) for piece in (EMPTY, *pieces[:-1]))]
    cut = dkron.get(f"jobs/j/executions/{execution}?output_size_limit=9")
    assert (cut["output"], cut["output_truncated"], cut["output_bytes"]) == ("line 100\n", True, len(end["output"]))


@pytest.mark.parametrize("dies", ["the agent", "both"])
def test_2_a_run_that_nobody_holds_is_lost_at_once_its_process_ended_and_forbids_nothing(
    dkron: Dkron, dies: str
) -> None:
    dkron.put("j", "echo $$; exec sleep 60", concurrency="forbid")
    dkron.run("j")
    orphan = int(eventually(lambda: "".join(each.get("output", "") for each in dkron.get("busy")) or None))
    os.kill(dkron.agent, signal.SIGKILL)
    if dies == "both":
        dkron.kill_and_restart()
    began = time.monotonic()
    (end,) = dkron.ends("j")
    assert time.monotonic() - began < 5  # there: never, or after four hours
    assert (end["outcome"], bool(end["reason"])) == ("lost", True)
    eventually(lambda: not Path(f"/proc/{orphan}").exists())
    eventually(lambda: dkron.call("POST", "/v1/jobs/j")[0] == 200)


def test_3_a_graceful_stop_is_seen_and_records_how_the_run_ended_and_a_second_signal_forces(tmp_path: Path) -> None:
    with Dkron(tmp_path, "--grace", "1h") as dkron:
        dkron.put("j", "sleep 1; echo done")
        dkron.run("j")
        eventually(lambda: dkron.get("busy"))
        dkron.server.terminate()
        eventually(lambda: dkron.call("GET", "/health")[0] == 503)
        assert len(dkron.get("busy")) == 1
        assert dkron.server.wait() == 0
        dkron.again()
        (end,) = dkron.ends("j")
        assert (end["outcome"], end["output"]) == ("succeeded", "done\n")
        assert dkron.get("jobs/j")["success_count"] == 1
        dkron.put("long", "exec sleep 60")
        dkron.run("long")
        eventually(lambda: dkron.get("busy"))
        dkron.server.terminate()
        eventually(lambda: dkron.call("GET", "/health")[0] == 503)
        dkron.server.terminate()
        assert dkron.server.wait(15) == 0
        dkron.again()
        assert dkron.ends("long")[0]["outcome"] == "cancelled"


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
    tries = dkron.directory / "tries"
    command = f"echo >> {tries}; test $(wc -l < {tries}) -ge 4"
    told = [{"to": "http://127.0.0.1:9/", "when": ["failure", "recovery"]}]  # where nobody is
    dkron.make(id="j", command=command, shell=True, retries=1, notify=told)
    dkron.put("kid", schedule="", parent_job="j")
    dkron.run("j")
    dkron.ends("j", 2)
    dkron.run("j")
    assert len(dkron.ends("kid")) == 1
    assert [each["success"] for each in dkron.ends("j", 4)] == [True, False, False, False]
    job = dkron.get("jobs/j")
    assert (job["status"], job["success_count"], job["error_count"]) == ("success", 1, 3)
    notices = dkron.call("GET", "/api/v1/notices/?state=waiting")[1]["notices"]
    assert [each["when"] for each in notices] == ["failure", "recovery"]
    assert dkron.get("jobs/j") == job


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
    days = [date.fromisoformat(tick[:10]) for tick in ticks]
    assert days == [days[0] + timedelta(days=i) for i in range(400)]  # also when 02:30 is jumped over or comes twice


def test_9_more_than_it_can_take_is_refused_and_the_server_lives(dkron: Dkron) -> None:
    dkron.put("j", "sleep 60")
    statuses = [dkron.call("POST", "/v1/jobs/j")[0] for _ in range(1_010)]
    assert statuses == [200] * 1_000 + [503] * 10
    assert dkron.call("GET", "/health")[0] == 200
    assert len(dkron.get("busy")) == 1_000
    due = datetime.now(UTC) + timedelta(seconds=1)
    dkron.put("late", schedule=f"@at {due:%Y-%m-%dT%H:%M:%SZ}")
    eventually(lambda: b"kala_es_start_delay_seconds_count 1.0" in dkron.server.get("/metrics").body)


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

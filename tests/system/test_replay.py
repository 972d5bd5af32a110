"""`kala-es replay` beside a server that runs, and on a directory whose server is gone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ROOT, kala_es
from tests.system.lives import FAR, JOB, Lives

pytestmark = pytest.mark.system


def look(place: tuple[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return kala_es("replay", *arguments, *place)


def lines(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_happened_can_be_seen_beside_the_server_and_without_it(tmp_path: Path) -> None:
    with Lives(tmp_path / "server") as lives:
        data = lives.place
        job = lives.make(id="a", name="first", command="echo hi")
        lives.call("POST", f"{JOB}start/{job}/")
        position = lines(look(data, "events"))[-1]["position"]
        lives.call("PUT", f"{JOB}{job}/", {"name": "second", "command": "echo ho", "schedule": FAR})
        live = look(data, "show", "jobs").stdout
        assert json.loads(live)["jobs"][job]["name"] == "second"
        then = json.loads(look(data, "show", "job", job, "--at", str(position)).stdout)
        assert then["job"]["name"] == "first"
        status, answer = lives.call("GET", f"{JOB}{job}/?at={position}")
        assert (status, answer) == (200, then)
        lives.server.kill9()
        assert look(data, "show", "jobs").stdout == live
        (change,) = lines(look(data, "diff", "--from", str(position)))
        assert change["fields"]["name"] == ["first", "second"]
        (chunk, *_) = lines(look(data, "events", "--type", "OutputChunk", "--job", job, "--output", "base64"))
        assert chunk["body"]["content"] == "aGkK"
        run = json.loads(look(data, "show", "run", chunk["body"]["run"]).stdout)["run"]
        assert (run["output"], run["outcome"], run["redacted"]) == ("hi", "succeeded", None)
        lives.again()
        path = f"{JOB}{job}/executions/{run['id']}/redact/"
        assert lives.call("POST", path, {"reason": "a secret"})[0] in (200, 204)
        run = json.loads(look(data, "show", "run", run["id"]).stdout)["run"]
        assert (run["output"], run["redacted"]["reason"]) == ("", "a secret")


def test_what_cannot_be_shown_is_said(tmp_path: Path) -> None:
    assert "there is no log in" in look(("--data", str(tmp_path)), "events").stderr
    with Lives(tmp_path / "server") as lives:
        lives.make(id="a", command="true")
        for arguments, said in (
            (("show", "jobs", "--at", "999999"), "the log ends at position"),
            (("show", "job", "nobody"), "there is no job 'nobody' at that moment"),
            (("show", "jobs", "--at", "yesterday"), "neither a position nor a time"),
            (("show", "run"), "take an ID"),
            (("events", "--after", "-3"), "'-3' is no position of the log"),
            (("events", "--until", "1", "--follow"), "not allowed with argument"),
            (("diff", "--from", "1", "--to", "0"), "the second moment lies before the first"),
            (("diff", "--from", "1", "--to", "999999"), "the log ends at position"),
        ):
            done = look(lives.place, *arguments)
            assert done.returncode != 0
            assert said in done.stderr


def test_who_reads_no_further_ends_it(tmp_path: Path) -> None:
    with Lives(tmp_path / "server") as lives:
        lives.make(id="a", command="true")
        command = f"set -o pipefail; {sys.executable} tools/replay.py events {' '.join(lives.place)} | true"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT)
        assert (done.returncode, done.stderr) == (141, "")

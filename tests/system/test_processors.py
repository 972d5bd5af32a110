"""A real server hands output to real receivers, also after kill -9; and a package brings a processor of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.log_receivers import fluent, syslog
from tests.receivers import Hook, hook
from tests.servers import ROOT, Server, eventually
from tests.system.lives import JOB, Lives

pytestmark = pytest.mark.system

COUNTS: Final = 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i"; sleep 0.001; done; echo the end'
LINES: Final = [*(f"line {i}" for i in range(1, 3001)), "the end"]


@pytest.fixture
def web() -> Iterator[Hook]:
    with hook() as server:
        yield server


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    with Lives(tmp_path / "server") as life:
        yield life


def written(lives: Lives) -> str:
    """What is in the one file below the server's `logs`; nothing while there is none."""
    files = [file.read_text() for file in (lives.data / "logs").rglob("*.log")]
    assert len(files) <= 1
    return "".join(files)


def whole(web: Hook) -> list[Any]:
    """What came; not what a killed server had begun to send."""
    return [json.loads(got.body) for got in list(web.got) if got.body.endswith("}")]


def is_over(web: Hook) -> bool:
    return any(said.get("end", {}).get("over") for said in whole(web))


def posted(web: Hook) -> list[str]:
    """The lines that came, those that came twice once: a part says where it begins."""
    content = b""
    for said in whole(web):
        assert said["offset"] <= len(content), "something was left out"
        content = content[: said["offset"]] + b"".join(f"{line['text']}\n".encode() for line in said["lines"])
    return content.decode().splitlines()


def test_a_job_s_output_is_everywhere(lives: Lives, web: Hook) -> None:
    with syslog() as udp, fluent() as forward:
        processors = {
            "log": {},
            "files": {"log_dir": "mine"},
            "syslog": {"address": udp.address},
            "fluent": {"port": str(forward.port)},
            "webhook": {"url": web.url},
        }
        job = lives.make(id="a/../b", command="echo one; echo two >&2; exit 3", shell=True, processors=processors)
        assert list(lives.job("a%2F..%2Fb")["processors"]) == list(processors)
        lives.run_now("a%2F..%2Fb")
        assert [message.rpartition(": ")[2] for message in udp.got(2)[:2]] == ["one", "two"]
        assert [event.get("message") for _, _, event in forward.events(3)] == ["one", "two", None]
    eventually(lambda: is_over(web))
    assert posted(web) == ["one", "two"]
    assert web.got[-1].json["end"]["exit_code"] == 3
    eventually(lambda: written(lives) == "one\ntwo\n")
    assert [path.name for path in (lives.data / "logs" / "mine").iterdir()] == ["a%2F..%2Fb"]
    eventually(lambda: "----- END OUTPUT outcome=failed -----\n" in lives.server.stdout)
    assert f"----- BEGIN OUTPUT job={job} execution=" in lives.server.stdout
    assert [line for line in lives.server.stdout.splitlines() if line[:1] != "-"][1:] == ["one", "two"]


def test_kill_9_loses_nothing_and_files_have_nothing_twice(lives: Lives, web: Hook) -> None:
    job = lives.start(COUNTS, processors={"files": {}, "webhook": {"url": web.url}})
    eventually(lambda: len(web.got) >= 1)
    lives.kill_and_restart()
    eventually(lambda: len(web.got) >= 5)
    lives.kill_and_restart()
    lives.ended(job)
    eventually(lambda: is_over(web))
    assert posted(web) == LINES
    eventually(lambda: written(lives).splitlines() == LINES)
    assert lives.runs(job)[0]["outcome"] == "succeeded"


def test_what_a_receiver_that_is_down_missed_it_gets_later(lives: Lives, web: Hook) -> None:
    web.say = 503
    job = lives.make(command="echo one", processors={"webhook": {"url": web.url}, "files": {}})
    lives.run_now(job)
    eventually(lambda: written(lives) == "one\n")
    eventually(lambda: bool(web.got))
    assert lives.runs(job)[0]["outcome"] == "succeeded"
    web.say = 200
    lives.kill_and_restart()
    eventually(lambda: is_over(web) and len(web.got) >= 2)
    first, *_, again = whole(web)
    assert (first["offset"], first["lines"]) == (again["offset"], again["lines"])
    status, page = lives.call("GET", f"{JOB}{job}/executions/")
    assert (status, page["job_stats"][0]["output"]) == (200, "one")


@pytest.mark.parametrize(
    ("processors", "field"),
    [
        ({"nobody": {}}, "processors.nobody"),
        ({"files": {"folder": "x"}}, "processors.files.folder"),
        ({"files": {"log_dir": "../x"}}, "processors.files.log_dir"),
        ({"files": {"keep_files": 3}}, "processors.files.keep_files"),
        ({"webhook": {}}, "processors.webhook.url"),
        ({"log": {"forward": "maybe"}}, "processors.log.forward"),
        ({"log": 3}, "processors.log"),
        ([], "processors"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(standing: Lives, tmp_path: Path, processors: object, field: str) -> None:
    lives = standing.lent(tmp_path)
    status, answer = lives.call("POST", JOB, {"name": "n", "command": "true", "processors": processors})
    assert (status, answer["field"]) == (400, field)
    assert lives.call("GET", JOB) == (200, {"jobs": {}})


def test_a_job_of_dkron_s_api_has_its_processors(lives: Lives) -> None:
    shell = {"executor": "shell", "executor_config": {"command": "echo one"}}
    job = {"name": "j", "schedule": "@every 24h", "processors": {"files": {"forward": "false"}, "log": None}, **shell}
    assert lives.call("POST", "/v1/jobs", {**job, "processors": {"nobody": {}}})[0] == 400
    assert lives.call("POST", "/v1/jobs", job)[0] == 201
    assert list(lives.call("GET", "/v1/jobs/j")[1]["processors"]) == ["files", "log"]
    lives.call("POST", "/v1/jobs/j")
    eventually(lambda: written(lives) == "one\n")
    (path,) = (lives.data / "logs" / "j").iterdir()
    eventually(lambda: f"offset=0 -----\n{path}\n----- END" in lives.server.stdout)


def test_without_local_jobs_no_path_of_the_machine_is_written_to(tmp_path: Path) -> None:
    with Server.start(tmp_path, "--no-local-jobs", "--log-dir", str(tmp_path / "logs")) as server:
        job = {"name": "n", "type": 1, "processors": {"files": {"log_dir": "/var/log/dkron"}}}
        answer = server.send("POST", JOB, job)
        assert (answer.status, answer.json["field"]) == (400, "processors.files.log_dir")


def test_a_package_brings_a_processor(tmp_path: Path) -> None:
    packages, shouted = tmp_path / "packages", tmp_path / "shouted"
    example = ROOT / "examples" / "kala_es_shout"
    copy = tmp_path / "example"
    subprocess.run(["cp", "-r", example, copy], check=True)  # building leaves traces
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", packages, copy], check=True)
    paths = os.pathsep.join([str(ROOT), str(packages)])
    with Server.start(tmp_path / "server", env={"PYTHONPATH": paths}) as server:
        schedule = "R/2099-01-01T00:00:00Z/P1D"
        job = {
            "id": "hello",
            "name": "hello",
            "command": "echo hello",
            "schedule": schedule,
            "processors": {"shout": {}},
        }
        refused = server.send("POST", JOB, job)
        assert (refused.status, refused.json["field"]) == (400, "processors.shout.path")
        assert server.send("POST", JOB, {**job, "processors": {"shout": {"path": str(shouted)}}}).status == 201
        server.send("POST", f"{JOB}start/hello/", None)
        eventually(lambda: shouted.exists() and "HAS SUCCEEDED" in shouted.read_text())
    assert shouted.read_text().startswith("HELLO\nTHE JOB HELLO HAS SUCCEEDED!\n")

"""Packages bring executors to a real server: one that works, cancelled and limited; and those that are broken."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.servers import ROOT, Server, eventually
from tests.system.lives import FAR, JOB

pytestmark = pytest.mark.system

BROKEN: Final = """
import trio
from kala_es.executor import AttemptEnd
from kala_es.options import Option

class Raises:
    options = (Option(key="how", about="what it does", required=True),)

    async def execute(self, order, emit):
        await emit("stdout", b"so far so good\\n")
        match dict(order.work.config)["how"]:
            case "raise":
                raise LookupError("no such thing")
            case "exit":
                raise SystemExit(3)
            case "nothing":
                return None
            case "odd":
                return AttemptEnd(outcome="splendid")
            case "chars":
                await emit("stdout", "no bytes")
            case "exits inside":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.exits)
                    await trio.sleep_forever()
        return AttemptEnd(outcome="succeeded")

    async def exits(self):
        raise SystemExit(4)

class NoOptions:
    async def execute(self, order, emit):
        return AttemptEnd(outcome="succeeded")
"""


def package(directory: Path, name: str, source: str, **entries: str) -> None:
    """A package as it is installed: its module, and what says which executors it brings."""
    (directory / f"{name}.py").write_text(source)
    about = directory / f"{name}-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    lines = [f"{entry} = {name}:{target}" for entry, target in entries.items()]
    (about / "entry_points.txt").write_text("\n".join(["[kala_es.executors]", *lines, ""]))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("executors")
    packages, copy = directory / "packages", directory / "example"
    example = ROOT / "examples" / "kala_es_countdown"
    subprocess.run(["cp", "-r", example, copy], check=True)  # building leaves traces
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", packages, copy], check=True)
    package(packages, "breaking", BROKEN, raises="Raises", silent="NoOptions", gone="NotThere")
    package(packages, "missing", "import no_such_library", missing="Anything", shell="Anything")
    paths = os.pathsep.join([str(ROOT), str(packages)])
    with Server.start(directory / "server", "--no-local-jobs", env={"PYTHONPATH": paths}) as running:
        yield running


def created(server: Server, name: str, executor: str, **config: str) -> Any:
    job = {"name": name, "schedule": "@manually", "executor": executor, "executor_config": config}
    answer = server.send("POST", "/v1/jobs", job)
    assert answer.status == 201, answer.body
    return answer.json


def execution(server: Server, name: str) -> Any:
    """The newest execution of a job, once it is over."""

    def over() -> Any:
        newest = server.get(f"/v1/jobs/{name}/executions").json[0]
        return newest if newest["outcome"] else None

    return eventually(over)


def test_it_is_told_what_its_schema_takes_and_its_output_and_end_are_kept(server: Server) -> None:
    job = created(server, "launch", "countdown", **{"from": "3", "step": "0.01"})
    assert (job["executor"], job["executor_config"]) == ("countdown", {"from": "3", "step": "0.01"})
    assert server.request("POST", "/v1/jobs/launch").status == 200
    done = execution(server, "launch")
    assert (done["outcome"], done["output"], done["exit_code"]) == ("succeeded", "3\n2\n1\nlift-off\n", None)
    seen = server.get(f"{JOB}launch/").json["job"]
    assert (seen["type"], seen["executor"], seen["executor_config"]["from"]) == (2, "countdown", "3")


def test_its_failure_is_retried_as_any_and_has_its_reason(server: Server) -> None:
    job = {"id": "aborts", "name": "a", "schedule": FAR, "executor": "countdown", "retries": 1}
    config = {"from": "2", "step": "0", "abort_at": "1"}
    assert server.send("POST", JOB, {**job, "executor_config": config}).status == 201
    assert server.request("POST", f"{JOB}start/aborts/").status == 204
    run = server.get(f"{JOB}aborts/executions/").json["job_stats"][0]
    assert (run["outcome"], run["reason"], run["number_of_retries"]) == ("failed", "aborted at 1", 1)
    assert run["output"].split() == ["2", "1", "aborts", "is", "aborted"] * 2


def test_it_is_cancelled_and_has_its_limits_of_time_and_output(server: Server) -> None:
    job = {"name": "a", "schedule": FAR, "executor": "countdown", "executor_config": {"from": "9999", "step": "9"}}
    assert server.send("POST", JOB, {**job, "id": "slow", "timeout": "PT0.3S"}).status == 201
    assert server.request("POST", f"{JOB}start/slow/").status == 204
    run = server.get(f"{JOB}slow/executions/").json["job_stats"][0]
    assert (run["outcome"], run["output"]) == ("timed-out", "9999")
    created(server, "cancelled", "countdown", **{"from": "7", "step": "60"})
    started = server.request("POST", "/v1/jobs/cancelled").json["execution_id"]
    eventually(lambda: any(each.get("output") == "7\n" for each in server.get("/v1/busy").json))
    assert server.request("DELETE", f"{JOB}cancelled/executions/{started.removesuffix('-1')}/").status == 204
    assert execution(server, "cancelled")["outcome"] == "cancelled"
    fast = {**job, "id": "loud", "executor_config": {"from": "9999", "step": "0"}, "max_output": 50}
    assert server.send("POST", JOB, {**fast, "on_max_output": "kill"}).status == 201
    assert server.request("POST", f"{JOB}start/loud/").status == 204
    run = server.get(f"{JOB}loud/executions/").json["job_stats"][0]
    assert (run["outcome"], run["output"][:50]) == ("failed", "\n".join(str(n) for n in range(9999, 9989, -1)) + "\n")
    assert "limit of 50 bytes" in run["reason"]


@pytest.mark.parametrize(
    ("executor", "config", "field", "said"),
    [
        ("kafka", {}, "executor", "there is no executor 'kafka'; here are countdown, gone, http, missing,"),
        ("missing", {}, "executor", "No module named 'no_such_library'"),
        ("gone", {}, "executor", "NotThere"),
        ("silent", {}, "executor", "does not say what it knows"),
        ("", {}, "executor", "a job needs one"),
        ("../x", {}, "executor", "cannot be the name"),
        ("countdown", {}, "executor_config.from", "needs it"),
        ("countdown", {"from": "ten"}, "executor_config.from", "'ten' does not look like"),
        ("countdown", {"from": "1", "to": "2"}, "executor_config.to", "knows from, step, abort_at"),
        ("raises", {"how": "x" * 70_000}, "executor_config", "more than 65536"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(
    server: Server, executor: str, config: dict[str, str], field: str, said: str
) -> None:
    job = {"name": "n", "schedule": "@manually", "executor": executor, "executor_config": config}
    answer = server.send("POST", "/v1/jobs", job)
    assert (answer.status, answer.json["field"]) == (400, field)
    assert said in answer.json["error"]
    if executor:
        theirs = {"name": "n", "executor": executor, "executor_config": config}
        answer = server.send("POST", JOB, theirs)
        assert (answer.status, answer.json["field"]) == (400, field)


@pytest.mark.parametrize(
    ("job", "field"),
    [
        ({"executor": "countdown", "executor_config": {"from": "3"}, "command": "true"}, "command"),
        ({"executor": "countdown", "type": 1, "remote_properties": {"url": "http://127.0.0.1:1/"}}, "executor"),
        ({"type": 2}, "executor"),
        ({"type": 3}, "type"),
        ({"executor": "shell", "executor_config": {"command": "true"}}, "executor"),
        ({"executor": 3}, "executor"),
        (
            {"type": 1, "remote_properties": {"url": "http://127.0.0.1:1/"}, "executor_config": {"a": "b"}},
            "executor_config",
        ),
        ({"executor": "countdown", "executor_config": {"from": 3}}, "executor_config.from"),
    ],
)
def test_a_job_has_one_kind_of_work(server: Server, job: dict[str, object], field: str) -> None:
    answer = server.send("POST", JOB, {"name": "n", **job})
    assert (answer.status, answer.json["field"]) == (400, field)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise", "the executor 'raises' raised LookupError('no such thing')"),
        ("exit", "the executor 'raises' raised SystemExit(3)"),
        ("exits inside", "SystemExit(4)"),
        ("nothing", "the executor 'raises' returned None, which is no AttemptEnd"),
        ("odd", "which is no end that an attempt may have"),
        ("chars", "TypeError('output is bytes, not str')"),
    ],
)
def test_what_breaks_is_one_failed_attempt_and_the_agent_goes_on(server: Server, how: str, reason: str) -> None:
    agent = (server.directory / "data" / "agent.lock").read_text()
    created(server, "breaks", "raises", how=how)
    server.request("POST", "/v1/jobs/breaks")
    failed = execution(server, "breaks")
    assert (failed["outcome"], failed["output"]) == ("failed", "so far so good\n")
    assert reason in failed["reason"]
    created(server, "after", "countdown", **{"from": "1", "step": "0"})
    server.request("POST", "/v1/jobs/after")
    assert execution(server, "after")["outcome"] == "succeeded"
    assert (server.directory / "data" / "agent.lock").read_text() == agent


def test_the_executors_say_what_they_take(server: Server) -> None:
    listed = {each["name"]: each for each in server.get("/v1/executors").json}
    assert list(listed) == ["countdown", "gone", "http", "missing", "raises", "shell", "silent"]
    assert listed["countdown"]["schema"]["required"] == ["from"]
    assert listed["shell"]["schema"]["properties"]["mem_limit"]["description"]
    assert (listed["missing"]["schema"], "no_such_library" in listed["missing"]["error"]) == (None, True)
    assert listed["silent"]["schema"] is None

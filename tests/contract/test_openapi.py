"""Every route asked as its description allows, valid and not: no 500, and no answer that the description has not.

Schemathesis makes the requests, of a fixed seed: once as they fall, which finds nothing behind most paths, and once of
a job and a run that there are, so that what is answered then is looked at too. `make soak` makes each near miss of both
as well. Local jobs are refused meanwhile, so that nothing it invents is run. Streams are left out, as they do not end,
and a remote job's body, which the original calls JSON whatever it is.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.servers import Server

pytestmark = pytest.mark.system

CHECKS = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"
PHASES = "examples,coverage,fuzzing"
LEFT_OUT = r"stream|/events/|/params/"
SECONDS = 300
JOB: Final = {"name": "report", "schedule": "@daily", "executor": "http", "executor_config": {"url": "http://[::1]:9/"}}
RUN: Final = {
    "id": "r",
    "ran_at": "2026-01-01T00:00:00Z",
    "ended_at": "2026-01-01T00:00:01Z",
    "outcome": "succeeded",
    "output": "one\n",
}
NEVER_GRANTED: Final = {
    "GET /api/v1/job/{id}/why/",
    "GET /api/v1/schedule/",
    "GET /api/v1/job/{id}/executions/{run}/output/",
    "GET /api/v1/job/{id}/executions/{run}/output/lines/",
    "POST /api/v1/job/",
    "POST /api/v1/job/bulk/",
    "PUT /api/v1/job/{id}/",
    "POST /api/v1/snapshot/",
    "POST /v1/restore",
}
"""It makes no request of these that is granted: local jobs are refused, output is redacted meanwhile, and a form or an
archive it cannot invent. Other tests have them."""


def run(server: Server, directory: Path, *options: str, phases: str = PHASES) -> None:
    """Make the requests; every answer is within the description."""
    url = f"{server.url.rstrip('/')}/api/v1/openapi.json"
    usual = ["--checks", CHECKS, "--phases", phases, "--max-examples", "3", "--seed", "1"]
    tool = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", "tool.toml", "run", url, *usual]
    done = subprocess.run(
        [*tool, "--exclude-path-regex", LEFT_OUT, "--request-timeout", "30", "--no-color", *options],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert "Test cases:" in done.stdout
    assert server.get("/healthz").status == 200


def granted(report: Path, paths: Iterable[str]) -> set[str]:
    """The routes that have answered a request of a report with a 2xx."""
    patterns = {
        path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in sorted(paths, key=lambda p: p.count("{"))
    }
    found: set[str] = set()
    for entry in json.loads(report.read_text())["log"]["entries"]:
        asked = urlsplit(entry["request"]["url"]).path
        fitting = [path for path, pattern in patterns.items() if pattern.fullmatch(asked)]
        if 200 <= entry["response"]["status"] < 300 and fitting:
            found.add(f"{entry['request']['method']} {fitting[0]}")
    return found


@pytest.mark.parametrize("phases", ["examples,fuzzing", pytest.param(PHASES, marks=pytest.mark.soak)])
def test_no_answer_is_outside_the_description(tmp_path: Path, phases: str) -> None:
    (tmp_path / "tool.toml").write_text("")
    with Server.start(tmp_path, "--no-local-jobs") as server:
        run(server, tmp_path, phases=phases)


@pytest.mark.parametrize("mode", ["positive", pytest.param("all", marks=pytest.mark.soak)])
def test_no_answer_about_what_there_is_is_outside_the_description(tmp_path: Path, mode: str) -> None:
    with Server.start(tmp_path, "--no-local-jobs") as server:
        assert server.send("POST", "/v1/jobs", JOB).status == 201
        runs: dict[str, Any] = {"source": "dkron", "executions": [RUN]}
        assert server.send("POST", "/api/v1/job/report/executions/import/", runs).json["taken"] == ["r"]
        (execution,) = server.get("/v1/jobs/report/executions").json
        names = {
            "job": "report",
            "id": "report",
            "execution": execution["id"],
            "run": execution["id"].removesuffix("-1"),
        }
        lines = [f'"path.{name}" = "{value}"' for name, value in names.items()]
        (tmp_path / "tool.toml").write_text("\n".join(["[parameters]", *lines]))
        report = tmp_path / "report.har"
        reported = ("--report", "har", "--report-har-path", str(report))
        run(server, tmp_path, "--mode", mode, "--exclude-method", "DELETE", *reported)
        paths = server.get("/api/v1/openapi.json").json["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    asked = {route for route in routes if not re.search(f"{LEFT_OUT}|^DELETE|openapi", route)}
    assert asked - granted(report, paths) == NEVER_GRANTED

"""Every route asked as its description allows, valid and not: no 500, and no answer that the description has not.

Schemathesis makes the requests, of a fixed seed. Local jobs are refused meanwhile, so that nothing it invents is run.
Streams are left out, as they do not end.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Server

pytestmark = pytest.mark.system

CHECKS = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"
ENDLESS = r"stream|/events/"
SECONDS = 300


def test_no_answer_is_outside_the_description(tmp_path: Path) -> None:
    with Server.start(tmp_path, "--no-local-jobs") as server:
        url = f"{server.url.rstrip('/')}/api/v1/openapi.json"
        options = ["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--seed", "1"]
        tool = [str(Path(sys.executable).with_name("schemathesis")), "run", url, *options]
        done = subprocess.run(
            [*tool, "--exclude-path-regex", ENDLESS, "--request-timeout", "30", "--no-color"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
        assert "Test cases:" in done.stdout
        assert server.get("/healthz").status == 200

"""`kala-es compact` on a real server's directory: while it runs, and when it is stopped."""

import subprocess
from pathlib import Path

import pytest

from tests.servers import eventually, kala_es
from tests.system.lives import Lives

pytestmark = pytest.mark.system


def compact(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return kala_es("compact", *arguments)


def test_a_log_is_compacted_while_its_server_runs_and_when_it_is_stopped(tmp_path: Path) -> None:
    with Lives(tmp_path / "server", "--keep-runs", "1") as lives:
        talkative = lives.make(command="head -c 3000000 /dev/zero")
        for _ in range(4):
            lives.run_now(talkative)
        assert eventually(lambda: sum(run["output_trimmed"] for run in lives.runs(talkative)) == 3)
        before = lives.stored_size()
        assert eventually(
            lambda: compact("--server", lives.server.url).returncode == 0 and lives.stored_size() < before / 2
        )
        lives.run_now(talkative)
        assert len(lives.runs(talkative)) == 5
        refused = compact(*lives.place)
        assert (refused.returncode, "in use" in refused.stderr) == (1, True)
        lives.kill_and_restart()
        assert len(lives.runs(talkative)) == 5
        place = lives.place
    done = compact(*place)
    assert done.returncode == 0
    assert "and takes" in done.stdout


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    done = compact("--data", str(tmp_path))
    assert (done.returncode, done.stderr) == (1, f"kala-es: There is no log in {tmp_path}.\n")
    assert list(tmp_path.iterdir()) == []
    assert compact("--server", "http://127.0.0.1:9").returncode == 1
    assert compact().returncode == 2

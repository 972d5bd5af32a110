"""`kala-es apply` and `dump` against a real server, each twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server, kala_es

pytestmark = pytest.mark.system

JOBS = """\
jobs:
  parent:
    name: The parent
    command: "true"
    schedule: R/2020-01-01T00:00:00Z/P1D
    env: {B: "1", A: "no"}
  child:
    name: The child
    command: "echo it's \\"quoted\\""
    parent_jobs: [parent]
    notify: []
"""
CALL = """\
[jobs.call]
name = "A call"
type = 1
schedule = "R/2099-01-01T00:00:00Z/PT1H"
disabled = true
[jobs.call.remote_properties]
url = "http://127.0.0.1:9/"
headers.X = ["1"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server.start(tmp_path_factory.mktemp("server")) as started:
        yield started


def test_a_folder_is_applied_and_the_second_time_nothing_changes(server: Server, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "jobs.yaml").write_text(JOBS)
    (tmp_path / "deep" / "more.json").write_text(
        '{"jobs": {"third": {"name": "3", "command": "true", "parent_jobs": ["child"]}}}'
    )
    (tmp_path / "README").write_text("not jobs")
    asked = ("apply", str(tmp_path), "--server", server.url, "--prune")
    shown = kala_es(*asked, "--dry-run")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "create parent\n" in shown.stdout
    assert '    env: {"A": "no", "B": "1"}\n' in shown.stdout
    assert shown.stdout.endswith("3 to be created, 0 unchanged\n")
    first = kala_es(*asked)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == shown.stdout + "3 created, 0 unchanged\n"
    again = kala_es(*asked)
    assert (again.returncode, again.stdout) == (0, "3 unchanged\n")
    (tmp_path / "deep" / "more.json").unlink()
    (tmp_path / "jobs.yaml").write_text(JOBS.replace("The child", "Another"))
    changed = kala_es(*asked)
    assert changed.stdout.splitlines()[:4] == [
        "change child",
        '    name: "The child" -> "Another"',
        "delete third",
        "1 to be changed, 1 to be deleted, 1 unchanged",
    ]
    assert kala_es(*asked).stdout == "2 unchanged\n"


@pytest.mark.parametrize("form", ["yaml", "json", "toml"])
def test_what_is_dumped_is_applied_without_a_change(server: Server, tmp_path: Path, form: str) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBS)
    (tmp_path / "call.toml").write_text(CALL)
    answer = server.send("POST", "/api/v1/job/apply/", {"jobs": {}, "prune": True})
    assert answer.status == 200
    (tmp_path / "call.toml").write_text(CALL.replace("type = 1\n", 'type = 0\ncommand = "x"\n'))
    assert kala_es("apply", str(tmp_path), "--server", server.url).returncode == 0
    (tmp_path / "call.toml").write_text(CALL)
    assert kala_es("apply", str(tmp_path), "--server", server.url).returncode == 0
    dumped = kala_es("dump", "--server", server.url, "--format", form)
    assert (dumped.returncode, dumped.stderr) == (0, "")
    file = tmp_path / "dump" / f"dump.{form}"
    file.parent.mkdir()
    file.write_text(dumped.stdout)
    assert kala_es("apply", str(file), "--server", server.url, "--prune").stdout == "3 unchanged\n"
    assert kala_es("dump", "--server", server.url, "--format", form).stdout == dumped.stdout


def test_faults_are_told_with_file_line_and_column_and_nothing_is_applied(server: Server, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.yaml"
    before = server.get("/api/v1/job/").body

    def faults(text: str) -> list[str]:
        jobs.write_text(text)
        refused = kala_es("apply", str(jobs), "--server", server.url)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert server.get("/api/v1/job/").body == before
        return [line.removeprefix(str(jobs)) for line in refused.stderr.splitlines()]

    assert faults("jobs:\n  a: {name: [x]}\n  b:\n    nmae: x\n    name: y\n") == [
        ":2:13: jobs.a.name: ['x'] is not of type 'string'",
        ":4:5: jobs.b.nmae: there is no such key",
        "kala-es: nothing was applied: 2 faults",
    ]
    assert faults("jobs:\n  a:\n    name: x\n    command: y\n    schedule: R/then/P1D\n  b: {name: x, command: y}\n")[
        0
    ].startswith(":5:15: jobs.a.schedule: ")
    assert faults("jobs: {a: {name: x, command: y, parent_jobs: [b]}}") == [
        ":1:46: jobs.a.parent_jobs: there is no job 'b'",
        "kala-es: nothing was applied: 1 fault",
    ]
    assert faults("jobs: [")[0].startswith(":2:1: ")


def test_what_cannot_be_asked_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("jobs: {}")
    nowhere = kala_es("apply", str(tmp_path), "--server", "http://127.0.0.1:9")
    assert (nowhere.returncode, "http://127.0.0.1:9/api/v1/job/apply/: " in nowhere.stderr) == (1, True)
    assert kala_es("dump", "--server", "http://127.0.0.1:9").returncode == 1
    for path in ("none.yaml", "a.txt", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        failed = kala_es("apply", str(tmp_path / path))
        assert (failed.returncode, failed.stderr.startswith(f"kala-es: {tmp_path / path}: ")) == (1, True)
    assert kala_es("apply").returncode == 2

"""`kala-es export` and `import` on real servers: a scheduler is carried in one file, while it runs."""

import threading
from itertools import cycle
from pathlib import Path

import pytest

from tests.servers import eventually, kala_es
from tests.system.lives import Lives

pytestmark = pytest.mark.system


def done(*arguments: str) -> str:
    """What a verb says of position and digest, the last word; it must succeed."""
    said = kala_es(*arguments)
    assert said.returncode == 0, said.stderr
    return (said.stdout + said.stderr).split()[-1]


@pytest.mark.files("made in a directory")
def test_a_scheduler_is_carried_in_one_file_while_it_runs(tmp_path: Path) -> None:
    whole, more = tmp_path / "whole.kala", tmp_path / "more.kala"
    with Lives(tmp_path / "server") as lives:
        job = lives.make(command="echo so it was")
        lives.run_now(job)
        first = done("export", str(whole), "--server", lives.server.url)
        lives.run_now(job)
        position = first.split(":")[0]
        second = done("export", str(more), *lives.place, "--since", position)
    assert done("import", str(whole), "--data", str(tmp_path / "copy" / "data")) == first
    assert done("import", str(more), "--data", str(tmp_path / "copy" / "data")) == second
    with Lives(tmp_path / "copy") as copy:
        assert [run["output"] for run in copy.runs(job)] == ["so it was"] * 2


@pytest.mark.files("made in a directory")
def test_a_run_that_was_in_flight_is_lost_in_the_copy_and_goes_on_in_the_original(tmp_path: Path) -> None:
    file = str(tmp_path / "some.kala")
    with Lives(tmp_path / "server") as lives:
        job = lives.start("echo begun; exec sleep 600")
        lives.printed(job)
        done("export", file, "--server", lives.server.url)
        done("import", file, "--data", str(tmp_path / "copy" / "data"))
        with Lives(tmp_path / "copy") as copy:
            assert [run["outcome"] for run in copy.ended(job)] == ["lost"]
            assert copy.printed(job).startswith("begun")
        assert [run["outcome"] for run in lives.runs(job)] == [None]
        assert lives.call("DELETE", f"/api/v1/job/{job}/executions/{lives.runs(job)[0]['id']}/")[0] == 204
        lives.ended(job)


def test_an_archive_that_is_made_under_load_ends_with_a_digest_that_the_log_had(tmp_path: Path) -> None:
    file = str(tmp_path / "some.kala")
    with Lives(tmp_path / "server") as lives:
        jobs = [lives.make(command="echo so it was") for _ in range(20)]
        stop = threading.Event()

        def load() -> None:
            """Begin a third of 200 runs a second, where the machine can."""
            for job in cycle(jobs):
                if stop.wait(0.012):
                    return
                lives.server.request("POST", f"/api/v1/job/start/{job}/", headers={"Prefer": "respond-async"})

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            eventually(lambda: len(lives.runs(jobs[0])) > 5)
            end = done("export", file, "--server", lives.server.url)
            assert done("import", file, "--data", str(tmp_path / "copy")) == end
            assert done("verify", "--data", str(tmp_path / "copy")) == end
            assert done("verify", file) == end
            assert done("verify", *lives.place, "--against", end) != end
        finally:
            stop.set()
            for thread in threads:
                thread.join()


@pytest.mark.files("made in a directory")
def test_a_log_is_restored_to_just_before_a_mistake_and_runs_its_jobs(tmp_path: Path) -> None:
    restored = tmp_path / "restored" / "data"
    with Lives(tmp_path / "server") as lives:
        jobs = [lives.make(command="echo so it was") for _ in range(3)]
        before = done("verify", *lives.place)
        assert lives.call("DELETE", "/api/v1/job/all/")[0] == 204
        position = before.split(":")[0]
        assert done("restore", *lives.place, "--until", position, "--into", str(restored)) == before
        refused = kala_es("restore", *lives.place, "--until", position, "--into", str(restored))
        assert (refused.returncode, "is not empty" in refused.stderr) == (1, True)
    with Lives(tmp_path / "restored") as again:
        for job in jobs:
            again.run_now(job)
            assert [run["output"] for run in again.runs(job)] == ["so it was"]
    assert done("verify", "--data", str(restored), "--against", before) != before
    assert kala_es("restore", "--data", "x", "--until", "never", "--into", "y").returncode == 2
    assert kala_es("verify", "--data", str(restored), "--against", "x").returncode == 2


def test_the_jobs_of_an_archive_are_taken_in_by_a_server_that_runs(tmp_path: Path) -> None:
    file = str(tmp_path / "some.kala")
    with Lives(tmp_path / "server") as lives:
        job = lives.make(command="echo so it was")
        lives.run_now(job)
        done("export", file, *lives.place)
    with Lives(tmp_path / "other") as other:
        where = ("--server", other.server.url, "--on-conflict", "fail")
        assert "1 to be created" in kala_es("import", file, *where, "--dry-run").stdout
        assert "1 created" in kala_es("import", file, *where).stdout
        assert (other.job(job)["command"], other.runs(job)) == ("echo so it was", [])
        refused = kala_es("import", file, *where)
        assert (refused.returncode, f"there is a job {job!r} already" in refused.stderr) == (1, True)
        planned = kala_es("import", file, *where, "--dry-run")
        assert (planned.returncode, planned.stdout) == (
            1,
            f"refused {job}: id: there is a job {job!r} already\n1 to be refused, 0 unchanged\n",
        )
        assert "nothing would be imported" in planned.stderr
        assert "1 unchanged" in kala_es("import", file, *where[:3], "skip").stdout
    assert kala_es("import", file, "--data", str(tmp_path), "--on-conflict", "fail").returncode == 2
    assert kala_es("import", file, "--data", str(tmp_path), "--dry-run").returncode == 2


def test_a_secret_that_a_run_printed_is_gone_from_the_directory(tmp_path: Path) -> None:
    secret = b"correct horse battery staple"
    with Lives(tmp_path / "server") as lives:
        (tmp_path / "secret").write_bytes(b"x" * 1500 + secret)
        (tmp_path / "other").write_bytes(b"y" * 2500)
        job, other = (lives.make(command=f"cat {tmp_path / name}") for name in ("secret", "other"))
        for _ in range(3):
            lives.run_now(job)
            lives.run_now(other)
        seen = done("verify", *lives.place)
        for run in lives.runs(job):
            done("redact", "--run", run["id"], "--reason", "the horse", "--server", lives.server.url)
        run = lives.runs(job)[0]
        assert (run["output"], run["redacted"]["reason"], run["output_trimmed"]) == ("", "the horse", True)
        status, answer = lives.call("GET", f"/api/v1/job/{job}/executions/{run['id']}/output/")
        assert (status, answer["error"]) == (410, "the output was erased: the horse")
        done("verify", *lives.place, "--against", seen)
        refused = kala_es("redact", "--run", "none", "--reason", "x", "--server", lives.server.url)
        assert (refused.returncode, "there is no run" in refused.stderr) == (1, True)
    files = [path for path in lives.data.rglob("*") if path.is_file()]
    assert [path for path in files if secret in path.read_bytes()] == []


def test_what_cannot_be_exported_or_imported_is_said(tmp_path: Path) -> None:
    with Lives(tmp_path / "server") as lives:
        lives.make(command="true")
        file = str(tmp_path / "some.kala")
        for where in ("--server", lives.server.url), lives.place:
            refused = kala_es("export", file, *where, "--since", "99")
            assert (refused.returncode, "ends at position 1" in refused.stderr) == (1, True), refused.stderr
        assert not list(tmp_path.glob("some*"))
        status, answer = lives.call("GET", "/api/v1/snapshot/?since=99")
        assert (status, answer["field"]) == (400, "since")
        done("export", file, "--server", lives.server.url)
        refused = kala_es("import", file, *lives.place)
        assert (refused.returncode, "in use" in refused.stderr) == (1, True)
    Path(file).write_bytes(Path(file).read_bytes()[:-1])
    refused = kala_es("import", file, "--data", str(tmp_path / "copy"))
    assert (refused.returncode, "is cut off" in refused.stderr) == (1, True)

"""`kala-es import FILE --server URL` on a server without a log: it becomes that log, whole or not at all."""

import http.client
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Answer, eventually, kala_es
from tests.system.lives import Lives

pytestmark = pytest.mark.system
SNAPSHOT = "/api/v1/snapshot/"
KILLS = 4


def place_of(said: "subprocess.CompletedProcess[str]") -> str:
    """POSITION:DIGEST, the last word of a verb that succeeds."""
    assert said.returncode == 0, said.stderr
    return (said.stdout + said.stderr).split()[-1]


class Source:
    """A server with a history, and archives of it: whole, without output, and its end."""

    def __init__(self, directory: Path) -> None:
        self.whole, self.quiet, self.rest = (directory / name for name in ("whole", "quiet", "rest"))
        with Lives(directory / "source") as lives:
            self.job = lives.make(command="echo so it was")
            self.silent = lives.make(command="true")
            lives.run_now(self.job)
            lives.run_now(self.silent)
            self.twice = lives.make(command="echo once; exit 1", shell=True, retries=1)
            lives.run_now(self.twice)
            self.flying = lives.start("echo begun; exec sleep 600")
            lives.printed(self.flying)
            self.end = place_of(kala_es("export", str(self.whole), "--server", lives.server.url))
            place_of(kala_es("export", str(self.quiet), "--no-output", "--server", lives.server.url))
            place_of(kala_es("export", str(self.rest), "--since", "3", "--server", lives.server.url))
            self.runs = lives.runs(self.job)
            lives.call("DELETE", f"/api/v1/job/{self.flying}/executions/{lives.runs(self.flying)[0]['id']}/")
            lives.ended(self.flying)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(tmp_path_factory.mktemp("source"))


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """A server without a log."""
    with Lives(tmp_path / "server") as lives:
        yield lives


def head(lives: Lives) -> str:
    return place_of(kala_es("verify", *lives.place))


def is_clean(lives: Lives) -> bool:
    return not (lives.data / "incoming").exists() and not lives.server.stderr


def test_an_empty_server_becomes_the_one_that_was_exported(source: Source, lives: Lives) -> None:
    planned = kala_es("import", str(source.whole), "--server", lives.server.url, "--dry-run")
    assert ("the log would be at" in planned.stdout, place_of(planned)) == (True, source.end)
    assert (head(lives).split(":")[0], is_clean(lives)) == ("0", True)
    said = kala_es("import", str(source.whole), "--server", lives.server.url)
    assert ("4 jobs; the log is at" in said.stdout, place_of(said)) == (True, source.end)
    proved = kala_es("verify", *lives.place, "--against", source.end)
    assert proved.returncode == 0, proved.stderr
    assert lives.runs(source.job) == source.runs
    lost = lives.ended(source.flying)
    assert [(run["outcome"], run["output"]) for run in lost] == [("lost", "begun")]
    lives.run_now(source.job)
    assert [run["output"] for run in lives.runs(source.job)] == ["so it was"] * 2
    assert is_clean(lives)
    lives.kill_and_restart()
    assert len(lives.runs(source.job)) == 2
    assert head(lives) != source.end


def test_a_server_with_a_log_takes_only_the_jobs_in(source: Source, lives: Lives) -> None:
    lives.make(name="its own")
    said = kala_es("import", str(source.whole), "--server", lives.server.url)
    assert (said.returncode, "4 created" in said.stdout) == (0, True), said.stderr
    assert "has a log of its own" in said.stderr
    assert lives.runs(source.job) == []


def test_jobs_are_taken_in_alone_where_that_is_asked_for(source: Source, lives: Lives) -> None:
    said = kala_es("import", str(source.whole), "--server", lives.server.url, "--on-conflict", "skip")
    assert (said.returncode, "4 created" in said.stdout, said.stderr) == (0, True, "")
    assert lives.runs(source.job) == []


def altered(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_what_is_refused_leaves_a_server_unharmed(source: Source, lives: Lives) -> None:
    whole = source.whole.read_bytes()
    newer = whole.replace(b"kala-es archive\x01", b"kala-es archive\x02", 1)
    for body, why in (
        (altered(whole), "byte "),
        (whole[:-1], "the archive is cut off"),
        (newer, "byte 0: the part from here"),
        (b"", "byte 0: this is no archive"),
        (source.rest.read_bytes(), "goes on after position 3"),
    ):
        answer = lives.server.request("POST", SNAPSHOT, body)
        assert (answer.status, why in answer.json["error"]) == (400, True), answer.body
    assert (head(lives).split(":")[0], is_clean(lives)) == ("0", True)
    job = lives.make(command="echo unharmed")
    lives.run_now(job)
    assert [run["output"] for run in lives.runs(job)] == ["unharmed"]


def posted(lives: Lives, body: bytes, into: list[Answer]) -> threading.Thread:
    """A request on its way; its answer is put there, none if there is none."""

    def post() -> None:
        with suppress(OSError, http.client.HTTPException):
            into.append(lives.server.request("POST", SNAPSHOT, body))

    thread = threading.Thread(target=post)
    thread.start()
    return thread


def test_a_server_that_is_used_meanwhile_keeps_its_log(source: Source, lives: Lives) -> None:
    answers: list[Answer] = []
    thread = posted(lives, source.whole.read_bytes(), answers)
    eventually((lives.data / "incoming").exists)
    job = lives.start("exec sleep 600")
    thread.join()
    assert answers[0].status == 409, answers[0].body
    assert "no longer empty: its log is at position 2, 1 run in flight" in answers[0].json["error"]
    assert [run["outcome"] for run in lives.runs(job)] == [None]
    assert is_clean(lives)
    assert lives.call("DELETE", f"/api/v1/job/{job}/executions/{lives.runs(job)[0]['id']}/")[0] == 204
    lives.ended(job)


def test_others_are_told_to_come_again_and_streams_end(source: Source, lives: Lives) -> None:
    stream = http.client.HTTPConnection("127.0.0.1", lives.server.port, timeout=60)
    stream.request("GET", "/api/v1/events/")
    events = stream.getresponse()
    answers: list[Answer] = []
    thread = posted(lives, source.whole.read_bytes(), answers)
    seen: list[Any] = []
    while thread.is_alive():
        answer = lives.server.get("/api/v1/job/")
        seen.append(
            (answer.status, answer.headers["Retry-After"]) if answer.status != 200 else len(answer.json["jobs"])
        )
        time.sleep(0.01)
    thread.join()
    assert [answer.status for answer in answers] == [200]
    assert [*dict.fromkeys(seen)][:2] == [0, (503, "1")]
    with pytest.raises(http.client.IncompleteRead):
        events.read()
    stream.close()
    assert len(lives.server.get("/api/v1/job/").json["jobs"]) == 4
    assert is_clean(lives)


def test_a_stop_meanwhile_is_answered_before_it_comes(source: Source, lives: Lives) -> None:
    answers: list[Answer] = []
    thread = posted(lives, source.whole.read_bytes(), answers)
    eventually(lambda: lives.server.get("/api/v1/job/").status == 503)
    lives.server.terminate()
    assert lives.server.wait() == 0
    thread.join()
    assert [answer.status for answer in answers] == [200]
    assert place_of(kala_es("verify", *lives.place, "--against", source.end))
    lives.again()
    assert lives.runs(source.job) == source.runs


def test_a_kill_at_any_moment_leaves_no_log_or_the_whole_one(source: Source, tmp_path: Path) -> None:
    """And whoever was answered 200 has it."""
    kill_at_moments(source, tmp_path, KILLS)


@pytest.mark.soak
def test_a_kill_at_any_moment_leaves_no_log_or_the_whole_one_for_long(source: Source, tmp_path: Path) -> None:
    kill_at_moments(source, tmp_path, 2 * KILLS * int(os.environ.get("SOAK_ROUNDS", "10")))


def kill_at_moments(source: Source, tmp_path: Path, kills: int) -> None:
    body, dice = source.whole.read_bytes(), random.Random(4)
    for number in range(kills):
        with Lives(tmp_path / str(number)) as lives:
            answers: list[Answer] = []
            thread = posted(lives, body, answers)
            if number % 2:  # while the log is exchanged
                eventually(lambda life=lives: life.server.get("/api/v1/job/").status == 503)  # type: ignore[misc]
                time.sleep(dice.uniform(0, 0.7))
            else:
                time.sleep(dice.uniform(0, 2))
            lives.kill_and_restart()
            thread.join()
            jobs = len(lives.call("GET", "/api/v1/job/")[1]["jobs"])
            assert jobs in ((4,) if answers else (0, 4))
            assert not (lives.data / "incoming").exists()
            proof = kala_es("verify", *lives.place, *(("--against", source.end) if jobs else ()))
            assert proof.returncode == 0, proof.stderr
            assert jobs or proof.stdout.splitlines()[-1].startswith("0:")


def test_runs_whose_output_was_left_out_are_told_as_trimmed(source: Source, lives: Lives) -> None:
    place_of(kala_es("import", str(source.quiet), "--server", lives.server.url))
    (run,) = lives.runs(source.job)
    assert (run["outcome"], run["output"], run["output_trimmed"]) == ("succeeded", "", True)
    status, said = lives.call("GET", f"/api/v1/job/{source.job}/executions/{run['id']}/output/")
    assert (status, "leaves output out" in said["error"]) == (410, True)
    (silent,) = lives.runs(source.silent)
    assert silent["output_trimmed"] is False
    answer = lives.server.get(f"/api/v1/job/{source.silent}/executions/{silent['id']}/output/")
    assert (answer.status, answer.body) == (200, b"")
    for job, trimmed in ((source.job, [True]), (source.silent, [None]), (source.twice, [True, True])):
        executions = lives.call("GET", f"/v1/jobs/{job}/executions")[1]
        assert [each.get("output_trimmed") for each in executions] == trimmed
    lives.run_now(source.job)
    assert [(r["output"], r["output_trimmed"]) for r in lives.runs(source.job)] == [("", True), ("so it was", False)]

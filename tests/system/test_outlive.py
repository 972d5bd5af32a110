"""Runs outlive the server, and nothing outlives the agent: kill -9 of either, and of both."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.programs import lacks
from tests.servers import eventually
from tests.system.lives import JOB, KEPT, Lives, keeping

pytestmark = pytest.mark.system
COUNTING = """
import sys, time
begun = time.time()
for number in range({lines}):
    print(number, flush=True)
    time.sleep(max(0, begun + (number + 1) / 100 - time.time()))
open({times!r}, "w").write(f"{{begun}} {{time.time()}}")
sys.exit({code})
"""
GONE = "the agent that carried it out is gone"


@pytest.fixture(params=KEPT)
def lives(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lives]:
    """A server on an empty log."""
    with Lives(tmp_path / "server", *keeping(request.param, tmp_path)) as running:
        yield running


@pytest.fixture(params=["lmdb", pytest.param("postgres", marks=pytest.mark.soak)])
def beside(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lives]:
    """The same, for what has nothing to do with the log: the agent's socket, which is beside it."""
    with Lives(tmp_path / "server", *keeping(request.param, tmp_path)) as running:
        yield running


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@dataclass
class Reader(threading.Thread):
    """Follows a run by SSE, comes back with Last-Event-ID whenever the server is gone, until it has seen the end."""

    lives: Lives
    path: str
    text: str = ""
    last: str = ""
    ends: list[Any] = field(default_factory=list)
    __hash__ = threading.Thread.__hash__

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        """Until the end was seen."""
        while not self.ends:
            try:
                self._read()
            except (OSError, HTTPException):
                time.sleep(0.02)

    def _read(self) -> None:
        server = self.lives.server
        with socket.create_connection((server.host, server.port), timeout=5) as connection:
            resume = f"Last-Event-ID: {self.last}\r\n" if self.last else ""
            request = f"GET {self.path} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n{resume}\r\n"
            connection.sendall(request.encode())
            received = b""
            while content := connection.recv(65536):
                received += content
                *events, received = received.split(b"\n\n")
                for event in events:
                    self._take(event.decode())

    def _take(self, event: str) -> None:
        fields = dict(line.split(": ", 1) for line in event.splitlines() if ": " in line)
        if fields.get("event") == "output":
            chunk = json.loads(fields["data"])
            assert chunk["offset"] == len(self.text), "a reader missed or saw twice"
            self.text += chunk["text"]
        elif fields.get("event") == "end":
            self.ends.append(json.loads(fields["data"]))
        self.last = fields.get("id", self.last)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "seconds", "killed"),
    [
        (10, 9, ((1.5, 0.0), (3, 0.5), (4.5, 1.5), (7, 0.0), (8.5, 2.0))),
        pytest.param(20, 19, ((3, 0.0), (6, 0.5), (9, 2.0), (13, 0.0), (18.5, 2.5)), marks=pytest.mark.soak),
    ],
    ids=["short", "long"],
)
def test_runs_go_on_while_the_server_is_killed_again_and_again(
    tmp_path: Path, count: int, seconds: int, killed: Sequence[tuple[float, float]]
) -> None:
    """So many runs of about so many seconds. The last are over while the server is away."""
    lines = {number: 100 * seconds + 10 * number for number in range(count)}
    times = {number: tmp_path / f"times-{number}" for number in lines}
    with Lives(tmp_path / "server") as lives:
        began = time.time()
        jobs = {}
        for number in lines:
            script = tmp_path / f"count-{number}.py"
            script.write_text(COUNTING.format(lines=lines[number], times=str(times[number]), code=number % 3))
            jobs[number] = lives.start(f"exec {sys.executable} {script}", id=f"count-{number}")
        agent = lives.agent
        paths = [f"{JOB}{job}/executions/{lives.runs(job)[0]['id']}/stream/" for job in list(jobs.values())[:4]]
        readers = [Reader(lives, path) for path in paths]
        for reader in readers:
            reader.start()
        for moment, away in killed:
            time.sleep(max(0.0, began + moment - time.time()))
            lives.server.kill9()
            time.sleep(away)
            lives.again()
        runs = {number: lives.ended(job)[0] for number, job in jobs.items()}
        assert lives.agent == agent
        for reader in readers:
            reader.join(20)
            assert not reader.is_alive()
        for number, run in runs.items():
            expected = "".join(f"{line}\n" for line in range(lines[number]))
            assert lives.server.get(f"{JOB}{jobs[number]}/executions/{run['id']}/output/").body.decode() == expected
            assert (run["exit_code"], run["number_of_retries"]) == (number % 3, 0)
            begun, ended = map(float, times[number].read_text().split())
            assert began - 1 < moment_of(run["ran_at"]) <= begun
            assert ended - 0.01 <= moment_of(run["ended_at"]) < ended + 1
        for number, reader in enumerate(readers):
            assert reader.text == "".join(f"{line}\n" for line in range(lines[number]))
            assert reader.ends[0]["exit_code"] == number % 3


def moment_of(text: str) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def test_output_without_a_reader_waits_and_none_of_it_is_lost(lives: Lives) -> None:
    size = 6_000_000 if lives.server.log else 60_000_000  # how much that is matters to the agent, not to the log
    job = lives.start(f"sleep 0.3; head -c {size} /dev/zero; echo end >&2")
    lives.server.kill9()
    time.sleep(2.0)
    assert is_alive(lives.agent)
    assert resident_mib(lives.agent) < 100
    lives.again()
    run = lives.ended(job)[0]
    assert (run["outcome"], run["stdout_bytes"], run["stderr_bytes"]) == ("succeeded", size, 4)
    body = lives.server.get(f"{JOB}{job}/executions/{run['id']}/output/?channel=stdout").body
    assert len(body) == size
    assert body.count(b"\0") == size


def resident_mib(pid: int) -> float:
    """A process's memory, MiB."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def test_when_the_agent_is_killed_its_runs_are_lost_at_once_and_nothing_of_them_is_left(lives: Lives) -> None:
    plain = lives.start("sleep 1000 & echo $$ $!; wait")
    retried = lives.start("echo $$ $KALA_ATTEMPT; [ $KALA_ATTEMPT = 2 ] || exec sleep 1000", retries=1)
    start = (datetime.now(UTC) + timedelta(seconds=0.4)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    ticking = lives.make(schedule=f"R/{start}/PT0.2S")
    children = [int(pid) for pid in lives.printed(plain).split()]
    children.append(int(lives.printed(retried).split()[0]))
    killed = time.time()
    os.kill(lives.agent, signal.SIGKILL)
    run = lives.ended(plain)[0]
    assert (run["outcome"], run["reason"]) == ("lost", GONE)
    assert moment_of(run["ended_at"]) < killed + 1
    again = lives.ended(retried)[0]
    assert (again["outcome"], again["number_of_retries"], again["output"].split()[1::2]) == ("succeeded", 1, ["1", "2"])
    eventually(lambda: not any(map(is_alive, children)))
    after = eventually(lambda: [r for r in lives.runs(ticking) if moment_of(r["ran_at"]) > killed + 0.5] or None)
    assert lives.ended(ticking, 3)
    assert after[0]["cause"] == "schedule"
    assert lives.server.get("/readyz").status == 200


def test_when_both_are_killed_nothing_is_left_running_and_the_run_is_lost(lives: Lives) -> None:
    job = lives.start("echo $$; exec sleep 1000")
    child = int(lives.printed(job))
    os.kill(lives.agent, signal.SIGKILL)
    lives.server.kill9()
    lives.again()
    run = lives.ended(job)[0]
    assert (run["outcome"], run["reason"]) == ("lost", GONE)
    eventually(lambda: not is_alive(child))


def test_an_agent_that_is_terminated_says_how_its_runs_ended(lives: Lives) -> None:
    job = lives.start("trap 'echo last words; exit' TERM; echo $$; sleep 1000 & wait")
    lives.printed(job)
    os.kill(lives.agent, signal.SIGTERM)
    run = lives.ended(job)[0]
    assert (run["outcome"], run["reason"]) == ("lost", "the agent that carried it out was stopped")
    assert run["output"].endswith("last words")


@pytest.mark.parametrize("is_up", [True, False])
def test_a_run_goes_on_and_is_found_though_the_agents_socket_was_removed(beside: Lives, is_up: bool) -> None:
    job = beside.start("echo begun; while ! [ -e go ]; do sleep 0.05; done; echo done", cwd=str(beside.data))
    assert beside.printed(job) == "begun"
    if is_up:
        (beside.data / "agent.sock").unlink()
    beside.server.kill9()
    if not is_up:
        (beside.data / "agent.sock").unlink()
    beside.again()
    assert beside.runs(job)[0]["outcome"] is None
    (beside.data / "go").touch()
    (run,) = beside.ended(job)
    assert (run["outcome"], run["output"]) == ("succeeded", "begun\ndone")


def test_an_agent_without_work_or_server_ends(beside: Lives) -> None:
    agent = beside.agent
    assert is_alive(agent)
    beside.server.kill9()
    eventually(lambda: not is_alive(agent))
    eventually(lambda: not (beside.data / "agent.sock").exists())
    beside.again()
    beside.run_now(beside.make())


def test_the_socket_is_for_the_servers_user_only(beside: Lives) -> None:
    path = beside.data / "agent.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_caller_of_another_user_is_hung_up_on(beside: Lives) -> None:
    if os.geteuid():
        lacks("root, to become another user")
    call = (
        "import os, socket, sys; os.chdir(sys.argv[1]); os.setuid(65534);"
        "s = socket.socket(socket.AF_UNIX); s.connect('agent.sock'); print(s.recv(1))"
    )
    (beside.data / "agent.sock").chmod(0o666)
    done = subprocess.run(
        [sys.executable, "-c", call, str(beside.data)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "b''\n", done.stderr

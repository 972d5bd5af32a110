"""The register of process groups: what is noted is ended by whoever finds it, and nothing else is."""

import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kala_es import limits
from kala_es.executors.group_register import GroupRegister, end_left

MARKED = {"PATH": os.environ["PATH"], "KALA_RUN_ID": "r"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "groups"


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process in a session of its own."""
    with subprocess.Popen(["sleep", "1000"], start_new_session=True, env=MARKED) as process:
        yield process
        process.kill()


def ended(pid: int) -> bool:
    """Whether a process is gone soon."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def test_what_is_noted_is_ended(path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    GroupRegister(path).add(sleeper.pid)
    assert end_left(path) == 1
    assert sleeper.wait(10) == -signal.SIGKILL
    assert not path.exists()
    assert end_left(path) == 0


def test_what_is_over_is_left_alone(path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    register = GroupRegister(path)
    register.remove(register.add(sleeper.pid))
    assert end_left(path) == 0
    assert sleeper.poll() is None


def damaged(path: Path, at: int, content: bytes) -> None:
    """The register with these bytes there."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def test_another_boots_groups_are_left_alone(path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    GroupRegister(path).add(sleeper.pid)
    damaged(path, 8, b"another boot")
    assert end_left(path) == 0
    assert sleeper.poll() is None


def test_a_pid_that_another_process_has_got_is_left_alone(path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    GroupRegister(path).add(sleeper.pid)
    for noted in (1, 1 << 40):  # long before, and after, the process that has the pid now began
        damaged(path, 64, struct.pack("=QQ", sleeper.pid, noted))
        again = path.read_bytes()
        assert end_left(path) == 0
        assert sleeper.poll() is None
        path.write_bytes(again)


def test_a_group_without_its_leader_is_known_by_the_run_that_its_members_carry(path: Path) -> None:
    script = "sleep 1000 >/dev/null 2>&1 & echo $!"
    for marked in (True, False):
        environment = MARKED if marked else {"PATH": os.environ["PATH"]}
        leader = subprocess.Popen(
            ["sh", "-c", script], start_new_session=True, env=environment, stdout=subprocess.PIPE, text=True
        )
        GroupRegister(path).add(leader.pid)
        member = int(leader.communicate()[0])
        assert end_left(path) == marked
        if not marked:
            os.kill(member, signal.SIGKILL)
        assert ended(member)


def test_what_is_no_register_is_left_alone(path: Path) -> None:
    assert end_left(path) == 0
    for content in (b"", b"x" * 100, bytes(64 + limits.MAX_GROUPS * 16)):
        path.write_bytes(content)
        assert end_left(path) == 0


def test_slots_are_used_again_and_the_register_says_when_it_is_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_GROUPS", 2)
    register = GroupRegister(path)
    first, second = register.add(1), register.add(2)
    assert register.is_full
    register.remove(first)
    assert not register.is_full
    assert register.add(3) == first != second

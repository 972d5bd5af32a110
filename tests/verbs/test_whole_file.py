"""What a verb writes to a file: whole or not there, beside others that write it, and never in place of what is none."""

import errno
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread

import pytest

from kala_es.cli import main
from kala_es.verbs.asking import Failed
from kala_es.verbs.whole_file import whole_file
from tests.replay.logs import fill
from tests.servers import ROOT


def write(name: str | Path, content: bytes) -> None:
    with whole_file(str(name)) as file:
        file.write(content)


def test_of_two_that_write_one_file_each_writes_its_own(tmp_path: Path) -> None:
    name = tmp_path / "file"
    with whole_file(str(name)) as first:
        first.write(b"first")
        with whole_file(str(name)) as second:
            second.write(b"second, longer")
        assert name.read_bytes() == b"second, longer"
        first.write(b", too")
    assert name.read_bytes() == b"first, too"
    assert list(tmp_path.iterdir()) == [name]


def break_off(name: Path) -> None:
    with whole_file(str(name)) as file:
        file.write(b"half")
        raise LookupError


def test_a_fault_leaves_what_was_there(tmp_path: Path) -> None:
    name = tmp_path / "file"
    write(name, b"before")
    with pytest.raises(LookupError):
        break_off(name)
    assert (name.read_bytes(), list(tmp_path.iterdir())) == (b"before", [name])


def test_a_file_is_for_its_owner_only(tmp_path: Path) -> None:
    write(tmp_path / "file", b"secret")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_link_is_followed_and_one_beside_is_not(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"victim")
    (tmp_path / "link.part").symlink_to("victim")
    (tmp_path / "link").symlink_to("target")
    write(tmp_path / "link", b"content")
    assert (tmp_path / "link").readlink() == Path("target")
    assert (tmp_path / "target").read_bytes() == b"content"
    assert (tmp_path / "victim").read_bytes() == b"victim"


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    name = tmp_path / "pipe"
    os.mkfifo(name)
    writer = Thread(target=write, args=(name, b"content"))
    writer.start()
    assert name.read_bytes() == b"content"
    writer.join()
    assert stat.S_ISFIFO(name.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/full", "directory/file", "directory", "", "/"])
def test_what_cannot_be_written_is_refused_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "directory":
        (tmp_path / name).mkdir()
    with pytest.raises(Failed, match=f"^{name or 'the name of the file'}"):
        write(name, b"x" * 100_000)


async def test_no_file_of_a_log_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(tmp_path / "data", 3)
    before = (tmp_path / "data" / "log" / "data.mdb").stat()
    (tmp_path / "link").symlink_to("data/log")
    for name in ("data/log/data.mdb", "link/data.mdb", "data/new"):
        assert main(["export", str(tmp_path / name), "--data", str(tmp_path / "data")]) == 1
        assert "is in the directory of a log" in capsys.readouterr().err
    assert (tmp_path / "data" / "log" / "data.mdb").stat().st_ino == before.st_ino
    assert not (tmp_path / "data" / "new").exists()


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


@pytest.mark.usefixtures("no_room")
def test_without_room_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="No space left on device"):
        write(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "kept").write_bytes(b"before")
    program = (
        "import signal, time\n"
        f"signal.signal({number:d}, signal.SIG_DFL)\n"  # nohup has it ignored
        "from kala_es.verbs.whole_file import whole_file\n"
        "with whole_file('kept') as file:\n"
        "    file.write(b'half')\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Popen([sys.executable, "-c", program], cwd=tmp_path, env=env, stdout=PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_bytes() == b"before"

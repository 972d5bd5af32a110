"""What a verb's process says, and how it exits: nobody reads on, no room, Ctrl-C, names that are no text."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import pytest
import trio

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.model import JobSpec
from kala_es.event_logs.check import data_file
from tests.replay.logs import opened
from tests.servers import ROOT
from tests.system.originals import served

pytestmark = pytest.mark.system
ODD = os.fsdecode(b"odd\xff")
CHUNKS = 40
NO_ROOM = b"kala-es: standard output: No space left on device\n"


def spawn(arguments: Sequence[str | Path], **streams: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "kala_es", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT, **streams)  # type: ignore[call-overload,no-any-return]


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, bytes]:
    """The exit code, and what was said on standard error."""
    _, said = process.communicate(timeout=60)
    return process.returncode, said


async def _fill(directory: Path) -> None:
    log, run = opened(directory), RunId("r")
    jobs = [JobId(f"j{number}") for number in range(200)]
    at = Instant(1_700_000_000 * SECOND)
    events: list[e.Event] = [e.JobCreated(job=job, at=at, spec=JobSpec(name="n", command="true")) for job in jobs]
    events.append(e.RunStarted(job=jobs[0], at=at, run=run, cause="manual", root=run))
    for number in range(1, CHUNKS + 1):
        chunk = e.OutputChunk(
            job=jobs[0],
            at=at,
            run=run,
            attempt=1,
            sequence=number,
            channel="stdout",
            offset=0,
            content=os.urandom(8192),
        )
        events.append(chunk)
    await log.append([codec.encode(event) for event in events])
    await log.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log whose records, and jobs, are more than a pipe takes."""
    directory = tmp_path_factory.mktemp("printed") / "data"
    trio.run(_fill, directory)
    return directory


LOOKS = (
    "--help",
    "replay events --help",
    "replay events --data DATA",
    "replay events --data DATA --follow",
    "replay show jobs --data DATA",
    "replay diff --from 0 --data DATA",
    "replay simulate --from 2030-01-01T00:00:00Z --until 2030-01-02T00:00:00Z --with JOBS",
    "replay verify --data DATA",
    "export - --data DATA",
    "restore --until 3 --data DATA --into INTO",
    "run yes",
)


def filled(look: str, data: Path, place: Path) -> list[str]:
    (place / "jobs.json").write_text('{"jobs": {"j": {"name": "n", "command": "true", "schedule": "* * * * *"}}}')
    names = {"DATA": data, "JOBS": place / "jobs.json", "INTO": place / "into"}
    return [str(names.get(word, word)) for word in look.split()]


@pytest.mark.parametrize("look", LOOKS)
def test_who_reads_no_further_ends_it_without_a_word(data: Path, tmp_path: Path, look: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = spawn(filled(look, data, tmp_path), stdout=writer)
    os.close(writer)
    assert ended(process) == (141, b"")


@pytest.mark.parametrize("look", LOOKS)
def test_output_that_takes_no_more_is_one_sentence(data: Path, tmp_path: Path, look: str) -> None:
    with open("/dev/full", "wb") as full:
        assert ended(spawn(filled(look, data, tmp_path), stdout=full)) == (1, NO_ROOM)


@pytest.mark.parametrize(
    "answer",
    [
        b"7",
        b'{"jobs": 1, "plan": {}}',
        b"[" * 100_000,
        *(pytest.param(rest, marks=pytest.mark.soak) for rest in (b"[]", b"{}", b"x", b"")),
    ],
    ids=lambda answer: answer[:9],
)
def test_a_server_that_is_asked_may_be_any(tmp_path: Path, answer: bytes) -> None:
    (tmp_path / "jobs.json").write_text('{"jobs": {}}')
    archive = tmp_path / "archive"
    archive.write_bytes(b"")
    with served(lambda _: answer) as other:
        for verb in (
            ["dump"],
            ["apply", tmp_path / "jobs.json"],
            ["compact"],
            ["import", archive, "--on-conflict", "skip"],
        ):
            code, said = ended(spawn([*verb, "--server", other.url], stdout=subprocess.DEVNULL))
            assert (code, said.count(b"\n")) == (1, 1), said


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_as_the_null_device(data: Path, tmp_path: Path, closed: str) -> None:
    command = f'exec {sys.executable} -m kala_es "$@" {closed}'
    for look, wanted in (
        (f"replay events --data {data}", 0),
        (f"export {tmp_path / 'archive'} --data {data}", 0),
        (f"export - --data {data}", 1 if ">&- " in f"{closed} ".replace("2>&-", "") else 0),
        (f"import - --data {tmp_path / 'new'}", 1),
    ):
        done = subprocess.run(["sh", "-c", command, "sh", *look.split()], capture_output=True, cwd=ROOT, check=False)
        assert done.returncode == wanted, done.stderr
        assert b"Traceback" not in done.stderr
        assert data_file(data).stat().st_size > CHUNKS * 8192


def test_messages_that_nobody_can_be_told_end_nothing(data: Path, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "kala_es", "export", str(tmp_path / "archive"), "--data", str(data)]
        done = subprocess.run(command, stderr=full, cwd=ROOT, check=False)
    assert (done.returncode, (tmp_path / "archive").exists()) == (0, True)


def interrupted(arguments: Sequence[str | Path], begun: Callable[["subprocess.Popen[bytes]"], object]) -> None:
    """Ctrl-C when it has begun."""
    process = spawn(arguments, stdout=subprocess.PIPE)
    begun(process)
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, b"")


def some_output(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout is not None
    assert process.stdout.read(1)


@pytest.mark.parametrize(
    "look",
    ["run 'echo x; sleep 60' --shell", "replay events --follow", "replay events", "replay show jobs", "export -"],
)
def test_an_interrupt_ends_it_without_a_word(data: Path, look: str) -> None:
    words = ["run", "echo x; sleep 60", "--shell"] if look.startswith("run") else [*look.split(), "--data", str(data)]
    interrupted(words, some_output)


def test_an_interrupt_while_a_server_is_asked(tmp_path: Path) -> None:
    asked, over = Event(), Event()

    def answer(_: str) -> bytes:
        asked.set()
        over.wait(60)
        return b""

    with served(answer) as slow:
        for verb in (["dump", "--server", slow.url], ["import", "--from", "dkron", slow.url]):
            asked.clear()
            interrupted(verb, lambda _: asked.wait(60))
        over.set()


def test_an_interrupt_while_it_is_loaded() -> None:
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'kala_es.cli': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from kala_es.__main__ import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


def test_a_directory_whose_name_is_no_text_is_printed_with_escapes(data: Path, tmp_path: Path) -> None:
    into = tmp_path / ODD
    process = spawn(["restore", "--data", data, "--into", into, "--until", "3"], stdout=subprocess.PIPE)
    said, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, b"")
    assert said.startswith(b"kala-es: the log in " + os.fsencode(tmp_path) + rb"/odd\udcff is at 3:")
    assert data_file(into).exists()


def test_ids_that_are_no_text(data: Path) -> None:
    with served(lambda _: None) as server:
        code, said = ended(spawn(["redact", "--run", ODD, "--reason", "x", "--server", server.url]))
        assert (code, f"{server.url}/api/v1/job/-/executions/odd%FF/redact/: ".encode() in said) == (1, True)
    for look in (["show", "job", ODD], ["show", "run", ODD], ["events", "--job", ODD], ["events", "--type", ODD]):
        code, said = ended(spawn(["replay", *look, "--data", data]))
        assert (code, rb"'odd\udcff' is not UTF-8" in said) == (2, True), said


def test_a_log_of_nothing_is_said_to_be_one(data: Path, tmp_path: Path) -> None:
    for until, is_said in (("2001-01-01T00:00:00Z", True), ("0", True), ("1", False)):
        code, said = ended(spawn(["restore", "--data", data, "--into", tmp_path / until, "--until", until]))
        assert (code, b"nothing had been recorded by then" in said) == (0, is_said)

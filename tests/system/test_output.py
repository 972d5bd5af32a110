"""What a command writes is kept and told whole: from `output/`, from the live stream and from the log."""

import base64
import hashlib
import http.client
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from kala_es import codec
from kala_es.domain.events import OutputChunk
from kala_es.domain.ids import RunId
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.memory import MemoryFoldStore
from tests.servers import eventually
from tests.system.lives import JOB, Lives

pytestmark = pytest.mark.system
RANDOM_BYTES = 10 * 1024 * 1024


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """A server on an empty directory."""
    with Lives(tmp_path / "server") as running:
        yield running


def frames(lives: Lives, path: str, last: str = "") -> list[dict[str, Any]]:
    """All frames of a run's stream, to its end."""
    connection = http.client.HTTPConnection("127.0.0.1", lives.server.port, timeout=60)
    connection.request("GET", path, headers={"Last-Event-ID": last} if last else {})
    response = connection.getresponse()
    assert response.status == 200
    content = response.read().decode()
    connection.close()
    told = []
    for block in content.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in lines:
            told.append({"id": lines["id"], "event": lines["event"], **json.loads(lines["data"])})
    return told


def streamed(told: list[dict[str, Any]], channel: str) -> bytes:
    """The channel's bytes; each frame's offset must be where the one before ended."""
    content = b""
    for frame in told:
        if frame["event"] == "output" and frame["channel"] == channel:
            assert frame["offset"] == len(content)
            content += base64.b64decode(frame["base64"]) if "base64" in frame else frame["text"].encode()
    return content


def logged(lives: Lives, run: str, channel: str) -> bytes:
    """The channel's bytes as the log has them; the server must be gone."""

    async def read() -> bytes:
        log, content, position = open_log(lives.data, MemoryFoldStore()), b"", 0
        while page := await log.read(position, limit=500, stream=codec.run_stream(RunId(run))):
            for record in page:
                event = codec.decode(record)
                assert isinstance(event, OutputChunk)
                content += event.content if event.channel == channel else b""
            position = page[-1].position
        await log.close()
        return content

    return trio.run(read)


def run_it(lives: Lives, command: str) -> tuple[str, str]:
    """Run a shell line; its run's id and its run's path."""
    job = lives.make(command=command, shell=True)
    lives.run_now(job)
    run = lives.runs(job)[-1]["id"]
    return run, f"{JOB}{job}/executions/{run}/"


def assert_everywhere(lives: Lives, command: str, written: dict[str, bytes]) -> None:
    run, path = run_it(lives, command)
    told = frames(lives, f"{path}stream/")
    assert told[-1]["event"] == "end"
    assert told[-1]["outcome"] == "succeeded"
    for channel, content in written.items():
        answer = lives.server.get(f"{path}output/?channel={channel}")
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(content).digest()
        assert hashlib.sha256(streamed(told, channel)).digest() == hashlib.sha256(content).digest()
    lives.server.stop()
    for channel, content in written.items():
        assert hashlib.sha256(logged(lives, run, channel)).digest() == hashlib.sha256(content).digest()


@pytest.mark.files("read as they are")
def test_all_byte_values_and_ten_mebibytes_come_back_as_written(lives: Lives, tmp_path: Path) -> None:
    content = bytes(range(256)) * 16 + random.Random(7).randbytes(RANDOM_BYTES) + b"no newline at the end"
    (tmp_path / "content").write_bytes(content)
    assert_everywhere(lives, f"cat {tmp_path / 'content'}", {"stdout": content, "stderr": b""})


@pytest.mark.files("read as they are")
def test_interleaved_channels_are_kept_apart_and_whole(lives: Lives, tmp_path: Path) -> None:
    out, err = random.Random(1).randbytes(1 << 20), random.Random(2).randbytes(1 << 20)
    (tmp_path / "out").write_bytes(out)
    (tmp_path / "err").write_bytes(err)
    piece = (
        "import sys\n"
        "o, e = open(sys.argv[1], 'rb').read(), open(sys.argv[2], 'rb').read()\n"
        "for i in range(0, 1 << 20, 5000):\n"
        "    sys.stdout.buffer.write(o[i:i + 5000]); sys.stdout.buffer.flush()\n"
        "    sys.stderr.buffer.write(e[i:i + 5000]); sys.stderr.buffer.flush()\n"
    )
    (tmp_path / "write.py").write_text(piece)
    command = f"python3 {tmp_path / 'write.py'} {tmp_path / 'out'} {tmp_path / 'err'}"
    assert_everywhere(lives, command, {"stdout": out, "stderr": err})


def test_a_stream_resumes_anywhere_with_nothing_missed_and_nothing_twice(lives: Lives) -> None:
    _, path = run_it(lives, "for i in $(seq 40); do echo line $i; sleep 0.01; done")
    told = frames(lives, f"{path}stream/")
    assert streamed(told, "stdout") == b"".join(b"line %d\n" % i for i in range(1, 41))
    for i, frame in enumerate(told[:-1]):
        assert frames(lives, f"{path}stream/", last=frame["id"]) == told[i + 1 :]
        assert frames(lives, f"{path}stream/?after={frame['id']}") == told[i + 1 :]


def test_a_running_job_is_tailed_live_also_across_a_kill_of_the_server(lives: Lives, tmp_path: Path) -> None:
    job = lives.make(command=f"echo first; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo last", shell=True)
    answer = lives.server.request("POST", f"{JOB}start/{job}/", headers={"Prefer": "respond-async"})
    path = answer.headers["Location"]
    assert answer.status == 202
    connection = http.client.HTTPConnection("127.0.0.1", lives.server.port, timeout=30)
    connection.request("GET", f"{path}stream/")
    response = connection.getresponse()
    seen = b""
    while b"first" not in seen:
        seen += response.readline()
    (tmp_path / "go").touch()
    seen += response.read()
    connection.close()
    assert b"last" in seen
    assert b"event: end" in seen
    whole = frames(lives, f"{path}stream/")
    lives.kill_and_restart()
    assert frames(lives, f"{path}stream/") == whole


def test_a_run_that_is_lost_keeps_what_it_wrote(lives: Lives) -> None:
    job = lives.make(command="echo written; exec sleep 60", shell=True)
    answer = lives.server.request("POST", f"{JOB}start/{job}/", headers={"Prefer": "respond-async"})
    path = answer.headers["Location"]
    assert eventually(lambda: lives.server.get(f"{path}output/").body == b"written\n")
    os.kill(lives.agent, signal.SIGKILL)
    lives.kill_and_restart()
    run = lives.ended(job)[0]
    assert (run["outcome"], run["status"], run["output"]) == ("lost", "Failed", "written")
    assert run["reason"] == "the agent that carried it out is gone"
    assert frames(lives, f"{path}stream/")[-1]["outcome"] == "lost"

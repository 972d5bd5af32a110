"""A real kala_es server in a process of its own, for tests that speak to it over HTTP; and its verbs likewise.

Give it a directory of its own: data, stdout and stderr are kept there, so a test can read them after the process
is gone, and another server can be started on the same data. Processes are ended by their pid only.

Unless it is to start cold, it is forked from a process that has loaded all that it needs (warm.py). Who looks at a
start, at an end, or at what a process has room for starts it cold, and whoever gives it other packages does.

With KALA_TESTS_JOBDB=postgres servers keep their logs in PostgreSQL, each data directory's in a database of its own,
unless a test says where its log is.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from tests.databases import schema_of, shared
from tests.warm import Forked, fork

ROOT: Final = Path(__file__).resolve().parents[1]
READY: Final = "kala-es: listening on "
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 30.0
VERB_SECONDS: Final = 120.0
MIN_PAUSE_SECONDS: Final = 0.01
MAX_PAUSE_SECONDS: Final = 0.05
IN_POSTGRES: Final = os.environ.get("KALA_TESTS_JOBDB") == "postgres"

Result = TypeVar("Result")
Process = subprocess.Popen[bytes] | Forked


class DidNotStart(Exception):
    """The server ended, or took too long, before it said that it listens."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; of a header sent twice the first counts."""

    status: int
    body: bytes
    headers: Message = field(default_factory=Message)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A server that listens. Leaving the context ends it in good order, or kills it when that takes too long."""

    def __init__(self, process: Process, directory: Path, url: str, *, log: str = "") -> None:
        self.process = process
        self.directory = directory
        self.url = url
        self.log = log
        """The URL of the database that has its log; empty: none has."""
        self.host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
        self.port = int(port)

    @classmethod
    def start(
        cls,
        directory: Path,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        wait: float = START_SECONDS,
        cold: bool = False,
    ) -> "Server":
        """Start a server on `directory`/data with further arguments; `env` is added to ours. Raises DidNotStart."""
        directory.mkdir(parents=True, exist_ok=True)
        args = ("--data", str(directory / "data"), *args)
        args = (*args, *_kept(cwd or directory, args, env or {}))
        arguments = ["serve", "--port", "0", *args]
        environment = {**_environment(), **(env or {})}
        process: Process
        with (directory / "stdout").open("wb") as out, (directory / "stderr").open("ab") as err:
            if cold or "PYTHONPATH" in (env or {}):
                command = [sys.executable, "-m", "kala_es", *arguments]
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd or directory, env=environment
                )
            else:
                streams = out.fileno(), err.fileno()
                process = fork(arguments, cwd=cwd or directory, environment=environment, streams=streams)
        try:
            log = args[args.index("--log") + 1] if "--log" in args else ""
            return cls(process, directory, _ready_url(process, directory, wait), log=log)
        except BaseException:
            process.kill()
            process.wait()
            raise

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stderr(self) -> str:
        """What it, and servers before it on this directory, have complained about."""
        return (self.directory / "stderr").read_text(errors="replace")

    @property
    def stdout(self) -> str:
        return (self.directory / "stdout").read_text(errors="replace")

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = ANSWER_SECONDS,
    ) -> Answer:
        """One request on a connection of its own; the path goes out as it is."""
        connection = http.client.HTTPConnection(self.host.strip("[]"), self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.read(), response.headers)
        finally:
            connection.close()

    def send(self, method: str, path: str, value: object, *, headers: Mapping[str, str] | None = None) -> Answer:
        """A request whose body is `value` as JSON."""
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        return self.request(method, path, json.dumps(value).encode(), headers=all_headers)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def kill9(self) -> None:
        """End it with no chance to do anything."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """Ask it to end; `wait` for that."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Until it has ended: its exit code. Raises subprocess.TimeoutExpired."""
        return self.process.wait(timeout)

    def stop(self, timeout: float = STOP_SECONDS) -> int:
        """End it in good order: its exit code."""
        self.terminate()
        return self.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is not None:
            return
        try:
            self.stop()
        except BaseException:
            self.kill9()
            raise


def kala_es(*arguments: object, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """A verb, forked as a server is, when it has ended; `env` is added to ours."""
    words = [os.fspath(word) if isinstance(word, os.PathLike) else str(word) for word in arguments]
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        streams = out.fileno(), err.fileno()
        process = fork(words, cwd=Path.cwd(), environment={**_environment(), **(env or {})}, streams=streams)
        code = process.wait(VERB_SECONDS)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


def _environment() -> dict[str, str]:
    """Ours, without settings of a server, and with this release of kala_es."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("KALA_ES_")}
    return {**outer, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [outer.get("PYTHONPATH")])])}


def _kept(cwd: Path, args: tuple[str, ...], env: Mapping[str, str]) -> tuple[str, ...]:
    """Where its log is, if the tests are to say so."""
    if not IN_POSTGRES or any(arg.startswith(("--log", "--jobdb")) and arg != "--log-dir" for arg in args):
        return ()
    if any(name.startswith(("KALA_ES_LOG", "KALA_ES_JOBDB")) for name in env):
        return ()
    data = cwd / [value for flag, value in pairwise(args) if flag == "--data"][-1]
    return "--log", shared().kept(schema_of(data.absolute()))


def _ready_url(process: Process, directory: Path, seconds: float) -> str:
    def url() -> str | None:
        lines = (directory / "stdout").read_text(errors="replace").splitlines(keepends=True)
        urls = [line.removeprefix(READY).strip() for line in lines if line.startswith(READY) and line.endswith("\n")]
        if not urls and process.poll() is not None:
            stderr = (directory / "stderr").read_text(errors="replace")
            raise DidNotStart(f"exit code {process.returncode}: {stderr[-2000:]}")
        return urls[0] if urls else None

    try:
        return eventually(url, seconds)
    except TimeoutError:
        raise DidNotStart(f"not listening after {seconds} s") from None


def eventually(ask: Callable[[], Result | None], seconds: float = ANSWER_SECONDS) -> Result:
    """What `ask` gives once it is neither None nor False; asked again and again. Raises TimeoutError.

    The longer it takes, the more rarely: most asks are requests, which cost the server what it waits for."""
    deadline = time.monotonic() + seconds
    pause = MIN_PAUSE_SECONDS
    while True:
        result = ask()
        if result is not None and result is not False:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(pause)
        pause = min(1.25 * pause, MAX_PAUSE_SECONDS)

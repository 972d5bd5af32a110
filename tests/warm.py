"""Servers and verbs that begin where loading has ended: forks of a process that has loaded all, and runs nothing.

Loading takes them longer than most else that they do, and the suite has hundreds of them. A fork is a process of its
own as any: it has its own pid, directory, streams and environment, and can be killed. In /proc it has the command line
and the environment of the process that it was forked from, and it ends without what Python does at its end.

Each has a keeper as its parent, which waits for it and says down a pipe which pid it has, and later how it ended.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

ROOT: Final = Path(__file__).resolve().parents[1]
LOADED: Final = (
    "encodings.idna",
    "httpx",
    "kala_es.cli",
    "kala_es.event_logs.postgres",
    "kala_es.event_logs.postgres_building",
    "kala_es.event_logs.postgres_reader",
    "kala_es.verbs.job_files",
    "kala_es.web.app",
    "kala_es.web.listener",
    "urllib.request",
)
"""What `kala-es` imports by itself, and what it imports when it is to do something."""
_PROGRAM: Final = str(ROOT / "kala_es" / "__main__.py")
_MOST_BYTES: Final = 1 << 17


class Forked:
    """A process that was forked: of `subprocess.Popen` what tests use."""

    def __init__(self, told: int) -> None:
        self.args: Sequence[str] = ()
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = int(self._line())
        self.returncode: int | None = None

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            more = self._told.read(1)
            assert more, "a keeper has gone without a word"
            line += more
        return line

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self._hear()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("kala-es", timeout or 0)
            self._hear()
        assert self.returncode is not None
        return self.returncode

    def _hear(self) -> None:
        self.returncode = int(self._line())
        self._told.close()

    def send_signal(self, number: int) -> None:
        """Send it this, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with no chance to do anything."""
        self.send_signal(signal.SIGKILL)


def fork(arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str], streams: tuple[int, int]) -> Forked:
    """`kala-es` with these arguments; `streams` are its standard output and error."""
    ours, theirs = os.pipe()
    try:
        asked = json.dumps([list(arguments), os.fspath(cwd), dict(environment)]).encode()
        socket.send_fds(_loaded(), [asked], [*streams, theirs])
    finally:
        os.close(theirs)
    return Forked(ours)


@cache
def _loaded() -> socket.socket:
    """The way to the process that forks. It ends when this is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.warm", str(theirs.fileno())]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=ROOT, pass_fds=[theirs.fileno()])
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def main() -> None:
    """Load, and fork as often as is asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for module in LOADED:
        import_module(module)
    asking = socket.socket(fileno=int(sys.argv[1]))
    while True:
        asked, descriptors, _, _ = socket.recv_fds(asking, _MOST_BYTES, 3)
        if not asked:
            return
        if os.fork() == 0:
            asking.close()
            _to_the_end(partial(_keep, json.loads(asked), *descriptors))
        for descriptor in descriptors:
            os.close(descriptor)


def _to_the_end(work: Callable[[], int]) -> NoReturn:
    """Do this in a fork, which ends with it, whatever happens: what called it goes on elsewhere."""
    code = 1
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _keep(asked: list[Any], output: int, errors: int, told: int) -> int:
    """Fork it, and tell how it is. It and its keeper write to its streams alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    for descriptor in {output, errors}:
        os.close(descriptor)
    pid = os.fork()
    if pid == 0:
        os.close(told)
        _to_the_end(partial(_carry_out, *asked))
    os.write(told, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
    return 0


def _carry_out(arguments: list[str], cwd: str, environment: dict[str, str]) -> int:
    """What `python -m kala_es` does; its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = [_PROGRAM, *arguments]
    from kala_es.__main__ import main as carry_out

    try:
        return carry_out()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)


if __name__ == "__main__":
    main()

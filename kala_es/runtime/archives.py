"""Archives of the log of a node that runs: made by a process of its own, so that everything else goes on.

It writes into an unnamed file in the data directory, at its own speed: the moment of which it is (replay/log_file.py)
is held no longer than that takes, however slow the client is who wants it.
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO

import trio

from kala_es.domain.errors import Forbidden, Invalid, LogFull, Overloaded, Unavailable
from kala_es.limits import DISK_RESERVE_BYTES, MAX_EXPORTS
from kala_es.replay.exporting import NO_POSITION_EXIT, NO_ROOM_EXIT


class Archives:
    """Makes archives of the log in `directory`; None: the log is in memory."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._made_now = 0

    async def make(self, *, after: int, output: bool) -> IO[bytes]:
        """An archive of what the log has after a position, whole, as a file that has no name. The caller closes it.

        Raises Forbidden (in memory), Invalid (no such position), Overloaded, LogFull, Unavailable.
        """
        if self._directory is None:
            raise Forbidden("this server keeps everything in memory; there is no log to export")
        if self._made_now >= MAX_EXPORTS:
            raise Overloaded(f"{MAX_EXPORTS} archives are being made already")
        self._made_now += 1
        try:
            with ExitStack() as undo:
                file = undo.enter_context(tempfile.TemporaryFile(dir=self._directory))
                _check(await _export(self._directory, file, (str(after), "all" if output else "none")))
                undo.pop_all()
            file.seek(0)
            return file
        finally:
            self._made_now -= 1


async def _export(directory: Path, file: IO[bytes], what: tuple[str, str]) -> "CompletedProcess[bytes]":
    program = [sys.executable, "-P", "-m", "kala_es.replay.exporting", os.fspath(directory), *what]
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return await trio.run_process(
        [*program, str(DISK_RESERVE_BYTES)],
        stdout=file.fileno(),
        capture_stderr=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


def _check(done: "CompletedProcess[bytes]") -> None:
    if done.returncode:
        sentence = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["its process died"])[-1]
        if done.returncode == NO_POSITION_EXIT:
            raise Invalid("since", sentence)
        raise (LogFull if done.returncode == NO_ROOM_EXIT else Unavailable)(sentence)

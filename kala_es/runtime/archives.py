"""Archives of the log of a node that runs: made and read by processes of their own, so that everything else goes on.

What is made is written into an unnamed file in the data directory, at its own speed: the moment of which it is
(replay/log_file.py) is held no longer than that takes, however slow the client is who wants it.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO, Any
from weakref import finalize

import msgspec
import trio

from kala_es import limits
from kala_es.domain.errors import Forbidden, Invalid, LogFull, Overloaded, Unavailable
from kala_es.domain.model import JobDraft
from kala_es.event_logs.postgres_place import Place, words
from kala_es.replay.exporting import NO_POSITION_EXIT, NO_ROOM_EXIT
from kala_es.replay.jobs_of import REFUSED_EXIT, load
from kala_es.runtime import takeover
from kala_es.runtime.takeover import Incoming, Made


class Died(Exception):
    """A process that read an archive failed for reasons of its own; what it said is here."""


class Archives:
    """Makes archives of the log in `place`; None: the log is in memory. They are made in `directory` first."""

    def __init__(self, place: Place | None, directory: Path | None) -> None:
        self._place = place
        self._directory = directory
        self._there = 0
        """Archives that are made, or were and are not gone yet: each takes its room of the disk."""
        self._read_now = 0

    def spool(self) -> IO[bytes]:
        """A file without a name for an archive that is coming. The caller closes it. Raises OSError."""
        return tempfile.TemporaryFile(dir=self._directory)

    def has_room(self) -> bool:
        """Whether more of it may come."""
        return shutil.disk_usage(self._directory or tempfile.gettempdir()).free >= limits.DISK_RESERVE_BYTES

    async def make(self, *, after: int, output: bool) -> IO[bytes]:
        """An archive of what the log has after a position, whole, as a file that has no name. The caller closes it.

        Raises Forbidden (in memory), Invalid (no such position), Overloaded, LogFull, Unavailable.
        """
        if self._place is None:
            raise Forbidden("this server keeps everything in memory; there is no log to export")
        if self._there >= limits.MAX_EXPORTS:
            raise Overloaded(f"{limits.MAX_EXPORTS} archives are being made, or sent, already")
        with ExitStack() as undo:
            file = undo.enter_context(self.spool())
            self._there += 1
            finalize(file, self._let_go)
            reserve = str(limits.DISK_RESERVE_BYTES)
            place, secrets = words(self._place)
            what = (place, str(after), "all" if output else "none", reserve)
            _check(await _run("kala_es.replay.exporting", *what, secrets=secrets, stdout=file.fileno()))
            undo.pop_all()
        file.seek(0)
        return file

    def _let_go(self) -> None:
        self._there -= 1

    async def jobs(self, file: IO[bytes]) -> tuple[JobDraft, ...]:
        """The jobs of an archive. Raises Overloaded, Invalid (this is none, not a whole one, or too much), Died."""
        content = await self._read("kala_es.replay.jobs_of", file)
        return await trio.to_thread.run_sync(load, content)

    @asynccontextmanager
    async def ready(self, file: IO[bytes]) -> AsyncIterator[Incoming]:
        """A log that is made of an archive, to become the log here. What of it is left at the end is removed.

        Raises Overloaded, Invalid (this is no whole archive of a whole log), LogFull, Died.
        """
        assert self._directory is not None
        place = takeover.new_place(self._directory)
        try:
            content = await self._read("kala_es.runtime.takeover", file, os.fspath(place))
            yield Incoming(place=place, made=msgspec.msgpack.decode(content, type=Made))
        finally:
            takeover.discard(place)

    async def _read(self, module: str, file: IO[bytes], *arguments: str) -> bytes:
        """What a process makes of an archive."""
        if self._read_now >= limits.MAX_IMPORTS:
            raise Overloaded(f"{limits.MAX_IMPORTS} archives are being read already")
        self._read_now += 1
        try:
            done = await _run(module, *arguments, stdin=file, capture_stdout=True)
        finally:
            self._read_now -= 1
        if done.returncode == REFUSED_EXIT:
            raise Invalid("", _sentence(done))
        if done.returncode == NO_ROOM_EXIT:
            raise LogFull(_sentence(done))
        if done.returncode:
            raise Died(f"{module} ended with {done.returncode}:\n{done.stderr.decode('utf-8', 'replace')}")
        return done.stdout


async def _run(
    module: str, *arguments: str, secrets: Mapping[str, str] | None = None, **streams: Any
) -> "CompletedProcess[bytes]":
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return await trio.run_process(
        [sys.executable, "-P", "-m", module, *arguments],
        capture_stderr=True,
        env={**os.environ, **(secrets or {}), "PYTHONPATH": path},
        check=False,
        **streams,
    )


def _sentence(done: "CompletedProcess[bytes]") -> str:
    return (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["its process died"])[-1]


def _check(done: "CompletedProcess[bytes]") -> None:
    if done.returncode == NO_POSITION_EXIT:
        raise Invalid("since", _sentence(done))
    if done.returncode:
        raise (LogFull if done.returncode == NO_ROOM_EXIT else Unavailable)(_sentence(done))

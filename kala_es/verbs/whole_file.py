"""A file that a verb writes: it is there whole and durable, or not at all.

1. It is made beside its name, under one that nobody else has, for the eyes of its owner only; then it takes the name.
2. A link is followed: what it names is replaced. A pipe or a device is never replaced: it is written into.
3. Nothing is written into a server's directory: there a wrong name would cost the log.
4. Who ends the verb by SIGTERM or SIGHUP leaves no half of a file behind.
"""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Protocol

from kala_es.event_logs.check import data_file, sync_names
from kala_es.verbs.asking import Failed

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


class Sink(Protocol):
    """What is written into."""

    def write(self, content: bytes, /) -> object:
        """Take the next bytes. Raises Failed."""


class _Named:
    """A file whose faults have its name."""

    def __init__(self, name: str | Path, file: IO[bytes]) -> None:
        self._name = name
        self._file = file

    def write(self, content: bytes, /) -> None:
        """Take the next bytes. Raises Failed."""
        with _named(self._name):
            self._file.write(content)


@contextmanager
def whole_file(name: str) -> Iterator[Sink]:
    """A file to write, `-` for standard output. It is there when the context is left without a fault. Raises Failed."""
    path = Path(name)
    if name == "-":
        if sys.__stdout__ is None:
            raise Failed("standard output: is closed")
        yield _Named(name, sys.stdout.buffer)
        with _named(name):
            sys.stdout.buffer.flush()
    elif path.is_dir():
        raise Failed(f"{name}: is a directory" if name else "the name of the file is empty")
    else:
        with _into(path) if path.exists() and not path.is_file() else _in_place_of(path) as file:
            yield file


@contextmanager
def _into(path: Path) -> Iterator[Sink]:
    with _named(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    with _opened(path, descriptor) as file:
        yield _Named(path, file)
        with _named(path):
            file.flush()
            if path.is_block_device():
                os.fsync(file.fileno())


@contextmanager
def _in_place_of(path: Path) -> Iterator[Sink]:
    there = Path(os.path.realpath(path))
    for directory in there.parents:
        if data_file(directory).exists():
            raise Failed(f"{path}: is in the directory of a log, {directory}; write it somewhere else")
    with _ended_by_signals(), _made_beside(path, there) as file:
        yield file


@contextmanager
def _made_beside(path: Path, there: Path) -> Iterator[Sink]:
    """What is made under a name of its own, and takes the name of `there` at the end."""
    with _named(path):
        descriptor, fresh = tempfile.mkstemp(dir=there.parent, prefix=".kala-es-", suffix=".part")
    try:
        with _opened(path, descriptor) as file:
            yield _Named(path, file)
            with _named(path):
                file.flush()
                os.fsync(descriptor)
        with _named(path):
            os.replace(fresh, there)
            sync_names(there.parent)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(fresh)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal that ends the process end it as SystemExit does, so that what is under way is cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _end) for number in _ENDING if signal.getsignal(number) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _opened(path: Path, descriptor: int) -> Iterator[IO[bytes]]:
    file = os.fdopen(descriptor, "wb")
    try:
        yield file
    finally:
        with _named(path):
            file.close()


@contextmanager
def _named(name: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Failed(f"{'standard output' if name == '-' else name}: {error.strerror or error}") from None

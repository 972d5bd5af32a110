"""Processors whose calls hang: each keeps a thread of its own, and none of those that the node needs."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from kala_es import limits
from kala_es.processor import Part, Piece, ProcessorError
from kala_es.processors.files import FilesProcessor
from kala_es.processors.log import LogProcessor
from kala_es.processors.threads import Threads

PART: Final = Part(
    job="j", name="n", run="run-1", started=0, attempt=1, offset=0, first=True, pieces=(Piece("stdout", b"x\n", 0),)
)


class Closed:
    """A call that hangs until it is opened."""

    def __init__(self) -> None:
        self.calls = 0
        self._opened = threading.Event()

    def __call__(self, _: bytes = b"") -> None:
        self.calls += 1
        self._opened.wait()

    def open(self) -> None:
        """Let all go on."""
        self._opened.set()


@contextmanager
def closed() -> Iterator[Closed]:
    door = Closed()
    try:
        yield door
    finally:
        door.open()


def usual() -> int | float:
    """How many of Trio's usual threads are taken."""
    return trio.to_thread.current_default_thread_limiter().borrowed_tokens


async def test_a_log_that_nobody_reads_keeps_one_thread() -> None:
    with closed() as door:
        processor = LogProcessor(door)
        for _ in range(50):
            with trio.move_on_after(0.01) as patience:
                await processor.process(PART, {})
            assert patience.cancelled_caught
        assert (door.calls, usual()) == (1, 0)
        door.open()
        with trio.fail_after(10):
            await processor.process(PART, {})
        assert door.calls == 2


async def test_a_directory_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    processor = FilesProcessor(tmp_path)
    path = Path(processor.stands_for(PART, {"log_dir": "stuck"}))
    path.parent.mkdir(parents=True)
    os.mkfifo(path)  # who opens it waits for a reader
    for _ in range(50):
        with trio.move_on_after(0.01) as patience:
            await processor.process(PART, {"log_dir": "stuck"})
        assert patience.cancelled_caught
    assert usual() == 0
    with trio.fail_after(10):
        await processor.process(PART, {"log_dir": "fine"})
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


async def test_so_many_places_may_hang_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROCESSOR_THREADS", 3)
    threads = Threads()
    with closed() as door:
        for place in range(3):
            with trio.move_on_after(0.01):
                await threads.run(place, door)
        with pytest.raises(ProcessorError, match="3 threads of processors are taken"):
            await threads.run(3, door)
    with trio.fail_after(10):
        while True:  # until they have ended
            try:
                return await threads.run(3, lambda: None)
            except ProcessorError:
                await trio.sleep(0.01)

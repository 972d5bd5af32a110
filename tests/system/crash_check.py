"""Opens crash images and says what is wrong with them: `python -m ... WHAT DIRECTORY SEED COUNT PART/PARTS`.

A process of its own, because a damaged file may be met as a signal. It prints "at N" before it opens image N, and
"wrong N: why" where something is.
"""

import os
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio

from kala_es.event_log import NewRecord, Record
from kala_es.event_logs.check import boot_id, check
from kala_es.event_logs.lmdb import LmdbEventLog, open_log
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.memory import MemoryFoldStore
from tests.system.crash_images import LOG, OPENED, Image, Step, Sync, captured, directory_image, images
from tests.system.crash_workload import STREAMS, batches, heads, stored

_LIES: Final = 150
"""Steps of a disk that lies: what it never synced adds up."""
_GOES_ON: Final = 16
"""One in so many logs is appended to after it was opened, and checked once more."""


class Promise:
    """What a log must hold: all of the appends that were told of, and the one under way or not."""

    def __init__(self, seed: int) -> None:
        appends = batches(seed)
        self._ends = heads(appends)
        self._records = stored(appends)

    def broken(self, log: LmdbEventLog, told: int) -> str | None:
        """How this log breaks it."""
        if log.head not in self._ends[self._ends.index(told) :][:2]:
            return f"the head is {log.head}, and {told} was told"
        if log.read_now(0, limit=log.head + 1) != self.records(log.head):
            return "a record is not what was appended"
        return None

    def records(self, head: int) -> list[Record]:
        """The log's records up to a position."""
        return self._records[:head]


async def wrong_with_log(directory: Path, image: Image, promise: Promise) -> str | None:
    """Open an image of the log's file as after a crash of the machine."""
    lay(directory, {LOG: image.content(), OPENED: boot_id().encode()})
    try:
        last = check(directory)  # what another boot in `opened` would have a process of its own do
        log = open_log(directory, MemoryFoldStore())
    except Exception as error:
        return f"refused: {error!r}"
    try:
        if last != log.head:
            return f"the check counts {last} records, the log {log.head}"
        return promise.broken(log, image.moment.told)
    finally:
        await log.close()


async def wrong_after_append(directory: Path) -> str | None:
    """Append to a log that was opened, and check it once more."""
    log = open_log(directory, MemoryFoldStore())
    last = await log.append([NewRecord("after", "RunStarted", 1, 0, "", bytes(9000))] * 3)
    await log.close()
    try:
        return None if check(directory) == last else "an append after the crash is not whole"
    except Exception as error:
        return f"an append after the crash has damaged it: {error!r}"


async def wrong_with_directory(directory: Path, files: Mapping[str, bytes], told: int, promise: Promise) -> str | None:
    """Open an image of all files, of another boot, the way a node does."""
    lay(directory, files)
    try:
        folds = open_folds(directory)
        log = open_log(directory, folds)
    except Exception as error:
        return f"refused: {error!r}"
    try:
        wanted = promise.records(log.head)
        for stream in (f"job {number}" for number in range(STREAMS)):
            if await log.read(0, limit=len(wanted) + 1, stream=stream) != [r for r in wanted if r.stream == stream]:
                return f"the stream {stream} is not what was appended"
        return promise.broken(log, told)
    finally:
        await log.close()
        folds.close()


def lay(directory: Path, files: Mapping[str, bytes]) -> None:
    """Let the directory hold these files and no others."""
    for root, _, names in os.walk(directory):
        for name in names:
            (Path(root) / name).unlink()
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)


def memory() -> Path | None:
    """A directory in memory, where there is one."""
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else None


async def check_logs(steps: Sequence[Step], seed: int, count: int, *, part: int, parts: int) -> None:
    """Open this part of the images of the log's file."""
    promise = Promise(seed)
    with tempfile.TemporaryDirectory(dir=memory()) as name:
        directory = Path(name)
        for number, image in enumerate(images(steps, seed, count)):
            if number % parts == part:
                print("at", number)
                why = await wrong_with_log(directory, image, promise)
                if why is None and number // parts % _GOES_ON == 0:
                    why = await wrong_after_append(directory)
                if why:
                    print(f"wrong {number}: {why}")


async def check_directories(steps: Sequence[Step], seed: int, count: int, *, part: int, parts: int) -> None:
    """Open this part of so many images of all files."""
    promise, chance = Promise(seed), random.Random(seed)
    for number in range(count):
        files, told = directory_image(steps, chance)
        if number % parts == part:
            print("at", number)
            with tempfile.TemporaryDirectory(dir=memory()) as name:
                why = await wrong_with_directory(Path(name), files, told, promise)
            if why:
                print(f"wrong {number}: {why}")


def main() -> None:
    """Check images of the "log", of the log on a disk that "lies" about its syncs, or of the "directory"."""
    what, directory, seed, count, part = sys.argv[1:]
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    steps = captured(Path(directory))
    if what == "lies":
        steps = [step for step in steps[:_LIES] if step != Sync(LOG)]
    one, parts = map(int, part.split("/"))
    check_part = check_directories if what == "directory" else check_logs
    trio.run(partial(check_part, steps, int(seed), int(count), part=one, parts=parts))


if __name__ == "__main__":
    main()

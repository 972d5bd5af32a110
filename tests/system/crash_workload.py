"""What is appended to a log that is to crash, and the child that appends it: `python -m ... DIRECTORY SEED`."""

import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from kala_es.event_log import NewRecord, Record
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.lmdb import open_folds

STREAMS: Final = 5
_LIVES: Final = 3
_APPENDS: Final = 18
"""Appends in a life: the log is opened, appended to and closed."""
_LARGE: Final = (43,)
"""These appends are of several values, each on pages of its own."""


def batches(seed: int) -> list[list[NewRecord]]:
    """The appends of all lives, one after another."""
    chance = random.Random(seed)
    return [_batch(chance, number) for number in range(_LIVES * _APPENDS)]


def _batch(chance: random.Random, number: int) -> list[NewRecord]:
    sizes = (
        [140_000] * 2 if number in _LARGE else [chance.choice((5, 60, 700, 5000)) for _ in range(chance.randint(1, 6))]
    )
    return [
        NewRecord(f"job {chance.randrange(STREAMS)}", "RunStarted", 1, number, "alice", chance.randbytes(size))
        for size in sizes
    ]


def stored(appends: Sequence[Sequence[NewRecord]]) -> list[Record]:
    """The records that these appends make."""
    flat = [new for batch in appends for new in batch]
    return [
        Record(position, new.stream, new.type, new.version, new.time, new.principal, new.body)
        for position, new in enumerate(flat, 1)
    ]


def heads(appends: Sequence[Sequence[NewRecord]]) -> list[int]:
    """The last position after each of 0, 1, 2... appends."""
    found = [0]
    for batch in appends:
        found.append(found[-1] + len(batch))
    return found


async def _live(directory: Path, appends: Sequence[Sequence[NewRecord]]) -> None:
    folds = open_folds(directory)
    log = open_log(directory, folds)
    for batch in appends:
        last = await log.append(batch)
        os.write(1, b"told %d\n" % last)
    await log.close()
    folds.close()


def main() -> None:
    """Append it all."""
    directory, appends = Path(sys.argv[1]), batches(int(sys.argv[2]))
    for life in range(_LIVES):
        trio.run(_live, directory, appends[life * _APPENDS : (life + 1) * _APPENDS])


if __name__ == "__main__":
    main()

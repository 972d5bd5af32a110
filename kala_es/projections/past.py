"""Snapshots of earlier moments, so that one of them can be looked at without reading the log from its beginning.

`snapshots/POSITION-TIME` in the data directory: a snapshot's content, compressed; TIME is the latest of an event up to
POSITION. They are not needed: whatever is lost only takes longer. The older, the sparser: where there are too many, the
one goes whose neighbours are closest together for their age.
"""

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kala_es import limits
from kala_es.domain.ids import Instant


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot that is there."""

    position: int
    time: Instant
    path: Path
    size: int

    def content(self) -> bytes:
        """As `snapshot.sealed` gave it; nothing when it cannot be read."""
        with suppress(OSError, zlib.error):
            return zlib.decompress(self.path.read_bytes())
        return b""


def kept(directory: Path) -> list[Kept]:
    """Those in `directory`, oldest first."""
    found: list[Kept] = []
    with suppress(OSError):
        for path in directory.iterdir():
            position, _, time = path.name.partition("-")
            if position.isdigit() and time.isdigit():
                found.append(Kept(int(position), Instant(int(time)), path, path.stat().st_size))
    return sorted(found, key=lambda each: each.position)


def keep(
    directory: Path, content: bytes, *, position: int, time: Instant, every: int = limits.PAST_SNAPSHOT_EVENTS
) -> None:
    """Add one, unless the newest is fewer than `every` events older; let go of what is too much. Raises OSError."""
    there = kept(directory)
    if there and position - there[-1].position < every:
        return
    directory.mkdir(mode=0o700, exist_ok=True)
    fresh = directory / "new"
    fresh.write_bytes(zlib.compress(content, 1))
    fresh.replace(directory / f"{position:019}-{time:019}")
    for each in surplus(kept(directory)):
        each.path.unlink(missing_ok=True)


def surplus(there: Sequence[Kept]) -> list[Kept]:
    """Those that are too many, or take too much room."""
    left, gone = list(there), list[Kept]()
    while len(left) > 1 and (
        len(left) > limits.MAX_PAST_SNAPSHOTS or sum(each.size for each in left) > limits.PAST_SNAPSHOT_BYTES
    ):
        gone.append(left.pop(_least_missed(left)))
    return gone


def _least_missed(left: Sequence[Kept]) -> int:
    """Which one leaves the smallest gap for its age. The newest stays."""
    newest = left[-1].position

    def gap(index: int) -> float:
        before = left[index - 1].position if index else 0
        return (left[index + 1].position - before) / (newest - before)

    return min(range(len(left) - 1), key=gap)

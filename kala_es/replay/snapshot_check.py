"""Compares the snapshots that a directory has with a log: `snapshot.cbor`, and those of earlier moments.

Only what would be used is compared: one that is damaged, of another log, or from before the newest base is not.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import cbor2

from kala_es.event_log import LogDamaged
from kala_es.event_logs.batch import Batch
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections import past, snapshot
from kala_es.projections.folds import Folds

_ANYWHERE: Final = (1 << 63) - 1
_BODY: Final = 5
"""The place of the body in a row."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A snapshot that is there. `kept` says what the name of an earlier one does; `body` is that of `snapshot.cbor`."""

    position: int
    kept: past.Kept | None = None
    body: bytes = b""

    def read(self) -> bytes:
        return self.body if self.kept is None else snapshot.checked(self.kept.content())


class SnapshotCheck:
    """Made before the log is read: else a server beside might make a snapshot of what was not read.

    `look` takes all values of the log, in order; `check` the folds at each of the `stops`.
    """

    def __init__(self, directory: Path | None) -> None:
        self._found: list[_Found] = []
        if directory is not None:
            self._found += [*_newest(directory / "snapshot.cbor"), *_earlier(directory / "snapshots")]
        self.stops: list[int] = []
        self._anchors: dict[int, bytes] = {}
        self.newest: int | None = None
        """Where `snapshot.cbor` was compared."""
        self.earlier = 0
        """How many others were."""

    def begin(self, base: int, last: int) -> None:
        """The log is read from its newest base, and ends at `last`. Raises LogDamaged: no snapshot lies beyond."""
        beyond = next((found.position for found in self._found if found.position > last), None)
        if beyond is not None:
            raise LogDamaged(f"The log ends at position {last}, and a snapshot at {beyond}: what came after is gone.")
        self._found = [found for found in self._found if found.position >= max(base, 1)]
        self.stops = sorted({found.position for found in self._found})

    def look(self, batch: Batch) -> None:
        """Note what ties snapshots to their records."""
        for position in self.stops[bisect_left(self.stops, batch.first) : bisect_right(self.stops, batch.last)]:
            if position in batch.positions:
                row = batch.rows[batch.positions.index(position)]
                self._anchors[position] = snapshot.anchor_of(row[_BODY])

    def check(self, folds: Folds, position: int) -> None:
        """Compare those of a position with the folds there. Raises LogDamaged."""
        for found in self._found:
            if found.position == position and self._is_as_said(found, folds):
                self.earlier += found.kept is not None
                self.newest = position if found.kept is None else self.newest

    def _is_as_said(self, found: _Found, folds: Folds) -> bool:
        """False: it is not used. Raises LogDamaged."""
        body, position = found.read(), found.position
        anchor = self._anchors.get(position)
        if anchor is None or snapshot.place_in(BytesIO(body)) != (position, anchor):
            return False
        wanted = b"".join(snapshot.freeze(folds, anchor))
        if body != wanted:
            again = _frozen_again(body, anchor)
            if not again:
                return False
            whole = snapshot.has_all(body)
            if _plain(again, whole=whole) != _plain(wanted, whole=whole):
                raise LogDamaged(f"The snapshot at position {position} is not the state of the log there.")
        if found.kept is not None and found.kept.time != folds.latest:
            raise LogDamaged(f"The snapshot {found.kept.path.name} is of another time: of {folds.latest}.")
        return True


def _newest(path: Path) -> Iterator[_Found]:
    try:
        body = snapshot.checked(path.read_bytes())
    except FileNotFoundError:
        return
    place = snapshot.place_in(BytesIO(body)) if snapshot.has_all(body) else None
    if place is not None:
        yield _Found(place[0], body=body)


def _earlier(directory: Path) -> Iterator[_Found]:
    return (_Found(kept.position, kept) for kept in past.kept(directory))


def _frozen_again(body: bytes, anchor: bytes) -> bytes:
    """A snapshot as this release makes it; nothing when it cannot be used."""
    folds = Folds(MemoryFoldStore())
    return b"".join(snapshot.freeze(folds, anchor)) if snapshot.fill(folds, body, _ANYWHERE) else b""


def _plain(body: bytes, *, whole: bool) -> tuple[Any, dict[str, Any]]:
    """What is in a snapshot; not `whole`, without the folds that those of earlier releases lack."""
    decoder = cbor2.CBORDecoder(BytesIO(body))
    top, jobs = decoder.decode(), dict[str, Any]()
    if not whole:
        for name in ("days", "recent"):
            top.pop(name, None)
    while len(jobs) < top["jobs"]:
        jobs |= {job["id"]: job for job in decoder.decode()}
    return top, jobs

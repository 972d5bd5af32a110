"""Folds a log anew, in a place of its own, and compares that with the folds and snapshots that a directory has.

`python -m kala_es.replay.fold_check LOG [FOLDS]` does it, and says what it found (children.py). FOLDS is the directory,
if the log is in a database; without it there are no folds to compare.
"""

import gc
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Final

import cbor2
import lmdb
import msgspec

from kala_es import codec
from kala_es.domain.events import Event
from kala_es.domain.trimming import BasePart, BaseTaken
from kala_es.event_log import LogDamaged, Record
from kala_es.event_logs.batch import Batch
from kala_es.event_logs.postgres_place import Place, place_of
from kala_es.event_logs.stream_index import StreamIndex
from kala_es.fold_store import FoldStore
from kala_es.fold_stores.lmdb import is_trusted
from kala_es.mapped import make_table_of_readers
from kala_es.projections import snapshot
from kala_es.projections.folds import OURS, Folds, stored_position
from kala_es.projections.recorded import Recorded
from kala_es.replay.children import say
from kala_es.replay.fresh_store import fresh_store
from kala_es.replay.hole_check import NO_REASONS, HoleCheck, Reasons
from kala_es.replay.index_check import IndexCheck
from kala_es.replay.log_file import Moment, open_moment
from kala_es.replay.snapshot_check import SnapshotCheck
from kala_es.replay.telling import Tell

_BASE: Final = BaseTaken.__name__.encode()
_PAGE: Final = 10_000
_TOGETHER: Final = 10_000
"""Events that are folded together..."""
_TOGETHER_BYTES: Final = 8 * 1024 * 1024
"""...or so many bytes of values."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """So many events were folded. `folds` and `snapshot` are where those that are there were compared; None: not.

    Of so many `earlier` snapshots, too.
    """

    events: int
    folds: int | None = None
    snapshot: int | None = None
    earlier: int = 0
    reasons: Reasons = NO_REASONS


def decoded(record: Record) -> Event:
    """A record's event. Raises LogDamaged, LogIsNewer."""
    try:
        return codec.decode(record)
    except (cbor2.CBORDecodeError, ValueError, TypeError, KeyError) as error:
        raise LogDamaged(f"Position {record.position} holds a {record.type} that cannot be read: {error}.") from error


def folds_of(place: Place, folds: Path | None) -> Path | None:
    """The directory that has the folds of a log: its own, unless it is in a database."""
    return place if isinstance(place, Path) else folds


def compare(place: Place, *, folds: Path | None = None, tell: Tell) -> Compared:
    """Fold a log, and compare. Raises LogDamaged, LogError."""
    directory = folds_of(place, folds)
    with ExitStack() as stack:
        kept, saved = stack.enter_context(open_kept(directory)), SnapshotCheck(directory)
        moment = stack.enter_context(open_moment(place))
        store = stack.enter_context(fresh_store())
        fresh, events = Folds(store), 0
        saved.begin(_begin(fresh, moment), moment.position)
        stored = None if kept is None else kept.stored(moment)
        holes, batches = HoleCheck(left_out=moment.left_out()), _looked_at(moment, saved)
        for page, position in _steps(batches, {stored or 0, *saved.stops, moment.position}, holes):
            fresh.apply(page)
            events += len(page)
            if kept is not None and position == stored:
                kept.check(store, position)
            saved.check(fresh, position)
            tell(position, moment.position)
        reasons = holes.end()
        return Compared(events=events, folds=stored, snapshot=saved.newest, earlier=saved.earlier, reasons=reasons)


def _looked_at(moment: Moment, saved: SnapshotCheck) -> Iterator[tuple[Batch, bytes]]:
    for batch, value in moment.batches():
        saved.look(batch)
        yield batch, value


def _steps(
    batches: Iterable[tuple[Batch, bytes]], stops: set[int], holes: HoleCheck
) -> Iterator[tuple[list[Recorded], int]]:
    """The events of a log, with the position up to which that is all of them; each of the stops is such a one."""
    events: list[Recorded] = []
    size = 0
    ahead = sorted((stop for stop in stops if stop), reverse=True)
    for batch, value in batches:
        records = [Record(place, *row) for place, row in zip(batch.positions, batch.rows, strict=True)]
        fresh = [Recorded(record.position, decoded(record), record.principal) for record in records]
        holes.look(((hole.first, hole.count) for hole in batch.holes), ((each.position, each.event) for each in fresh))
        events += fresh
        size += len(value)
        while ahead and ahead[-1] <= batch.last:
            stop = ahead.pop()
            yield [event for event in events if event.position <= stop], stop
            events = [event for event in events if event.position > stop]
        if len(events) >= _TOGETHER or size >= _TOGETHER_BYTES:
            yield events, batch.last
            events, size = [], 0


def _begin(folds: Folds, moment: Moment) -> int:
    """Fill the folds of memory from the newest base, if there is one; from where the state is folded."""
    base = None
    for batch in moment.holding(_BASE):
        taken = [decoded(Record(0, *row)) for row in batch.rows if row[1] == BaseTaken.__name__]
        base = next((event for event in reversed(taken) if isinstance(event, BaseTaken)), base)
    if base is None:
        return 0
    for _ in snapshot.filling_base(folds, b"".join(_parts(moment, base)), base):
        pass
    folds.base = base
    return base.base


def _parts(moment: Moment, base: BaseTaken) -> Iterator[bytes]:
    left = base.parts
    for batch, _ in moment.batches(base.base):
        for row in batch.rows:
            part = decoded(Record(0, *row)) if row[1] == BasePart.__name__ and left else None
            if isinstance(part, BasePart) and part.base == base.base:
                left -= 1
                yield part.content


class Kept:
    """The folds on disk of a directory, as they are at one moment."""

    def __init__(self, txn: "lmdb.Transaction[bytes]") -> None:
        self._txn = txn

    def stored(self, moment: Moment) -> int | None:
        """Up to where they are folded; None if they are of another log or release: then a start makes them anew.

        Raises LogDamaged: nothing is folded before it is durable.
        """
        position = stored_position(self._txn.get)
        is_ours = (self._txn.get(StreamIndex.MARKER) or b"")[8:] == moment.log_id
        if not is_ours or position is None:
            return None
        _check_end(position, moment, "folds")
        return position

    def index(self, moment: Moment) -> IndexCheck:
        """What compares the index of streams. Raises LogDamaged: nothing is indexed before it is durable."""
        check = IndexCheck(self._txn, moment.log_id)
        _check_end(check.until, moment, "index")
        return check

    def check(self, store: FoldStore, position: int) -> None:
        """Compare with folds of the log up to a position. Raises LogDamaged."""
        for first in OURS:
            for ours, theirs in zip_longest(self._rows(first), _rows(store, first)):
                if ours != theirs:
                    key = min(pair[0] for pair in (ours, theirs) if pair is not None)
                    raise LogDamaged(f"The folds at position {position} are not those of the log: {key!r} differs.")

    def _rows(self, first: int) -> Iterator[tuple[bytes, bytes]]:
        with self._txn.cursor() as cursor:
            found = cursor.set_range(bytes([first]))
            yield from takewhile(lambda pair: pair[0][0] == first, cursor.iternext()) if found else ()


def _rows(store: FoldStore, first: int) -> Iterator[tuple[bytes, bytes]]:
    start = bytes([first])
    while rows := store.scan(start, bytes([first + 1]), limit=_PAGE):
        yield from rows
        start = rows[-1][0] + b"\0"


@contextmanager
def open_kept(directory: Path | None) -> Iterator[Kept | None]:
    """None: there are none, or none that a start would trust."""
    if directory is None or not is_trusted(directory / "folds") or not (directory / "folds" / "data.mdb").exists():
        yield None
        return
    folds = directory / "folds"
    lock = os.access(folds, os.W_OK)
    make_table_of_readers(folds / "data.mdb")
    with lmdb.open(os.fsencode(folds), map_size=0, readonly=True, lock=lock, create=False) as env, env.begin() as txn:
        yield Kept(txn)


def _check_end(position: int, moment: Moment, what: str) -> None:
    if position > moment.position:
        raise LogDamaged(
            f"The log ends at position {moment.position}, and its {what} at {position}: what came after is gone."
        )


def main(argv: Sequence[str]) -> int:
    """Compare the folds of a directory with a log, and say what was found; the exit code."""
    gc.disable()  # events and states hold no cycles, and there are many
    place, folds = place_of(argv[0], os.environ), Path(argv[1]) if argv[1:] else None
    return say(lambda tell: compare(place, folds=folds, tell=tell))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

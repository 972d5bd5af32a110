"""Makes the log of a directory, or a database, that no server has open: of an archive, or of another's beginning.

1. It is there whole and durable, or not at all.
2. An archive of a whole log becomes the log of a place without one, or with an empty one: the same log in another
   place, its id too. One that goes on where the log here ends, by its digest, is added to it.
3. A log that ends earlier than the one that it is made of is another log, with an id of its own: folds that are left of
   the longer one do not fit it.
4. A log cannot end before the newest base: facts that this stands for may be erased, and it would not be there.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Final, Protocol, cast
from uuid import uuid4

import cbor2

from kala_es import archive, codec, log_tree
from kala_es.domain.ids import Instant
from kala_es.domain.trimming import BaseTaken
from kala_es.event_log import LogError
from kala_es.event_logs.batch import Batch, encode_batch
from kala_es.event_logs.building import build
from kala_es.event_logs.check import data_file
from kala_es.event_logs.postgres_place import Database, Place
from kala_es.replay import moments
from kala_es.replay.archived import events_in
from kala_es.replay.log_file import Moment, NoSuchPosition, open_moment, rows_of, until
from kala_es.replay.telling import Tell, nobody
from kala_es.replay.times import Search

_OURS: Final = frozenset({"lock", "log"})
"""What an unused directory may hold: an attempt that failed leaves that."""
_BASE: Final = BaseTaken.__name__


class Unfit(LogError):
    """It does not fit what is here."""


class Building(Protocol):
    """A log in the making."""

    def put(self, first: int, value: bytes) -> None:
        """Add a value (batch.py) whose first record has this position; they follow each other."""

    def finish(self, log_id: bytes, tree: log_tree.Span, *, left_out: int = 0) -> None:
        """That was all; the digests of all records. Up to `left_out` some are missing without a reason."""


def import_into(file: archive.Source, place: Place) -> archive.End:
    """Make an archive the log of a place, or add it to that log. Raises ArchiveRefused, Unfit, LogError."""
    parts = archive.check(file)
    header, before = next(parts)
    assert isinstance(header, archive.Header)
    if not _has_log(place):
        _check_unused(place)
    left_out = 0
    with _build(place) as building, ExitStack() as reading:
        if _has_log(place):
            here = reading.enter_context(open_moment(place))
            left_out = here.left_out()
            _check_fit(header, before, here)
            for batch, value in here.batches():
                building.put(batch.first, value)
        elif header.after:
            raise Unfit(f"The archive goes on after position {header.after}; there is no log in {place}.")
        else:
            _check_unused(place)
        end, tree = _take(parts, building)
        building.finish(header.log, tree, left_out=left_out if header.output else end.position)
    return end


def _has_log(place: Place) -> bool:
    """Whether there is one, perhaps an empty one. Raises LogError."""
    if isinstance(place, Database):
        from kala_es.event_logs.postgres_reader import has_log

        return has_log(place)
    return data_file(place).exists()


def _build(place: Place) -> AbstractContextManager[Building]:
    if isinstance(place, Database):
        from kala_es.event_logs import postgres_building

        return postgres_building.build(place)
    return build(place)


def _take(parts: Iterable[tuple[archive.Part, log_tree.Span]], building: Building) -> tuple[archive.End, log_tree.Span]:
    for part, tree in parts:
        if isinstance(part, archive.Block):
            for _ in events_in(part):  # else it would become a log that no server can open
                pass
            building.put(part.first, encode_batch(_stored(part.items), tree.root()))
        elif isinstance(part, archive.End):
            return part, tree
    raise AssertionError("an archive that was read whole has an end")


def _stored(items: Sequence[archive.Item]) -> Sequence[bytes]:
    """Rows, and holes as a value has them."""
    if archive.rows_in(items) == len(items):
        return cast("Sequence[bytes]", items)
    return [item if isinstance(item, bytes) else cbor2.dumps(item) for item in items]


def _check_fit(header: archive.Header, before: log_tree.Span, here: Moment) -> None:
    if (header.after, before.root()) != (here.position, here.digest()):
        raise Unfit(
            f"The archive goes on after position {header.after}, where its log had the digest {before.root().hex()}; "
            f"the log here ends at position {here.position}, with {here.digest().hex()}."
        )
    if header.after and header.log != here.log_id:
        raise Unfit("The archive is of another log with the same beginning.")


def _check_unused(directory: Place) -> None:
    """Raise Unfit when something is there. Asked twice: before anything is made there, and when it is held."""
    if isinstance(directory, Database):
        _check_empty(directory)
        return
    if data_file(directory).exists():
        raise Unfit(f"{directory} is not empty: there is a log.")
    if directory.exists() and not {path.name for path in directory.iterdir()} <= _OURS:
        raise Unfit(f"{directory} is not empty, and has no log.")


def _check_empty(database: Database) -> None:
    """A server that was started by mistake leaves tables, and nothing in them."""
    if not _has_log(database):
        return
    with open_moment(database) as moment:
        if moment.position:
            raise Unfit(f"{database} is not empty: there is a log.")


def restore(source: Place, into: Place, end: moments.Moment, *, tell: Tell = nobody) -> tuple[int, bytes]:
    """A log in the unused place `into` that is `source` up to a moment.

    Gives its last position and its digest, which is that of the source there. `tell` is told the position as far as is
    read, twice if the moment is a time. Raises LogError.
    """
    _check_unused(into)
    with open_moment(source) as moment:
        last = _place(moment, end.time, tell) if end.position is None else end.position
        if last > moment.position:
            raise NoSuchPosition(f"The log in {source} ends at position {moment.position}.")
        _check_base(moment, last)
        tree, has_holes = log_tree.Span(), False
        with _build(into) as building:
            _check_unused(into)
            for batch, value in _up_to(moment, last):
                batch.extend(tree, rows_of(batch, value) if value else None)
                building.put(batch.first, value or _encoded(batch, tree.root()))
                tell(batch.last, last)
                has_holes = has_holes or bool(batch.holes)
            is_cut = has_holes and tree.end < moment.position  # what is cut off may say why they are there
            building.finish(uuid4().bytes, tree, left_out=tree.end if is_cut else min(moment.left_out(), tree.end))
    return tree.end, tree.root()


def _place(moment: Moment, time: Instant, tell: Tell) -> int:
    """Up to where all was recorded by a time."""
    search = Search(time)
    for batch, _ in moment.batches():
        if search.look(batch.after(0, len(batch.rows))):
            break
        tell(batch.last, moment.position)
    return search.place.position


def _check_base(moment: Moment, end: int) -> None:
    newest = None
    for batch, value in moment.batches(end):
        if _BASE.encode() in value:
            bases = [record for record in batch.after(end, len(batch.rows)) if record.type == _BASE]
            newest = bases[-1] if bases else newest
    if newest is not None:
        base = codec.decode(newest)
        assert isinstance(base, BaseTaken)
        raise LogError(
            f"Facts up to position {base.base} were erased by retention: "
            f"the first position that a log can be restored to is {newest.position}."
        )


def _up_to(moment: Moment, position: int) -> Iterator[tuple[Batch, bytes]]:
    """The values of a log's beginning; the last without its bytes, if it is cut."""
    for batch, value in moment.batches():
        if batch.first <= position:
            yield (batch, value) if batch.last <= position else (until(batch, position), b"")
        if position <= batch.last:
            return


def _encoded(batch: Batch, digest: bytes) -> bytes:
    holes = {hole.first: cbor2.dumps([hole.count, hole.digests]) for hole in batch.holes}
    rows = dict(zip(batch.positions, map(cbor2.dumps, batch.rows), strict=True))
    return encode_batch([item for _, item in sorted((holes | rows).items())], digest)

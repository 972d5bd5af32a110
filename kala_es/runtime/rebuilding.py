"""Makes the log of a directory that no server has open: of an archive, or of the beginning of another log.

1. It is there whole and durable, or not at all.
2. An archive of a whole log becomes the log of a directory without one, or with an empty one: the same log in another
   place, its id too. One that goes on where the log here ends, by its digest, is added to it.
3. A log that ends earlier than the one that it is made of is another log, with an id of its own: folds that are left of
   the longer one do not fit it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, cast
from uuid import uuid4

import cbor2

from kala_es import archive, log_tree
from kala_es.domain.ids import Instant
from kala_es.event_log import LogError
from kala_es.event_logs.batch import Batch, encode_batch
from kala_es.event_logs.building import Building, build
from kala_es.event_logs.check import data_file
from kala_es.replay.log_file import Moment, NoSuchPosition, open_moment, rows_of, until

_OURS: Final = frozenset({"lock", "log"})
"""What an unused directory may hold: an attempt that failed leaves that."""
_TIME: Final = 3
"""The place of the time in a row."""


class Unfit(LogError):
    """This archive does not fit the log that is here."""


def import_into(file: IO[bytes], directory: Path) -> archive.End:
    """Make an archive the log of a directory, or add it to that log. Raises ArchiveRefused, Unfit, LogError."""
    parts = archive.check(file)
    header, before = next(parts)
    assert isinstance(header, archive.Header)
    left_out = 0
    with build(directory) as building, ExitStack() as reading:
        if data_file(directory).exists():
            here = reading.enter_context(open_moment(directory))
            left_out = here.left_out()
            _check_fit(header, before, here)
            for batch, value in here.batches():
                building.put(batch.first, value)
        elif header.after:
            raise Unfit(f"The archive goes on after position {header.after}; there is no log in {directory}.")
        elif not _is_unused(directory):
            raise Unfit(f"{directory} is not empty, and has no log.")
        end, tree = _take(parts, building)
        building.finish(header.log, tree, left_out=left_out if header.output else end.position)
    return end


def _take(parts: Iterable[tuple[archive.Part, log_tree.Span]], building: Building) -> tuple[archive.End, log_tree.Span]:
    for part, tree in parts:
        if isinstance(part, archive.Block):
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


def _is_unused(directory: Path) -> bool:
    return {path.name for path in directory.iterdir()} <= _OURS


def restore(source: Path, into: Path, *, position: int | None = None, time: Instant | None = None) -> tuple[int, bytes]:
    """A log in the unused directory `into` that is `source` up to a position, or up to what is later than a time.

    Gives its last position and its digest, which is that of the source there. Raises LogError.
    """
    if into.exists() and not _is_unused(into):
        raise LogError(f"{into} is not empty.")
    with open_moment(source) as moment:
        if position is not None and not 0 <= position <= moment.position:
            raise NoSuchPosition(f"The log in {source} ends at position {moment.position}.")
        tree, has_holes = log_tree.Span(), False
        with build(into) as building:
            for batch, value in _up_to(moment, position, time):
                batch.extend(tree, rows_of(batch, value) if value else None)
                building.put(batch.first, value or _encoded(batch, tree.root()))
                has_holes = has_holes or bool(batch.holes)
            is_cut = has_holes and tree.end < moment.position  # what is cut off may say why they are there
            building.finish(uuid4().bytes, tree, left_out=tree.end if is_cut else min(moment.left_out(), tree.end))
    return tree.end, tree.root()


def _up_to(moment: Moment, position: int | None, time: Instant | None) -> Iterator[tuple[Batch, bytes]]:
    """The values of a log's beginning; the last without its bytes, if it is cut."""
    for batch, value in moment.batches():
        last = batch.last if position is None else min(position, batch.last)
        if time is not None:
            later = (p for p, row in zip(batch.positions, batch.rows, strict=True) if row[_TIME] > time)
            last = min(last, next(later, last + 1) - 1)
        if last >= batch.first:
            yield (batch, value) if last == batch.last else (until(batch, last), b"")
        if last < batch.last:
            return


def _encoded(batch: Batch, digest: bytes) -> bytes:
    holes = {hole.first: cbor2.dumps([hole.count, hole.digests]) for hole in batch.holes}
    rows = dict(zip(batch.positions, map(cbor2.dumps, batch.rows), strict=True))
    return encode_batch([item for _, item in sorted((holes | rows).items())], digest)

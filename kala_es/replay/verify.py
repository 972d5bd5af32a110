"""Proves a log: its digests fit, every record can be read, and every fold is what the log says.

1. It is read as it is at one moment, beside whoever has it open; nothing in it is changed.
2. The digests, and the index of streams, are checked by one process and the folds by another (fold_check.py), at the
   same time (children.py).
3. What fails is said with the first position that is bad.

`python -m kala_es.replay.verify LOG AGAINST [FOLDS]` does the first, and says what it found (children.py). AGAINST may
be empty; FOLDS is the directory of the folds, if the log is in a database.
"""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from kala_es import archive, log_tree
from kala_es.event_log import LogDamaged, LogError
from kala_es.event_logs.postgres_place import Place, place_of
from kala_es.replay.archived import events_in, holes_in
from kala_es.replay.children import Child, say
from kala_es.replay.fold_check import Compared, folds_of, open_kept
from kala_es.replay.hole_check import NO_REASONS, HoleCheck, Reasons
from kala_es.replay.log_file import items_of, open_moment, rows_of
from kala_es.replay.telling import Tell

_ALL: Final = (1 << 63) - 1
_AGAINST: Final = re.compile(r"(?:(\d{1,19}):)?([0-9a-f]{64})")


class Against(msgspec.Struct, frozen=True):
    """A digest that was seen before, and at which position, if that is known."""

    digest: bytes
    position: int | None = None

    def __str__(self) -> str:
        return self.digest.hex() if self.position is None else f"{self.position}:{self.digest.hex()}"


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """What was proved: so many records, and positions without one, up to `position`, where the log has this digest."""

    position: int
    digest: bytes
    records: int
    erased: int
    reasons: Reasons = NO_REASONS


class Unproved(LogError):
    """The log is another than the one that was seen before, or this cannot be told."""


def against_of(text: str) -> Against:
    """What POSITION:DIGEST or DIGEST says. Raises ValueError."""
    match = _AGAINST.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is neither DIGEST (64 hexadecimal digits) nor POSITION:DIGEST")
    return Against(bytes.fromhex(match[2]), int(match[1]) if match[1] else None)


class Watch:
    """Looks for a digest that was seen before, while a log is read."""

    def __init__(self, against: Against | None) -> None:
        self._against = against
        self._is_met = against is None

    def look(self, before: log_tree.Span, items: Iterable[archive.Item]) -> None:
        """What comes next, and the digests of all before. Raises Unproved."""
        against = self._against
        if against is None or self._is_met or (against.position or before.end) < before.end:
            return
        tree = before.copy()
        self._compare(tree)
        for item in items:
            if self._is_met or tree.end == against.position:
                return
            add(tree, item)
            self._compare(tree)

    def _compare(self, tree: log_tree.Span) -> None:
        assert self._against is not None
        position, digest = self._against.position, self._against.digest
        if position is not None and tree.end > position:
            raise Unproved(
                f"Position {position} is within records that are erased by now: no digest can be told there."
            )
        self._is_met = position in (None, tree.end) and tree.root() == digest
        if position == tree.end and not self._is_met:
            raise Unproved(
                f"At position {position} the digest is {tree.root().hex()}: this is not the log that was seen."
            )

    def end(self, tree: log_tree.Span) -> None:
        """There is no more. Raises Unproved."""
        self.look(tree, ())
        if not self._is_met:
            raise Unproved(f"The log, which ends at position {tree.end}, never had the digest {self._against}.")


def add(tree: log_tree.Span, item: archive.Item) -> None:
    """Let a tree grow by a row or a hole."""
    if isinstance(item, bytes):
        tree.add(log_tree.leaf(item))
    else:
        tree.add_all(item[1], item[0])


def prove_digests(place: Place, against: Against | None = None, *, folds: Path | None = None, tell: Tell) -> Proved:
    """Check the digests of a log, and the index of its streams. Raises LogDamaged, Unproved, LogError."""
    watch, tree, records = Watch(against), log_tree.Span(), 0
    with open_kept(folds_of(place, folds)) as kept, open_moment(place) as moment:
        index = None if kept is None else kept.index(moment)
        for batch, value in moment.batches():
            if index is not None:
                index.look(batch)
            if against is not None:
                watch.look(tree, items_of(batch, value))
            batch.extend(tree, rows_of(batch, value))
            records += len(batch.rows)
            tell(tree.end, moment.position)
        if index is not None:
            index.end()
        if (tree.end, tree.root()) != (moment.position, moment.digest()):
            raise LogDamaged(f"The log in {place} is damaged: it says that it ends at position {moment.position}.")
        noted = moment.noted()
        if noted is not None and (noted.end, noted.digests) != (tree.end, tree.digests):
            raise LogDamaged(f"The log in {place} is damaged: its digests, at position {noted.end}, are of another.")
    watch.end(tree)
    return Proved(position=tree.end, digest=tree.root(), records=records, erased=tree.end - records)


def prove_archive(file: archive.Source, against: Against | None = None) -> Proved:
    """Check an archive, and that each of its records can be read. Raises ArchiveRefused, Unproved, LogError."""
    watch, before, holes, found = Watch(against), log_tree.Span(), HoleCheck(), None
    for part, tree in archive.check(file):
        match part:
            case archive.Header():
                holes = HoleCheck(after=part.after, left_out=0 if part.output else _ALL)
            case archive.Block():
                watch.look(before, part.items)
                holes.look(holes_in(part), ((record.position, event) for record, event in events_in(part)))
            case archive.End():
                watch.end(tree)
                sums = {"position": part.position, "records": part.records, "erased": part.erased}
                found = Proved(**sums, digest=part.digest, reasons=holes.end())
        before = tree.copy()
    assert found is not None
    return found


def verify(
    place: Place, against: Against | None = None, *, folds: Path | None = None, tell: Tell
) -> tuple[Proved, Compared]:
    """Prove a log. The folds of one in a database are in the directory `folds`, if they are to be compared.

    `tell` is told how far the digests are, then how far the folds. Raises LogError.
    """
    where = [os.fspath(folds)] if folds else []
    with (
        Child("kala_es.replay.fold_check", place, *where) as folding,
        Child("kala_es.replay.verify", place, str(against or ""), *where) as digesting,
    ):
        proved = digesting.finish(Proved, tell)
        compared = folding.finish(Compared, tell)
        return msgspec.structs.replace(proved, reasons=compared.reasons), compared


def main(argv: Sequence[str]) -> int:
    """Check the digests of a log, and say what was found; the exit code."""
    against = against_of(argv[1]) if argv[1] else None
    place, folds = place_of(argv[0], os.environ), Path(argv[2]) if argv[2:] else None
    return say(lambda tell: prove_digests(place, against, folds=folds, tell=tell))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The state of all jobs at a moment of the past: folded from the nearest snapshot, or base, before it.

1. A moment is a position, or a time. At a time the log is known up to just before its first event that is later: what
   was recorded by then. (An event's time may lie before that of an earlier one: an end of a run is known late.)
2. Facts up to the newest base may be erased, so an earlier moment can be shown only where a snapshot was kept of it.
3. Output is not read: it changes no job. What lives in the fold store (runs that are over) is not here either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, Protocol

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.ids import Instant
from kala_es.domain.trimming import BasePart, BaseTaken
from kala_es.event_log import LogDamaged, Record
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections import past, snapshot
from kala_es.projections.folds import OF_NO_JOB, Folds

_PAGE: Final = 500
_UNREAD: Final = frozenset(kind.__name__ for kind in OF_NO_JOB if not issubclass(kind, e.ServerEvent))
"""What changes nothing that can be read of jobs."""
_ALL: Final = (1 << 63) - 1
_NEVER: Final = Instant(0)


class NotKnown(Exception):
    """That moment cannot be shown; the sentence says why."""


class Source(Protocol):
    """A log that is read."""

    @property
    def head(self) -> int:
        """The last position."""

    def read_now(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The next records after position `after`, at most `limit`; of one stream if named. Empty at the end."""


@dataclass(frozen=True, slots=True)
class Moment:
    """After the record at `position`, or, if that is None, as of `time`."""

    position: int | None = None
    time: Instant = _NEVER

    def reaches(self, position: int, time: Instant) -> bool:
        """Whether the record at a position, of that time, had been written by then."""
        return time <= self.time if self.position is None else position <= self.position


class Replay:
    """The folds of memory on their way to a moment; `steps` goes there, a page at a time."""

    def __init__(self, source: Source, moment: Moment, snapshots: Path | None = None) -> None:
        if moment.position is not None and moment.position > source.head:
            raise NotKnown(f"the log ends at position {source.head}")
        self._source = source
        self._moment = moment
        self.folds = empty_folds()
        self.base = newest_base(source)
        self.begun_at = self._begin(snapshots)

    def _begin(self, snapshots: Path | None) -> int:
        """Fill the folds from the nearest snapshot before the moment, or from the base; where that is."""
        base = self.base.base if self.base else 0
        for kept in reversed(past.kept(snapshots) if snapshots else []):
            is_near = self._moment.reaches(kept.position, kept.time)
            if is_near and self._may_begin(kept.position, base) and self._load(kept):
                return kept.position
        if self.base is None:
            return 0
        if self._moment.position is not None and self._moment.position < base:
            raise self._erased(base)
        load_base(self._source, self.base, self.folds)
        if not self._moment.reaches(base, self.folds.latest):
            raise self._erased(base)
        return base

    def _load(self, kept: past.Kept) -> bool:
        """Whether the snapshot is whole and of this log: made when its last record was what it is."""
        content, last = kept.content(), self._source.read_now(kept.position - 1, limit=1)
        anchor = [(r.position, snapshot.anchor_of(r.body)) for r in last]
        is_ours = anchor == [snapshot.place_in(BytesIO(content))]
        return is_ours and snapshot.load_content(content, self.folds, kept.position)

    def _may_begin(self, position: int, base: int) -> bool:
        return position >= base or position == self._moment.position

    def _erased(self, base: int) -> NotKnown:
        return NotKnown(
            f"facts up to position {base} were erased by retention: the first moment that can be shown is that position"
        )

    def steps(self) -> Iterator[int]:
        """Fold a page and tell the position, until the moment is reached."""
        while page := self._source.read_now(self.folds.position, limit=_PAGE):
            wanted = list(takewhile(lambda r: self._moment.reaches(r.position, Instant(r.time)), page))
            feed(self.folds, wanted)
            yield self.folds.position
            if len(wanted) < len(page):
                return

    def finish(self) -> Folds:
        """All steps at once."""
        for _ in self.steps():
            pass
        return self.folds


def feed(folds: Folds, records: Sequence[Record]) -> None:
    """Fold records into what can be read of the folds of memory; commands and notices are not made due."""
    for record in records:
        if record.type not in _UNREAD:
            event: Any = codec.decode(record)
            folds.show(event)
    if records:
        folds.position = records[-1].position
        folds.latest = max(folds.latest, *(Instant(record.time) for record in records))


def empty_folds() -> Folds:
    """Folds of which only those in memory are filled."""
    folds = Folds(MemoryFoldStore())
    folds.stored = _ALL
    return folds


def newest_base(source: Source) -> BaseTaken | None:
    """The base that counts, if there is one."""
    newest: BaseTaken | None = None
    position = 0
    while page := source.read_now(position, limit=_PAGE, stream=codec.BASES_STREAM):
        position = page[-1].position
        event = codec.decode(page[-1])
        assert isinstance(event, BaseTaken)
        newest = event
    return newest


def load_base(source: Source, base: BaseTaken, folds: Folds) -> None:
    """Fill empty folds from a base. Raises LogDamaged."""
    parts: list[bytes] = []
    position = base.base
    while page := source.read_now(position, limit=_PAGE, stream=codec.base_stream(base.base)):
        position = page[-1].position
        for record in page:
            part = codec.decode(record)
            assert isinstance(part, BasePart)
            parts.append(part.content)
    content = b"".join(parts[: base.parts])
    if blake2b(content, digest_size=32).digest() != base.digest or not snapshot.fill(folds, content, base.base):
        raise LogDamaged(f"The base at position {base.base} cannot be read.")

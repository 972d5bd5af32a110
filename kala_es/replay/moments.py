"""The state of all jobs at a moment of the past: folded from the nearest snapshot, or base, before it.

1. A moment is a position, or a time. At a time the log is known up to just before its first event that is later: what
   was recorded by then. (An event's time may lie before that of an earlier one: an end of a run is known late.)
2. Facts up to the newest base may be erased, so an earlier moment can be shown only where a snapshot was kept of it.
3. Output is not read: it changes no job. What lives in the fold store (runs that are over) is not here either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, Protocol

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.due import wake_at
from kala_es.domain.ids import Instant
from kala_es.domain.trimming import BasePart, BaseTaken
from kala_es.event_log import Record
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
        self._snapshots = snapshots
        self.folds = empty_folds()
        self.begun_at = 0
        """From where the log itself is read."""

    def _begin(self) -> Iterator[None]:
        """Fill the folds from the nearest snapshot before the moment, or from the base. Raises NotKnown."""
        base = newest_base(self._source)
        first = base.base if base else 0
        for kept in reversed(past.kept(self._snapshots) if self._snapshots else []):
            if self._moment.reaches(kept.position, kept.time) and self._may_begin(kept.position, first):
                for done in snapshot.filling(self.folds, self._body(kept), kept.position):
                    yield
                    if done:
                        return
        if base is None:
            return
        if self._moment.position is not None and self._moment.position < first:
            raise self._erased(first)
        yield from filling_from_base(self._source, base, self.folds)
        if not self._moment.reaches(first, self.folds.latest):
            raise self._erased(first)

    def _body(self, kept: past.Kept) -> bytes:
        """The snapshot; nothing when it is damaged, or of another log, whose record at its position is another."""
        content, last = kept.content(), self._source.read_now(kept.position - 1, limit=1)
        anchor = [(r.position, snapshot.anchor_of(r.body)) for r in last]
        return snapshot.checked(content) if anchor == [snapshot.place_in(BytesIO(content))] else b""

    def _may_begin(self, position: int, base: int) -> bool:
        return position >= base or position == self._moment.position

    def _erased(self, base: int) -> NotKnown:
        return NotKnown(
            f"facts up to position {base} were erased by retention: the first moment that can be shown is that position"
        )

    def steps(self) -> Iterator[int]:
        """Fold a page and tell the position, until the moment is reached. Raises NotKnown, LogDamaged."""
        for _ in self._begin():
            yield self.folds.position
        self.begun_at = self.folds.position
        while page := self._source.read_now(self.folds.position, limit=_PAGE):
            wanted = list(takewhile(lambda r: self._moment.reaches(r.position, Instant(r.time)), page))
            feed(self.folds, wanted)
            yield self.folds.position
            if len(wanted) < len(page):
                return

    def go_on(self, moment: Moment) -> Iterator[Record]:
        """Go to a later moment; each record on the way. They are folded a page at a time. Raises NotKnown."""
        if not moment.reaches(self.folds.position, self.folds.latest):
            raise NotKnown("the second moment lies before the first")
        while page := self._source.read_now(self.folds.position, limit=_PAGE):
            wanted = list(takewhile(lambda r: moment.reaches(r.position, Instant(r.time)), page))
            yield from wanted
            feed(self.folds, wanted)
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


def first_tick(folds: Folds) -> Instant | None:
    """When the next run or attempt of all was due."""
    paused = folds.server_pause is not None
    wakes = (wake_at(job, server_paused=paused) for job in folds.jobs.by_id.values())
    return min((wake for wake in wakes if wake is not None), default=None)


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


def filling_from_base(source: Source, base: BaseTaken, folds: Folds) -> Iterator[None]:
    """Fill empty folds from a base, a slice at a time. Raises LogDamaged."""
    parts: list[bytes] = []
    position = base.base
    while page := source.read_now(position, limit=_PAGE, stream=codec.base_stream(base.base)):
        position = page[-1].position
        for record in page:
            part = codec.decode(record)
            assert isinstance(part, BasePart)
            parts.append(part.content)
        yield
    yield from snapshot.filling_base(folds, b"".join(parts[: base.parts]), base)

"""The state of all jobs at a moment of the past: folded from the nearest snapshot, or base, before it.

1. A moment is a position, or a time: then it is the position up to which all was recorded by then (times.py).
2. Facts up to the newest base may be erased, so an earlier moment can be shown only where a snapshot was kept of it.
3. Output is not read: it changes no job. What lives in the fold store (runs that are over) is not here either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Protocol

from kala_es import codec
from kala_es.dialects.kala_ticks import parse_moment
from kala_es.domain import events as e
from kala_es.domain.due import wake_at
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant
from kala_es.domain.trimming import BasePart, BaseTaken
from kala_es.event_log import Record
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections import past, snapshot
from kala_es.projections.folds import OF_NO_JOB, Folds
from kala_es.replay.times import NEVER, Place, Search

_PAGE: Final = 500
_UNREAD: Final = frozenset(kind.__name__ for kind in OF_NO_JOB if not issubclass(kind, e.ServerEvent))
"""What changes nothing that can be read of jobs."""
_ALL: Final = (1 << 63) - 1


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
    time: Instant = NEVER


def moment_of(text: str, field: str) -> Moment:
    """The moment that a text says: TIME, as RFC 3339 has it, or POSITION. Raises Invalid."""
    if not (text.isascii() and text.isdecimal()):
        try:
            return Moment(time=parse_moment(text, field))
        except Invalid as error:
            raise Invalid(field, f"is neither a position nor a time: {error.reason}") from None
    if len(text) > len(str(_ALL)) or int(text) > _ALL:
        raise Invalid(field, f"is no position: the last one that can be is {_ALL}")
    return Moment(position=int(text))


class Snapshots:
    """Those that are kept of a log. The one that was read last is at hand: it serves to search and then to fold."""

    def __init__(self, source: Source, directory: Path | None) -> None:
        self._source = source
        self.newest_first = past.kept(directory)[::-1] if directory else []
        self._read: tuple[past.Kept, bytes] | None = None

    def body(self, kept: past.Kept) -> bytes:
        """What it says; nothing when it is damaged, or of another log, whose record at its position is another."""
        if self._read is None or self._read[0] != kept:
            content, last = kept.content(), self._source.read_now(kept.position - 1, limit=1)
            anchor = [(r.position, snapshot.anchor_of(r.body)) for r in last]
            whole = snapshot.checked(content) if anchor == [snapshot.place_in(BytesIO(content))] else b""
            self._read = kept, whole
        return self._read[1]


class Placing:
    """Looks for the place of a moment, which `place` is when all `steps` are taken."""

    def __init__(self, source: Source, moment: Moment, snapshots: Snapshots) -> None:
        self._source = source
        self._moment = moment
        self._snapshots = snapshots
        self.place = Place(moment.position or 0, moment.position or 0)

    def steps(self) -> Iterator[int]:
        """Look through a page and tell its last position."""
        if self._moment.position is not None:
            return
        earlier = (kept for kept in self._snapshots.newest_first if kept.time <= self._moment.time)
        position = next((kept.position for kept in earlier if self._snapshots.body(kept)), 0)
        search = Search(self._moment.time, position)
        while page := self._source.read_now(position, limit=_PAGE):
            is_found, position = search.look(page), page[-1].position
            yield position
            if is_found:
                break
        self.place = search.place


class Replay:
    """The folds of memory on their way to a moment; `steps` goes there, a page at a time."""

    def __init__(self, source: Source, moment: Moment, snapshots: Path | None = None) -> None:
        if moment.position is not None and moment.position > source.head:
            raise NotKnown(f"the log ends at position {source.head}")
        self._source = source
        self._moment = moment
        self._snapshots = Snapshots(source, snapshots)
        self.folds = empty_folds()
        self.begun_at = 0
        """From where the log itself is read."""

    def _begin(self, place: Place) -> Iterator[None]:
        """Fill the folds from the nearest snapshot before a place, or from the base. Raises NotKnown."""
        base = newest_base(self._source)
        first = base.base if base else 0
        for kept in self._snapshots.newest_first:
            if place.covers(kept.position, kept.time) and (kept.position >= first or kept.position == place.position):
                for done in snapshot.filling(self.folds, self._snapshots.body(kept), kept.position):
                    yield
                    if done:
                        return
        if base is None:
            return
        if place.position >= first:
            yield from filling_from_base(self._source, base, self.folds)
        if not place.covers(first, self.folds.latest):
            raise NotKnown(
                f"facts up to position {first} were erased by retention: "
                "the first moment that can be shown is that position"
            )

    def steps(self) -> Iterator[int]:
        """Read or fold a page and tell its position, until the moment is reached. Raises NotKnown, LogDamaged."""
        placing = Placing(self._source, self._moment, self._snapshots)
        yield from placing.steps()
        for _ in self._begin(placing.place):
            yield self.folds.position
        self.begun_at = self.folds.position
        for page in pages(self._source, self.folds.position, placing.place.position):
            feed(self.folds, page)
            yield self.folds.position

    def go_on(self, until: int) -> Iterator[Record]:
        """Go to a later position; each record on the way. They are folded a page at a time. Raises NotKnown."""
        if until < self.folds.position:
            raise NotKnown("the second moment lies before the first")
        if until > self._source.head:
            raise NotKnown(f"the log ends at position {self._source.head}")
        for page in pages(self._source, self.folds.position, until):
            yield from page
            feed(self.folds, page)

    def finish(self) -> Folds:
        """All steps at once."""
        for _ in self.steps():
            pass
        return self.folds


def pages(source: Source, after: int, until: int) -> Iterator[list[Record]]:
    """The records after one position up to another, some at a time."""
    while after < until:
        page = [record for record in source.read_now(after, limit=_PAGE) if record.position <= until]
        if not page:
            return
        yield page
        after = page[-1].position


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

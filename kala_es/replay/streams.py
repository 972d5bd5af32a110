"""The records of some streams in the order of the log, found by its index: nothing between them is read."""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final, Protocol

from kala_es.event_log import Record
from kala_es.fold_store import FoldStore
from kala_es.replay.moments import Source

_PAGE: Final = 100


class Indexed(Source, Protocol):
    """A log that is read, and may have an index of its streams, and folds."""

    @property
    def indexed(self) -> int:
        """The position up to which `of_stream` finds a stream's records; 0: there is no index."""

    @property
    def folds(self) -> FoldStore | None:
        """The folds of the log; None: there are none."""

    @property
    def left_out(self) -> int:
        """Up to here records may be missing that the log was made without; 0: none are."""

    def of_stream(self, stream: str, after: int, *, limit: int) -> list[Record]:
        """The next records of a stream after `after` and up to `indexed`, at most `limit`. Empty at the end."""


class Streams:
    """Iterate over it; a stream may be added as long as nothing of it has been passed by."""

    def __init__(self, source: Indexed) -> None:
        self._source = source
        self._next: list[tuple[int, Record, Iterator[Record]]] = []
        """Of each stream its next record, and what follows it: a heap, by position."""

    def add(self, stream: str, *, after: int, until: int) -> None:
        """Also the records of this stream after one position, up to another."""
        self._push(self._records(stream, after, until))

    def __iter__(self) -> Iterator[Record]:
        while self._next:
            _, record, rest = heappop(self._next)
            yield record
            self._push(rest)

    def _push(self, rest: Iterator[Record]) -> None:
        record = next(rest, None)
        if record is not None:
            heappush(self._next, (record.position, record, rest))

    def _records(self, stream: str, after: int, until: int) -> Iterator[Record]:
        while page := self._source.of_stream(stream, after, limit=_PAGE):
            for record in page:
                if record.position > until:
                    return
                yield record
            after = page[-1].position

"""Which position of a log a time is. Records are in the order in which they were recorded; their times need not be.

1. A time lies between two positions: up to the one all was recorded by then, from the next on nothing was.
2. What is reported late, such as an end while the server was down, and what it causes have the times of the events
   themselves. These do not say when they were recorded, so they count only where nothing speaks against them.
3. A clock may be wrong for a while, ahead or behind. So a time lies where the fewest records contradict it: records
   before it that are later, and records after it that are not. Of two such places the later one is taken.
4. That is looked for so far as `MISTIMED_POSITIONS` beyond a place: who is wrong for longer is believed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cbor2

from kala_es.domain import events as e
from kala_es.domain.ids import Instant
from kala_es.event_log import Record
from kala_es.limits import MISTIMED_POSITIONS

NEVER: Final = Instant(0)
_MAY_BE_LATE: Final = frozenset(
    kind.__name__
    for kind in (
        e.AttemptFailed,
        e.AttemptStarted,
        e.CancelRequested,
        e.NoticeAttempted,
        e.NoticeDue,
        e.OutputChunk,
        e.RunFinished,
    )
)
_AFTER: Final = cbor2.dumps("after")
"""The key of the run whose end caused this: then the time may be that of the end."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a time, or a position, is in a log: the last position that was recorded by then.

    Of the record at `known` its own time says so; whatever stood after it, up to `position`, is erased.
    """

    position: int
    known: int
    time: Instant = NEVER

    def covers(self, position: int, latest: Instant) -> bool:
        """Whether all up to a position had been recorded by then; `latest` is the latest of its times."""
        return position <= self.known or (position <= self.position and latest <= self.time)


class Search:
    """Looks for a time in records that come in order, those after `position`. All up to there was recorded by then."""

    def __init__(self, time: Instant, position: int = 0) -> None:
        self._time = time
        self._known = self._last = position
        self._place: int | None = None
        """The best so far, unless it is after the last record."""
        self._against = 0
        """How many more records contradict a place after the last one."""

    @property
    def place(self) -> Place:
        """What was found."""
        return Place(self._last if self._place is None else self._place, self._known, self._time)

    def look(self, records: Iterable[Record]) -> bool:
        """Go on with the next records; whether that is enough."""
        for record in records:
            self._last = record.position
            if record.time > self._time:
                self._place = record.position - 1 if self._place is None else self._place
                self._against += _is_timed(record)
                continue
            if self._place is not None and _is_timed(record):
                self._against -= 1
                if self._against <= 0:
                    self._place, self._against = None, 0
            if self._place is None:
                self._known = record.position
        return self._place is not None and self._last - self._place > MISTIMED_POSITIONS


def _is_timed(record: Record) -> bool:
    """Whether its time is that of the server's clock when it was recorded."""
    return record.type not in _MAY_BE_LATE and _AFTER not in record.body

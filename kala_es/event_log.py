"""The event log's port: an append-only, totally ordered sequence of records.

Rules every adapter keeps (tests/conformance/test_event_log.py runs on each):
1. Positions start at 1 and rise by 1; no gap, no repeat, no reuse.
2. `append` is all or nothing, and durable when it returns.
3. After a failed append the log is as before it.
4. A reader sees whole appends only, in order.
5. The log reads no body: it knows position, stream, type, version, time, principal and bytes.
6. A record that was trimmed is not there any more: readers skip its position, which is never used again.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class NewRecord(msgspec.Struct, frozen=True, gc=False):
    """An event on its way into the log. `time` is microseconds since the epoch, UTC."""

    stream: str
    type: str
    version: int
    time: int
    principal: str
    body: bytes


class Record(msgspec.Struct, frozen=True, gc=False):
    """An event as stored."""

    position: int
    stream: str
    type: str
    version: int
    time: int
    principal: str
    body: bytes


class LogError(Exception):
    """The log cannot go on; the sentence says why."""


class LogIsFull(LogError):
    """There is no room for this append; the log is as before, and reads work."""


class LogInUse(LogError):
    """Another process has this log open."""


class LogIsNewer(LogError):
    """The log was written by a newer version; it is left alone."""


class LogAway(LogError):
    """The log cannot be reached, or takes nothing, at present; it may come back."""


class LogDamaged(LogError):
    """The log failed its check; it is left alone."""


class EventLog(Protocol):
    """The port. One writer, any number of readers."""

    async def append(self, batch: Sequence[NewRecord], *, reserve: int = 0) -> int:
        """Make `batch` (not empty) durable as one commit and give the position of its last record.

        With `reserve`, refuse (LogIsFull) unless that many bytes would stay free, as far as that can be known.
        """

    async def read(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The next records after position `after`, at most `limit`; of one stream if named.

        Empty at the end. Holds at most those records and one commit in memory.
        """

    async def trim(self, positions: Sequence[int]) -> None:
        """Erase the records at these positions, which rise; the log's last record is not among them.

        In several steps, upwards: when it fails, or the process dies, some are erased and some are not. Those that are
        erased already are no error.
        """

    async def wait(self, after: int) -> int:
        """Return the last position as soon as it is greater than `after`."""

    async def close(self) -> None:
        """Let go of the log. Idempotent."""

"""The clock's port: wall time for records and schedules, monotonic time for waiting."""

import time
from typing import Protocol

import trio

from kala_es.domain.ids import Instant


class Clock(Protocol):
    """Wall time that a simulation can move."""

    def now(self) -> Instant:
        """Wall time, microseconds since the epoch, UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait by the monotonic clock."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Instant:
        """Wall time, microseconds since the epoch, UTC."""
        return Instant(time.time_ns() // 1000)

    async def sleep(self, seconds: float) -> None:
        """Wait by Trio's clock."""
        await trio.sleep(seconds)


class TrioClock:
    """Wall time derived from Trio's clock, so that a MockClock moves both; `step` makes the wall jump."""

    def __init__(self, start: Instant) -> None:
        self._offset = start - round(trio.current_time() * 1e6)

    def now(self) -> Instant:
        """Wall time, microseconds since the epoch, UTC."""
        return Instant(self._offset + round(trio.current_time() * 1e6))

    def step(self, seconds: float) -> None:
        """Move the wall clock alone, as NTP or a suspend does."""
        self._offset += round(seconds * 1e6)

    async def sleep(self, seconds: float) -> None:
        """Wait by Trio's clock."""
        await trio.sleep(seconds)

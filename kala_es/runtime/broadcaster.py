"""Durable events to live readers. A topic keeps the newest events in memory while anyone follows it.

A reader keeps its own place and takes what is new when it can. One that falls behind what a topic holds reads the
log instead, so a slow reader costs nobody anything.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import trio

from kala_es import limits
from kala_es.domain.events import OutputChunk
from kala_es.projections.recorded import Recorded

ALL: Final = ""
"""The topic of every event; the others are run ids."""


class Entry:
    """A durable event, and room for the frame that a stream makes of it once for all readers."""

    __slots__ = ("frame", "recorded")

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.frame: bytes | None = None


class Topic:
    """What followers of one topic have in common. Everything after `since` is held."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.readers = 0
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._news = trio.Event()

    def add(self, recorded: Recorded) -> None:
        """Append, and let go of the oldest beyond the limits."""
        self._entries.append(Entry(recorded))
        self._bytes += _weight(recorded)
        while self._bytes > limits.TOPIC_BYTES or len(self._entries) > limits.TOPIC_EVENTS:
            oldest = self._entries.popleft().recorded
            self._bytes -= _weight(oldest)
            self.since = oldest.position

    def wake(self) -> None:
        """Let the waiting readers look."""
        self._news.set()
        self._news = trio.Event()

    def after(self, position: int) -> list[Entry] | None:
        """The entries after a position, or None when some of them are no longer held."""
        if position < self.since:
            return None
        fresh: list[Entry] = []
        for entry in reversed(self._entries):
            if entry.recorded.position <= position:
                break
            fresh.append(entry)
        fresh.reverse()
        return fresh

    async def wait(self) -> None:
        """Until there may be something new."""
        await self._news.wait()


class Broadcaster:
    """The topics that are followed now."""

    def __init__(self) -> None:
        self._position = 0
        self._topics: dict[str, Topic] = {}
        self.readers = 0

    def begin(self, position: int) -> None:
        """What is new comes after this position."""
        self._position = position

    def publish(self, batch: Sequence[Recorded]) -> None:
        """Hand a durable batch to those who follow."""
        self._position = batch[-1].position
        if not self._topics:
            return
        touched: set[Topic] = set()
        for recorded in batch:
            for name in (ALL, getattr(recorded.event, "run", None)):
                topic = self._topics.get(name) if name is not None else None
                if topic is not None:
                    topic.add(recorded)
                    touched.add(topic)
        for topic in touched:
            topic.wake()

    @contextmanager
    def follow(self, name: str) -> Iterator[Topic]:
        """A topic, held while followed. It misses nothing after its `since`."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(self._position)
        topic.readers += 1
        self.readers += 1
        try:
            yield topic
        finally:
            topic.readers -= 1
            self.readers -= 1
            if not topic.readers:
                del self._topics[name]


def _weight(recorded: Recorded) -> int:
    event = recorded.event
    return 256 + (len(event.content) if isinstance(event, OutputChunk) else 0)

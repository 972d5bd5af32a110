"""The agent's end of the link, as a state machine without I/O: what it was ordered, and what it still has to say of it.

    taken on ──chunk*──> ended ──settle──> forgotten
A chunk is kept until it is acknowledged, the end until it is settled. While a node listens (`listen`, until `hang_up`)
what is new is told at once; a node that begins to listen is first told all that is kept, each attempt's in order.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kala_es import limits
from kala_es.domain.ids import Instant
from kala_es.executor import AttemptEnd, Channel, Order
from kala_es.link import Attempt, Chunk, Ended, Key, Listed, ToNode

_LISTED_AT_ONCE = 5_000


@dataclass(slots=True)
class _Entry:
    """One attempt: what is kept of it."""

    order: Order
    numbered: int = 0
    offsets: dict[Channel, int] = field(default_factory=lambda: {"stdout": 0, "stderr": 0})
    chunks: deque[Chunk] = field(default_factory=deque)
    ended: Ended | None = None


class Ledger:
    """`unacknowledged` is how many bytes of output are kept, over all attempts."""

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry] = {}
        self._tell: Callable[[ToNode], None] | None = None
        self.unacknowledged = 0

    def __len__(self) -> int:
        """How many attempts it holds."""
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        """Whether it holds this attempt."""
        return key in self._entries

    def keys(self) -> set[Key]:
        """The attempts that it holds."""
        return set(self._entries)

    def take_on(self, order: Order) -> bool:
        """Enter an order; False when the attempt is in the ledger already."""
        key = order.run, order.attempt
        if key in self._entries:
            return False
        self._entries[key] = _Entry(order)
        return True

    def has_room(self, key: Key) -> bool:
        """Whether the attempt's next chunk may come: few enough of its own are kept, and bytes of all together."""
        entry = self._entries[key]
        return len(entry.chunks) < limits.CHUNKS_UNACKNOWLEDGED and not self.is_full

    @property
    def is_full(self) -> bool:
        """Whether all attempts together keep as much output as they may."""
        return self.unacknowledged >= limits.UNACKNOWLEDGED_BYTES

    def chunk(self, key: Key, piece: tuple[Channel, bytes, int], at: Instant) -> None:
        """Number a piece of output (with the bytes left out before it), keep it and tell it."""
        channel, content, dropped = piece
        entry = self._entries[key]
        entry.numbered += 1
        offset = entry.offsets[channel]
        entry.offsets[channel] = offset + len(content)
        chunk = Chunk(*key, entry.numbered, channel, offset, content, at, dropped)
        entry.chunks.append(chunk)
        self.unacknowledged += len(content)
        if self._tell is not None:
            self._tell(chunk)

    def end(self, key: Key, end: AttemptEnd, times: tuple[Instant, Instant]) -> None:
        """The attempt began and ended at these times: keep that and tell it."""
        entry = self._entries[key]
        entry.ended = Ended(*key, end, *times)
        if self._tell is not None:
            self._tell(entry.ended)

    def acknowledge(self, key: Key, sequence: int) -> None:
        """Let go of the chunks up to this one. One that was never numbered changes nothing."""
        entry = self._entries.get(key)
        if entry is None or sequence > entry.numbered:
            return
        while entry.chunks and entry.chunks[0].sequence <= sequence:
            self.unacknowledged -= len(entry.chunks.popleft().content)

    def settle(self, key: Key) -> None:
        """Forget an attempt that is over, with whatever is kept of it."""
        entry = self._entries.get(key)
        if entry is not None and entry.ended is not None:
            self.acknowledge(key, entry.numbered)
            del self._entries[key]

    def listed(self) -> Iterator[Listed]:
        """All attempts, in messages of a bounded size."""
        attempts = [Attempt(*key, entry.numbered, entry.ended is not None) for key, entry in self._entries.items()]
        for start in range(0, max(len(attempts), 1), _LISTED_AT_ONCE):
            end = start + _LISTED_AT_ONCE
            yield Listed(tuple(attempts[start:end]), end >= len(attempts))

    def listen(self, tell: Callable[[ToNode], None]) -> None:
        """Tell a node all that is kept, and from now on what is new."""
        self._tell = tell
        for entry in self._entries.values():
            for chunk in entry.chunks:
                tell(chunk)
            if entry.ended is not None:
                tell(entry.ended)

    def hang_up(self) -> None:
        """Nobody listens any more."""
        self._tell = None

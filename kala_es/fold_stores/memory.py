"""The fold store in memory, for tests and simulations.

Rules: those of the port. A write is checked whole before any of it is applied.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

MAX_KEY_BYTES = 500


class MemoryFoldStore:
    """Sorted keys beside a dict. Lost with the process."""

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        return self._values.get(key)

    def scan(self, start: bytes, stop: bytes, *, limit: int, reverse: bool = False) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs with start <= key < stop, from the low end or, reversed, the high end."""
        low, high = bisect_left(self._keys, start), bisect_left(self._keys, stop)
        low, high = (max(low, high - limit), high) if reverse else (low, min(high, low + limit))
        found = self._keys[low:high]
        return [(key, self._values[key]) for key in (reversed(found) if reverse else found)]

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put each pair, in order; None removes the key. ValueError, and no change, for a key of a wrong length."""
        checked = list(changes)
        for key, _ in checked:
            if not 1 <= len(key) <= MAX_KEY_BYTES:
                raise ValueError(f"A key is 1 to {MAX_KEY_BYTES} bytes; this one has {len(key)}.")
        for key, value in checked:
            self._change(key, value)

    def _change(self, key: bytes, value: bytes | None) -> None:
        if value is not None:
            if key not in self._values:
                insort(self._keys, key)
            self._values[key] = value
        elif self._values.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def clear(self) -> None:
        """Remove everything."""
        self._keys.clear()
        self._values.clear()

    def close(self) -> None:
        """Let go of the store. Idempotent."""
        self.clear()

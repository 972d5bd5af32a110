"""JSON kept as bytes for as long as the value that it says is the same, so that a list is mostly a join.

Values are frozen: what was made of a value holds until there is another value in its place.
"""

from typing import Generic, TypeVar

from kala_es import limits

Key = TypeVar("Key")
Value = TypeVar("Value")


class JsonCache(Generic[Key, Value]):
    """The newest value and its bytes by key. Beyond `limit` bytes those made first go first."""

    def __init__(self, limit: int = limits.JOB_JSON_BYTES) -> None:
        self._limit = limit
        self._kept: dict[Key, tuple[Value, bytes]] = {}
        self.size = 0

    def get(self, key: Key) -> tuple[Value, bytes] | None:
        """The value that was last said, and its bytes."""
        return self._kept.get(key)

    def keep(self, key: Key, value: Value, made: bytes) -> bytes:
        """Keep what was made of a value, and give it back."""
        self._drop(key)
        self._kept[key] = (value, made)
        self.size += len(made)
        while self.size > self._limit:
            self._drop(next(iter(self._kept)))
        return made

    def _drop(self, key: Key) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self.size -= len(old[1])

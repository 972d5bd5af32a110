"""The fold store's port: an ordered map on disk for folds that outgrow memory.

Not a truth: whatever is lost is rebuilt from the log. Rules every adapter keeps
(tests/conformance/test_fold_store.py):
1. `write` is atomic: a reader, also after kill -9, sees all of it or nothing.
2. Nothing is promised across a crash of the machine: the adapter then opens empty.
3. Keys are 1 to 500 bytes, in byte order.
"""

from collections.abc import Iterable
from typing import Protocol


class FoldsError(Exception):
    """The fold store cannot go on; the sentence says why. What it held is rebuilt from the log."""


class FoldsFull(FoldsError):
    """There is no room for this write; the store is as before, and reads work."""


class FoldsInUse(FoldsError):
    """Another process has this store open."""


class FoldStore(Protocol):
    """An ordered map of bytes to bytes. Calls are short and do not wait for the disk."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""

    def scan(self, start: bytes, stop: bytes, *, limit: int, reverse: bool = False) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs with start <= key < stop, from the low end or, reversed, the high end."""

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put each pair, in order; None removes the key."""

    def clear(self) -> None:
        """Remove everything."""

    def close(self) -> None:
        """Let go of the store. Idempotent."""

"""First answers by idempotency key, so that a repeated request gets the same one, also after a restart.

Keys: `k` key digest -> the answer; `t` time, key digest -> nothing, to forget the oldest.
"""

from hashlib import blake2b
from typing import Final

from kala_es import limits
from kala_es.domain.events import RequestAnswered
from kala_es.domain.values import pack, unpack
from kala_es.fold_store import FoldStore
from kala_es.projections.recorded import Changes

_ANSWER: Final = b"k"
_BY_TIME: Final = b"t"
_FORGET_AT_ONCE: Final = 4


class Receipts:
    """The fold. Each new answer lets go of a few that are older than `IDEMPOTENCY_KEPT_SECONDS`."""

    def __init__(self, store: FoldStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._fresh: dict[bytes, None] = {}
        self._forgotten = 0

    def apply(self, event: RequestAnswered) -> None:
        """Fold one answer."""
        digest = _digest(event.key)
        self._changes[_ANSWER + digest] = pack(event)
        by_time = _BY_TIME + event.at.to_bytes(8, "big") + digest
        self._changes[by_time] = b""
        self._fresh[by_time] = None
        oldest = event.at - limits.IDEMPOTENCY_KEPT_SECONDS * 1_000_000
        for key in self._first(_BY_TIME + max(oldest, 0).to_bytes(8, "big")):
            self._changes[key] = None
            self._changes[_ANSWER + key[-16:]] = None
            self._fresh.pop(key, None)
            self._forgotten += 1

    def _first(self, stop: bytes) -> list[bytes]:
        """The oldest keys by time before `stop`, in the store or on their way there, however they are batched."""
        stored = [key for key, _ in self._store.scan(_BY_TIME, stop, limit=_FORGET_AT_ONCE + self._forgotten)]
        there = {key for key in stored if self._changes.get(key, b"") is not None}
        return sorted(there.union(key for key in self._fresh if key < stop))[:_FORGET_AT_ONCE]

    def written(self) -> None:
        """The changes are in the store."""
        self._fresh.clear()
        self._forgotten = 0

    def get(self, key: str) -> RequestAnswered | None:
        """The first answer to a request with this key."""
        place = _ANSWER + _digest(key)
        row = self._changes[place] if place in self._changes else self._store.get(place)
        if row is None:
            return None
        return unpack(RequestAnswered, row)


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=16).digest()

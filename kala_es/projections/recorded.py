"""What the folds are fed, an event with its place in the log; and what they have of the store until it is written."""

import msgspec

from kala_es.domain.events import Event
from kala_es.fold_store import FoldStore


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """A durable event."""

    position: int
    event: Event
    principal: str = ""


Changes = dict[bytes, bytes | None]
"""What a batch of events changes in the fold store; None removes the key."""


def scanned(store: FoldStore, changes: Changes, *, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    """The first rows from `start` to before `stop`: the store's, with the changes that are on their way there."""
    fresh = {key: row for key, row in changes.items() if start <= key < stop}
    rows: dict[bytes, bytes | None] = dict(store.scan(start, stop, limit=limit + len(fresh)))
    there = [(key, row) for key, row in sorted((rows | fresh).items()) if row is not None]
    return there[:limit]

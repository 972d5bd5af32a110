"""What the folds are fed: an event with its place in the log."""

import msgspec

from kala_es.domain.events import Event


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """A durable event."""

    position: int
    event: Event
    principal: str = ""


Changes = dict[bytes, bytes | None]
"""What a batch of events changes in the fold store; None removes the key."""

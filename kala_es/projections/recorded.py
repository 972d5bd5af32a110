"""What the folds are fed: an event with its place in the log."""

from dataclasses import dataclass

from kala_es.domain.events import Event


@dataclass(frozen=True, slots=True)
class Recorded:
    """A durable event."""

    position: int
    event: Event
    principal: str = ""


Changes = dict[bytes, bytes | None]
"""What a batch of events changes in the fold store; None removes the key."""

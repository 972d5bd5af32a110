"""The link between node and agent: plain messages, the same in one process or across two.

Node to agent: Start, Acknowledge, Cancel. Agent to node: Chunk, Ended.
1. For each attempt the agent sends Chunks numbered from 1 without a gap, then one Ended.
2. The node acknowledges a Chunk when it is durable; the agent keeps at most
   `limits.CHUNKS_UNACKNOWLEDGED` unacknowledged for an attempt and then stops reading its pipes.
3. A Start that repeats a running attempt, and a Cancel or Acknowledge of an unknown one, change nothing.
"""

from dataclasses import dataclass

from kala_es.domain.ids import Instant
from kala_es.executor import AttemptEnd, Channel, Order


@dataclass(frozen=True, slots=True)
class Start:
    """Carry out this attempt."""

    order: Order


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The attempt's chunk `sequence` is durable."""

    run: str
    attempt: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the run's attempt; its Ended follows with the outcome `cancelled`."""

    run: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of output. `offset`: bytes of this channel before it, in this attempt; `dropped`: bytes of it that were
    left out right before, and are counted in no offset."""

    run: str
    attempt: int
    sequence: int
    channel: Channel
    offset: int
    content: bytes
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt is over, began and ended at these wall times."""

    run: str
    attempt: int
    end: AttemptEnd
    began: Instant
    at: Instant


ToAgent = Start | Acknowledge | Cancel
ToNode = Chunk | Ended

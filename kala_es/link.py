"""The link between node and agent: the messages, what each end promises, and the port by which a node gets one.

1. A connection begins with the node's Hello and the agent's Welcome. Then the node asks for the List, says of each
   attempt how far it has it (Acknowledge, Settle), and says Resume; from then on the agent reports.
2. For each attempt the agent reports Chunks numbered from 1 without a gap, then one Ended.
3. It keeps each Chunk until one with its number or a later one is acknowledged as durable, and each Ended until it is
   settled: recorded. On a new connection what it keeps is reported again, after Resume.
4. At most `limits.CHUNKS_UNACKNOWLEDGED` chunks of an attempt are kept; then its pipes are not read.
5. A Start that repeats an attempt which the agent has, and a Cancel, Acknowledge or Settle of one that it has not,
   change nothing.

docs/link.md is for those who write another end; links/frames.py has the bytes.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import trio

from kala_es.domain.ids import Instant
from kala_es.executor import AttemptEnd, Channel, Order

VERSION: Final = 1
"""Of the messages. A field that may be left out, or a message that only a named capability allows, needs no new one."""
CAPABILITIES: Final = ("local", "remote", "named")
"""What an agent of this release can carry out."""


class Message(msgspec.Struct, frozen=True, tag=True, gc=False, omit_defaults=True):
    """The base of all messages: plain values by name; a name that one end does not know it leaves out of account."""


class Hello(Message, frozen=True):
    """The node's first word. Orders that the agent gets from it stand after `position` in the log. With `outlives` the
    agent goes on when this node is gone, else it ends everything then. Attempts inherit the environment and the soft
    limit of open files (0: the agent's own)."""

    version: int
    position: int
    outlives: bool = True
    environment: tuple[tuple[bytes, bytes], ...] = ()
    open_files: int = 0


class Welcome(Message, frozen=True):
    """The agent's first word. `agent` names this life of it; `since` is the `position` of its first Hello."""

    version: int
    agent: str
    pid: int
    since: int
    capabilities: tuple[str, ...] = ()


class List(Message, frozen=True):
    """Which attempts do you have?"""


class Attempt(Message, frozen=True):
    """An attempt that the agent has: how many chunks it has numbered, and whether it is over."""

    run: str
    attempt: int
    chunks: int = 0
    ended: bool = False


class Listed(Message, frozen=True):
    """Some of the attempts that the agent has; `last` when there are no more."""

    attempts: tuple[Attempt, ...]
    last: bool = True


class Resume(Message, frozen=True):
    """Report from now on, what you keep first."""


class Start(Message, frozen=True):
    """Carry out this attempt."""

    order: Order


class Acknowledge(Message, frozen=True):
    """The attempt's chunks up to `sequence` are durable."""

    run: str
    attempt: int
    sequence: int


class Settle(Message, frozen=True):
    """The attempt's end is recorded: forget it."""

    run: str
    attempt: int


class Cancel(Message, frozen=True):
    """End the attempt; its Ended follows, with the outcome `cancelled` unless it was over already."""

    run: str
    attempt: int


class Bye(Message, frozen=True):
    """The node is stopping and wants nothing kept alive: end as soon as you hold nothing."""


class Chunk(Message, frozen=True):
    """A piece of output, read at this wall time. `offset`: bytes of this channel before it, in this attempt; `dropped`:
    bytes of it that were left out right before, and are counted in no offset."""

    run: str
    attempt: int
    sequence: int
    channel: Channel
    offset: int
    content: bytes
    at: Instant
    dropped: int = 0


class Ended(Message, frozen=True):
    """The attempt is over, began and ended at these wall times."""

    run: str
    attempt: int
    end: AttemptEnd
    began: Instant
    at: Instant


ToAgent = Hello | List | Resume | Start | Acknowledge | Settle | Cancel | Bye
ToNode = Welcome | Listed | Chunk | Ended
Key = tuple[str, int]
"""A run and the number of its attempt."""


class LinkDown(Exception):
    """The connection is over, or there is none to be had; the sentence says why."""


class AgentGone(LinkDown):
    """No agent lives, and none can be started now."""


class TooLarge(Exception):
    """The message would not fit into a frame; nothing was sent."""


class Connection(Protocol):
    """Messages to and from the agent, in order. `is_fresh`: it is to an agent that has just been started."""

    @property
    def is_fresh(self) -> bool:
        """Whether its agent was started for it."""

    def send(self, message: ToAgent) -> None:
        """Queue a message; never waits. What is queued when the connection goes down is lost. Raises TooLarge."""

    async def receive(self) -> Sequence[ToNode]:
        """The next messages, one at least. Raises LinkDown."""

    async def close(self) -> None:
        """Send what is queued, if that is possible soon, and hang up. Idempotent."""


class AgentLink(Protocol):
    """The port: how a node gets to its agent."""

    async def connect(self, nursery: trio.Nursery) -> Connection:
        """A connection to the agent that lives, or to a new one, which first ends what its predecessor left running.

        The connection's own tasks live in `nursery`. Raises LinkDown when neither agent can be had now.
        """

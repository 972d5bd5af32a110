"""The node's end of the link, as a state machine without I/O: what it has ordered and has no recorded end of.

    ordered ──(told to an agent)──> told ──ended──> over ──settle──> forgotten
1. An order that no agent was told waits for a connection.
2. When a connection has listed what its agent has (`meet`), each entry is either there: its output goes on where the
   log ends; or the agent never had it: it is told now; or it went with an agent that is gone: it is lost.
3. An entry is settled when its end is recorded, whoever said how it ended.
4. Output and ends that come again are recognised and not taken a second time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kala_es.executor import Local, Named, Order
from kala_es.link import (
    Acknowledge,
    Cancel,
    Chunk,
    Ended,
    Key,
    Resume,
    Settle,
    Start,
    ToAgent,
    TooLarge,
    Welcome,
)

_NAMED: Final = "named"
"""The capability for `Named` work (link.py)."""
_HOW_TO_RENEW: Final = "restart the server when nothing runs, and a new agent comes with it"


@dataclass(slots=True)
class _Entry:
    """An attempt. `position` is where the log orders it; `order` is made when it must be told; `agent` names the one
    that was told, "" when none was, None when that is not known: the entry is of an earlier life of this node."""

    position: int
    order: Callable[[], Order | None]
    agent: str | None = ""
    received: int = 0
    cancelled: bool = False
    over: bool = False


class OrderBook:
    """`lost` takes attempts that went with their agent."""

    def __init__(self, *, lost: Callable[[Key], None]) -> None:
        self._entries: dict[Key, _Entry] = {}
        self._lost = lost
        self._send: Callable[[ToAgent], None] | None = None
        self._agent = ""
        self._capabilities: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many attempts it has."""
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        """Whether it has this attempt."""
        return key in self._entries

    def order(self, order: Order, position: int) -> None:
        """Have an attempt carried out, now or when there is an agent."""
        entry = self._entries[order.run, order.attempt] = _Entry(position, lambda: order)
        self._tell(entry)

    def inherit(self, key: Key, position: int, order: Callable[[], Order | None]) -> None:
        """An attempt that an earlier life of this node has ordered; `order` makes the order anew, None if it cannot."""
        self._entries[key] = _Entry(position, order, agent=None)

    def cancel(self, key: Key) -> None:
        """Have an attempt ended."""
        entry = self._entries.get(key)
        if entry is not None and not entry.cancelled:
            entry.cancelled = True
            if self._send is not None:
                self._send(Cancel(*key))

    def settle(self, key: Key) -> None:
        """The attempt's end is recorded."""
        self._entries.pop(key, None)
        if self._send is not None:
            self._send(Settle(*key))

    def acknowledge(self, key: Key, sequence: int) -> None:
        """A chunk is durable."""
        if self._send is not None:
            self._send(Acknowledge(*key, sequence))

    def meet(self, welcome: Welcome, there: Mapping[Key, int], send: Callable[[ToAgent], None]) -> None:
        """A connection has introduced its agent and listed what that has: bring both together, and let it report.

        `there`: each attempt that it has, with the number of the last of its chunks that is known to be in the log.
        """
        self._agent, self._capabilities = welcome.agent, welcome.capabilities
        gone: list[Key] = []
        for key, entry in self._entries.items():
            if key in there:
                self._go_on(key, there[key], send)
            elif _may_have_had(entry, welcome):
                gone.append(key)
            else:
                entry.agent = ""
        for key in there.keys() - self._entries.keys():
            send(Cancel(*key))
            send(Settle(*key))
        self._send = send
        for entry in self._entries.values():
            if entry.agent == "":
                self._tell(entry)
        send(Resume())
        for key in gone:
            self._lose(key)

    def _go_on(self, key: Key, durable: int, send: Callable[[ToAgent], None]) -> None:
        """The agent has it: from where the log ends."""
        entry = self._entries[key]
        if entry.agent is None:
            entry.received = durable
        entry.agent = self._agent
        send(Acknowledge(*key, durable))
        if entry.cancelled:
            send(Cancel(*key))

    def _tell(self, entry: _Entry) -> None:
        if self._send is None:
            return
        order = entry.order()
        if order is not None:
            entry.agent = self._agent
            try:
                self._send(Start(self._fitting(order)))
            except TooLarge as error:
                self._send(Start(_refused(order, str(error))))
            if entry.cancelled:
                self._send(Cancel(order.run, order.attempt))

    def _fitting(self, order: Order) -> Order:
        """The order, or one that is refused: an agent of an earlier release may not know what it asks for."""
        if isinstance(order.work, Named) and _NAMED not in self._capabilities:
            return _refused(order, f"the agent is of a release that knows no executor but its own: {_HOW_TO_RENEW}")
        return order

    def hang_up(self) -> None:
        """The connection is down. Whether the agent lives is seen at the next meeting."""
        self._send = None

    def bury(self) -> None:
        """No agent lives: all that one was told, and all of an earlier life of this node, went with it."""
        self._send = None
        for key in [key for key, entry in self._entries.items() if entry.agent != ""]:
            self._lose(key)

    def _lose(self, key: Key) -> None:
        """An attempt that is over is lost no more: its end is on its way to the log."""
        if not self._entries[key].over:
            self._entries[key].over = True
            self._lost(key)

    def is_new(self, message: Chunk | Ended) -> bool:
        """Whether what came is of an attempt in the book and was not taken before. Raises OutOfOrder."""
        entry = self._entries.get((message.run, message.attempt))
        if entry is None or entry.over:
            return False
        if isinstance(message, Ended):
            entry.over = True
            return True
        if message.sequence <= entry.received:
            return False
        if message.sequence != entry.received + 1:
            raise OutOfOrder(f"chunk {message.sequence} of the run {message.run} came after chunk {entry.received}")
        entry.received = message.sequence
        return True


def _refused(order: Order, reason: str) -> Order:
    return Order(run=order.run, attempt=order.attempt, work=Local(command_line=""), refused=reason)


class OutOfOrder(Exception):
    """The agent left something out."""


def _may_have_had(entry: _Entry, welcome: Welcome) -> bool:
    """Whether an attempt that this agent does not list was once told: to an agent that is gone, or to this one."""
    if entry.agent is None:
        return entry.position <= welcome.since
    return entry.agent not in ("", welcome.agent)

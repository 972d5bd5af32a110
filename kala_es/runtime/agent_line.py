"""The node's line to its agent: gets a connection, introduces both, and passes on what the agent reports.

A connection that lasted is followed by the next at once; one that did not, ever more slowly. The order book says at
each meeting what goes on, what is told again and what is lost.
"""

from collections.abc import Awaitable, Callable
from math import inf

import trio

from kala_es import limits
from kala_es.link import (
    VERSION,
    AgentGone,
    AgentLink,
    Bye,
    Chunk,
    Connection,
    Ended,
    Hello,
    Key,
    LinkDown,
    List,
    Listed,
    Welcome,
)
from kala_es.runtime.order_book import OrderBook, OutOfOrder

_WORD_SECONDS = 10.0
"""An agent that has not introduced itself or listed its attempts by then is hung up on."""
_PAUSES = (0.0, 0.05, 0.2, 1.0, 2.0, 5.0)
_LASTED_SECONDS = 1.0
"""A connection that is down sooner after the meeting was of no use: the next may be no better."""


class AgentLine:
    """`hello` makes our first word, `take` gets what the agent reports; `durable` gives the number of an attempt's last
    chunk that is known to be in the log."""

    def __init__(
        self,
        link: AgentLink,
        book: OrderBook,
        *,
        hello: Callable[[], Hello],
        durable: Callable[[Key], Awaitable[int]],
        take: Callable[[Chunk | Ended], None],
        complain: Callable[[str], None],
    ) -> None:
        self._link = link
        self._book = book
        self._hello = hello
        self._durable = durable
        self._take = take
        self._complain = complain
        self._connection: Connection | None = None
        self._failures = 0

    @property
    def is_up(self) -> bool:
        """Whether there is an agent that takes orders."""
        return self._connection is not None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a connection until cancelled. It counts as started after the first meeting, or the first failures."""
        met = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep, met)
            with trio.move_on_after(limits.FIRST_MEETING_SECONDS):
                await met.wait()
            task_status.started()

    async def _keep(self, met: trio.Event) -> None:
        while True:
            await trio.sleep(_PAUSES[min(self._failures, len(_PAUSES) - 1)])
            try:
                async with trio.open_nursery() as nursery:
                    await self._converse(await self._link.connect(nursery), met)
            except* LinkDown as errors:
                self._went_down(errors)
            except* OutOfOrder as errors:
                self._complain(f"the agent is hung up on: {errors.exceptions[0]}")
            self._failures += 1

    def _went_down(self, errors: "BaseExceptionGroup[LinkDown]") -> None:
        reason: BaseException = errors
        while isinstance(reason, BaseExceptionGroup):
            reason = reason.exceptions[0]
        if isinstance(reason, AgentGone):
            self._book.bury()
        if self._failures >= 2:
            self._complain(f"no agent: {reason}")

    async def _converse(self, connection: Connection, met: trio.Event) -> None:
        met_at = inf
        try:
            with trio.fail_after(_WORD_SECONDS):
                welcome, attempts = await self._introduce(connection)
            there = {key: await self._durable(key) for key in attempts}
            if connection.is_fresh:  # it has the agent's lock: none lives beside it
                self._book.bury()
            self._book.meet(welcome, there, connection.send)
            self._connection, met_at = connection, trio.current_time()
            met.set()
            while True:
                for message in await connection.receive():
                    if isinstance(message, Chunk | Ended):
                        self._take(message)
        except trio.TooSlowError:
            raise LinkDown("the agent does not introduce itself") from None
        finally:
            self._connection = None
            if trio.current_time() - met_at >= _LASTED_SECONDS:
                self._failures = -1
            self._book.hang_up()
            with trio.CancelScope(shield=True):
                await connection.close()

    async def _introduce(self, connection: Connection) -> tuple[Welcome, list[Key]]:
        connection.send(self._hello())
        connection.send(List())
        welcome: Welcome | None = None
        attempts: list[Key] = []
        while True:
            for message in await connection.receive():
                if isinstance(message, Welcome):
                    welcome = _of_our_version(message)
                elif isinstance(message, Listed):
                    attempts += [(each.run, each.attempt) for each in message.attempts]
                    if message.last and welcome is not None:
                        return welcome, attempts

    def say_bye(self) -> None:
        """Have the agent end as soon as it holds nothing."""
        if self._connection is not None:
            self._connection.send(Bye())


def _of_our_version(welcome: Welcome) -> Welcome:
    if welcome.version != VERSION:
        raise LinkDown(
            f"the agent (process {welcome.pid}) speaks version {welcome.version} of the link, not {VERSION}: "
            "let its runs end under the release that started it, or end that process"
        )
    return welcome

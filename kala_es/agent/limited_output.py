"""An attempt's output within its limit: what comes first is passed on, what is beyond it is counted.

1. The executor is never held up for what is not kept: its process writes on, and is waited for as ever.
2. "truncate-tail" keeps the first bytes. "kill" does so too, ends the attempt, and that is a failure.
3. "truncate-head" keeps the newest, as far as that can be: what was passed on is in the log. So the last part of the
   room, `limits.NEWEST_OUTPUT_BYTES` at most, is a window over the newest bytes, passed on when the attempt is over.
4. What was left out before a piece is told with it, what was left out in all with the end.
"""

from collections import deque
from typing import Protocol

import trio
from msgspec.structs import replace

from kala_es import limits
from kala_es.executor import AttemptEnd, Channel, Executor, Order


class PassOn(Protocol):
    """Take a piece of output; `dropped` bytes of its channel were left out right before it."""

    async def __call__(self, channel: Channel, content: bytes, dropped: int = 0) -> None:
        """Cancelled, it has taken nothing."""


class LimitedOutput:
    """Stands between an executor and whoever takes the output of one attempt."""

    def __init__(self, order: Order, pass_on: PassOn) -> None:
        self._order = order
        self._pass_on = pass_on
        most = order.max_output
        self._window = min(most // 2, limits.NEWEST_OUTPUT_BYTES) if order.on_max_output == "truncate-head" else 0
        self._room = most - self._window
        self._newest: deque[tuple[Channel, bytes]] = deque()
        self._held = 0
        self._dropped: dict[Channel, int] = {"stdout": 0, "stderr": 0}
        self._end = trio.CancelScope()
        """Cancelled when the output is over a limit that kills."""

    async def carry_out(self, executor: Executor) -> AttemptEnd:
        """Have the order carried out, as the executor's port says."""
        if not self._order.max_output:
            return await executor.execute(self._order, self._pass_on)
        end = AttemptEnd(outcome="failed")
        try:
            with self._end:
                end = await executor.execute(self._order, self._take)
        finally:
            ended = trio.current_time()
            with trio.CancelScope(shield=True):
                await self._pass_newest_on()
        end = replace(end, since=end.since + trio.current_time() - ended)
        if self._end.cancel_called:
            reason = f"it wrote more than its limit of {self._order.max_output} bytes"
            return replace(end, outcome="failed", reason=reason)
        return end

    def counted(self, end: AttemptEnd) -> AttemptEnd:
        """The end, with what was left out."""
        if not any(self._dropped.values()):
            return end
        return replace(end, stdout_dropped=self._dropped["stdout"], stderr_dropped=self._dropped["stderr"])

    async def _take(self, channel: Channel, content: bytes) -> None:
        first = content[: self._room]
        if first:
            await self._pass_on(channel, first)
            self._room -= len(first)
        rest = content[len(first) :]
        if not rest:
            return
        if self._window:
            self._hold(channel, rest)
        else:
            self._dropped[channel] += len(rest)
            if self._order.on_max_output == "kill":
                self._end.cancel()

    def _hold(self, channel: Channel, content: bytes) -> None:
        self._newest.append((channel, content))
        self._held += len(content)
        while self._held > self._window:
            oldest, piece = self._newest.popleft()
            gone = min(len(piece), self._held - self._window)
            self._dropped[oldest] += gone
            self._held -= gone
            if gone < len(piece):
                self._newest.appendleft((oldest, piece[gone:]))

    async def _pass_newest_on(self) -> None:
        untold = dict(self._dropped)
        while self._newest:
            channel, piece = self._newest.popleft()
            await self._pass_on(channel, piece, untold[channel])
            untold[channel] = 0

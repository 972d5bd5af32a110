"""The agent: carries out the attempts that the node orders, and reports their output and ends.

1. An attempt waits in `Agent._waiting` until one of the places is free; then it has a task.
2. A process start holds the loop, so at most `_STARTS_A_TURN` attempts begin in one turn of it.
3. Every Start that was taken on is answered by exactly one Ended, which follows the attempt's last Chunk; also when
   the agent itself is stopped: what it ends then is `lost`, because nobody asked for that end.
4. Chunks are numbered when they are reported, and reported only while few enough are unacknowledged: of the attempt
   in number, of all attempts together in bytes. Then their pipes are not read.
"""

import resource
from collections import deque
from collections.abc import Callable
from typing import assert_never

import trio

from kala_es import limits
from kala_es.agent.limited_output import LimitedOutput
from kala_es.clock import Clock
from kala_es.domain.ids import Instant
from kala_es.executor import AttemptEnd, Channel, Executor, Local, Order
from kala_es.link import Acknowledge, Cancel, Chunk, Ended, Start, ToAgent, ToNode

_STARTS_A_TURN = 2
_STOP_SECONDS = limits.KILL_GRACE_SECONDS + limits.PIPE_LINGER_SECONDS
"""When stopped, the agent waits this long for acknowledgements; output that has no room then is dropped."""

_CANCELLED = AttemptEnd(outcome="cancelled", reason="cancelled on request")
_STOPPED = AttemptEnd(outcome="lost", reason="the agent that carried it out was stopped")


class Agent:
    """Carries out attempts. `shell` gets the `Local` work, `http` the other.

    `report` is called from the agent's tasks, never from within `send`; it must not block, and what it raises ends
    the agent.
    """

    def __init__(
        self,
        shell: Executor,
        http: Executor,
        clock: Clock,
        report: Callable[[ToNode], None],
        *,
        places: int | None = None,
    ) -> None:
        self._shell = shell
        self._http = http
        self._clock = clock
        self._report = report
        self._places = limits.MAX_ATTEMPTS_AT_ONCE if places is None else places
        self._budget = _Budget()
        self._attempts: dict[str, dict[int, _Attempt]] = {}
        """By run and number, those that wait and those that are carried out."""
        self._waiting: deque[_Attempt] = deque()
        self._settled: deque[_Attempt] = deque()
        """Those that ended before they began; their Ended is still to be reported."""
        self._wake = trio.Event()
        self._running = 0

    @property
    def running(self) -> int:
        """How many attempts are being carried out; those that wait for a place are not counted."""
        return self._running

    def send(self, message: ToAgent) -> None:
        """Take a message of the node. Returns at once; what it asks happens while `run` runs."""
        match message:
            case Start(order=order):
                self._take_on(order)
            case Acknowledge(run=run, attempt=number, sequence=sequence):
                attempt = self._attempts.get(run, {}).get(number)
                if attempt is not None:
                    attempt.acknowledge(sequence)
            case Cancel(run=run):
                for attempt in self._attempts.get(run, {}).values():
                    self._cancel(attempt)
            case _:
                assert_never(message)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry out attempts until cancelled; then end them all, and return when their ends are reported."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            try:
                await self._begin_in_turn(nursery)
            finally:
                nursery.cancel_scope.cancel()
                await self._stop()

    def _take_on(self, order: Order) -> None:
        attempts = self._attempts.setdefault(order.run, {})
        if order.attempt in attempts:
            return
        attempt = attempts[order.attempt] = _Attempt(order, self._report, self._budget)
        if order.refused:
            self._settle(attempt, AttemptEnd(outcome="failed", reason=order.refused))
        else:
            self._waiting.append(attempt)
            self._wake.set()

    def _cancel(self, attempt: "_Attempt") -> None:
        attempt.scope.cancel()
        if attempt.began is None and attempt.end is None:
            self._settle(attempt, _CANCELLED)

    def _settle(self, attempt: "_Attempt", end: AttemptEnd) -> None:
        """It ends before it began."""
        attempt.end = end
        self._settled.append(attempt)
        self._wake.set()

    async def _begin_in_turn(self, nursery: trio.Nursery) -> None:
        while True:
            self._finish_settled()
            for _ in range(_STARTS_A_TURN):
                attempt = self._next()
                if attempt is None:
                    await self._wake.wait()
                    self._wake = trio.Event()
                    break
                attempt.began = self._clock.now()
                self._running += 1
                nursery.start_soon(self._carry_out, attempt)
            else:
                await trio.lowlevel.checkpoint()

    def _next(self) -> "_Attempt | None":
        """The attempt whose turn it is; None when there is none, or no place for it."""
        while self._waiting and self._running < self._places:
            attempt = self._waiting.popleft()
            if attempt.end is None:
                return attempt
        return None

    async def _carry_out(self, attempt: "_Attempt") -> None:
        order = attempt.order
        executor = self._shell if isinstance(order.work, Local) else self._http
        output = LimitedOutput(order, attempt.emit)
        try:
            with attempt.scope:
                attempt.end = await output.carry_out(executor)
        except Exception as error:
            # A bug in an executor is the end of one attempt and is recorded as its reason.
            attempt.end = AttemptEnd(outcome="failed", reason=f"it could not be carried out: {error!r}")
        finally:
            self._running -= 1
            self._wake.set()
            end = attempt.end or (_CANCELLED if attempt.scope.cancel_called else _STOPPED)
            self._finish(attempt, output.counted(end))

    def _finish_settled(self) -> None:
        while self._settled:
            attempt = self._settled.popleft()
            self._finish(attempt, attempt.end or _STOPPED)

    def _finish(self, attempt: "_Attempt", end: AttemptEnd) -> None:
        """Forget it, and then report, so that the report may lead to the run's next attempt."""
        order = attempt.order
        attempts = self._attempts[order.run]
        del attempts[order.attempt]
        attempt.close()
        if not attempts:
            del self._attempts[order.run]
        now = self._clock.now()
        began = now if attempt.began is None else attempt.began
        self._report(Ended(order.run, order.attempt, end, began, now))

    async def _stop(self) -> None:
        """See that every attempt ends, even if nothing is acknowledged any more."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _STOP_SECONDS):
            while self._running:
                self._wake = trio.Event()
                await self._wake.wait()
        for attempts in self._attempts.values():
            for attempt in attempts.values():
                attempt.report_no_more()
        while self._waiting:
            attempt = self._waiting.popleft()
            if attempt.end is None:
                self._settle(attempt, _STOPPED)
        self._finish_settled()


class _Budget:
    """Bytes of output that all attempts together have reported and that are not durable yet."""

    def __init__(self) -> None:
        self._used = 0
        self._waiting: set[_Attempt] = set()

    def is_spent(self) -> bool:
        """Whether no more is to be reported now."""
        return self._used >= limits.UNACKNOWLEDGED_BYTES

    def take(self, size: int) -> None:
        """So much more is on its way."""
        self._used += size

    def give_back(self, size: int) -> None:
        """So much has arrived, or will never."""
        self._used -= size
        if self._waiting and not self.is_spent():
            for attempt in tuple(self._waiting):
                attempt.make_room()
            self._waiting.clear()

    def wait(self, attempt: "_Attempt") -> None:
        """The attempt is to be told when there is some left."""
        self._waiting.add(attempt)


class _Attempt:
    """One attempt on its way: what was reported of it, and what the node has acknowledged."""

    __slots__ = (
        "_acknowledged",
        "_budget",
        "_mute",
        "_offsets",
        "_report",
        "_room",
        "_sent",
        "_sizes",
        "began",
        "end",
        "order",
        "scope",
    )

    def __init__(self, order: Order, report: Callable[[ToNode], None], budget: _Budget) -> None:
        self.order = order
        self._budget = budget
        self._sizes: deque[int] = deque()
        self.scope = trio.CancelScope()
        self.began: Instant | None = None
        self.end: AttemptEnd | None = None
        self._report = report
        self._offsets: dict[Channel, int] = {"stdout": 0, "stderr": 0}
        self._sent = 0
        self._acknowledged = 0
        self._mute = False
        self._room: trio.Event | None = None

    async def emit(self, channel: Channel, content: bytes, dropped: int = 0) -> None:
        """Report a chunk once there is room for it; cancelled while it waits, it was not reported."""
        while not self._mute and (self._has_many() or self._budget.is_spent()):
            self._room = trio.Event()
            self._budget.wait(self)
            await self._room.wait()
        if self._mute:
            return
        self._sent += 1
        self._sizes.append(len(content))
        self._budget.take(len(content))
        offset = self._offsets[channel]
        self._offsets[channel] = offset + len(content)
        self._report(Chunk(self.order.run, self.order.attempt, self._sent, channel, offset, content, dropped))

    def acknowledge(self, sequence: int) -> None:
        """This chunk and those before it are durable; one that was never sent changes nothing."""
        if self._acknowledged < sequence <= self._sent:
            arrived = sum(self._sizes.popleft() for _ in range(sequence - self._acknowledged))
            self._acknowledged = sequence
            self._budget.give_back(arrived)
            self.make_room()

    def _has_many(self) -> bool:
        return self._sent - self._acknowledged >= limits.CHUNKS_UNACKNOWLEDGED

    def close(self) -> None:
        """It is forgotten: what it reported is waited for no more."""
        self._budget.give_back(sum(self._sizes))
        self._sizes.clear()

    def report_no_more(self) -> None:
        """From now on drop its output."""
        self._mute = True
        self.make_room()

    def make_room(self) -> None:
        """Let it look again whether it may report."""
        if self._room is not None:
            self._room.set()
            self._room = None


def raise_open_files_limit() -> tuple[int, int]:
    """Let this process open as many files as it is allowed to; the old limit and the new one.

    An attempt holds up to five, and its process is to have the old limit again.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, hard

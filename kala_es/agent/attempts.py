"""The agent: carries out the attempts that the node orders, and reports their output and ends.

1. An attempt waits in `Agent._waiting` until one of the places is free; then it has a task.
2. A process start holds the loop, so at most `_STARTS_A_TURN` attempts begin in one turn of it.
3. Every Start that was taken on is answered by exactly one Ended, which follows the attempt's last Chunk; also when
   the agent itself is stopped: what it ends then is `lost`, because nobody asked for that end.
4. What is reported, and kept until the node has recorded it, is the ledger's. A pipe is read only while that has room.
"""

import resource
from collections import deque
from collections.abc import Callable
from typing import assert_never

import trio
from msgspec.structs import replace

from kala_es import limits
from kala_es.agent.ledger import Ledger
from kala_es.agent.limited_output import LimitedOutput
from kala_es.clock import Clock
from kala_es.domain.ids import SECOND, Instant
from kala_es.executor import AttemptEnd, Channel, Executor, Local, Named, Order, Remote
from kala_es.executors.installed import InstalledExecutors
from kala_es.executors.named import NamedWorkExecutor
from kala_es.link import Acknowledge, Cancel, Key, List, Resume, Settle, Start, ToNode

Work = Start | Acknowledge | Settle | Cancel | List | Resume
"""What a node says once both have introduced themselves."""
_STARTS_A_TURN = 4
_STOP_SECONDS = limits.KILL_GRACE_SECONDS + limits.PIPE_LINGER_SECONDS
"""When stopped, the agent waits this long for acknowledgements; output that has no room then is dropped."""

_CANCELLED = AttemptEnd(outcome="cancelled", reason="cancelled on request")
_STOPPED = AttemptEnd(outcome="lost", reason="the agent that carried it out was stopped")


class Agent:
    """Carries out attempts. `shell` gets the `Local` work, `http` the `Remote` and `named` the `Named`.

    A node is told by the `report` that `connect` was given: from the agent's tasks or from within `send`; it must not
    block, and what it raises ends the agent.
    """

    def __init__(
        self,
        shell: Executor,
        http: Executor,
        clock: Clock,
        *,
        named: Executor | None = None,
        places: int | None = None,
    ) -> None:
        self._shell = shell
        self._http = http
        self._named = named or NamedWorkExecutor(InstalledExecutors().find)
        self._clock = clock
        self._places = limits.MAX_ATTEMPTS_AT_ONCE if places is None else places
        self.ledger = Ledger()
        self._report: Callable[[ToNode], None] | None = None
        self._attempts: dict[Key, _Attempt] = {}
        """Those that are not over: they wait, or are carried out."""
        self._waiting: deque[_Attempt] = deque()
        self._settled: deque[_Attempt] = deque()
        """Those that ended before they began; their Ended is still to be reported."""
        self._wake = trio.Event()
        self._held: dict[Key, trio.Event] = {}
        """Attempts whose next chunk waits for room in the ledger."""
        self._emptied = trio.Event()
        self._mute = False
        self._running = 0

    @property
    def running(self) -> int:
        """How many attempts are being carried out; those that wait for a place are not counted."""
        return self._running

    def connect(self, report: Callable[[ToNode], None]) -> None:
        """A node is there. It is told nothing until it asks."""
        self.ledger.hang_up()
        self._report = report

    def disconnect(self) -> None:
        """The node is gone. What it is owed is kept."""
        self.ledger.hang_up()
        self._report = None

    def send(self, message: Work) -> None:
        """Take a message of the node. Returns at once; what it asks happens while `run` runs."""
        match message:
            case Start(order=order):
                self._take_on(order)
            case Acknowledge(run=run, attempt=number, sequence=sequence):
                self._let_go((run, number), lambda key: self.ledger.acknowledge(key, sequence))
            case Settle(run=run, attempt=number):
                self._let_go((run, number), self.ledger.settle)
            case Cancel(run=run, attempt=number):
                attempt = self._attempts.get((run, number))
                if attempt is not None:
                    self._cancel(attempt)
            case List():
                for listed in self.ledger.listed():
                    self._say(listed)
            case Resume():
                if self._report is not None:
                    self.ledger.listen(self._report)
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

    async def empty(self) -> None:
        """Until it holds nothing: no attempt, no output, no end."""
        while len(self.ledger):
            self._emptied = trio.Event()
            await self._emptied.wait()

    def _say(self, message: ToNode) -> None:
        if self._report is not None:
            self._report(message)

    def _take_on(self, order: Order) -> None:
        if not self.ledger.take_on(order):
            return
        attempt = self._attempts[order.run, order.attempt] = _Attempt(order)
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
        executor = self._executor_of(order.work)

        async def emit(channel: Channel, content: bytes, dropped: int = 0) -> None:
            """Report a chunk once there is room for it; cancelled while it waits, it was not reported."""
            while not (self._mute or self.ledger.has_room(attempt.key)):
                room = self._held[attempt.key] = trio.Event()
                await room.wait()
            if not self._mute:
                self.ledger.chunk(attempt.key, (channel, content, dropped), self._clock.now())

        output = LimitedOutput(order, emit)
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

    def _executor_of(self, work: Local | Remote | Named) -> Executor:
        match work:
            case Local():
                return self._shell
            case Remote():
                return self._http
            case Named():
                return self._named
            case _:
                assert_never(work)

    def _finish_settled(self) -> None:
        while self._settled:
            attempt = self._settled.popleft()
            self._finish(attempt, attempt.end or _STOPPED)

    def _finish(self, attempt: "_Attempt", end: AttemptEnd) -> None:
        """Forget it, and then report, so that the report may lead to the run's next attempt."""
        del self._attempts[attempt.key]
        self._held.pop(attempt.key, None)
        ended = Instant(self._clock.now() - round(end.since * SECOND))
        began = ended if attempt.began is None else attempt.began
        self.ledger.end(attempt.key, replace(end, since=0.0), (began, ended))

    def _let_go(self, key: Key, what: Callable[[Key], None]) -> None:
        """Do something that makes room in the ledger, and let those who wait for it look again."""
        was_full = self.ledger.is_full
        what(key)
        if was_full and not self.ledger.is_full:
            self._wake_held()
        elif key in self._held:
            self._held.pop(key).set()
        if not len(self.ledger):
            self._emptied.set()

    def _wake_held(self) -> None:
        held, self._held = self._held, {}
        for room in held.values():
            room.set()

    async def _stop(self) -> None:
        """See that every attempt ends, even if nothing is acknowledged any more."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _STOP_SECONDS):
            while self._running:
                self._wake = trio.Event()
                await self._wake.wait()
        self._mute = True
        self._wake_held()
        while self._waiting:
            attempt = self._waiting.popleft()
            if attempt.end is None:
                self._settle(attempt, _STOPPED)
        self._finish_settled()


class _Attempt:
    """One attempt that is not over."""

    __slots__ = ("began", "end", "key", "order", "scope")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.key: Key = (order.run, order.attempt)
        self.scope = trio.CancelScope()
        self.began: Instant | None = None
        self.end: AttemptEnd | None = None


def raise_open_files_limit() -> tuple[int, int]:
    """Let this process open as many files as it is allowed to; the old limit and the new one.

    An attempt holds up to five, and its process is to have the old limit again.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, hard

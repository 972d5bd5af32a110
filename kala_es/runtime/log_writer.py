"""The one writer of the log: all appends that wait form one commit.

Persist, then tell, as a contract:
1. `append` and `submit` queue facts; the writer takes all that wait and appends them as one batch.
2. When the batch is durable, the folds take it, in order, on the event loop.
3. Only then are the appenders told. So whoever is told can read what it wrote.
When the disk is nearly full, what needs reserve (new work) is refused; when it is full, all that may not wait (what
clients ask) is, at once; the rest (ends, output) waits until there is room. So it is while the log's database is away,
once that is known for a while; only what was being written then waits too, because nobody knows what became of it. Any
other failure ends the writer: every appender gets Unavailable and the node stops.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

import trio

from kala_es import codec, limits
from kala_es.actor import Reply
from kala_es.domain.errors import LogFull, Refusal, Unavailable
from kala_es.domain.events import Event
from kala_es.event_log import EventLog, LogAway, LogError, LogIsFull, NewRecord
from kala_es.projections.recorded import Recorded

_RETRY_SECONDS = 0.25
_NO_ROOM = "the disk of the log is full"
_FULL_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_SLICE = 500
"""So many facts are encoded or folded before others get their turn."""


@dataclass(slots=True)
class _Ticket:
    """Facts on their way: their records, and who wants to know when they are durable."""

    events: Sequence[Event]
    records: Sequence[NewRecord]
    principal: str
    needs_reserve: bool
    may_wait: bool
    told: Callable[[int | Exception], None]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(len(r.body) + 128 for r in self.records)


class LogWriter:
    """Group commit. `fold` is called with each durable batch, before its appenders are told; `timed` with how many
    seconds each commit took. `away` says why the log's database is not to be waited for at present, if it is not."""

    def __init__(
        self,
        log: EventLog,
        fold: Callable[[Sequence[Recorded]], None],
        *,
        timed: Callable[[float], None] = lambda _: None,
        away: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._log = log
        self._fold = fold
        self._timed = timed
        self._away = away
        self._waiting: deque[_Ticket] = deque()
        self._count = 0
        self._arrived = trio.Event()
        self._room = trio.Event()
        self._failed: Unavailable | None = None
        self._refused_at = -inf
        self._stuck: Refusal | None = None
        """Why what must be written waits."""

    @property
    def full(self) -> bool:
        """Whether new work was refused for want of room, a short while ago and none was taken since."""
        return trio.current_time() - self._refused_at < _FULL_SECONDS

    @property
    def waiting(self) -> int:
        """How many records are on their way to the log."""
        return self._count

    async def append(
        self, events: Sequence[Event], principal: str = "", *, needs_reserve: bool = False, may_wait: bool = True
    ) -> int:
        """Make facts durable and folded; their last position. Raises LogFull, Unavailable.

        Once called it is not undone by a cancelled caller.
        """
        while self._count >= limits.MAX_APPENDS_WAITING and self._failed is None:
            self._room = trio.Event() if self._room.is_set() else self._room
            await self._room.wait()
        records: list[NewRecord] = []
        for event in events:
            records.append(codec.encode(event, principal))
            if len(records) % _SLICE == 0:
                await trio.lowlevel.checkpoint()
        reply: Reply[int] = Reply()
        self._queue(
            _Ticket(
                events,
                records,
                principal,
                needs_reserve,
                may_wait and not needs_reserve,
                lambda r: reply.fail(r) if isinstance(r, Exception) else reply.set(r),
            )
        )
        return await reply.wait()

    def submit(self, event: Event, told: Callable[[int | Exception], None]) -> None:
        """Queue a fact that must be recorded; `told` is called with its position, or with why not."""
        self._queue(_Ticket((event,), (codec.encode(event),), codec.ANONYMOUS, False, True, told))

    def _queue(self, ticket: _Ticket) -> None:
        if self._failed is not None:
            ticket.told(self._failed)
            return
        if not ticket.may_wait and (why := self._refusal()) is not None:
            ticket.told(why)
            return
        self._waiting.append(ticket)
        self._count += len(ticket.records)
        self._arrived.set()

    def _refusal(self) -> Refusal | None:
        """Why not even to wait, for who need not."""
        reason = self._away()
        return self._stuck if reason is None else Unavailable(reason)

    async def turn_away(self) -> None:
        """Tell whoever waits and need not, for as long as the log's database is away. Until cancelled."""
        while True:
            await trio.sleep(_LOOK_SECONDS)
            if (reason := self._away()) is not None:
                self._dismiss((), Unavailable(reason), lambda t: not t.may_wait)

    async def run(self) -> None:
        """Write until cancelled; what waits then is written if it fits. Raises LogError, or what folding raised."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived = trio.Event()
                while self._waiting:
                    with trio.CancelScope(shield=True):
                        self._stuck = await self._write(self._take())
                    if self._stuck is not None:
                        await trio.sleep(_RETRY_SECONDS)
        except Exception as error:
            self._fail(Unavailable(str(error)))
            raise
        finally:
            with trio.CancelScope(shield=True):
                await self._drain()

    async def _drain(self) -> None:
        """Last chance for what waits, when the node stops."""
        reason = "the node has stopped"
        try:
            while self._waiting and await self._write(self._take()) is None:
                pass
        except LogError as error:
            reason = str(error)
        finally:
            self._fail(Unavailable(reason))

    def _fail(self, error: Unavailable) -> None:
        """From now on everyone is answered with this, those who wait first."""
        self._failed = self._failed or error
        for ticket in self._waiting:
            ticket.told(self._failed)
        self._waiting.clear()
        self._count = 0
        self._room.set()

    async def _write(self, batch: list[_Ticket]) -> Refusal | None:
        """Write a batch; else, why what must be written waits.

        Whatever it raises, the batch is back among those who wait.
        """
        try:
            try:
                await self._commit(batch)
            except LogIsFull as error:
                self._refused_at = trio.current_time()
                batch = self._dismiss(batch, LogFull(str(error)), lambda t: t.needs_reserve)
                await self._commit(batch)
        except LogIsFull as error:
            self._refused_at = trio.current_time()
            return self._put_off(batch, LogFull(str(error)), LogFull(_NO_ROOM))
        except LogAway as error:
            return self._put_off(batch, Unavailable(str(error)), Unavailable(str(error)))
        except Exception:
            self._waiting.extendleft(reversed(batch))
            raise
        return None

    def _put_off(self, batch: Sequence[_Ticket], why: Refusal, later: Refusal) -> Refusal | None:
        """Let wait what must be written, and refuse the rest; `later` is for those who come meanwhile."""
        rest = self._dismiss(batch, why, lambda t: not t.may_wait)
        self._waiting.extendleft(reversed(rest))
        return later if self._waiting else None

    def _dismiss(self, batch: Sequence[_Ticket], why: Refusal, whom: Callable[[_Ticket], bool]) -> list[_Ticket]:
        """Tell these of a batch, and of all that wait, why not; gives the rest of the batch."""
        for ticket in (*batch, *self._waiting):
            if whom(ticket):
                ticket.told(why)
                self._leave(ticket)
        self._waiting = deque(t for t in self._waiting if not whom(t))
        return [t for t in batch if not whom(t)]

    def _leave(self, ticket: _Ticket) -> None:
        """It waits no more, and makes room."""
        self._count -= len(ticket.records)
        self._room.set()

    def _take(self) -> list[_Ticket]:
        batch = [self._waiting.popleft()]
        size, count = batch[0].size, len(batch[0].records)
        while self._waiting and size < limits.MAX_BATCH_BYTES and count < limits.MAX_BATCH_RECORDS:
            batch.append(self._waiting.popleft())
            size += batch[-1].size
            count += len(batch[-1].records)
        return batch

    async def _commit(self, batch: list[_Ticket]) -> None:
        if not batch:
            return
        records = [record for ticket in batch for record in ticket.records]
        reserve = limits.DISK_RESERVE_BYTES if any(t.needs_reserve for t in batch) else 0
        begun = time.perf_counter()
        last = await self._log.append(records, reserve=reserve)
        self._timed(time.perf_counter() - begun)
        position = last - len(records)
        durable: list[Recorded] = []
        for ticket in batch:
            for event in ticket.events:
                position += 1
                durable.append(Recorded(position, event, ticket.principal))
        if reserve:
            self._refused_at = -inf
        for i in range(0, len(durable), _SLICE):
            if i:
                await trio.lowlevel.checkpoint()
            self._fold(durable[i : i + _SLICE])
        position = last - len(records)
        for ticket in batch:
            position += len(ticket.records)
            self._leave(ticket)
            ticket.told(position)

"""Delivers the notices that wait, and records each attempt.

1. What waits is in the fold, so a restart goes on with it. An attempt is recorded when it is over: a crash in
   between tells a notice twice, with the same id.
2. One task for each receiver that something waits for (a URL; the mail server), one attempt at a time: one that is
   slow or down holds up no other, and gets what is for it in order. `NOTICES_AT_ONCE` are sent at a time.
3. Waits are by the monotonic clock and never longer than the longest delay, however the wall clock jumps.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import trio

from kala_es import limits
from kala_es.clock import Clock
from kala_es.dialects.notices import message_of
from kala_es.domain import events as e
from kala_es.domain.errors import Gone, Unavailable
from kala_es.domain.ids import SECOND, Instant, RunId
from kala_es.domain.notices import attempted
from kala_es.domain.notify import MAIL, NoticeId
from kala_es.domain.template import TemplateError
from kala_es.domain.values import replace
from kala_es.notifier import Notifier, Sent
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.log_writer import LogWriter
from kala_es.runtime.receivers import Receivers

_TOO_SLOW = f"there was no answer within {limits.NOTICE_SECONDS:g} s"
_LEAVE_SECONDS = 5.0
"""What is being sent when the node stops is given this long to be over, so that it need not be told twice."""
_Try = tuple[NoticeId, int]
"""A notice, and how often it was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What tells notices and what it draws on. `notifiers` are by the scheme of the address; `output` reads a run's
    output from an offset; `complain` takes a line for the operator."""

    folds: Folds
    clock: Clock
    writer: LogWriter
    notifiers: Mapping[str, Notifier]
    output: Callable[[RunId, int], AsyncGenerator[bytes, None]]
    complain: Callable[[str], None]


class Courier:
    """`follow` takes every durable batch; `run` is its life."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._receivers: Receivers[str, _Try] = Receivers(self._deliver, at_once=limits.NOTICES_AT_ONCE)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver what waits already, and what becomes due, until cancelled."""
        await self._receivers.run(self._begin, task_status)

    def _begin(self) -> None:
        for notice, waiting in self._parts.folds.watch.waiting.items():
            self._put(waiting.to, notice, at=waiting.next_at, attempts=waiting.attempts)

    def follow(self, batch: Sequence[Recorded]) -> None:
        """Take the notices of a batch that are due, now or again."""
        if not self._receivers.runs:
            return
        for recorded in batch:
            event = recorded.event
            if isinstance(event, e.NoticeEvent):
                waiting = self._parts.folds.watch.waiting.get(event.notice)
                if waiting is not None:
                    self._put(waiting.to, event.notice, at=waiting.next_at, attempts=waiting.attempts)

    async def leave(self) -> None:
        """Send nothing more; wait, not for long, until what is being sent is over."""
        await self._receivers.leave(_LEAVE_SECONDS)

    def _put(self, to: str, notice: NoticeId, *, at: Instant, attempts: int) -> None:
        delay = min(max(at - self._parts.clock.now(), 0) / SECOND, limits.MAX_NOTICE_DELAY_SECONDS)
        receiver = MAIL if to.startswith(MAIL) else to
        self._receivers.put(receiver, trio.current_time() + delay, (notice, attempts))

    async def _deliver(self, due: float, attempt: _Try) -> None:
        """One attempt, unless it was made already."""
        parts, (notice, attempts) = self._parts, attempt
        waiting, summary = parts.folds.watch.waiting.get(notice), parts.folds.notices.get(notice)
        if waiting is None or waiting.attempts != attempts or summary is None:
            return
        sent = await self._tell(summary.due)
        event = attempted(summary.due, parts.clock.now(), attempts + 1)
        again = event.next_at if sent.outcome == "failed" else None
        reason = sent.reason[: limits.NOTICE_REASON_CHARS]
        delivered = sent.outcome == "delivered"
        event = replace(event, delivered=delivered, status=sent.status, reason=reason, next_at=again)
        try:
            await parts.writer.append((event,))
        except Unavailable:  # the node is ending; the next start tells it again
            self._receivers.leaving = True

    async def _tell(self, due: e.NoticeDue) -> Sent:
        try:
            output, cut = await self._last_output(due.about.run)
            message = message_of(due, output, cut=cut)
            with trio.move_on_after(limits.NOTICE_SECONDS):
                return await self._parts.notifiers[due.to.partition(":")[0].lower()].send(message)
        except TemplateError as error:
            return Sent(outcome="refused", reason=f"the template cannot be filled in: {error}")
        except Exception as bug:  # a bug must not keep others from being told
            self._parts.complain(f"notice {due.notice}: {bug!r}")
            return Sent(outcome="failed", reason=f"a fault of the server's own: {bug!r}")
        return Sent(outcome="failed", reason=_TOO_SLOW)

    async def _last_output(self, run: RunId | None) -> tuple[str, bool]:
        """The last of a run's output, and whether there was more."""
        size = sum(self._parts.folds.output.sizes(run)) if run is not None else 0
        if run is None or not size:
            return "", False
        start = max(size - limits.NOTICE_OUTPUT_BYTES, 0)
        try:
            async with aclosing(self._parts.output(run, start)) as pieces:
                content = b"".join([piece async for piece in pieces])
        except Gone:  # trimmed this moment
            return "", False
        return content[-limits.NOTICE_OUTPUT_BYTES :].decode("utf-8", "replace"), start > 0

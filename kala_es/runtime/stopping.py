"""How a node ends in good order: nothing new begins, and what runs is waited for, left to the agent, or cancelled.

    wait    runs get the grace, then they are cancelled; whoever hurries has them cancelled at once
    leave   runs are left to the agent; the next start takes them over
    cancel  runs are cancelled
Whatever ends meanwhile is recorded, with its output.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from kala_es import limits
from kala_es.projections.folds import Folds
from kala_es.runtime.agent_line import AgentLine
from kala_es.runtime.inbox import Inbox
from kala_es.runtime.projector import Projector
from kala_es.runtime.registry import Registry
from kala_es.setting_values import OnStop

_CANCEL_SECONDS = limits.KILL_GRACE_SECONDS + limits.PIPE_LINGER_SECONDS + 5
_REASON = "the server was stopped"


@dataclass(slots=True)
class Stop:
    """A stop as it is asked for: `asked` begins it, `hurry` cancels what it would wait for."""

    asked: trio.Event = field(default_factory=trio.Event)
    hurry: trio.Event = field(default_factory=trio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The parts of a node that its end concerns. `say` takes a line for the operator."""

    folds: Folds
    registry: Registry
    projector: Projector
    inbox: Inbox
    line: AgentLine
    say: Callable[[str], None]

    async def stop(self, how: OnStop, grace: float, hurry: trio.Event) -> None:
        """End the runs in good order; `grace` in seconds. Cut short, it has lost nothing."""
        self.registry.stopping = True
        if how == "leave":
            await self._leave()
            return
        if how == "wait":
            await self._wait(grace, hurry)
        self.projector.give_up()
        self.inbox.ending = _REASON
        with trio.move_on_after(_CANCEL_SECONDS):
            await self._cancel()
        self.line.say_bye()

    async def _leave(self) -> None:
        """Until what was asked before is done."""
        if self.folds.busy.at_work:
            self.say(f"kala-es: stopping: {self._left()} left to the agent")
        self.projector.give_up()
        with trio.move_on_after(limits.LEAVE_SECONDS):
            while self.registry.active:
                await self.registry.parked()

    async def _wait(self, grace: float, hurry: trio.Event) -> None:
        """Until nothing runs and no actor has anything to do, the grace is over, or somebody hurries."""
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + grace
            nursery.start_soon(self._report, nursery.cancel_scope)
            nursery.start_soon(_cancel_when, hurry, nursery.cancel_scope)
            while self.folds.busy.at_work or self.registry.active:
                await self.registry.parked()
            nursery.cancel_scope.cancel()

    async def _report(self, scope: trio.CancelScope) -> None:
        while True:
            if self.folds.busy.at_work:
                left = max(0.0, scope.deadline - trio.current_time())
                self.say(f"kala-es: stopping: {self._left()} left, they have {_clock(left)}; a second signal cancels")
            await trio.sleep(limits.STOP_REPORT_SECONDS)

    async def _cancel(self) -> None:
        while self.folds.busy.at_work or self.registry.active:
            for job, run in list(self.folds.busy):
                if run.status == "running" and run.retry_at is None:
                    self.registry.cancel_for_stop(job, run.id)
            await self.registry.parked()

    def _left(self) -> str:
        count = self.folds.busy.at_work
        return f"{count} run{'' if count == 1 else 's'}"


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"

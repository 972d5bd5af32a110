"""Feeds each durable batch to the folds, then to those who act on it or wait for it.

The order is a contract: folds, timetable, live readers, notices, reactions, those who wait for a tree's end; the
appenders are told last, by the writer.
"""

from collections.abc import Callable, Sequence

import trio

from kala_es.domain.errors import Unavailable
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.reactions import Reaction
from kala_es.projections.folds import OF_NO_JOB, Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.broadcaster import Broadcaster
from kala_es.runtime.job_actor import plan
from kala_es.runtime.timetable import Timetable


class Projector:
    """`react` takes each command that a batch makes due; `follow`, once it is set, the whole batch."""

    def __init__(
        self,
        folds: Folds,
        *,
        timetable: Timetable,
        broadcaster: Broadcaster,
        react: Callable[[Reaction], None],
    ) -> None:
        self._folds = folds
        self._timetable = timetable
        self._broadcaster = broadcaster
        self._react = react
        self.follow: Callable[[Sequence[Recorded]], None] = lambda _: None
        self._ends: dict[RunId, trio.Event] = {}
        self._news: trio.Event | None = None

    def take(self, batch: Sequence[Recorded]) -> None:
        """Fold a durable batch and pass it on."""
        reactions = self._folds.apply(batch)
        for job in self._jobs_of(batch):
            plan(self._timetable, self._folds, job)
        self._broadcaster.publish(batch)
        self.follow(batch)
        for reaction in reactions:
            self._react(reaction)
        if self._ends:
            self._tell_ends()
        if self._news is not None:
            self._news.set()
            self._news = None

    def _jobs_of(self, batch: Sequence[Recorded]) -> set[JobId]:
        return {recorded.event.job for recorded in batch if not isinstance(recorded.event, OF_NO_JOB)}

    def _tell_ends(self) -> None:
        for root in [r for r in self._ends if r not in self._folds.trees.open]:
            self._ends.pop(root).set()

    async def tree_end(self, root: RunId) -> None:
        """Until the run and all that its end caused are over. Raises Unavailable when the node stops before that."""
        if root in self._folds.trees.open:
            await self._ends.setdefault(root, trio.Event()).wait()
        if root in self._folds.trees.open:
            raise Unavailable(f"the node is stopping; what follows the run {root!r} begins when it is back")

    def give_up(self) -> None:
        """The node stops: nothing that is waited for comes any more."""
        for ended in self._ends.values():
            ended.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Until the folds say so."""
        while not holds():
            if self._news is None:
                self._news = trio.Event()
            await self._news.wait()

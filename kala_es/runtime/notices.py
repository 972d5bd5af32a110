"""Notices as the node has them: what a job's facts call for, who delivers it, who watches for runs that are late."""

from collections.abc import Sequence

import trio

from kala_es.domain import events as e
from kala_es.domain.model import Job
from kala_es.domain.notices import due
from kala_es.domain.notify import OWNER, Target
from kala_es.projections.recorded import Recorded
from kala_es.runtime.courier import Courier, Parts
from kala_es.runtime.overdue import Overdue


class Notices:
    """`of` is asked by a job's actor before it appends; `follow` takes every durable batch."""

    def __init__(self, parts: Parts, defaults: tuple[Target, ...]) -> None:
        self._watch = parts.folds.watch
        self._defaults = defaults
        self._courier = Courier(parts)
        self._overdue = Overdue(parts.folds, clock=parts.clock, writer=parts.writer)

    def of(self, job: Job | None, events: Sequence[e.JobEvent]) -> tuple[e.NoticeEvent, ...]:
        """The notices that a job's events call for. `job` is as it was before them."""
        return due(job, events, watch=self._watch, defaults=self._defaults)

    def follow(self, batch: Sequence[Recorded]) -> None:
        """Take what is new."""
        self._courier.follow(batch)
        self._overdue.follow(batch)

    async def start(self, nursery: trio.Nursery) -> None:
        """Go on with what waits, and with what is in flight."""
        await nursery.start(self._courier.run)
        nursery.start_soon(self._overdue.run)

    async def leave(self) -> None:
        """Tell nothing more; what is being sent is given a moment."""
        await self._courier.leave()


def default_targets(*, mail: bool, url: str) -> tuple[Target, ...]:
    """Whom jobs that name nobody have told of failures: the owner, as the original does, and a URL."""
    return (*((Target(to=OWNER),) if mail else ()), *((Target(to=url),) if url else ()))

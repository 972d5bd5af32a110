"""From the log to a running node: the folds are brought up to its end, then what a stop left open is answered.

1. Folds come from the snapshot (else the log's base) and the fold store when they fit, and from the log in any case.
2. Every run that was in flight ends as lost (or is retried), with the reason.
3. Every tick that passed is answered by the job's policy.
4. Every command that an event made due, and that no event answers, is repeated.
"""

import time
from collections.abc import Callable
from pathlib import Path

import trio

from kala_es import codec
from kala_es.clock import Clock
from kala_es.domain.commands import AnswerTicks, Command, EndAttempt
from kala_es.domain.due import wake_at
from kala_es.domain.reactions import outstanding
from kala_es.event_log import EventLog
from kala_es.projections import snapshot
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.base import load_base, newest_base
from kala_es.runtime.job_actor import plan
from kala_es.runtime.timetable import Timetable

_PAGE = 2_000
_BREATH_SECONDS = 0.02
LOST = "the server stopped while it ran"


async def replay(log: EventLog, folds: Folds, *, head: int, snapshot_path: Path | None = None) -> int:
    """Bring the folds up to the log's last position; how many records that took."""
    if folds.stored > head:
        folds.forget_stored()
    base = await newest_base(log)
    if snapshot_path is not None and await _fits(log, snapshot_path, base.base if base else 1):
        snapshot.load(snapshot_path, folds, head)
    if base is not None and not folds.position:
        await load_base(log, base, folds)
    folds.base = base
    position = min(folds.position, folds.stored)
    count = 0
    while page := await log.read(position, limit=_PAGE):
        folds.apply([Recorded(r.position, codec.decode(r), r.principal) for r in page])
        position = page[-1].position
        count += len(page)
    return count


async def _fits(log: EventLog, path: Path, first: int) -> bool:
    """Whether a snapshot is of this log, and not older than `first`: facts before a base may be erased.

    It is of this log when the record at its position is the one that it was made at.
    """
    place = snapshot.place(path)
    if place is None or place[0] < first:
        return False
    position, anchor = place
    records = await log.read(position - 1, limit=1)
    is_there = bool(records) and records[0].position == position
    return is_there and snapshot.anchor_of(records[0].body) == anchor


async def resume(folds: Folds, timetable: Timetable, *, clock: Clock, tell: Callable[[Command], None]) -> None:
    """Answer what the last stop left open, and plan what lies ahead."""
    now = clock.now()
    repeated = list(outstanding(folds.trees, (folds.jobs.by_id, folds.jobs.graph), now))
    for job, run in list(folds.busy):
        tell(EndAttempt(job=job, at=now, run=run.id, attempt=run.attempt, outcome="lost", reason=LOST))
    for command in repeated:
        tell(command)
    breath = time.monotonic()
    for job_id, state in list(folds.jobs.by_id.items()):
        wake = wake_at(state)
        if wake is not None and wake <= now:
            tell(AnswerTicks(job=job_id, at=now, gap="the server was down"))
        else:
            plan(timetable, job_id, state)
        if time.monotonic() - breath > _BREATH_SECONDS:
            await trio.lowlevel.checkpoint()
            breath = time.monotonic()

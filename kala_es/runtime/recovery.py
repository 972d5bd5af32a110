"""From the log to a running node: the folds are brought up to its end, then what a stop left open is answered.

1. Folds come from the snapshot (else the log's base) and the fold store when they fit, and from the log in any case.
2. Every run that was in flight goes on where the agent has it, is ordered where the agent cannot have had it, and
   ends as lost (or is retried) where its agent is gone: the order book and the agent's list say which.
   One that waits for its next attempt goes on waiting.
3. Every tick that passed is answered by the job's policy, so many jobs a second.
4. Every command that an event made due, and that no event answers, is repeated.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import trio

from kala_es import codec
from kala_es.clock import Clock
from kala_es.domain.commands import Command
from kala_es.domain.due import wake_at
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.reactions import outstanding
from kala_es.event_log import EventLog
from kala_es.executor import Order
from kala_es.projections import snapshot
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.base import load_base, newest_base
from kala_es.runtime.job_actor import plan
from kala_es.runtime.order_book import OrderBook
from kala_es.runtime.orders import Orders
from kala_es.runtime.timetable import Timetable

_PAGE = 500
_TOGETHER = 10_000
"""Events that are folded together..."""
_TOGETHER_BYTES = 8 * 1024 * 1024
"""...or so many bytes of them."""
_BREATH_SECONDS = 0.02


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
    while page := await _page(log, position):
        folds.apply(page)
        position = page[-1].position
        count += len(page)
    return count


async def _page(log: EventLog, position: int) -> list[Recorded]:
    """What is folded, and written to the fold store, together: the more, the less each event takes."""
    page: list[Recorded] = []
    size = 0
    while len(page) < _TOGETHER and size < _TOGETHER_BYTES and (records := await log.read(position, limit=_PAGE)):
        page += [Recorded(r.position, codec.decode(r), r.principal) for r in records]
        size += sum(len(r.body) for r in records)
        position = records[-1].position
    return page


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


def inherit(folds: Folds, book: OrderBook, orders: Orders) -> None:
    """Enter the attempts that were in flight into the order book."""
    for job, run in folds.busy:
        if run.retry_at is not None:
            continue
        summary = folds.runs.get(run.id)
        key = run.id, run.attempt
        book.inherit(key, summary.ordered if summary else 0, partial(_order_again, folds, orders, key=(job, run.id)))
        if run.status == "cancelling":
            book.cancel(key)


def _order_again(folds: Folds, orders: Orders, *, key: tuple[JobId, RunId]) -> Order | None:
    job = folds.jobs.by_id.get(key[0])
    run = job.run(key[1]) if job else None
    return None if job is None or run is None else orders.order_again(job, run)


def unanswered(folds: Folds, now: Instant) -> list[Command]:
    """The commands that were due when the log ended and have no answer in it. To be asked before anything is told."""
    return list(outstanding(folds.trees, (folds.jobs.by_id, folds.jobs.graph), now))


async def resume(folds: Folds, timetable: Timetable, *, clock: Clock, late: Callable[[Sequence[JobId]], None]) -> None:
    """Plan what lies ahead. `late` takes the jobs whose ticks have passed."""
    now = clock.now()
    breath, passed = time.monotonic(), list[JobId]()
    for job_id, state in list(folds.jobs.by_id.items()):
        wake = wake_at(state, server_paused=folds.server_pause is not None)
        if wake is not None and wake <= now:
            passed.append(job_id)
        else:
            plan(timetable, folds, job_id)
        if time.monotonic() - breath > _BREATH_SECONDS:
            await trio.lowlevel.checkpoint()
            breath = time.monotonic()
    late(passed)

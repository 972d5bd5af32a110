"""A job's ticks with their outcomes, read from its stream of the log a page at a time."""

from typing import Final

from kala_es import codec
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.tick_list import DEFINING, RELEVANT, TickList, TickOutcome
from kala_es.event_log import EventLog, Record
from kala_es.projections.jobs import Jobs

_PAGE: Final = 1_000
_DEFINING: Final = {kind.__name__ for kind in DEFINING}
_RELEVANT: Final = {kind.__name__ for kind in RELEVANT}


async def read_ticks(log: EventLog, jobs: Jobs, job: JobId, *, wanted: TickList, now: Instant) -> list[TickOutcome]:
    """The ticks that are wanted, oldest first; those of a deleted namesake too."""
    position = 0
    while not wanted.is_complete and (page := await log.read(position, limit=_PAGE, stream=codec.job_stream(job))):
        for record in page:
            if _concerns(record, wanted.since):
                wanted.take(codec.decode(record))
        position = page[-1].position
    return wanted.listed(jobs.get(job), now)


def _concerns(record: Record, since: Instant) -> bool:
    return record.type in _DEFINING or (record.time >= since and record.type in _RELEVANT)

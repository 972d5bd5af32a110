"""A page of a job's history is what follows its position, and is read from there where that is possible."""

from collections.abc import Sequence

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.changes import Change
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import JobSpec
from kala_es.event_log import Record
from kala_es.event_logs.memory import MemoryEventLog
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections.runs import Runs
from kala_es.runtime.job_history import JobHistory

JOB = JobId("a")
NOW = Instant(1)
WHOLE = ("JobCreated", "JobUpdated", "JobDeleted")
"""They say all of the definition."""


def skipped(number: int) -> e.RunSkipped:
    run = RunId(f"{number}")
    return e.RunSkipped(job=JOB, at=NOW, run=run, cause="schedule", reason="disabled", root=run)


def spec(name: str) -> JobSpec:
    return JobSpec(name=name, command="true")


EVENTS: Sequence[e.Event] = (
    e.JobCreated(job=JOB, at=NOW, spec=spec("one")),
    e.JobDisabled(job=JOB, at=NOW),
    *map(skipped, range(100)),
    e.JobUpdated(job=JOB, at=NOW, spec=spec("two"), disabled=True),
    e.JobEnabled(job=JOB, at=NOW),
    *map(skipped, range(100, 200)),
    e.JobDeleted(job=JOB, at=NOW),
    e.JobCreated(job=JOB, at=NOW, spec=spec("three")),
    e.JobPaused(job=JOB, at=NOW),
)


class ReadFrom(MemoryEventLog):
    """Notes from where it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.first: list[int] = []

    async def read(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        self.first.append(after)
        return await super().read(after, limit=limit, stream=stream)


async def test_a_page_goes_on_where_the_last_one_ended() -> None:
    log = ReadFrom()
    await log.append([codec.encode(event) for event in EVENTS])
    history = JobHistory(log, Runs(MemoryFoldStore(), {}))

    async def page(after: int) -> list[Change]:
        return [change async for some in history.slices(JOB, after=after) for change in some]

    whole = await page(0)
    assert [type(change.event).__name__ for change in whole] == [
        *("JobCreated", "JobDisabled", "JobUpdated", "JobEnabled", "JobDeleted", "JobCreated", "JobPaused")
    ]
    for after in range(len(EVENTS) + 2):
        log.first.clear()
        assert await page(after) == [change for change in whole if change.position > after]
        begins_there = any(change.position == after and type(change.event).__name__ in WHOLE for change in whole)
        assert (min(log.first) >= after - 1) == (begins_there or after <= 1)

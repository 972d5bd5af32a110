"""Handovers: each is one run's output on its way to one processor of its job.

It begins with the run, on the job's definition as it is then, and ends when the processor has been handed all of the
output and the run's end, or when that is given up. What is recorded in between says from where to go on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.model import Job
from kala_es.domain.processing import NOTHING, Config, Processors, Reached
from kala_es.domain.values import Value, replace


class Handover(Value, frozen=True):
    """One that is not over. `place` is the processor's among the job's; `failures` are those since it last took
    something, and `next_at` is when it is tried again. `name` and `processors` are the job's when the run began."""

    job: JobId
    run: RunId
    place: int
    started: Instant
    name: str
    processors: Processors
    reached: Reached = NOTHING
    failures: int = 0
    next_at: Instant | None = None

    @property
    def processor(self) -> str:
        """The processor's name."""
        return self.processors[self.place][0]

    @property
    def config(self) -> Config:
        """What the job says to it."""
        return self.processors[self.place][1]


@dataclass(slots=True)
class Handovers:
    """The fold: the handovers that are not over, by run and place."""

    by_run: dict[RunId, dict[int, Handover]] = field(default_factory=dict)
    count: int = 0

    def __iter__(self) -> Iterator[Handover]:
        """All, those of the oldest run first."""
        return (handover for places in self.by_run.values() for handover in places.values())

    def of(self, run: RunId) -> Iterable[Handover]:
        """Those of a run, in the order of their places."""
        return self.by_run.get(run, {}).values()

    def get(self, run: RunId, place: int) -> Handover | None:
        """One of them, unless it is over."""
        return self.by_run.get(run, {}).get(place)

    def put(self, handover: Handover) -> None:
        """Enter or replace one."""
        places = self.by_run.setdefault(handover.run, {})
        self.count += handover.place not in places
        places[handover.place] = handover

    def drop(self, handover: Handover) -> None:
        """It is over."""
        places = self.by_run[handover.run]
        del places[handover.place]
        self.count -= 1
        if not places:
            del self.by_run[handover.run]


def note(handovers: Handovers, event: e.Event, job: Job | None) -> None:
    """Fold one event. `job` is its job after it, if it changed one."""
    match event:
        case e.RunStarted() if job is not None:
            for place in range(len(job.spec.processors)):
                handovers.put(
                    Handover(
                        job=job.id,
                        run=event.run,
                        place=place,
                        started=event.at,
                        name=job.spec.name,
                        processors=job.spec.processors,
                    )
                )
        case e.OutputHandedOver() | e.ProcessorFailed():
            handover = handovers.get(event.run, event.place)
            if handover is not None:
                _move(handovers, handover, event)


def _move(handovers: Handovers, handover: Handover, event: e.HandoverEvent) -> None:
    match event:
        case e.OutputHandedOver(over=True) | e.ProcessorFailed(next_at=None):
            handovers.drop(handover)
        case e.OutputHandedOver():
            handovers.put(replace(handover, reached=event.reached, failures=0, next_at=None))
        case e.ProcessorFailed():
            failures, next_at = event.failures, event.next_at
            handovers.put(replace(handover, reached=event.reached, failures=failures, next_at=next_at))


def handed_over(handover: Handover, at: Instant, reached: Reached, *, over: bool = False) -> e.OutputHandedOver:
    """It got so far."""
    return e.OutputHandedOver(
        job=handover.job,
        at=at,
        run=handover.run,
        place=handover.place,
        processor=handover.processor,
        reached=reached,
        over=over,
    )


def failed(handover: Handover, at: Instant, reason: str, *, for_good: bool = False) -> e.ProcessorFailed:
    """The processor did not take what it was handed at `at`. Too often, or `for_good`: the handover is given up."""
    failures = handover.failures + 1
    next_at = None
    if failures < limits.PROCESSOR_ATTEMPTS and not for_good:
        delay = min(limits.PROCESSOR_DELAY_SECONDS << (failures - 1), limits.MAX_PROCESSOR_DELAY_SECONDS)
        next_at = Instant(at + delay * SECOND)
    return e.ProcessorFailed(
        job=handover.job,
        at=at,
        run=handover.run,
        place=handover.place,
        processor=handover.processor,
        failures=failures,
        reason=reason[: limits.PROCESSOR_REASON_CHARS],
        reached=handover.reached,
        next_at=next_at,
    )

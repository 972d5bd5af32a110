"""What a node counts and times since it started: facts as they become durable, and the commits that make them so.

1. A fact costs a look into a table; a start or an end some additions. Nothing is kept of a job or a run that is over.
2. Only what happens while the node lives is counted; a replay is not. So everything begins at 0 with each start.
3. Here are numbers. What they are called is the edge's matter (web/metrics.py).
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kala_es.clock import Clock
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, RunId
from kala_es.domain.model import Cause, MissReason, Outcome, SkipReason
from kala_es.domain.tick_policy import offset_of
from kala_es.projections.folds import Folds
from kala_es.projections.notices import NoticeState
from kala_es.projections.recorded import Recorded

DELAYS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
DURATIONS: Final = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
COMMITS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The bounds of the histograms, in seconds."""


class Histogram:
    """How many measured lengths of time, in seconds, lie at or below each bound and above the one before it; the last
    count is of those above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one. A wall clock that was set back makes none shorter than 0."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += max(seconds, 0.0)


class Meters:
    """`begin` is called once the folds are those of the log, `follow` with each durable batch after they took it.

    What else is asked of a node is read when it is asked: `waiting` records are on their way to the log, whose file
    takes `log_bytes` (None: there is none); `keeps_time` until it stops.
    """

    def __init__(
        self,
        folds: Folds,
        clock: Clock,
        *,
        waiting: Callable[[], int],
        log_bytes: Callable[[], int | None],
        keeps_time: Callable[[], bool],
    ) -> None:
        self.waiting = waiting
        self.log_bytes = log_bytes
        self.keeps_time = keeps_time
        self.started = Counter[Cause]()
        self.ended = Counter[Outcome]()
        self.skipped = Counter[SkipReason]()
        self.missed = Counter[MissReason]()
        self.failed_attempts = Counter[Outcome]()
        self.notices = Counter[NoticeState]()
        self.delays = Histogram(DELAYS)
        self.durations = Histogram(DURATIONS)
        self.commits = Histogram(COMMITS)
        self._folds = folds
        self._clock = clock
        self._begun: dict[RunId, Instant] = {}
        self._takes: Mapping[type, Callable[[Any], None]] = {
            e.RunStarted: self._take_start,
            e.RunFinished: self._take_end,
            e.RunSkipped: self._take_skip,
            e.TickMissed: self._take_missed,
            e.AttemptFailed: self._take_failure,
            e.NoticeAttempted: self._take_notice,
        }

    def begin(self) -> None:
        """From now on it is counted. Runs may be in flight."""
        self._begun = {run.id: run.started for _, run in self._folds.busy}

    def follow(self, batch: Sequence[Recorded]) -> None:
        """Count what a batch tells."""
        for recorded in batch:
            take = self._takes.get(type(recorded.event))
            if take is not None:
                take(recorded.event)

    def _take_start(self, event: e.RunStarted) -> None:
        self._begun[event.run] = event.at
        self.started[event.cause] += 1
        if event.tick is not None and event.cause == "schedule":
            self.delays.add((self._clock.now() - self._moment(event, event.tick)) / SECOND)

    def _moment(self, event: e.RunStarted, tick: Instant) -> Instant:
        """When nothing that its job asks for held the tick up any more: jitter, or a run for whose end it waits."""
        job = self._folds.jobs.by_id.get(event.job)
        if job is None:
            return tick
        moment = Instant(tick + offset_of(job.spec.ticks, job.id))
        return moment if job.freed is None else max(moment, job.freed)

    def _take_end(self, event: e.RunFinished) -> None:
        self.ended[event.outcome] += 1
        begun = self._begun.pop(event.run, None)
        if begun is not None:
            self.durations.add((event.at - begun) / SECOND)

    def _take_skip(self, event: e.RunSkipped) -> None:
        self.skipped[event.reason] += 1

    def _take_missed(self, event: e.TickMissed) -> None:
        self.missed[event.reason] += event.count

    def _take_failure(self, event: e.AttemptFailed) -> None:
        self.failed_attempts[event.outcome] += 1

    def _take_notice(self, event: e.NoticeAttempted) -> None:
        if event.delivered or event.next_at is None:
            self.notices["delivered" if event.delivered else "given-up"] += 1

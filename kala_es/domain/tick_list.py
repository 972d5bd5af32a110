"""Every due moment of a job within a range, with its one outcome: folded from the job's events, oldest first.

1. `started` with the run, `skipped` and `missed` with the reason; of both kinds a run may have made them up later.
   `waiting` ticks have come and have no answer yet; `coming` ones lie ahead.
2. A tick is never answered before it, so what was recorded before the range can be passed over.
3. No more ticks are held than are asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, Literal

from kala_es.domain import events as e
from kala_es.domain.ids import Instant, RunId
from kala_es.domain.model import Job, JobSpec
from kala_es.domain.plan import schedule_of
from kala_es.domain.starts import must_wait
from kala_es.domain.values import Value, replace

RELEVANT: Final = (e.JobCreated, e.JobUpdated, e.RunStarted, e.RunSkipped, e.TickMissed)
"""The events that say something of ticks."""
DEFINING: Final = (e.JobCreated, e.JobUpdated)
"""Those of them that count also when they are older than the range."""


class TickOutcome(Value, frozen=True):
    """A tick. `at` is when it got its answer."""

    tick: Instant
    outcome: Literal["started", "skipped", "missed", "waiting", "coming"]
    at: Instant | None = None
    run: RunId | None = None
    reason: str = ""
    made_up_by: RunId | None = None


@dataclass(slots=True, kw_only=True)
class TickList:
    """The fold. Ticks t with since <= t < until; the first `most` of them."""

    since: Instant
    until: Instant
    most: int
    _ticks: dict[Instant, TickOutcome] = field(default_factory=dict)
    _spec: JobSpec | None = None
    _made_up: dict[Instant, list[Instant]] = field(default_factory=dict)
    _beyond: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether no later event can say more of these ticks."""
        if self._made_up or not (self._beyond or len(self._ticks) >= self.most):
            return False
        return not any(each.reason == "paused" and each.made_up_by is None for each in self._ticks.values())

    def take(self, event: e.Event) -> None:
        """Fold one event of the job."""
        match event:
            case e.JobCreated() | e.JobUpdated():
                self._spec = event.spec
            case e.RunStarted() if event.tick is not None:
                self._started(event, event.tick)
            case e.RunSkipped() if event.tick is not None:
                self._made_up.pop(event.tick, None)
                self._put(TickOutcome(tick=event.tick, outcome="skipped", at=event.at, reason=event.reason))
            case e.TickMissed():
                self._missed(event)

    def _started(self, event: e.RunStarted, tick: Instant) -> None:
        made_up = self._made_up.pop(tick, [])
        if event.covers is not None:
            first = event.covers.first
            newest = takewhile(lambda t: t >= first, reversed(self._ticks))
            made_up += [t for t in newest if t < tick and not self._is_over(t)]
        for earlier in made_up:
            self._ticks[earlier] = replace(self._ticks[earlier], made_up_by=event.run)
        late = self._ticks.get(tick)
        if late is None:
            self._put(TickOutcome(tick=tick, outcome="started", at=event.at, run=event.run))
        else:  # a pause had skipped it
            self._ticks[tick] = replace(late, outcome="started", at=event.at, run=event.run, reason="")

    def _is_over(self, tick: Instant) -> bool:
        found = self._ticks[tick]
        return found.outcome == "started" or found.made_up_by is not None

    def _missed(self, event: e.TickMissed) -> None:
        self._beyond = self._beyond or event.last >= self.until
        for tick in self._between(event):
            self._put(TickOutcome(tick=tick, outcome="missed", at=event.at, reason=event.reason))
            if event.made_up is not None and tick in self._ticks:
                self._made_up.setdefault(event.made_up, []).append(tick)

    def _between(self, event: e.TickMissed) -> Iterator[Instant]:
        """The missed ticks that are wanted, one by one."""
        schedule = schedule_of(self._spec, event.first, event.job) if self._spec else None
        tick: Instant | None = max(event.first, self.since)
        if schedule is not None and tick is not None and tick > event.first:
            tick = schedule.next_after(Instant(tick - 1))
        while tick is not None and tick <= event.last and tick < self.until:
            if len(self._ticks) >= self.most and tick not in self._ticks:
                return
            yield tick
            tick = schedule.next_after(tick) if schedule else None

    def _put(self, found: TickOutcome) -> None:
        self._beyond = self._beyond or found.tick >= self.until
        wanted = self.since <= found.tick < self.until
        if wanted and (found.tick in self._ticks or len(self._ticks) < self.most):
            self._ticks[found.tick] = found

    def listed(self, job: Job | None, now: Instant) -> list[TickOutcome]:
        """The ticks by their time, and after the answered ones those of the job that have no answer."""
        answered = sorted(self._ticks.values(), key=lambda each: each.tick)
        return [*answered, *self._open(job, now)][: self.most]

    def _open(self, job: Job | None, now: Instant) -> Iterator[TickOutcome]:
        schedule = schedule_of(job.spec, job.planned, job.id) if job else None
        if job is None or schedule is None or job.next_tick is None:
            return
        tick: Instant | None = job.next_tick
        if self.since > job.next_tick:
            tick = schedule.next_after(Instant(self.since - 1))
        for _ in range(self.most - len(self._ticks)):
            if tick is None or tick >= self.until:
                return
            if tick <= now:
                yield TickOutcome(tick=tick, outcome="waiting", reason=_why(job))
            else:
                yield TickOutcome(tick=tick, outcome="coming")
            tick = schedule.next_after(tick)


def _why(job: Job) -> str:
    """What an unanswered tick waits for, if that is known."""
    if job.disabled:
        return "the job is disabled"
    return "a run is in flight" if must_wait(job) else ""

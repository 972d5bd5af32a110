"""All folds of the log together, fed in order, each event once.

The folds in memory and those on disk each know how far they are (`position`, `stored`): after a restart the one
may be behind the other, and only what is new to a fold is applied to it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, assert_never

from kala_es.domain import events as e
from kala_es.domain import handovers
from kala_es.domain.ids import Instant, RunId
from kala_es.domain.model import Job
from kala_es.domain.notices import Watch, note
from kala_es.domain.reactions import Reaction, Trees, react
from kala_es.domain.tick_policy import Pause
from kala_es.domain.trimming import (
    OF_HISTORY,
    BasePart,
    BaseTaken,
    HistoryEvent,
    Redaction,
    RunRedacted,
    RunsForgotten,
    RunsTrimmed,
    TrimmedRun,
)
from kala_es.fold_store import FoldsFull, FoldStore
from kala_es.projections.busy import Busy
from kala_es.projections.days import Days
from kala_es.projections.history import History
from kala_es.projections.jobs import Jobs
from kala_es.projections.notices import Notices
from kala_es.projections.output import Output
from kala_es.projections.receipts import Receipts
from kala_es.projections.recent import Recent
from kala_es.projections.recorded import Changes, Recorded
from kala_es.projections.runs import Runs
from kala_es.projections.stats import Stats

_STORED: Final = b"\x00folded"
_FORM: Final = b"3"
"""How the rows are laid out; it stands before the position. Rows of another form are forgotten and rebuilt."""
OURS: Final = b"gjknortuvwxy"
"""The first bytes of the keys of our rows."""
_PAGE: Final = 10_000
_OFTEN: Final = (e.RunStarted, e.RunFinished)
OF_NO_JOB: Final = (
    e.RequestAnswered,
    e.OutputChunk,
    e.NoticeDue,
    e.NoticeAttempted,
    e.OutputHandedOver,
    e.ProcessorFailed,
    e.ServerPaused,
    e.ServerResumed,
    *OF_HISTORY,
)
"""These change no job's state."""


class Folds:
    """Everything that anyone can read. Values handed out are frozen; the folds themselves belong to the projector."""

    def __init__(self, store: FoldStore) -> None:
        self._store = store
        self._changes: Changes = {}
        self.position = 0
        self.latest = Instant(0)
        """The latest time of an event up to `position`."""
        stored = store.get(_STORED) or _FORM
        self.stored = int.from_bytes(stored[len(_FORM) :], "big")
        self.jobs = Jobs()
        self.stats = Stats()
        self.days = Days()
        self.recent = Recent()
        self.busy = Busy()
        self.trees = Trees()
        self.server_pause: Pause | None = None
        self.runs = Runs(store, self._changes)
        self.output = Output(store, self._changes)
        self.receipts = Receipts(store, self._changes)
        self.watch = Watch()
        self.handovers = handovers.Handovers()
        self.notices = Notices(store, self._changes)
        self.history = History(store, self._changes)
        self.base: BaseTaken | None = None
        """The newest base: the state was folded from there, or could have been."""
        if not stored.startswith(_FORM):
            self.forget_stored()

    def apply(self, batch: Sequence[Recorded]) -> list[Reaction]:
        """Fold a batch, write what changed on disk, and name the commands that are due."""
        reactions: list[Reaction] = []
        for recorded in batch:
            position, event = recorded.position, recorded.event
            if position > self.stored:
                self._store_one(recorded)
            if position > self.position:
                reactions += self._fold_one(event)
                self.position = position
                if event.at > self.latest:
                    self.latest = event.at
        self._flush(batch[-1].position if batch else 0)
        return reactions

    def _store_one(self, recorded: Recorded) -> None:
        """What there is most of is asked for first."""
        event = recorded.event
        match event:
            case e.OutputChunk():
                self.output.apply(recorded.position, event)
            case e.RunStarted():
                self.output.apply(recorded.position, event)
                self.runs.apply(recorded, (0, 0))
            case e.RunFinished() | e.RunImported():
                self._store_end(recorded, event.run)
            case e.RequestAnswered():
                self.receipts.apply(event)
            case e.NoticeDue() | e.NoticeAttempted():
                self.notices.apply(recorded)
            case BasePart() | BaseTaken() | RunsTrimmed() | RunRedacted() | RunsForgotten():
                self._store_history(recorded.position, event)
            case e.HistoryCleared():
                self.history.clear(event.job, recorded.position)
            case _:
                self.runs.apply(recorded, (0, 0))

    def _store_end(self, recorded: Recorded, run: RunId) -> None:
        sizes = self.output.sizes(run)
        self.output.apply(recorded.position, recorded.event)
        ended = self.runs.apply(recorded, sizes)
        if ended is not None:  # else its start is erased: it was forgotten
            self.history.ended(ended)

    def _store_history(self, position: int, event: HistoryEvent) -> None:
        match event:
            case RunsTrimmed():
                for trimmed in event.runs:
                    self._trim(trimmed)
            case RunRedacted():
                self._trim(event.run)
                redaction = Redaction(at=event.at, position=position, reason=event.reason, by=event.by)
                self.runs.redact(event.run.run, redaction)
            case RunsForgotten():
                for gone in self.history.forgotten(event, position, self.runs.get):
                    self.runs.forget(gone)
                self.notices.forget(event.job, event.last, lambda run: self.runs.get(run) is not None)
            case BasePart() | BaseTaken():
                pass
            case _:
                assert_never(event)

    def _trim(self, trimmed: TrimmedRun) -> None:
        run = self.runs.get(trimmed.run)
        self.output.drop(trimmed.run)
        if run is not None and not run.trimmed:
            self.runs.trim(trimmed)
            self.history.trimmed(run)

    def _fold_one(self, event: e.Event) -> tuple[Reaction, ...]:
        if isinstance(event, e.OutputChunk):
            return ()
        if not isinstance(event, _OFTEN) and isinstance(event, OF_NO_JOB):
            self._fold_other(event)
            return ()
        after = self._fold_job(event)
        note(self.watch, event, after)
        handovers.note(self.handovers, event, after)
        return react(self.trees, event, (self.jobs.by_id, self.jobs.graph))

    def _fold_other(self, event: e.Event) -> None:
        """One that changes no job's state."""
        note(self.watch, event, None)
        handovers.note(self.handovers, event, None)
        if isinstance(event, e.ServerEvent):
            self.show(event)
        elif isinstance(event, BaseTaken):
            self.base = event

    def show(self, event: e.JobEvent | e.ServerEvent) -> None:
        """Fold what can be read of the present, and nothing that acts or tells."""
        if isinstance(event, e.ServerPaused | e.ServerResumed):
            self.server_pause = _pause_after(event)
        else:
            self._fold_job(event)

    def _fold_job(self, event: e.JobEvent) -> Job | None:
        """The event's job after it."""
        before, after = self.jobs.apply(event)
        self.stats.apply(before, after)
        self.days.apply(event)
        self.recent.apply(event)
        self.busy.apply(before, after)
        return after

    def _flush(self, position: int) -> None:
        if position <= self.stored:
            return
        self.runs.save()
        self.history.save()
        self._changes[_STORED] = _FORM + position.to_bytes(8, "big")
        with suppress(FoldsFull):  # the changes are kept, and written with the next batch that finds room
            self._store.write(self._changes.items())
            self._changes.clear()
            self.output.written()
            self.receipts.written()
        self.stored = position

    def forget_stored(self) -> None:
        """Empty the folds on disk, to be rebuilt from the log's beginning. What else the store holds is let be."""
        for first in OURS:
            while rows := self._store.scan(bytes([first]), bytes([first + 1]), limit=_PAGE):
                self._store.write((key, None) for key, _ in rows)
        self._store.write([(_STORED, None)])
        self.history.forget_stored()
        self.stored = 0


def stored_position(get: Callable[[bytes], bytes | None]) -> int | None:
    """Up to where the rows are folded that this reads; None when they are of another form, or there are none."""
    stored = get(_STORED) or b""
    return int.from_bytes(stored[len(_FORM) :], "big") if stored.startswith(_FORM) else None


def _pause_after(event: e.ServerEvent) -> Pause | None:
    """The server's pause as the event leaves it."""
    if isinstance(event, e.ServerResumed):
        return None
    return Pause(since=event.at, until=event.until, reason=event.reason, by=event.by)

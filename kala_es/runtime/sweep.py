"""The sweep: reads the log once, upwards, after a base was taken, and names what is rubbish by then.

Rules, for a record before the base's last one:
- output of a run that is trimmed, or that is not in the catalogue any more;
- a fact of a run that is not in the catalogue, and a skipped or missed tick from before the runs that are: at or before
  the base's position, for later ones make the state;
- a note of trimmed runs none of which is left, or of forgotten runs that a newer note covers: likewise;
- what became of a forgotten run's output: likewise;
- a notice that is not in the catalogue any more, and the attempts to deliver it: likewise;
- another base.
Whoever sweeps forgets no runs meanwhile: so a run loses its start first, and without it nothing else of it counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.ids import RunId
from kala_es.domain.trimming import BasePart, BaseTaken, RunsForgotten, RunsTrimmed
from kala_es.event_log import Record
from kala_es.projections.folds import Folds
from kala_es.projections.runs import RunSummary


@dataclass(frozen=True, slots=True)
class Rubbish:
    """What is rubbish once the base at `base` is whole, its last record being at `taken`."""

    folds: Folds
    base: int
    taken: int
    _known: dict[RunId, RunSummary | None] = field(default_factory=dict)
    """Runs that were looked up for this page: a run's records are neighbours mostly."""

    def among(self, records: Sequence[Record]) -> tuple[list[int], int | None]:
        """The positions of rubbish in a page of the log, and after which position to read on; None at the end."""
        self._known.clear()
        page = [record for record in records if record.position < self.taken]
        return [record.position for record in page if self.holds(record)], page[-1].position if page else None

    def holds(self, record: Record) -> bool:
        """Whether nothing needs this record any more."""
        if record.type == BasePart.__name__:
            return record.stream != codec.base_stream(self.base)
        if record.type == BaseTaken.__name__:
            return record.position < self.taken
        if record.type == e.OutputChunk.__name__:
            return self._is_chunk_of_nothing(record)
        return record.position <= self.base and self._is_past(record)

    def _is_chunk_of_nothing(self, record: Record) -> bool:
        run = self._run(RunId(record.stream.removeprefix(codec.run_stream(RunId("")))))
        return run is None or run.trimmed or record.position < run.position

    def _is_past(self, record: Record) -> bool:
        event = codec.decode(record)
        match event:
            case (
                e.RunStarted()
                | e.AttemptFailed()
                | e.AttemptStarted()
                | e.CancelRequested()
                | e.RunFinished()
                | e.StatusReported()
                | e.RunImported()
                | e.OutputHandedOver()
                | e.ProcessorFailed()
            ):
                return self._is_gone(event.run, record.position)
            case e.RunSkipped() | e.TickMissed():
                return event.at < (self.folds.history.of(event.job).last or 0)
            case RunsTrimmed():
                return all(self._is_gone(trimmed.run, record.position) for trimmed in event.runs)
            case e.NoticeDue() | e.NoticeAttempted():
                return self.folds.notices.get(event.notice) is None
            case RunsForgotten():
                return record.position < self.folds.history.of(event.job).noted
            case _:
                return False

    def _is_gone(self, run: RunId, position: int) -> bool:
        """Whether the run is forgotten. A run that began later may have its id."""
        summary = self._run(run)
        return summary is None or position < summary.position

    def _run(self, run: RunId) -> RunSummary | None:
        if run not in self._known:
            self._known[run] = self.folds.runs.get(run)
        return self._known[run]

"""Which runs of elsewhere are news here, and what of them is recorded.

A run is known when it is in the catalogue, also without its output. One that began no later than the newest of the
job's forgotten runs was forgotten with them, or would be at once: it does not come back.
"""

from collections.abc import Sequence

from kala_es.domain.commands import Command, ImportRuns
from kala_es.domain.events import Event, JobEvent
from kala_es.domain.ids import RunId
from kala_es.domain.imported_runs import ImportedRun, output_of
from kala_es.domain.values import replace
from kala_es.projections.folds import Folds


def news(folds: Folds, command: ImportRuns) -> ImportRuns:
    """The command for those of its runs that are not known, each once."""
    forgotten = folds.history.of(command.job).last
    fresh: dict[RunId, ImportedRun] = {}
    for run in command.runs:
        if (forgotten is None or run.started > forgotten) and folds.runs.get(run.id) is None:
            fresh.setdefault(run.id, run)
    return replace(command, runs=tuple(fresh.values()))


def recorded(command: Command, events: Sequence[JobEvent]) -> Sequence[Event]:
    """What a command is recorded as: its events, and before the run that is imported by one what that printed."""
    if not isinstance(command, ImportRuns):
        return events
    facts: list[Event] = []
    for run, event in zip(command.runs, events, strict=True):
        facts += output_of(run, command.job, at=command.at)
        facts.append(event)
    return facts

"""Imports the runs that a job had elsewhere: asked dry, it says what would become of each."""

from kala_es.clock import Clock
from kala_es.domain.commands import ImportRuns
from kala_es.domain.errors import Invalid, NotFound
from kala_es.domain.events import RunImported
from kala_es.domain.imported_runs import ImportReport, RunImport, judge
from kala_es.projections.folds import Folds
from kala_es.runtime.imported_runs import news
from kala_es.runtime.registry import Registry


class RunImporter:
    """The way in for runs of elsewhere. Their job's actor decides on them."""

    def __init__(self, folds: Folds, registry: Registry, clock: Clock) -> None:
        self._folds = folds
        self._registry = registry
        self._clock = clock

    async def take(self, asked: RunImport, principal: str) -> ImportReport:
        """Take the runs that are not known, in one commit. Raises NotFound, and unless it is dry Invalid for the first
        that is refused; LogFull, Overloaded, Unavailable."""
        if self._folds.jobs.get(asked.job) is None:
            raise NotFound(f"there is no job {asked.job!r}")
        now = self._clock.now()
        sound, refused = judge(asked, now)
        command = ImportRuns(job=asked.job, at=now, source=asked.source, runs=sound)
        if asked.dry_run:
            taken = tuple(run.execution for run in news(self._folds, command).runs)
            return ImportReport(taken=taken, known=len(sound) - len(taken), refused=refused)
        if refused:
            raise Invalid(f"executions.{refused[0].execution}.{refused[0].field}".rstrip("."), refused[0].reason)
        done = await self._registry.ask(command, principal)
        taken = tuple(event.execution for event in done.events if isinstance(event, RunImported))
        return ImportReport(taken=taken, known=len(sound) - len(taken))

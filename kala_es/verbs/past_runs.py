"""`kala-es import --from`, after the jobs: the runs that they had there.

They are offered to the server without their output, and those that it does not know are sent, so many at a time. Cut
off, it goes on when it is asked again.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from kala_es import limits
from kala_es.dialects.coming import Remark
from kala_es.dialects.coming_runs import ComingRuns
from kala_es.verbs.asking import ask

_OUTPUT: Final = "output"
Run = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Whom the runs are sent to, and as whose. With `dry_run` nothing is; then the server has no `new` jobs yet."""

    server: str
    source: str
    dry_run: bool = False
    new: Collection[str] = ()


@dataclass(slots=True)
class Tally:
    """What became of them: how many of each job were taken, how many are known, which cannot be taken."""

    taken: dict[str, int] = field(default_factory=dict)
    known: int = 0
    running: dict[str, int] = field(default_factory=dict)
    refused: list[Remark] = field(default_factory=list)

    def add(self, job: str, taken: int) -> None:
        """So many of a job are taken."""
        if taken:
            self.taken[job] = self.taken.get(job, 0) + taken

    def lines(self, *, dry_run: bool) -> Iterator[str]:
        """The report: a line for each job with runs that are taken or left out, and how many they are in all."""
        to_be = "to be " if dry_run else ""
        for job, count in self.taken.items():
            yield f"runs {job}: {count} {to_be}taken"
        for job, count in self.running.items():
            yield f"note {job}: executions: {count} not over there, left out"
        for remark in self.refused:
            yield f"refused {remark.job}: {remark.field}: {remark.reason}"
        refused = f", {len(self.refused)} refused" if self.refused else ""
        yield f"runs: {sum(self.taken.values())} {to_be}taken, {self.known} known{refused}"


def take(pages: Iterable[ComingRuns], to: Destination) -> Tally:
    """Send on the runs that are not known. Raises Failed."""
    tally = Tally()
    for page in pages:
        tally.refused += page.refused
        if page.running:
            tally.running[page.job] = tally.running.get(page.job, 0) + page.running
        if to.dry_run and page.job in to.new:
            tally.add(page.job, len(page.runs))
        else:
            _take(page, to, tally)
    return tally


def _take(page: ComingRuns, to: Destination, tally: Tally) -> None:
    for start in range(0, len(page.runs), limits.MAX_IMPORTED_RUNS):
        offered = page.runs[start : start + limits.MAX_IMPORTED_RUNS]
        bare = [{key: value for key, value in run.items() if key != _OUTPUT} for run in offered]
        answer = _ask(page.job, bare, to, dry_run=True)
        tally.known += answer["known"]
        for refused in answer["refused"]:
            key = f"executions.{refused['id']}.{refused['field']}".rstrip(".")
            tally.refused.append(Remark(job=page.job, field=key, reason=refused["reason"]))
        wanted = set(answer["taken"])
        if to.dry_run:
            tally.add(page.job, len(wanted))
            continue
        for some in _batches(run for run in offered if run["id"] in wanted):
            tally.add(page.job, len(_ask(page.job, some, to, dry_run=False)["taken"]))


def _batches(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """So many at a time that have not printed too much together."""
    some: list[Run] = []
    size = 0
    for run in runs:
        some.append(run)
        size += len(run[_OUTPUT])
        if size >= limits.IMPORT_BATCH_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _ask(job: str, runs: list[Run], to: Destination, *, dry_run: bool) -> dict[str, Any]:
    path = f"/api/v1/job/{quote(job, safe='')}/executions/import/"
    answer: dict[str, Any] = ask(to.server, path, {"source": to.source, "executions": runs, "dry_run": dry_run})
    return answer

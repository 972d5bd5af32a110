"""Where the runs of another scheduler's jobs are read: from its server, a job at a time, or NextKala's own tables.

A list of jobs has none. A job whose runs cannot be had is one remark; the others' are read.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, Final
from urllib.parse import quote, urlsplit

from kala_es import limits
from kala_es.dialects import runs_from_dkron, runs_from_kala
from kala_es.dialects.coming import Remark
from kala_es.dialects.coming_runs import ComingRuns
from kala_es.domain.errors import Invalid
from kala_es.event_logs.postgres_place import SCHEMES
from kala_es.verbs import databases
from kala_es.verbs.asking import Failed, TooLarge, fetch

_ENOUGH: Final = 2
_LISTS: Final = {"nextkala": "/api/v1/job", "dkron": "/v1/jobs"}


def runs_of(kind: str, source: str, jobs: Collection[str]) -> Iterator[ComingRuns] | None:
    """The runs of these jobs, page by page; None when there are none to be had. Drawing them raises Failed."""
    if source.startswith(SCHEMES):
        return _in_tables(source, jobs)
    base = _base(source, _LISTS[kind])
    if base is None:
        return None
    read = _NextKala(base).read if kind == "nextkala" else partial(_of_dkron, base)
    return (_page(job, read) for job in jobs)


def _base(source: str, listed: str) -> str | None:
    """The URL of the list of jobs, without a slash at its end; None when the source is no server that has one there."""
    if not source.startswith(("http://", "https://")):
        return None
    parts = urlsplit(source)
    path = parts.path.rstrip("/") or listed
    return parts._replace(path=path, query="", fragment="").geturl() if path.endswith(listed) else None


class _NextKala:
    """Lists of executions that may be of all jobs: then one is read. When two were too large, so are the others."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._everybodys: dict[str, list[Any]] = {}
        self._too_large: list[TooLarge] = []

    def read(self, job: str) -> ComingRuns:
        """A job's runs. Raises Failed, Invalid."""
        if self._everybodys:
            return runs_from_kala.translate(job, self._everybodys.get(job, ()))
        found = runs_from_kala.listed(self._fetch(job))
        coming = runs_from_kala.translate(job, found.get(job, ()))
        runs_from_kala.refuse_nobodys(coming, found.pop(runs_from_kala.NOBODYS, ()))
        if found.keys() - {job}:
            self._everybodys = found
        return coming

    def _fetch(self, job: str) -> bytes:
        if len(self._too_large) == _ENOUGH:
            raise self._too_large[-1]
        try:
            body = fetch(f"{self._base}/{quote(job, safe='')}/executions/")
        except TooLarge as error:
            self._too_large.append(error)
            raise
        self._too_large.clear()
        return body


def _of_dkron(base: str, job: str) -> ComingRuns:
    executions = runs_from_dkron.listed(fetch(f"{base}/{quote(job, safe='')}/executions"))
    return runs_from_dkron.translate(job, executions)


def _page(job: str, read: Callable[[str], ComingRuns]) -> ComingRuns:
    """A job's runs, or why they cannot be had."""
    try:
        return read(job)
    except (Failed, Invalid) as error:
        reason = error.reason if isinstance(error, Invalid) else str(error)
        return ComingRuns(job=job, refused=[Remark(job=job, field="executions", reason=reason)])


def _in_tables(url: str, jobs: Collection[str]) -> Iterator[ComingRuns]:
    for job, rows in groupby(databases.nextkala_runs(url), key=attrgetter("job")):
        if job in jobs:
            for page in _gathered(rows):
                yield runs_from_kala.translate(job, page)


def _gathered(rows: Iterable[databases.Row]) -> Iterator[list[Any]]:
    """The runs of some rows, so many at a time that are not too large together."""
    page: list[Any] = []
    size = 0
    for row in rows:
        page.append(row.run)
        size += row.size
        if size >= limits.IMPORT_BATCH_BYTES or len(page) == limits.MAX_IMPORTED_RUNS:
            yield page
            page, size = [], 0
    if page:
        yield page

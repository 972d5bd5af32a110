"""Which jobs a list shows, in which order: from the address to a page of jobs.

All jobs are looked at, some at a time, so that a list of many holds up nobody. Jobs are counted by state among those
that the other filters let through.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from typing import Any, Final, get_args
from urllib.parse import urlencode

import trio

from kala_es.domain.errors import Invalid
from kala_es.domain.model import Job, JobKind
from kala_es.projections.folds import Folds
from kala_es.web.pages.job_rows import is_failing

PAGE: Final = 50
STATES: Final = ("running", "failing", "enabled", "disabled", "paused")
KINDS: Final = get_args(JobKind)
SORTS: Final = ("name", "id", "next", "last")
_SLICE: Final = 2_000
_NEVER: Final = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """What is asked for. `label` is KEY or KEY=VALUE; a `sort` with `-` before it is the other way round."""

    q: str = ""
    state: str = ""
    type: str = ""
    owner: str = ""
    label: str = ""
    sort: str = "name"
    page: int = 1

    @property
    def is_filtered(self) -> bool:
        """Whether some jobs may be left out."""
        return any((self.q, self.state, self.type, self.owner, self.label))

    def address(self, **changes: Any) -> str:
        """The list's address with something changed; the first page unless `changes` say another."""
        changed = replace(self, **{"page": 1, **changes})
        given = {f.name: getattr(changed, f.name) for f in fields(self) if getattr(changed, f.name) != f.default}
        return f"?{urlencode(given)}" if given else "?"

    def turned(self, sort: str) -> str:
        """What the list is sorted by when its column's head is used."""
        return f"-{sort}" if self.sort == sort else sort

    def order(self, sort: str) -> str:
        """How the column is sorted, as `aria-sort` has it; "" when it is not."""
        return {sort: "ascending", f"-{sort}": "descending"}.get(self.sort, "")


@dataclass(slots=True)
class Found:
    """A page of jobs, how many there are in all, and how many by state."""

    jobs: list[Job] = field(default_factory=list)
    count: int = 0
    all: int = 0
    states: Counter[str] = field(default_factory=Counter)
    page: int = 1

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(-(-self.count // PAGE), 1)


def query_of(parameters: Mapping[str, str]) -> JobQuery:
    """What an address asks for. Raises Invalid."""
    given = {f.name: parameters[f.name].strip() for f in fields(JobQuery) if parameters.get(f.name, "").strip()}
    for name, known in (("state", STATES), ("type", KINDS)):
        if given.get(name, known[0]) not in known:
            raise Invalid(name, f"must be one of {', '.join(known)}")
    if given.get("sort", "name").removeprefix("-") not in SORTS:
        raise Invalid("sort", f"must be one of {', '.join(SORTS)}")
    page = given.pop("page", "1")
    if not (page.isascii() and page.isdecimal() and len(page) < 10 and int(page)):
        raise Invalid("page", "must be a number from 1 on")
    return JobQuery(**given, page=int(page))


async def find(folds: Folds, query: JobQuery) -> Found:
    """The jobs of the page that is asked for; of the last one when there are not so many."""
    wants, found, after = _filter(query), Found(), ""
    fitting: list[Job] = []
    while jobs := list(islice(folds.jobs.after(after), _SLICE)):
        after = jobs[-1].id
        found.all += len(jobs)
        for job in jobs:
            if wants(job):
                fitting.append(job)
        await trio.lowlevel.checkpoint()
    fitting = _count(found, fitting, query.state)
    _sort(fitting, query.sort)
    found.count = len(fitting)
    found.page = min(query.page, found.pages)
    found.jobs = fitting[(found.page - 1) * PAGE : found.page * PAGE]
    return found


def _filter(query: JobQuery) -> Callable[[Job], bool]:
    """All filters but that of the state."""
    text, owner = query.q.lower(), query.owner.lower()
    key, equals, value = query.label.partition("=")

    def wants(job: Job) -> bool:
        spec = job.spec
        if query.type and spec.kind != query.type:
            return False
        if owner and owner not in spec.owner.lower():
            return False
        if key and not any(k == key and (not equals or v == value) for k, v in spec.labels):
            return False
        return not text or any(text in t.lower() for t in (spec.name, job.id, spec.command, spec.owner))

    return wants if query.type or owner or key or text else lambda job: True


def _count(found: Found, jobs: list[Job], state: str) -> list[Job]:
    """Count all states in one go; the jobs of the one that is asked for."""
    tests: dict[str, Callable[[Job], bool]] = {
        "running": lambda job: bool(job.runs),
        "failing": is_failing,
        "enabled": lambda job: not job.disabled,
        "disabled": lambda job: job.disabled,
        "paused": lambda job: job.pause is not None,
    }
    for name, test in tests.items():
        found.states[name] = sum(map(test, jobs))
    found.states["all"] = len(jobs)
    return [job for job in jobs if tests[state](job)] if state else jobs


def _sort(jobs: list[Job], sort: str) -> None:
    """By id they come already. Those without a moment come last, whichever way round."""
    name, back = sort.removeprefix("-"), sort.startswith("-")
    if name == "name":
        jobs.sort(key=lambda job: (job.spec.name.casefold(), job.id), reverse=back)
    elif name == "id":
        if back:
            jobs.reverse()
    else:
        moment = _next if name == "next" else _last
        never = -_NEVER if back else _NEVER
        jobs.sort(key=lambda job: never if (at := moment(job)) is None else at, reverse=back)


def _next(job: Job) -> int | None:
    return None if job.disabled else job.next_tick


def _last(job: Job) -> int | None:
    return job.counters.last_attempted_run

"""The list of jobs, sent in slices so that a long one holds up nobody, and in pages for who asks for them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import trio

from kala_es import limits
from kala_es.dialects.go_json import dumps
from kala_es.domain.model import Job
from kala_es.web.edge import Site
from kala_es.web.exchange import Parts, Request, Response, answer_json
from kala_es.web.parameters import flag, whole

_SLICE: Final = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs are wanted. `text` is in lower case."""

    text: str = ""
    disabled: bool | None = None

    def wants(self, job: Job) -> bool:
        """Whether a job is among them."""
        if self.disabled is not None and job.disabled is not self.disabled:
            return False
        spec = job.spec
        return not self.text or any(self.text in t.lower() for t in (spec.name, job.id, spec.owner, spec.command))

    def of(self, jobs: list[Job]) -> list[Job]:
        """Those of these jobs."""
        return jobs if self == Filter() else [job for job in jobs if self.wants(job)]


async def list_jobs(request: Request, site: Site) -> Response:
    """GET /job/. With `limit` a page, whose successor is named by a Link header."""
    wanted = Filter(text=request.query.get("q", "").lower(), disabled=flag(request, "disabled"))
    limit = whole(request, "limit", (1, limits.MAX_PAGE))
    slices = _slices(site, wanted, request.query.get("after", ""))
    if limit is None:
        return answer_json(_stream(site, slices))
    page: list[Job] = []
    async with aclosing(slices):
        async for jobs in slices:
            page += jobs
            if len(page) > limit:
                break
    link = (next_link(request, page[limit - 1].id),) if len(page) > limit else ()
    return answer_json(_stream(site, _cut(page[:limit])), headers=link)


async def _slices(site: Site, wanted: Filter, after: str) -> AsyncGenerator[list[Job], None]:
    """The jobs as they are when their slice's turn comes, in order of id: none is there twice."""
    while jobs := site.scheduler.jobs(after=after, limit=_SLICE):
        after = jobs[-1].id
        yield wanted.of(jobs)
        await trio.lowlevel.checkpoint()


async def _cut(jobs: list[Job]) -> AsyncGenerator[list[Job], None]:
    for i in range(0, len(jobs), _SLICE):
        yield jobs[i : i + _SLICE]
        await trio.lowlevel.checkpoint()


async def _stream(site: Site, slices: AsyncGenerator[list[Job], None]) -> Parts:
    graph = site.scheduler.folds.jobs.graph
    before = b'{"jobs":{'
    async with aclosing(slices):
        async for jobs in slices:
            if jobs:
                yield before + b",".join([_name(job) + site.jobs.json(job, graph) for job in jobs])
                before = b","
    yield b"}}\n" if before == b"," else before + b"}}\n"


def _name(job: Job) -> bytes:
    """The job's id as a key, with its colon."""
    return dumps({job.id: 0})[1:-2]


def next_link(request: Request, last: str) -> tuple[str, str]:
    """The header that names the next page of a list."""
    query = urlencode({**request.query, "after": last})
    return "Link", f'<{request.path}?{query}>; rel="next"'

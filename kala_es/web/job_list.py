"""The list of jobs: which ones, in which order."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

import trio

from kala_es.dialects.go_json import dumps
from kala_es.domain.model import Job
from kala_es.projections.folds import Folds
from kala_es.web.exchange import Request, Response
from kala_es.web.jobs import job_json, past_json
from kala_es.web.listing import Listing, answer_list
from kala_es.web.parameters import flag
from kala_es.web.past import folds_of
from kala_es.web.site import Site

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
    """GET /job/."""
    wanted = Filter(text=request.query.get("q", "").lower(), disabled=flag(request, "disabled"))
    folds = await folds_of(request, site)
    encode = partial(job_json, site) if folds is site.scheduler.folds else partial(past_json, folds)

    async def write(jobs: list[Job]) -> bytes:
        return b",".join([_name(job) + encode(job) for job in jobs])

    listing = Listing(
        slices=_slices(folds, wanted, request.query.get("after", "")),
        write=write,
        ends=(b'{"jobs":{', b"}}\n"),
        id_of=lambda job: job.id,
    )
    return await answer_list(request, listing)


async def _slices(folds: Folds, wanted: Filter, after: str) -> AsyncGenerator[list[Job], None]:
    """The jobs as they are when their slice's turn comes, in order of id: none is there twice."""
    while jobs := list(islice(folds.jobs.after(after), _SLICE)):
        after = jobs[-1].id
        yield wanted.of(jobs)
        await trio.lowlevel.checkpoint()


def _name(job: Job) -> bytes:
    """The job's id as a key, with its colon."""
    return dumps({job.id: 0})[1:-2]

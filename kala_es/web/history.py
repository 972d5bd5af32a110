"""A job's history over HTTP: what changed it, why a tick became what it did, and a definition that comes back."""

from contextlib import aclosing
from typing import Final

from kala_es.dialects import kala, kala_history
from kala_es.dialects.kala_ticks import parse_moment
from kala_es.domain.changes import Change, Link, brings_about
from kala_es.domain.errors import Invalid, NotFound
from kala_es.domain.graph import dependents
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import Job
from kala_es.domain.moved import moved
from kala_es.domain.plan import schedule_of
from kala_es.domain.tick_list import TickOutcome
from kala_es.domain.unanswered import Plan, lack_of, plan_after
from kala_es.domain.values import pack, replace
from kala_es.runtime.scheduler import Answer, Origin
from kala_es.web.exchange import JSON, Request, Response, answer_json
from kala_es.web.jobs import API
from kala_es.web.listing import Listing, answer_list
from kala_es.web.parameters import LAST_POSITION, whole
from kala_es.web.preconditions import IF_MATCH, IF_NONE_MATCH, OVERTAKEN, must_be_new, wanted_definitions
from kala_es.web.replies import BUSY, FORBIDDEN, FULL, KEY, KEY_USED, LARGE, LIMIT, WRONG
from kala_es.web.site import Site
from kala_es.web.table import Parameter, Reply, Row


async def list_changes(request: Request, site: Site) -> Response:
    """GET /job/{id}/history/."""
    job, history = _job(request), site.scheduler.history
    after = whole(request, "after", (0, LAST_POSITION)) or 0
    await history.check(job)

    async def write(changes: list[Change]) -> bytes:
        return kala_history.changes_json(changes)

    listing = Listing(
        slices=history.slices(job, after=after),
        write=write,
        ends=(b'{"history":[', b"]}\n"),
        id_of=lambda change: str(change.position),
        size_of=lambda change: len(pack(change.event)),
    )
    return await answer_list(request, listing)


async def explain(request: Request, site: Site) -> Response:
    """GET /job/{id}/why/: of a tick, or of a run."""
    tick, run = request.query.get("tick"), request.query.get("run")
    if bool(tick) == bool(run):
        raise Invalid("tick", "say which tick is meant, or which run")
    if tick:
        return await _explain_tick(parse_moment(tick.replace(" ", "+"), "tick"), request, site)
    history = site.scheduler.history
    chain = history.chain(RunId(run or "")) or await history.skipped(_job(request), RunId(run or ""))
    if not chain or chain[0].job != _job(request):
        raise NotFound(f"there is no run {run!r} of the job {_job(request)!r}")
    return answer_json(kala_history.why_run_json(await _with_retries(chain, site)))


async def _with_retries(chain: list[Link], site: Site) -> list[Link]:
    """The chain; its first run says which of its attempts were tried again."""
    return [replace(link, retried=await site.scheduler.history.retried(link.run)) for link in chain[:1]] + chain[1:]


async def _explain_tick(tick: Instant, request: Request, site: Site) -> Response:
    job, scheduler = _job(request), site.scheduler
    held = await _held_at(tick, job, site)
    found = await scheduler.ticks(job, within=(tick, Instant(tick + 1)), most=1)
    run = (found[0].run or found[0].made_up_by) if found else None
    known = kala_history.Known(
        draft=held.draft,
        lack=None if found else lack_of(tick, held, scheduler.folds.history.of(job).last or Instant(0)),
        change=await _reason_of(found[0], job, site) if found else None,
        chain=await _with_retries(scheduler.history.chain(run), site) if run else [],
        moved=moved(schedule_of(held.draft.spec, held.planned, job), tick) if found and held.draft else "",
    )
    return answer_json(kala_history.why_tick_json(tick, found[0] if found else None, known))


async def _reason_of(found: TickOutcome, job: JobId, site: Site) -> Change | None:
    """The change that brought a tick's answer about, if it was one of the job's own."""
    cause: Change | None = None
    async with aclosing(site.scheduler.history.changes(job)) as changes:
        async for change in changes:
            if found.at is None or change.event.at > found.at:
                break
            does = brings_about(change, found.reason)
            cause = cause if does is None else change if does else None
    return cause


async def _held_at(moment: Instant, job: JobId, site: Site) -> Plan:
    """What held at a moment, the newest for one that lies ahead. Raises NotFound."""
    held = Plan()
    was_there = False
    async with aclosing(site.scheduler.history.changes(job)) as changes:
        async for change in changes:
            was_there = True
            if change.event.at > moment:
                break
            held = plan_after(held, change)
    if not was_there:
        raise NotFound(f"there is no job {job!r}, and never was")
    return held


async def revert_job(request: Request, site: Site) -> Response:
    """POST /job/{id}/revert/: answered as a replacement is."""
    scheduler = site.scheduler
    position = kala_history.parse_revert(request.body, scheduler.folds.position)
    draft = await scheduler.history.definition_at(_job(request), position)

    def granted(job: Job) -> Answer:
        return Answer(status=200, headers=(JSON,), body=_wrapped(site, job))

    origin = Origin(principal=request.principal, key=request.key)
    tags, unknown = wanted_definitions(request), must_be_new(request)
    await scheduler.revert(draft, origin, granted, instead_of=tags, unknown=unknown)
    first = scheduler.answered(request.key) if request.key else None
    return Response(headers=(JSON,), body=first.body if first else _wrapped(site, scheduler.job(_job(request))))


def _wrapped(site: Site, job: Job) -> bytes:
    return b'{"job":' + kala.job_json(job, dependents(job, site.scheduler.folds.jobs.graph)) + b"}\n"


def _job(request: Request) -> JobId:
    return JobId(request.params["id"])


_NO_JOB: Final = Reply(status=404, about="There never was such a job.", schema="Error")

OF_HISTORY: Final = (
    Row(
        method="GET",
        pattern=f"{API}/job/{{id}}/history/",
        handler=list_changes,
        summary="List what changed a job, also a deleted one: who, when, and each field before and after",
        parameters=(
            LIMIT,
            Parameter(name="after", kind="integer", about="Only changes after this position of the log."),
        ),
        replies=(Reply(status=200, about="The changes, oldest first.", schema="History"), WRONG, _NO_JOB),
    ),
    Row(
        method="GET",
        pattern=f"{API}/job/{{id}}/why/",
        handler=explain,
        summary="Ask what became of a tick, or why a run began, up to what began it all",
        parameters=(
            Parameter(name="tick", kind="string", about="A moment, RFC 3339."),
            Parameter(name="run", kind="string", about="Or a run of the job."),
        ),
        replies=(Reply(status=200, about="The chain of causes.", schema="Why"), WRONG, _NO_JOB),
    ),
    Row(
        method="POST",
        pattern=f"{API}/job/{{id}}/revert/",
        handler=revert_job,
        summary="Give a job the definition back that it had at a position of the log, also after it was deleted",
        parameters=(KEY, IF_MATCH, IF_NONE_MATCH),
        takes="Revert",
        replies=(
            Reply(status=200, about="The job as it is now.", schema="WrappedJob"),
            WRONG,
            FORBIDDEN,
            _NO_JOB,
            OVERTAKEN,
            LARGE,
            KEY_USED,
            BUSY,
            FULL,
        ),
    ),
)

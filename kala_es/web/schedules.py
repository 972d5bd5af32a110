"""Schedules over HTTP: when a job is due next, and what a schedule means in words, before or while a job has it."""

from itertools import islice
from typing import Final

from kala_es import limits
from kala_es.dialects import kala_ticks
from kala_es.dialects.go_json import dumps
from kala_es.domain.bounds import Bounds, check_bounds
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.job import replans
from kala_es.domain.model import JobDraft, JobSpec
from kala_es.domain.moved import moved
from kala_es.domain.plan import check_schedule, schedule_of
from kala_es.domain.schedule_words import explain
from kala_es.domain.several import walk
from kala_es.domain.tick_policy import TickPolicy
from kala_es.web.exchange import Request, Response, answer_json
from kala_es.web.parameters import flag, whole
from kala_es.web.replies import NO_JOB, WRONG
from kala_es.web.site import Site
from kala_es.web.table import Parameter, Reply, Row

_API: Final = "/api/v1"
_USUAL_TICKS: Final = 10
_COUNT: Final = Parameter(name="count", kind="integer", about="How many times, 1 to 1000; 10 if not given.")
EXPLAIN: Final = Parameter(name="explain", kind="boolean", about="Say in the answer what the schedule means.")


async def get_next(request: Request, site: Site) -> Response:
    """GET /job/{id}/next/."""
    count = whole(request, "count", (1, limits.MAX_NEXT_TICKS)) or _USUAL_TICKS
    job = site.scheduler.job(JobId(request.params["id"]))
    schedule = schedule_of(job.spec, job.planned, job.id)
    ticks = {tick: moved(schedule, tick) for tick in site.scheduler.next_ticks(job.id, count)}
    return answer_json(dumps(kala_ticks.next_fields(ticks, job.spec.timezone)))


async def explain_schedule(request: Request, site: Site) -> Response:
    """GET /schedule/."""
    count = whole(request, "count", (1, limits.MAX_NEXT_TICKS)) or _USUAL_TICKS
    since = _since(request, site)
    expr, job = request.query.get("expr", ""), JobId(request.query.get("job", ""))
    if not expr.strip():
        raise Invalid("expr", "say which schedule is meant")
    gap, fold = kala_ticks.read_on_change(request.query.get("dst_gap", ""), request.query.get("dst_fold", ""))
    policy = TickPolicy(dst_gap=gap, dst_fold=fold)
    zone, bounds = request.query.get("timezone", ""), _bounds(request)
    spec = JobSpec(name="", schedule=expr, timezone=zone, ticks=policy, bounds=bounds)
    try:
        check_bounds(bounds)
        check_schedule(spec, job)
        return answer_json(dumps({"expr": expr, **_explained(spec, (since, since, job), count)}))
    except Invalid as error:
        raise Invalid("expr" if error.field == "schedule" else error.field, error.reason, error.column) from None


def _bounds(request: Request) -> Bounds:
    return Bounds(starts_at=_asked(request, "starts_at"), expires_at=_asked(request, "expires_at"))


def _asked(request: Request, name: str) -> Instant | None:
    """A moment of the query, None if it is not given. Raises Invalid."""
    text = request.query.get(name)
    return kala_ticks.parse_moment(text.replace(" ", "+"), name) if text else None


def _since(request: Request, site: Site) -> Instant:
    return _asked(request, "from") or site.scheduler.clock.now()


def explained_if_asked(request: Request, site: Site, draft: JobDraft) -> dict[str, object]:
    """What a job's schedule will mean, as a member of the answer; none if it is not asked for. Raises Invalid."""
    if not flag(request, "explain"):
        return {}
    assert draft.id is not None
    now, job = site.scheduler.clock.now(), site.scheduler.folds.jobs.get(draft.id)
    planned = now if job is None or replans(job.spec, draft.spec) else job.planned
    return {"schedule_explained": _explained(draft.spec, (planned, now, draft.id), 1)}


def _explained(spec: JobSpec, when: tuple[Instant, Instant, JobId], count: int) -> dict[str, object]:
    """A schedule that a job set at a moment, and its first ticks from another one on."""
    planned, since, job = when
    schedule = schedule_of(spec, planned, job)
    ticks = islice(walk(schedule, Instant(since - 1)), count) if schedule else ()
    why = {tick: moved(schedule, tick) for tick in ticks}
    return kala_ticks.explained_fields(explain(spec, planned, job), why, spec.timezone)


NEXT: Final = Row(
    method="GET",
    pattern=f"{_API}/job/{{id}}/next/",
    handler=get_next,
    summary="Read when the job is due next",
    parameters=(_COUNT,),
    replies=(
        Reply(status=200, about="The next times.", schema="Next"),
        WRONG,
        NO_JOB,
    ),
)

SCHEDULE: Final = Row(
    method="GET",
    pattern=f"{_API}/schedule/",
    handler=explain_schedule,
    summary="Explain a schedule: what kind it is, what it says in words, when it is due",
    parameters=(
        Parameter(name="expr", kind="string", about="A schedule as a job has it, or several with | in between."),
        Parameter(name="from", kind="string", about="RFC 3339: ticks from then on; now if not given."),
        _COUNT,
        Parameter(name="timezone", kind="string", about="An IANA zone, as a job's."),
        Parameter(name="job", kind="string", about="The id of the job that is to have it: ~ depends on that."),
        Parameter(name="dst_gap", kind="string", about="As a job's."),
        Parameter(name="dst_fold", kind="string", about="As a job's."),
        Parameter(name="starts_at", kind="string", about="As a job's."),
        Parameter(name="expires_at", kind="string", about="As a job's."),
    ),
    replies=(
        Reply(status=200, about="What it means.", schema="Explained"),
        Reply(status=400, about="A value is wrong; of a cron expression the column too.", schema="Error"),
    ),
)

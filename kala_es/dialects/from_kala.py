"""Jobs of a NextKala server: its list of jobs, as `GET /api/v1/job/` gives it, with what is odd about it.

- A schedule stays as it is. What remains of an `R<n>` that has begun is what its grid, start + k x interval, still has;
  there, runs were counted, and each was planned from the last.
- The server there appends children to their parents' dependents: here a child names its parents, and that is enough.
- It writes headers of its own into remote jobs, and the tokens of callers.
"""

from collections.abc import Mapping
from typing import Any, Final

from kala_es.dialects import go_json, kala
from kala_es.dialects.coming import Coming
from kala_es.dialects.go_json import Malformed, instant_text
from kala_es.dialects.kala_declared import without_children
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.domain.plan import schedule_of

KEYS: Final = frozenset(
    {
        "name",
        "id",
        "command",
        "owner",
        "disabled",
        "dependent_jobs",
        "parent_jobs",
        "on_failure_job",
        "schedule",
        "retries",
        "epsilon",
        "next_run_at",
        "TemplateDelimiters",
        "resume_at_next_scheduled_time",
        "metadata",
        "type",
        "remote_properties",
        "is_done",
    }
)
_RUN_HEADERS: Final = ("nextkala-jobid", "nextkala-runid")


def translate(body: bytes, now: Instant) -> Coming:
    """The jobs of a list, as they are to go on at `now`. Raises Invalid when it is no list of NextKala's."""
    listed = go_json.loads(body)
    jobs = listed.get("jobs") if type(listed) is dict else None
    if type(jobs) is not dict:
        raise Malformed("jobs", "NextKala's list is an object with the key jobs: id to job")
    coming = Coming()
    sound = {job: fields for job, fields in jobs.items() if _is_sound(coming, job, fields)}
    declared = without_children(sound)
    for job in _family_order(sound):
        fields = sound[job]
        try:
            coming.jobs[job] = _job(coming, declared[job], {**fields, "id": job}, now=now)
        except Invalid as error:
            coming.refuse(job, error)
            continue
        _clean_headers(coming, job)
        for key in sorted(set(fields) - KEYS):
            coming.note(job, key, "is no key of NextKala's; not carried over")
    return coming


def _family_order(jobs: dict[str, dict[str, Any]]) -> list[str]:
    """Each job, then those that follow it as it lists them: the order in which children are started is that in which
    they are made."""
    found: dict[str, None] = {}
    waiting = [*reversed(jobs), *(job for job in reversed(jobs) if not jobs[job].get("parent_jobs"))]
    while waiting:
        job = waiting.pop()
        if job in jobs and job not in found:
            found[job] = None
            waiting += reversed(jobs[job].get("dependent_jobs") or [])
    return list(found)


def _is_sound(coming: Coming, job: str, fields: Any) -> bool:
    """Whether it can be looked at at all."""
    lists = ("dependent_jobs", "parent_jobs")
    if type(fields) is not dict:
        coming.refuse(job, Invalid("", "must be an object"))
        return False
    for key in lists:
        value = fields.get(key) or []
        if type(value) is not list or any(type(item) is not str for item in value):
            coming.refuse(job, Invalid(key, "must be an array of ids"))
            return False
    if type(fields.get("remote_properties") or {}) is not dict:
        coming.refuse(job, Invalid("remote_properties", "must be an object"))
        return False
    return True


def _job(coming: Coming, declared: dict[str, Any], fields: Mapping[str, Any], *, now: Instant) -> dict[str, Any]:
    """The declaration with its counters. One that is done there, and would go on here, is disabled."""
    draft = kala.read_job(fields, "")
    job = {key: value for key, value in declared.items() if key in KEYS}
    if fields.get("metadata"):
        job["metadata"] = fields["metadata"]
    if draft.spec.parents:
        return job
    there = go_json.time(fields.get("next_run_at") or go_json.NEVER, "next_run_at")
    name = str(fields["id"])
    plan = schedule_of(draft.spec, now, JobId(name)) if draft.spec.schedule else None
    here = plan.next_after(now) if plan else None
    if fields.get("is_done"):
        if here is not None and not draft.disabled:
            job["disabled"] = True
            coming.note(name, "disabled", "it is done there, but its schedule goes on; disabled here")
    elif not draft.spec.schedule and not draft.counters.finished_runs:
        coming.note(name, "schedule", "it has none and has not run there; here it does not start by itself")
    elif here is not None and there is not None and abs(here - there) > SECOND and not draft.disabled:
        coming.note(name, "next_run_at", f"{instant_text(there)} there, {instant_text(here)} here, by its schedule")
    return job


def _clean_headers(coming: Coming, job: str) -> None:
    remote = coming.jobs[job].get("remote_properties") or {}
    headers = remote.get("headers")
    if not headers:
        return
    kept = {key: value for key, value in headers.items() if key.lower() not in _RUN_HEADERS}
    if len(kept) < len(headers):
        coming.jobs[job]["remote_properties"] = {**remote, "headers": kept}
        coming.note(job, "remote_properties.headers", "without the ids that the server there wrote into them")
    if any(key.lower() == "authorization" for key in kept):
        coming.note(job, "remote_properties.headers", "has an Authorization, which may be a token of that server's own")

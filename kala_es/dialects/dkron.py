"""Dkron's vocabulary for jobs, version 2.2 with the additions of 3 and 4: its JSON, its errors.

- Its `name` is our id, its `displayname` our name, its `metadata` our labels; `concurrency: forbid` is our overlap
  `skip`.
- A job may come from either API. What Dkron has no word for is kept when it replaces a job: a POST here does not undo
  what was set there.
- JSON is read as Go reads it (go_json.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kala_es import limits
from kala_es.dialects import go_json
from kala_es.dialects.dkron_work import executor_of, read_work
from kala_es.dialects.go_json import Malformed, dumps, instant_text, struct
from kala_es.dialects.refusals import reason_of
from kala_es.domain.cron import ZONE_PREFIXES
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.labels import Labels
from kala_es.domain.model import Counters, Job, JobDraft, JobSpec
from kala_es.domain.notify import MAIL, Notify, Target
from kala_es.domain.placement import fits
from kala_es.domain.tick_policy import Overlap
from kala_es.domain.values import replace

_REFUSED: Final = "Job contains invalid value: "
_UNREADABLE: Final = "Unable to parse payload: "
_NAMES: Final[Mapping[str, str]] = {
    "id": "name",
    "labels": "metadata",
    "node_tags": "tags",
    "parent_jobs": "parent_job",
    "overlap": "concurrency",
    "command": "executor_config.command",
    "timeout": "executor_config.timeout",
    "memory_limit": "executor_config.mem_limit",
    "user": "executor_config.su",
    "group": "executor_config.su",
    "env": "executor_config.env",
    "cwd": "executor_config.cwd",
    "remote_properties.url": "executor_config.url",
    "remote_properties.timeout": "executor_config.timeout",
    "remote_properties.expected_body": "executor_config.expectBody",
    "remote_properties.ca_file": "executor_config.tlsRootCAsFile",
    "remote_properties.client_certificate_file": "executor_config.tlsCertificateFile",
    "remote_properties.client_key_file": "executor_config.tlsCertificateKeyFile",
}
"""The domain's word for a field -> Dkron's."""


# Reading


def parse_job(body: bytes) -> dict[str, Any]:
    """The fields that a job's JSON gives. Raises Malformed."""
    return read_fields(go_json.loads(body))


def read_fields(value: Any) -> dict[str, Any]:
    """The fields that a JSON value gives. Raises Malformed, Invalid."""
    return go_json.fields(value, _JOB)


def parse_jobs(body: bytes) -> list[dict[str, Any]]:
    """The jobs of a backup: what `GET /v1/jobs` answered. Raises Invalid with `[i].key`."""
    listed = go_json.loads(body)
    if type(listed) is not list:
        raise Malformed("", "a backup is an array of jobs")
    if len(listed) > limits.MAX_BULK_JOBS:
        raise Invalid("", f"more than {limits.MAX_BULK_JOBS} jobs")
    found: list[dict[str, Any]] = []
    for i, job in enumerate(listed):
        try:
            found.append(read_fields(job))
        except Invalid as error:
            raise type(error)(f"[{i}].{error.field}".rstrip("."), error.reason) from None
    return found


def draft_of(read: Mapping[str, Any], jobs: Mapping[JobId, Job], *, default_owner: str = "") -> JobDraft:
    """The job that these fields describe, beside the jobs that there are. Raises Invalid with Dkron's key."""
    name = JobId(read.get("name", ""))
    present = jobs.get(name)
    if present is None:
        check_name(name)
    spec = present.spec if present is not None else JobSpec(name=name)
    parent = read.get("parent_job", "")
    if parent == name:
        raise Invalid("parent_job", "the job can not have itself as parent")
    if not parent and not read.get("schedule") and (present is None or spec.schedule or spec.parents):
        raise Invalid("schedule", "can't parse job schedule: empty spec string")
    kept = (spec.parents or ())[1:] if parent and (spec.parents or ("",))[0] == parent else ()
    spec = replace(
        read_work(spec, read.get("executor", ""), dict(read.get("executor_config", ()))),
        name=read.get("displayname") or name,
        owner=read.get("owner") or default_owner,
        schedule="" if parent else read.get("schedule", ""),
        timezone=_zone_beside(read.get("schedule", ""), read.get("timezone", "")),
        retries=read.get("retries", 0),
        parents=(JobId(parent), *kept) if parent else None,
        labels=read.get("metadata", ()),
        tags=read.get("tags", ()),
        processors=read.get("processors", ()),
        ticks=replace(spec.ticks, overlap=_overlap(read.get("concurrency", ""), spec.ticks.overlap)),
        bounds=replace(spec.bounds, **{key: read.get(key, default) for key, default in _BOUNDS.items()}),
        notify=_notify(spec.notify, read.get("owner_email", "")),
    )
    return JobDraft(id=name, spec=spec, disabled=read.get("disabled", False), counters=_counters(read))


def _zone_beside(schedule: str, zone: str) -> str:
    """There a zone within the schedule goes before the one beside it, which then says nothing."""
    return "" if schedule.lstrip().startswith(ZONE_PREFIXES) else zone


def check_name(name: str) -> None:
    """Raise Invalid unless Dkron would take the name."""
    if not name:
        raise Invalid("name", "name cannot be empty")
    if len(name) > limits.MAX_ID_CHARS:
        raise Invalid("name", f"longer than {limits.MAX_ID_CHARS} characters")
    wrong = next((c for c in name if not (c.islower() or c.isdigit() or c in "_-")), None)
    if wrong is not None:
        raise Invalid("name", f"name contains illegal character {wrong!r}")


def _overlap(concurrency: str, present: Overlap) -> Overlap:
    """`allow` leaves a policy that Dkron has no word for as it is."""
    if concurrency == "forbid":
        return "skip"
    return "allow" if present == "skip" else present


def _concurrency(value: Any, field: str) -> str:
    word = go_json.text(value, field)
    if word not in ("", "allow", "forbid"):
        raise Invalid(field, 'invalid concurrency policy value, use "allow" or "forbid"')
    return word


def _mail_of(notify: Notify) -> str:
    """The address that its owner is told at."""
    addresses = [target.to for target in notify.targets or () if target.to.startswith(MAIL)]
    return addresses[0].removeprefix(MAIL) if addresses else ""


def _notify(present: Notify, mail: str) -> Notify:
    old = _mail_of(present)
    if mail == old:
        return present
    others = tuple(target for target in present.targets or () if target.to != MAIL + old)
    return replace(present, targets=(*others, Target(to=MAIL + mail)) if mail else others or None)


def _counters(read: Mapping[str, Any]) -> Counters:
    """Counts are of attempts there; a run that succeeded is one whose attempt did."""
    good, bad = read.get("success_count", 0), read.get("error_count", 0)
    times = [moment for key in ("last_success", "last_error") if (moment := read.get(key)) is not None]
    return Counters(
        success_count=good,
        error_count=bad,
        last_success=read.get("last_success"),
        last_error=read.get("last_error"),
        last_attempted_run=max(times, default=None),
        finished_runs=good + bad,
    )


def _ignored(value: Any, field: str) -> None:
    """What the server there computes."""


_BOUNDS: Final[Mapping[str, Any]] = {"starts_at": None, "expires_at": None, "ephemeral": False}
_JOB: Final = struct(
    *((key, key, go_json.text) for key in ("name", "displayname", "timezone", "schedule", "owner", "owner_email")),
    *((key, key, go_json.text) for key in ("parent_job", "executor")),
    *((key, key, go_json.unsigned) for key in ("success_count", "error_count", "retries")),
    *((key, key, go_json.time) for key in ("last_success", "last_error", "expires_at", "starts_at")),
    *((key, key, go_json.flag) for key in ("disabled", "ephemeral")),
    *((key, key, go_json.text_map) for key in ("tags", "metadata", "executor_config")),
    ("concurrency", "concurrency", _concurrency),
    ("processors", "processors", go_json.text_maps),
    *((key, key, _ignored) for key in ("dependent_jobs", "status", "next", "id")),
)


# Writing


def job_fields(job: Job, dependents: Sequence[JobId], tags: Labels) -> dict[str, Any]:
    """A job's JSON object: the keys of 2.2 in its order, then the later ones."""
    spec, counters = job.spec, job.counters
    executor, config = executor_of(spec)
    return {
        "name": job.id,
        "displayname": "" if spec.name == job.id else spec.name,
        "timezone": spec.timezone,
        "schedule": spec.schedule,
        "owner": spec.owner,
        "owner_email": _mail_of(spec.notify),
        "success_count": counters.success_count,
        "error_count": counters.error_count,
        "last_success": _some_time(counters.last_success),
        "last_error": _some_time(counters.last_error),
        "disabled": job.disabled,
        "tags": dict(spec.tags) or None,
        "metadata": dict(spec.labels) or None,
        "retries": spec.retries,
        "dependent_jobs": list(dependents) or None,
        "parent_job": (spec.parents or ("",))[0],
        "processors": {name: dict(config) for name, config in spec.processors},
        "concurrency": "forbid" if spec.ticks.overlap == "skip" else "allow",
        "executor": executor,
        "executor_config": config or None,
        "status": status_of(job, tags),
        "next": instant_text(None if job.disabled else job.next_tick),
        "id": job.id,
        "ephemeral": spec.bounds.ephemeral,
        "expires_at": _some_time(spec.bounds.expires_at),
        "starts_at": _some_time(spec.bounds.starts_at),
    }


def _some_time(moment: Instant | None) -> str | None:
    return None if moment is None else instant_text(moment)


def status_of(job: Job, tags: Labels) -> str:
    """How the last run ended: "" when none has; or that no node has the job's tags. A success after a retry is one."""
    if not fits(job.spec, tags):
        return "unplaced"
    counters = job.counters
    if counters.last_success is None:
        return "failed" if counters.last_error is not None else ""
    return "success" if counters.last_success >= (counters.last_error or counters.last_success) else "failed"


# Errors


def _in_dkrons_words(field: str) -> str:
    """A field, also one within a job of several: `jobs.NAME.parent_jobs`."""
    if field.startswith("jobs."):
        for ours, theirs in _NAMES.items():
            if field.endswith(f".{ours}"):
                return field.removesuffix(ours) + theirs
    return _NAMES.get(field, field)


def error_json(error: Exception, *, initializing: bool = False) -> bytes:
    """The body that answers an error; there most have none. `initializing`: a job was to be created or replaced."""
    field, reason = "", reason_of(error)
    if isinstance(error, Invalid) and error.field:
        field = _in_dkrons_words(error.field)
        reason = f"{field}: {reason}"
    if initializing and isinstance(error, Malformed):
        reason = f"{_UNREADABLE}{reason}"
    elif initializing and isinstance(error, Invalid):
        reason = f"{_REFUSED}{reason}"
    return dumps({"error": reason, "field": field} if field else {"error": reason})

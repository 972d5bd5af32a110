"""NextKala's vocabulary, the one place for its JSON keys, statuses and quirks: bytes to our values, and back.

- Reading follows Go (go_json). What is wrong about JSON or a type is Malformed; what no job may be is Invalid.
- Writing gives the original's keys first, all of them and in its order, then our own. A job's own keys are there
  only when they say something. `<`, `>` and `&` are escaped; the edge adds the newline.
- Never is `0001-01-01T00:00:00Z` under the original's keys and null under ours. A list or map that nobody gave is null.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol

from kala_es import limits
from kala_es.dialects import go_json, kala_own, kala_remote, kala_ticks
from kala_es.dialects.go_json import Malformed, dumps, struct
from kala_es.dialects.go_json import instant_text as instant_text
from kala_es.dialects.refusals import reason_of, status_of
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import NOTHING_DONE, Cause, Counters, Job, JobDraft, JobKind, JobSpec, Outcome
from kala_es.domain.named_work import NO_NAMED, NamedWork
from kala_es.domain.template_functions import Value
from kala_es.domain.tick_policy import Covered

INIT_PREFIX: Final = "Error occurred when initializing the job"
"""How the original begins the text when its rules refuse a job."""

_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_CHECKED_ONLY: Final = "checked only"
"""Stands in for an attribute when a field's type is checked and its value not used."""


# Reading


def parse_job(body: bytes, *, default_owner: str = "") -> JobDraft:
    """The job of a creation or replacement. Raises Invalid with the JSON key, "" for the whole body."""
    return read_job(go_json.loads(body), default_owner)


def parse_jobs(body: bytes, *, default_owner: str = "") -> list[JobDraft]:
    """The jobs of a bulk creation: a JSON array, or one job a line. Raises Invalid with `[i].key`."""
    drafts: list[JobDraft] = []
    items = _items(body)
    for i, item in enumerate(islice(items, limits.MAX_BULK_JOBS)):
        try:
            value = go_json.loads(item) if isinstance(item, bytes) else item
            drafts.append(read_job(value, default_owner))
        except Invalid as error:
            raise type(error)(f"[{i}].{error.field}".rstrip("."), error.reason) from None
    if any(True for _ in items):
        raise Malformed("", f"more than {limits.MAX_BULK_JOBS} jobs")
    return drafts


def _items(body: bytes) -> Iterator[Any]:
    """The array's elements, or the lines that are not blank, as bytes."""
    if body.lstrip()[:1] == b"[":
        return iter(go_json.loads(body))
    return (line for line in body.split(b"\n") if line and not line.isspace())


def read_job(value: Any, default_owner: str) -> JobDraft:
    """The job of a JSON value. An absent object (null) is a job without a name, for the rules to refuse."""
    read = go_json.fields(value, _JOB) if value is not None else {}
    read.pop(_CHECKED_ONLY, None)
    job, disabled = read.pop("id", None), read.pop("disabled", False)
    counters = read.pop("counters", NOTHING_DONE)
    if default_owner and not read.get("owner"):
        read["owner"] = default_owner
    read.setdefault("name", "")
    kala_own.gather(read)
    read["kind"] = _kind_of(read.get("kind", 0), read.get("named", NO_NAMED))
    return JobDraft(spec=JobSpec(**read), id=job, disabled=disabled, counters=counters)


def parse_status(body: bytes) -> str:
    """What a client says of a run: a JSON string, any; null is empty. Raises Malformed."""
    value = go_json.loads(body)
    return "" if value is None else go_json.text(value, "")


def _id(value: Any, field: str) -> JobId | None:
    job = go_json.text(value, field)
    if len(job) > limits.MAX_ID_CHARS:
        raise Invalid(field, f"longer than {limits.MAX_ID_CHARS} characters")
    if _UNPRINTABLE.search(job):
        raise Invalid(field, "contains a control character")
    return JobId(job) if job else None


def _kind(value: Any, field: str) -> int:
    number = go_json.integer(value, field)
    if number not in _TYPES.values():
        raise Invalid(field, f"must be 0 (local), 1 (remote) or 2 (of an executor), not {number}")
    return number


def _kind_of(number: int, named: NamedWork) -> JobKind:
    """The type that was given; who names an executor need not say that it is 2."""
    if number == _TYPES["remote"]:
        if named != NO_NAMED:
            raise Invalid("executor" if named.executor else "executor_config", "a remote job (type 1) has none")
        return "remote"
    return "named" if number or named.executor else "local"


def _counters(value: Any, field: str) -> Counters:
    return Counters(**go_json.fields(value, _COUNTERS, field))


_TYPES: Final[Mapping[JobKind, int]] = {"local": 0, "remote": 1, "named": 2}
_COUNTERS: Final = struct(
    ("success_count", "success_count", go_json.unsigned),
    ("last_success", "last_success", go_json.time),
    ("error_count", "error_count", go_json.unsigned),
    ("last_error", "last_error", go_json.time),
    ("last_attempted_run", "last_attempted_run", go_json.time),
    ("number_of_finished_runs", "finished_runs", go_json.unsigned),
)
_JOB: Final = struct(
    ("name", "name", go_json.text),
    ("id", "id", _id),
    ("command", "command", go_json.text),
    ("owner", "owner", go_json.text),
    ("disabled", "disabled", go_json.flag),
    ("dependent_jobs", "dependents", go_json.texts),
    ("parent_jobs", "parents", go_json.texts),
    ("on_failure_job", "on_failure_job", go_json.text),
    ("schedule", "schedule", kala_ticks.read_schedule),
    ("retries", "retries", go_json.unsigned),
    ("epsilon", "epsilon", go_json.text),
    ("next_run_at", _CHECKED_ONLY, go_json.time),
    ("TemplateDelimiters", "template_delimiters", go_json.text),
    ("resume_at_next_scheduled_time", "resume_at_next_tick", go_json.flag),
    ("metadata", "counters", _counters),
    ("type", "kind", _kind),
    ("remote_properties", "remote", kala_remote.read_call),
    ("is_done", _CHECKED_ONLY, go_json.flag),
    *((key.name, key.path, key.read) for key in kala_own.KEYS),
)


# Writing


class _RunView(kala_own.PastView, Protocol):
    """What the catalogue of runs says of a run (projections/runs.py)."""

    @property
    def id(self) -> RunId: ...
    @property
    def job(self) -> JobId: ...
    @property
    def cause(self) -> Cause: ...
    @property
    def started(self) -> Instant: ...
    @property
    def tick(self) -> Instant | None: ...
    @property
    def attempts(self) -> int: ...
    @property
    def ended(self) -> Instant | None: ...
    @property
    def outcome(self) -> Outcome | None: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def signal(self) -> int | None: ...
    @property
    def reason(self) -> str: ...
    @property
    def output_digest(self) -> bytes | None: ...
    @property
    def reported(self) -> str | None: ...
    @property
    def stdout_bytes(self) -> int: ...
    @property
    def stderr_bytes(self) -> int: ...
    @property
    def stdout_dropped(self) -> int: ...
    @property
    def stderr_dropped(self) -> int: ...
    @property
    def retry_at(self) -> Instant | None: ...
    @property
    def covers(self) -> Covered | None: ...


class _StatsView(Protocol):
    """The node's counters (projections/stats.py)."""

    jobs: int
    disabled_jobs: int
    error_count: int
    success_count: int
    last_attempted_run: Instant | None


def job_json(job: Job, dependents: Sequence[JobId]) -> bytes:
    """A job. `dependents` are those it names and its children."""
    fields = job_fields(job, dependents)
    if job.pause is not None:
        fields["paused"] = kala_ticks.pause_fields(job.pause)
    return dumps(fields)


def job_fields(job: Job, dependents: Sequence[JobId]) -> dict[str, Any]:
    """A job's JSON object, but for its pause."""
    fields = _fields(job, dependents, instant_text)
    fields["remote_properties"].update(kala_remote.additions(job.spec.remote))
    fields.update(kala_own.additions(job.spec))
    return fields


def _fields(job: Job, dependents: Sequence[JobId], time: Callable[[Instant | None], str]) -> dict[str, Any]:
    """The original's keys of a job."""
    spec, counters = job.spec, job.counters
    return {
        "name": spec.name,
        "id": job.id,
        "command": spec.command,
        "owner": spec.owner,
        "disabled": job.disabled,
        "dependent_jobs": dependents or spec.dependents,
        "parent_jobs": spec.parents,
        "on_failure_job": spec.on_failure_job,
        "schedule": spec.schedule,
        "retries": spec.retries,
        "epsilon": spec.epsilon,
        "next_run_at": time(job.next_tick),
        "TemplateDelimiters": spec.template_delimiters,
        "resume_at_next_scheduled_time": spec.resume_at_next_tick,
        "metadata": {
            "success_count": counters.success_count,
            "last_success": time(counters.last_success),
            "error_count": counters.error_count,
            "last_error": time(counters.last_error),
            "last_attempted_run": time(counters.last_attempted_run),
            "number_of_finished_runs": counters.finished_runs,
        },
        "type": _TYPES[spec.kind],
        "remote_properties": kala_remote.call_fields(spec.remote),
        "is_done": job.is_done,
    }


def run_json(run: _RunView, output: str, *, remote: bool, truncated: bool = False, left_out: bool = False) -> bytes:
    """A run with its output, or the first part of it when `truncated`; `left_out`: the log was made without it."""
    return dumps(
        {
            "id": run.id,
            "job_id": run.job,
            "ran_at": instant_text(run.started),
            "number_of_retries": run.attempts - 1,
            "status": _status(run, remote=remote),
            "execution_duration": _nanoseconds(run),
            "output": go_json.trimmed(output),
            "outcome": run.outcome,
            "exit_code": run.exit_code,
            "signal": run.signal,
            "cause": run.cause,
            "tick": None if run.tick is None else instant_text(run.tick),
            "ended_at": None if run.ended is None else instant_text(run.ended),
            "reason": run.reason,
            "stdout_bytes": run.stdout_bytes + run.stdout_dropped,
            "stderr_bytes": run.stderr_bytes + run.stderr_dropped,
            "output_truncated": truncated or run.stdout_dropped + run.stderr_dropped > 0,
            "output_dropped_bytes": run.stdout_dropped + run.stderr_dropped,
            "retry_at": None if run.retry_at is None else instant_text(run.retry_at),
            "covers": None if run.covers is None else kala_ticks.covers_json(run.covers),
            "output_trimmed": left_out or run.output_digest is not None,
            "output_digest": None if run.output_digest is None else run.output_digest.hex(),
            **kala_own.past_fields(run),
        }
    )


def _status(run: _RunView, *, remote: bool) -> str:
    """A remote run that was accepted stays Started: the other side is to report how it ended."""
    if run.reported is not None:
        return run.reported
    if run.outcome is None:
        return "Started"
    if run.outcome == "succeeded":
        return "Started" if remote else "Success"
    return "Failed"


def _nanoseconds(run: _RunView) -> int:
    """From start to end; the wall clock may have been set back in between."""
    return 0 if run.ended is None else max(run.ended - run.started, 0) * 1000


def stats_json(stats: _StatsView, *, next_run_at: Instant | None, created: Instant) -> bytes:
    """The node's counters. `next_run_at` is when the next run or attempt is due."""
    fields = {
        "active_jobs": stats.jobs - stats.disabled_jobs,
        "disabled_jobs": stats.disabled_jobs,
        "jobs": stats.jobs,
        "error_count": stats.error_count,
        "success_count": stats.success_count,
        "next_run_at": instant_text(next_run_at),
        "last_attempted_run": instant_text(stats.last_attempted_run),
        "created": instant_text(created),
    }
    return dumps({"Stats": fields})


def legacy_stats_json(runs: Iterable[_RunView]) -> bytes:
    """A job's runs in the shape of Kala, NextKala's parent."""
    items = [
        {
            "job_id": run.job,
            "ran_at": instant_text(run.started),
            "number_of_retries": run.attempts - 1,
            "success": _status(run, remote=False) == "Success",
            "execution_duration": _nanoseconds(run),
        }
        for run in runs
    ]
    return dumps({"job_stats": items})


def go_fields(job: Job, dependents: Sequence[JobId]) -> dict[str, Value]:
    """The job as Go templates see it: `{{.Name}}`, `{{.Metadata.SuccessCount}}`."""
    fields = _fields(job, dependents, go_json.printed_time)
    remote = fields["remote_properties"]
    remote["headers"] = remote["headers"] or {}  # Go prints a map that is nil as it prints an empty one
    fields |= {"metadata": _go_names(fields["metadata"]), "remote_properties": _go_names(remote)}
    return _go_names(fields)


def _go_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {_GO_NAMES.get(key) or key.title().replace("_", ""): value for key, value in fields.items()}


_GO_NAMES: Final = {"type": "JobType", "TemplateDelimiters": "TemplateDelimiters"}  # those that are no snake case


def run_headers(job: JobId, run: RunId) -> tuple[tuple[str, str], ...]:
    """What tells the other side of a remote job which run it is."""
    return ("Nextkala-Jobid", job), ("Nextkala-Runid", run)


# Errors


def error_json(error: Exception, *, initializing: bool = False) -> bytes:
    """The body that answers an error. `initializing`: a job was to be created or replaced.

    Then a refusal by the rules begins as the original's does; one of bad JSON or types does not, there as here.
    """
    said: dict[str, Any] = {}
    reason = reason_of(error)
    if isinstance(error, Invalid) and error.field:
        field = error.field.replace("template_delimiters", "TemplateDelimiters")  # the domain's name, and the key
        reason, said = f"{field}: {reason}", {"field": field}
        said |= {} if error.column is None else {"column": error.column}
    if initializing and status_of(error) == 400 and not isinstance(error, Malformed):
        reason = f"{INIT_PREFIX}: {reason}"
    return dumps({"error": reason, **said})

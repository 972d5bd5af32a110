"""The JSON schemas of what the API takes and gives, by the names that the route table uses."""

from typing import Any, Final, get_args

from kala_es.domain.changes import CHANGES
from kala_es.domain.clock_changes import Fold, Gap
from kala_es.domain.declared import Action
from kala_es.domain.model import Cause, DependencyPolicy, Outcome
from kala_es.domain.notify import Occasion
from kala_es.domain.schedule_words import Kind
from kala_es.domain.tick_policy import Overlap
from kala_es.domain.unanswered import Lack
from kala_es.projections.notices import NoticeState
from kala_es.web.dkron_schemas import DKRON_SCHEMAS
from kala_es.web.output_schemas import OUTPUT_SCHEMAS
from kala_es.web.processors_schema import PROCESSORS
from kala_es.web.terms_schema import TERMS

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_TEXTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
_FLAG: Final[Schema] = {"type": "boolean"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TIME: Final[Schema] = {"type": "string", "format": "date-time", "description": "0001-01-01T00:00:00Z for never."}
_SOME_TIME: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_SOME_NUMBER: Final[Schema] = {"type": ["integer", "null"]}
_SOME_IDS: Final[Schema] = {"type": ["array", "null"], "items": _TEXT}
_NANOSECONDS: Final[Schema] = {"type": "integer", "description": "Nanoseconds."}


def _object(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_METADATA: Final[Schema] = _object(
    {
        "success_count": _COUNT,
        "last_success": _TIME,
        "error_count": {**_COUNT, "description": "Attempts that failed."},
        "last_error": _TIME,
        "last_attempted_run": _TIME,
        "number_of_finished_runs": _COUNT,
    }
)
_OURS_OF_REMOTE: Final[Schema] = {
    "lenient": {**_FLAG, "description": "Without expected codes: any answer below 500 is a success."},
    "expected_body": {**_TEXT, "description": "A regular expression that has to be found in the answer's body."},
    "verify_tls": {**_FLAG, "description": "false: any certificate will do."},
    "ca_file": {**_TEXT, "description": "The certificates to trust: an absolute path on the server."},
    "client_certificate_file": {**_TEXT, "description": "The certificate to show: an absolute path on the server."},
    "client_key_file": {**_TEXT, "description": "Its key, if that is in another file."},
    "debug": {**_FLAG, "description": "The output begins with the lines of request and answer."},
}
_REMOTE: Final[Schema] = _object(
    {
        "url": _TEXT,
        "method": _TEXT,
        "body": _TEXT,
        "headers": {"type": ["object", "null"], "additionalProperties": _list(_TEXT)},
        "timeout": {"type": "integer", "description": "Seconds; 0 for the default."},
        "expected_response_codes": {"type": ["array", "null"], "items": {"type": "integer"}},
        **_OURS_OF_REMOTE,
    },
    optional=tuple(_OURS_OF_REMOTE),
)
_ORIGINAL: Final[Schema] = {
    "name": {**_TEXT, "minLength": 1},
    "id": _TEXT,
    "command": _TEXT,
    "owner": _TEXT,
    "disabled": _FLAG,
    "dependent_jobs": _SOME_IDS,
    "parent_jobs": _SOME_IDS,
    "on_failure_job": _TEXT,
    "schedule": {
        **_TEXT,
        "description": "R[n]/start/interval (ISO 8601) or cron, or several with | in between; empty: once, now.",
    },
    "retries": _COUNT,
    "epsilon": {**_TEXT, "description": "An ISO 8601 duration."},
    "next_run_at": _TIME,
    "TemplateDelimiters": {
        **_TEXT,
        "description": "Two words that enclose templates in command, url, body and config.",
    },
    "resume_at_next_scheduled_time": _FLAG,
    "metadata": _METADATA,
    "type": {"type": "integer", "enum": [0, 1, 2], "description": "0 local, 1 remote, 2 of an executor."},
    "remote_properties": _REMOTE,
    "is_done": _FLAG,
}
_TARGET: Final[Schema] = _object(
    {
        "to": {**_TEXT, "description": "mail (to the owner), mailto:ADDRESS, or an http(s) URL."},
        "when": _list({"enum": [*get_args(Occasion)]}),
        "template": {**_TEXT, "description": "A Go template for what is sent; empty for the standard text or JSON."},
        "headers": {"type": "object", "additionalProperties": _TEXT},
    },
    optional=("when", "template", "headers"),
)
_NOTICE: Final[Schema] = {
    "id": _TEXT,
    "job_id": _TEXT,
    "run_id": {"type": ["string", "null"]},
    "when": {"enum": [*get_args(Occasion)]},
    "to": _TEXT,
    "text": _TEXT,
    "at": _TIME,
    "state": {"enum": [*get_args(NoticeState)]},
    "attempts": _COUNT,
    "last_attempt_at": _SOME_TIME,
    "next_attempt_at": _SOME_TIME,
    "status": _SOME_NUMBER,
    "reason": _TEXT,
}
_OURS: Final[Schema] = {
    "timezone": {**_TEXT, "description": "An IANA zone for the schedule's calendar or clock."},
    "shell": {**_FLAG, "description": "Run the command by /bin/sh -c."},
    "env": {"type": "object", "additionalProperties": _TEXT},
    "cwd": _TEXT,
    "stdin": _TEXT,
    "timeout": {**_TEXT, "description": "An ISO 8601 duration for each attempt."},
    "dependency_policy": {"type": "string", "enum": [*get_args(DependencyPolicy)]},
    **TERMS,
    "notify": {**_list(_TARGET), "description": "Who is told of what; [] for nobody."},
    "expected_duration": {**_TEXT, "description": "An ISO 8601 duration; a longer run is overdue."},
    "overlap": {"type": "string", "enum": [*get_args(Overlap)]},
    "catch_up": {"type": "string", "enum": ["one", "none", "all"]},
    "catch_up_window": {**_TEXT, "description": "An ISO 8601 duration: how old a tick may be that is made up."},
    "jitter": {**_TEXT, "description": "An ISO 8601 duration over which jobs are spread."},
    "starting_deadline": {**_TEXT, "description": "An ISO 8601 duration after which a tick starts nothing."},
    "dst_gap": {"enum": [*get_args(Gap)], "description": "A time of day that a clock skips: at the gap's end, or not."},
    "dst_fold": {"enum": [*get_args(Fold)], "description": "A time of day that comes twice: which of them are due."},
    "keep_runs": {**_COUNT, "description": "Keep the output of so many runs; 0 leaves it to the server."},
    "keep_for": {**_TEXT, "description": "Keep output for this ISO 8601 duration after a run's end."},
    "keep_output_bytes": {**_COUNT, "description": "Keep so many bytes of output in all."},
    "managed_by": {**_TEXT, "description": "From where the job is kept in step; empty when it was made by hand."},
    "labels": {**_TEXTS, "description": "Words to find the job by, key to value."},
    "node_tags": {**_TEXTS, "description": "Those of the nodes that may run it."},
    "starts_at": {**_TIME, "description": "Earlier ticks are none."},
    "expires_at": {**_TIME, "description": "Later ticks are none."},
    "ephemeral": {**_FLAG, "description": "Delete the job when a run of it has succeeded."},
    "executor": {**_TEXT, "description": "An executor that a package brings; GET /v1/executors has their names."},
    "executor_config": {**_TEXTS, "description": "What it is told, as its schema says."},
    "processors": PROCESSORS,
}
_PAUSE: Final[Schema] = _object({"reason": _TEXT, "until": _SOME_TIME, "by": _TEXT, "since": _TIME})
_COVERS: Final[Schema] = _object({"first": _TIME, "last": _TIME, "count": _COUNT})
_TICK: Final[Schema] = {
    "tick": _TIME,
    "outcome": {"enum": ["started", "skipped", "missed", "waiting", "coming"]},
    "at": _SOME_TIME,
    "run": {"type": ["string", "null"]},
    "reason": _TEXT,
    "made_up_by": {"type": ["string", "null"]},
    "moved": {**_TEXT, "description": "Why it is at another moment than usual, when clocks change."},
}
_MOVED: Final[Schema] = _list(_object({"tick": _TIME, "because": _TEXT}))
_NEXT: Final[Schema] = {"next": _list(_TIME), "timezone": _TEXT, "moved": _MOVED}
_EXPLAINED: Final[Schema] = {"kind": {"enum": [*get_args(Kind)]}, "words": _TEXT, **_NEXT}
_ON_REQUEST: Final[Schema] = {"schedule_explained": _object(_EXPLAINED, optional=("moved",))}
_SCHEDULES: Final[Schema] = {**_ORIGINAL["schedule"], "type": ["string", "array"], "items": _TEXT}
_FIELDS: Final[Schema] = {
    "type": "object",
    "description": "By name: the value before, and after.",
    "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2},
}
_CHANGE: Final[Schema] = {
    "position": _COUNT,
    "time": _TIME,
    "principal": _TEXT,
    "type": {"enum": [kind.__name__ for kind in CHANGES]},
    "fields": _FIELDS,
    "until": _SOME_TIME,
    "reason": _TEXT,
    "with_parent": {**_TEXT, "description": "The deleted parent that took the job along."},
}
_A_CHANGE: Final = _object(_CHANGE, optional=("until", "reason", "with_parent"))
_ATTEMPT: Final[Schema] = {
    "attempt": _COUNT,
    "at": _TIME,
    "outcome": {"enum": [*get_args(Outcome)]},
    "exit_code": _SOME_NUMBER,
    "signal": _SOME_NUMBER,
    "reason": _TEXT,
    "retry_at": _SOME_TIME,
}
_CAUSE: Final[Schema] = {
    "run": _TEXT,
    "job": _TEXT,
    "cause": {"enum": [*get_args(Cause)]},
    "principal": _TEXT,
    "tick": _SOME_TIME,
    "started_at": _TIME,
    "ended_at": _SOME_TIME,
    "outcome": {"enum": [*get_args(Outcome), "skipped", None]},
    "reason": _TEXT,
    "attempts": _COUNT,
    "retried": {**_list(_object(_ATTEMPT)), "description": "Of the first run: its attempts that were tried again."},
}
_WHY: Final[Schema] = {
    **{name: schema for name, schema in _TICK.items() if name != "outcome"},
    "outcome": {"enum": [*_TICK["outcome"]["enum"], *get_args(Lack)]},
    "schedule": {"type": ["string", "null"], "description": "The one that held then."},
    "timezone": {"type": ["string", "null"]},
    "change": {"anyOf": [_A_CHANGE, {"type": "null"}], "description": "The one that brought it about."},
    "chain": _list(_object(_CAUSE, optional=("retried",))),
}
_RUN: Final[Schema] = {
    "id": _TEXT,
    "job_id": _TEXT,
    "ran_at": _TIME,
    "number_of_retries": _COUNT,
    "status": {**_TEXT, "description": "Started, Success, Failed, or what a client reported."},
    "execution_duration": _NANOSECONDS,
    "output": {**_TEXT, "description": "Both channels as they came, trimmed."},
    "outcome": {"enum": [*get_args(Outcome), None]},
    "exit_code": _SOME_NUMBER,
    "signal": _SOME_NUMBER,
    "cause": {"enum": [*get_args(Cause)]},
    "tick": _SOME_TIME,
    "ended_at": _SOME_TIME,
    "reason": _TEXT,
    "stdout_bytes": _COUNT,
    "stderr_bytes": _COUNT,
    "output_truncated": _FLAG,
    "output_dropped_bytes": _COUNT,
    "retry_at": _SOME_TIME,
    "covers": {"anyOf": [_COVERS, {"type": "null"}]},
    "output_trimmed": {**_FLAG, "description": "The output is kept no longer; its sizes and digest are."},
    "output_digest": {"type": ["string", "null"], "description": "BLAKE2b, 32 bytes, of a trimmed run's output."},
    "redacted": {"anyOf": [_object({"at": _TIME, "reason": _TEXT, "by": _TEXT}), {"type": "null"}]},
    "imported": {"anyOf": [_object({"source": _TEXT, "id": _TEXT}), {"type": "null"}]},
}
_EXECUTION: Final[Schema] = {
    "id": {**_TEXT, "minLength": 1, "description": "Its id there."},
    "ran_at": _TIME,
    "ended_at": _TIME,
    "outcome": {"enum": [*get_args(Outcome)]},
    "number_of_retries": _COUNT,
    "exit_code": _SOME_NUMBER,
    "reason": _TEXT,
    "output": _TEXT,
}
_MAY_LACK: Final = ("number_of_retries", "exit_code", "reason", "output")
_STEP: Final[Schema] = {
    "id": _TEXT,
    "action": {"enum": [*get_args(Action)]},
    "fields": {
        "type": "object",
        "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2},
        "description": "What differs, before and after.",
    },
    "field": _TEXT,
    "reason": _TEXT,
}
_STATS: Final[Schema] = {
    "active_jobs": _COUNT,
    "disabled_jobs": _COUNT,
    "jobs": _COUNT,
    "error_count": _COUNT,
    "success_count": _COUNT,
    "next_run_at": _TIME,
    "last_attempted_run": _TIME,
    "created": _TIME,
}
_DAY: Final[Schema] = {
    "date": {**_TEXT, "format": "date"},
    "success_count": _COUNT,
    "failed_count": {**_COUNT, "description": "Runs that ended otherwise."},
}
_VARS: Final[Schema] = {
    "cmdline": {**_list(_TEXT), "description": "Texts that may be secret are left out."},
    "cron_entries": {**_COUNT, "description": "Jobs that have a tick to come."},
    "memstats": _object({"Alloc": _COUNT, "Sys": _COUNT, "NumGC": _COUNT}),
    "node": _TEXT,
    "scheduler_started": {"enum": [0, 1]},
}
_LEGACY_RUN: Final[Schema] = {
    "job_id": _TEXT,
    "ran_at": _TIME,
    "number_of_retries": _COUNT,
    "success": _FLAG,
    "execution_duration": _NANOSECONDS,
}

_DRAFT: Final[Schema] = {**_ORIGINAL, "schedule": _SCHEDULES, **_OURS}

SCHEMAS: Final[Schema] = {
    "Job": _object({**_ORIGINAL, **_OURS, "paused": _PAUSE}, optional=(*_OURS, "paused")),
    "JobDraft": {
        **_object(_DRAFT, optional=tuple(name for name in _DRAFT if name != "name")),
        "description": "Keys in any letter case; what is unknown is ignored.",
    },
    "JobDrafts": _list(_ref("JobDraft")),
    "Apply": _object(
        {
            "jobs": {"type": "object", "additionalProperties": _ref("JobDraft"), "description": "Id to job."},
            "prune": {**_FLAG, "description": "Delete the jobs of the same managed_by that are not among these."},
            "dry_run": {**_FLAG, "description": "Only say what would become of each."},
            "begun": {**_FLAG, "description": "They were planned elsewhere: none starts because it is new here."},
            "managed_by": {**_TEXT, "description": "Marks the jobs; apply if not given."},
        },
        optional=("prune", "dry_run", "begun", "managed_by"),
    ),
    "RunImport": _object(
        {
            "source": {**_TEXT, "minLength": 1, "description": "From where they come, such as nextkala."},
            "executions": _list(_object(_EXECUTION, optional=_MAY_LACK)),
            "dry_run": {**_FLAG, "description": "Only say what would become of each."},
        },
        optional=("dry_run",),
    ),
    "ImportReport": _object(
        {
            "dry_run": _FLAG,
            "taken": {**_list(_TEXT), "description": "The ids of those that were not here."},
            "known": {**_COUNT, "description": "How many are here, or were and are forgotten."},
            "refused": _list(_object({"id": _TEXT, "field": _TEXT, "reason": _TEXT})),
        }
    ),
    "Plan": _object(
        {
            "dry_run": _FLAG,
            "counts": _object(dict.fromkeys(get_args(Action), _COUNT)),
            "plan": _list(_object(_STEP, optional=("fields", "field", "reason"))),
        }
    ),
    "Log": _object(
        {
            "dry_run": _FLAG,
            "log": _object(
                {
                    "position": {**_COUNT, "description": "Of its last record."},
                    "digest": {**_TEXT, "description": "The log's digest there, as `kala-es verify` prints it."},
                    "records": _COUNT,
                    "erased": {**_COUNT, "description": "Positions without a record."},
                    "output": {**_FLAG, "description": "false: the archive was made without the output of runs."},
                    "jobs": _COUNT,
                }
            ),
        }
    ),
    "Taken": {"oneOf": [_ref("Log"), _ref("Plan")]},
    "Jobs": _object({"jobs": {"type": "object", "additionalProperties": _ref("Job")}}),
    "WrappedJob": _object({"job": _ref("Job"), **_ON_REQUEST}, optional=(*_ON_REQUEST,)),
    "Created": _object({"id": _TEXT, **_ON_REQUEST}, optional=(*_ON_REQUEST,)),
    "CreatedJobs": _object({"ids": _list(_TEXT)}),
    "Run": _object(_RUN),
    "Runs": _object({"job_stats": _list(_ref("Run"))}),
    "WrappedRun": _object({"job_run": _ref("Run")}),
    "LegacyStats": _object({"job_stats": _list(_object(_LEGACY_RUN))}),
    "Stats": _object({"Stats": _object(_STATS)}),
    "DayStats": _object({"stats": _list(_object(_DAY))}),
    "DebugVars": _object(_VARS),
    "Metrics": {**_TEXT, "description": "Prometheus' text format, version 0.0.4."},
    "Notices": _object({"notices": _list(_object(_NOTICE))}),
    "Compacted": _object({"before_bytes": _COUNT, "after_bytes": _COUNT}),
    "Next": _object(_NEXT, optional=("moved",)),
    "Explained": _object({"expr": _TEXT, **_EXPLAINED}, optional=("moved",)),
    "Ticks": _object({"ticks": _list(_object(_TICK, optional=("moved",)))}),
    "History": _object({"history": _list(_A_CHANGE)}),
    "Why": _object(_WHY, optional=tuple(name for name in _WHY if name not in ("run", "chain"))),
    "Revert": _object({"position": _COUNT}),
    "Redaction": _object({"reason": _TEXT}),
    "PauseDraft": _object({"reason": _TEXT, "until": _SOME_TIME}, optional=("reason", "until")),
    "ServerPause": _object({"paused": {"anyOf": [_PAUSE, {"type": "null"}]}}),
    "Status": {"type": ["string", "null"], "description": "Success, Failed, Running, Started, or any other word."},
    "Health": _object({"status": _TEXT}),
    "Error": _object({"error": _TEXT, "field": _TEXT, "column": _COUNT}, optional=("field", "column")),
    "Stream": {"type": "string", "description": "text/event-stream; the id of an event is its position in the log."},
    "Bytes": {"type": "string", "contentMediaType": "application/octet-stream"},
    "Anything": {},
    **DKRON_SCHEMAS,
    **OUTPUT_SCHEMAS,
}

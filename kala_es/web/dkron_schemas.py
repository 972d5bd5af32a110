"""The JSON schemas of what Dkron's API takes and gives, by the names that the route table uses."""

from typing import Any, Final

from kala_es.dialects.dkron_work import EXECUTORS
from kala_es.options import schema_of_options
from kala_es.web.processors_schema import PROCESSORS

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TIME: Final[Schema] = {"type": "string", "format": "date-time", "description": "0001-01-01T00:00:00Z for never."}
_SOME_TIME: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_SOME_TEXTS: Final[Schema] = {"type": ["object", "null"], "additionalProperties": _TEXT}

_JOB: Final[Schema] = {
    "name": {**_TEXT, "description": "The id: lower-case letters, digits, _ and -."},
    "displayname": _TEXT,
    "timezone": _TEXT,
    "schedule": {**_TEXT, "description": "Cron with six fields or five, @every and the like, or ISO 8601."},
    "owner": _TEXT,
    "owner_email": {**_TEXT, "description": "Who is told when it fails."},
    "success_count": _COUNT,
    "error_count": _COUNT,
    "last_success": _SOME_TIME,
    "last_error": _SOME_TIME,
    "disabled": _FLAG,
    "tags": _SOME_TEXTS,
    "metadata": _SOME_TEXTS,
    "retries": _COUNT,
    "dependent_jobs": {"type": ["array", "null"], "items": _TEXT},
    "parent_job": _TEXT,
    "processors": {**PROCESSORS, "type": ["object", "null"]},
    "concurrency": {"type": "string", "enum": ["allow", "forbid"]},
    "executor": {**_TEXT, "description": "shell, http, or one that a package brings: GET /v1/executors."},
    "executor_config": {
        "anyOf": [{"$ref": "#/components/schemas/V1Shell"}, {"$ref": "#/components/schemas/V1Http"}, _SOME_TEXTS]
    },
    "status": {"type": "string", "enum": ["", "success", "failed", "unplaced"]},
    "next": _TIME,
    "id": _TEXT,
    "ephemeral": _FLAG,
    "expires_at": _SOME_TIME,
    "starts_at": _SOME_TIME,
}
_BESIDE: Final[Schema] = {
    "execution_id": {**_TEXT, "description": "Of the run that the request has started."},
    "execution_refused": {**_TEXT, "description": "Why `runoncreate` has started none."},
    "schedule_explained": {"type": "object", "description": "As GET /api/v1/schedule/ says it, for ?explain=true."},
}
"""What the answer to a request has further."""
_EXECUTION: Final[Schema] = {
    "id": _TEXT,
    "job_name": _TEXT,
    "started_at": _TIME,
    "finished_at": _TIME,
    "success": _FLAG,
    "output": _TEXT,
    "output_trimmed": {**_FLAG, "description": "There if true: the output is kept no longer."},
    "output_truncated": _FLAG,
    "node_name": _TEXT,
    "group": {"type": "integer", "description": "Nanoseconds; beyond what JavaScript's numbers hold: use id."},
    "attempt": {"type": "integer", "minimum": 1},
    "outcome": {"type": ["string", "null"]},
    "exit_code": {"type": ["integer", "null"]},
    "reason": _TEXT,
    "output_bytes": {**_COUNT, "description": "All that it printed."},
}
_OPTIONAL: Final = ("output", "output_trimmed", "output_truncated")
_NOT_GIVEN: Final = ("status", "next", "id", "dependent_jobs")

DKRON_SCHEMAS: Final[dict[str, Schema]] = {
    "V1Job": {
        "type": "object",
        "properties": {**_JOB, **_BESIDE},
        "required": list(_JOB),
    },
    "V1JobDraft": {
        "type": "object",
        "properties": {key: schema for key, schema in _JOB.items() if key not in _NOT_GIVEN},
        "required": ["executor", "executor_config"],
        "examples": [
            {
                "name": "report",
                "schedule": "@daily",
                "executor": "http",
                "executor_config": {"url": "http://127.0.0.1:9/"},
            }
        ],
    },
    "V1Shell": schema_of_options(EXECUTORS["shell"].options),
    "V1Http": schema_of_options(EXECUTORS["http"].options),
    "V1Executors": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": _TEXT,
                "schema": {"type": ["object", "null"], "description": "The JSON schema of its executor_config."},
                "error": {**_TEXT, "description": "Why there is none: the package cannot be loaded."},
            },
            "required": ["name", "schema"],
        },
    },
    "V1Jobs": {"type": "array", "items": {"$ref": "#/components/schemas/V1Job"}},
    "V1Execution": {
        "type": "object",
        "properties": _EXECUTION,
        "required": [key for key in _EXECUTION if key not in _OPTIONAL],
    },
    "V1Executions": {"type": "array", "items": {"$ref": "#/components/schemas/V1Execution"}},
    "V1Restore": {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary", "description": "What GET /v1/jobs answered."}},
        "required": ["file"],
    },
    "V1Paused": {"type": "object", "properties": {"paused": _FLAG}, "required": ["paused"]},
    "V1Health": {"type": "object", "properties": {"status": _TEXT}, "required": ["status"]},
    "Text": _TEXT,
}

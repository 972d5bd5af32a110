"""The JSON schema of a file that declares jobs, from the same tables as the API's description, but stricter."""

from typing import Any

from kala_es import limits
from kala_es.dialects.kala_declared import NOT_DECLARED
from kala_es.web.schemas import SCHEMAS


def jobs_file() -> dict[str, Any]:
    """The schema. A key that the API would ignore is refused here: it is a slip of the pen."""
    draft = SCHEMAS["JobDraft"]
    properties = {key: _strict(value) for key, value in draft["properties"].items() if key not in NOT_DECLARED}
    job = {"type": "object", "properties": properties, "required": ["name"], "additionalProperties": False}
    ids = {"type": "string", "minLength": 1, "maxLength": limits.MAX_ID_CHARS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Jobs for `kala-es apply`",
        "type": "object",
        "properties": {
            "jobs": {
                "type": "object",
                "description": "Id to job; the keys of a job are those of the API (docs/api/http.md).",
                "propertyNames": ids,
                "additionalProperties": job,
                "maxProperties": limits.MAX_BULK_JOBS,
            }
        },
        "required": ["jobs"],
        "additionalProperties": False,
    }


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Objects have known keys only, and need not have all of them; unless they say what else they may have."""
    if "items" in schema:
        return {**schema, "items": _strict(schema["items"])}
    if "properties" not in schema or "additionalProperties" in schema:
        return schema
    required = [key for key in schema.get("required", ()) if key == "to"]  # whom to tell has to be said
    known = {"properties": {key: _strict(value) for key, value in schema["properties"].items()}}
    strict = {**schema, **known, "additionalProperties": False, "required": required}
    return strict if required else {key: value for key, value in strict.items() if key != "required"}

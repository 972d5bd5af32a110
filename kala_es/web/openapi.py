"""The OpenAPI 3.1 description of the route table."""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from kala_es.web.schemas import SCHEMAS
from kala_es.web.table import Parameter, Reply, Row

_MEDIA: Final = {"Bytes": "application/octet-stream", "V1Restore": "multipart/form-data"}
_ABOUT = "A job scheduler on an append-only event log, a drop-in for NextKala and Dkron."


def describe(rows: Iterable[Row], version: str) -> bytes:
    """The document, as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.pattern, {})[row.method.lower()] = _operation(row)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "kala_es", "version": version, "description": _ABOUT, "license": {"name": "MIT"}},
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }
    return msgspec.json.encode(document)


def _operation(row: Row) -> dict[str, Any]:
    named = [_in_path(name) for name in re.findall(r"{(\w+)}", row.pattern)]
    operation: dict[str, Any] = {
        "operationId": row.name,
        "summary": row.summary,
        "parameters": [*named, *map(_parameter, row.parameters)],
        "responses": {str(reply.status): _reply(reply) for reply in row.replies},
    }
    if row.takes:
        media = _MEDIA.get(row.takes, "application/json")
        operation["requestBody"] = {"required": True, "content": _content(row.takes, media)}
    return operation


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.about,
        "schema": {"type": parameter.kind},
    }


def _reply(reply: Reply) -> dict[str, Any]:
    described: dict[str, Any] = {"description": reply.about}
    if reply.schema:
        described["content"] = _content(reply.schema, reply.media)
    return described


def _content(schema: str, media: str) -> dict[str, Any]:
    return {media: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}

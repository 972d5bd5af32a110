"""Records as JSON lines, for `jq` and for people: everything that is in them, and nothing else."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import cbor2

from kala_es.dialects.go_json import instant_text
from kala_es.domain.events import OutputChunk
from kala_es.domain.ids import Instant
from kala_es.event_log import Record
from kala_es.replay.moments import Moment, Source

OutputForm = Literal["text", "base64", "none"]
_PAGE: Final = 500
_CHUNK: Final = OutputChunk.__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records: of a job (its output too), of a type, after `after`, up to `until`. None is all."""

    job: str | None = None
    type: str | None = None
    after: Moment | None = None
    until: Moment | None = None
    output: OutputForm = "text"


def records(source: Source, wanted: Wanted, position: int = 0) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Each position that is read, and its record if it is wanted, in the log's order."""
    while page := source.read_now(position, limit=_PAGE):
        for record in page:
            position = record.position
            if wanted.until is not None and not wanted.until.reaches(position, Instant(record.time)):
                return
            yield position, as_json(record, wanted.output) if _is_wanted(record, wanted) else None


def _is_wanted(record: Record, wanted: Wanted) -> bool:
    if wanted.type is not None and record.type != wanted.type:
        return False
    if wanted.after is not None and wanted.after.reaches(record.position, Instant(record.time)):
        return False
    return wanted.job is None or cbor2.loads(record.body).get("job") == wanted.job


def as_json(record: Record, output: OutputForm = "text") -> dict[str, Any]:
    """A record as an object. Bytes become base64, but for the content of output, which is as `output` says."""
    body = cbor2.loads(record.body)
    if record.type == _CHUNK and isinstance(body.get("content"), bytes):
        body["content"] = _content(body["content"], output)
    return {
        "position": record.position,
        "time": instant_text(Instant(record.time)),
        "stream": record.stream,
        "type": record.type,
        "version": record.version,
        "principal": record.principal,
        "body": body,
    }


def _content(content: bytes, output: OutputForm) -> str | None:
    match output:
        case "text":
            return content.decode("utf-8", "replace")
        case "base64":
            return _text(content)
        case "none":
            return None


def _text(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


_LINES: Final = json.JSONEncoder(ensure_ascii=False, default=_text, separators=(",", ":"))


def line(found: dict[str, Any]) -> str:
    """One line of JSON."""
    return _LINES.encode(found)

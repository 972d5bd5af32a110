"""Records as JSON lines, for `jq` and for people: everything that is in them, and nothing else.

All records of a job are found by the log's index of streams, if it has one. From a position on, all are looked through:
runs that were in flight there are found nowhere else.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import cbor2

from kala_es import codec
from kala_es.dialects.go_json import instant_text
from kala_es.domain.events import OutputChunk, RunStarted
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.event_log import Record
from kala_es.replay.moments import pages
from kala_es.replay.streams import Indexed, Streams

OutputForm = Literal["text", "base64", "none"]
Range = tuple[int, int]
"""After a position, up to another."""
_CHUNK: Final = OutputChunk.__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records: of a job (its output too), of a type. None is all."""

    job: str | None = None
    type: str | None = None
    output: OutputForm = "text"


def records(source: Indexed, wanted: Wanted, within: Range) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Each position that is read, and its record if it is wanted, in the log's order."""
    after, until = within
    if wanted.job is not None and not after:
        after = min(source.indexed, until)
        for record in _of_job(source, JobId(wanted.job), after):
            yield record.position, _shown(record, wanted)
    for page in pages(source, after, until):
        for record in page:
            yield record.position, _shown(record, wanted)


def _of_job(source: Indexed, job: JobId, until: int) -> Iterator[Record]:
    """The records of all streams that have some of a job, up to a position that is indexed."""
    streams, own = Streams(source), codec.job_stream(job)
    for stream in (own, codec.NOTICES_STREAM, codec.HISTORY_STREAM, codec.REDACTIONS_STREAM):
        streams.add(stream, after=0, until=until)
    for record in streams:
        if record.stream == own and record.type == RunStarted.__name__:
            run = RunId(cbor2.loads(record.body)["run"])
            streams.add(codec.run_stream(run), after=record.position, until=until)
        yield record


def _shown(record: Record, wanted: Wanted) -> dict[str, Any] | None:
    is_wanted = wanted.type in (None, record.type) and (
        wanted.job is None or cbor2.loads(record.body).get("job") == wanted.job
    )
    return as_json(record, wanted.output) if is_wanted else None


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

"""Events to records and back: CBOR maps by field name, defaults left out.

1. A record's `type` is the event's name, its `version` says how its body is laid out.
2. The record holds the event's time; the body holds the rest.
3. Old versions are read for ever: an upcaster turns a body into the next version's, one step at a time.
4. A type or version from the future is refused, not guessed at.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from kala_es.domain import events as e
from kala_es.domain import trimming
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.values import from_plain, to_plain
from kala_es.event_log import LogIsNewer, NewRecord, Record

ANONYMOUS: Final = ""
REQUESTS_STREAM: Final = "requests"
NOTICES_STREAM: Final = "notices"
PROCESSORS_STREAM: Final = "processors"
SERVER_STREAM: Final = "server"
HISTORY_STREAM: Final = "history"
BASES_STREAM: Final = "bases"
REDACTIONS_STREAM: Final = "redactions"
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one event type is stored. `upcasters[n]` turns version n's body into version n + 1's."""

    event: type[Any]
    version: int
    upcasters: Mapping[int, Upcaster]


_KINDS: Final[Mapping[str, _Kind]] = {
    kind.__name__: _Kind(kind, 1, {})
    for kind in (
        e.JobCreated,
        e.JobUpdated,
        e.JobEnabled,
        e.JobDisabled,
        e.JobDeleted,
        e.JobPaused,
        e.JobResumed,
        e.HistoryCleared,
        e.RunStarted,
        e.AttemptFailed,
        e.AttemptStarted,
        e.CancelRequested,
        e.OutputChunk,
        e.RunFinished,
        e.RunSkipped,
        e.TickMissed,
        e.StatusReported,
        e.RunImported,
        e.ActorCrashed,
        e.RequestAnswered,
        e.NoticeDue,
        e.NoticeAttempted,
        e.OutputHandedOver,
        e.ProcessorFailed,
        e.ServerPaused,
        e.ServerResumed,
        *trimming.OF_HISTORY,
    )
}


class NotUnderstood(LogIsNewer):
    """A record that this version cannot read; the sentence names its type and version."""


def job_stream(job: JobId) -> str:
    """The stream of a job's records."""
    return f"job:{job}"


def run_stream(run: RunId) -> str:
    """The stream of a run's output."""
    return f"run:{run}"


def stream_of(event: e.Event) -> str:
    """Where an event belongs. Output has a stream of its own, so that a job's history stays short."""
    if isinstance(event, e.OutputChunk):
        return run_stream(event.run)
    if isinstance(event, e.RequestAnswered):
        return REQUESTS_STREAM
    if isinstance(event, e.NoticeEvent):
        return NOTICES_STREAM
    if isinstance(event, e.HandoverEvent):
        return PROCESSORS_STREAM
    if isinstance(event, e.ServerEvent):
        return SERVER_STREAM
    if isinstance(event, trimming.OF_HISTORY):
        return _history_stream(event)
    return job_stream(event.job)


def base_stream(base: int) -> str:
    """The stream of the parts of the base at a position."""
    return f"base:{base}"


def _history_stream(event: trimming.HistoryEvent) -> str:
    match event:
        case trimming.BasePart():
            return base_stream(event.base)
        case trimming.BaseTaken():
            return BASES_STREAM
        case trimming.RunRedacted():
            return REDACTIONS_STREAM
        case _:
            return HISTORY_STREAM


def version_of(event: type[Any]) -> int:
    """The version in which this release writes an event type."""
    return _KINDS[event.__name__].version


def encode(event: e.Event, principal: str = ANONYMOUS) -> NewRecord:
    """The record of an event."""
    name = type(event).__name__
    body = to_plain(event)
    del body["at"]
    return NewRecord(stream_of(event), name, _KINDS[name].version, event.at, principal, cbor2.dumps(body))


def decode(record: Record) -> e.Event:
    """The event of a record. Raises NotUnderstood."""
    kind = _KINDS.get(record.type)
    if kind is None or record.version > kind.version:
        stored = f"{record.type} of version {record.version}"
        raise NotUnderstood(f"position {record.position} holds a {stored}, which this version does not know")
    body = cbor2.loads(record.body)
    if record.version < kind.version:
        for version in range(record.version, kind.version):
            body = kind.upcasters[version](body)
    body["at"] = record.time
    try:
        event: e.Event = from_plain(kind.event, body)
    except ValueError as error:
        raise NotUnderstood(f"position {record.position} holds a {record.type} that cannot be read: {error}") from error
    return event

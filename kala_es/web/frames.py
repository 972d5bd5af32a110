"""Durable events as frames of a text/event-stream, `id:` the position in the log."""

from base64 import b64encode
from typing import Any, Final

import msgspec

from kala_es.dialects import kala_ticks
from kala_es.dialects.go_json import instant_text
from kala_es.domain import events as e
from kala_es.domain.values import to_plain
from kala_es.projections.recorded import Recorded

_INSTANTS: Final = ("at", "tick", "first", "last", "made_up", "started", "ended", "next_at", "retry_at", "until")
_DROPPED: Final = ("stdout_dropped", "stderr_dropped")
_END: Final = ("outcome", "exit_code", "signal", "reason")


def frame(position: int, kind: str, content: dict[str, Any]) -> bytes:
    """One frame. JSON has no line break of its own, so the data is one line."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (position, kind.encode(), _dumps(content))


def _dumps(content: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(content)
    except (TypeError, ValueError, OverflowError):  # a lone surrogate, from a file name in a reason
        mended = {k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in content.items()}
        return msgspec.json.encode(mended, enc_hook=str)


def text_of(content: bytes) -> dict[str, str]:
    """Bytes as text; when they are not UTF-8 (a character may be cut in two) the exact bytes are beside it."""
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"text": content.decode("utf-8", "replace"), "base64": b64encode(content).decode()}


def output_frame(position: int, chunk: e.OutputChunk, offset: int) -> bytes:
    """A piece of output; `offset` counts the bytes of its channel over the whole run."""
    gap = {"dropped": chunk.dropped} if chunk.dropped else {}
    return frame(position, "output", {"channel": chunk.channel, "offset": offset, **gap, **text_of(chunk.content)})


def state_frame(position: int, event: e.Event) -> bytes:
    """What happened to a run; b"" for what is no change of its state."""
    match event:
        case e.RunStarted():
            return frame(position, "state", _facts(event, "started", ("cause", "tick", "after")))
        case e.AttemptFailed():
            told = ("attempt", "retrying", *_END)
            later = event.retry_at is not None
            return frame(position, "state", _facts(event, "attempt-failed", (*told, "retry_at") if later else told))
        case e.AttemptStarted():
            return frame(position, "state", _facts(event, "attempt-started", ("attempt",)))
        case e.CancelRequested():
            return frame(position, "state", _facts(event, "cancel-requested", ()))
        case e.StatusReported():
            return frame(position, "state", _facts(event, "status-reported", ("status",)))
        case e.RunFinished():
            return frame(position, "end", _facts(event, "finished", ("attempts", *_END)))
        case e.RunImported():
            there = ("source", "started", "ended", "attempts", "outcome", "exit_code", "reason")
            return frame(position, "end", _facts(event, "imported", there))
        case _:
            return b""


def _facts(event: e.JobEvent, state: str, told: tuple[str, ...]) -> dict[str, Any]:
    facts = {name: getattr(event, name) for name in told}
    for name in _INSTANTS:
        if name in facts:
            facts[name] = None if facts[name] is None else instant_text(facts[name])
    dropped = {name: getattr(event, name, 0) for name in _DROPPED}
    return {"state": state, "at": instant_text(event.at), **facts, **{k: v for k, v in dropped.items() if v}}


def event_frame(recorded: Recorded) -> bytes:
    """Any event, whole."""
    return frame(recorded.position, type(recorded.event).__name__, event_fields(recorded))


def event_fields(recorded: Recorded) -> dict[str, Any]:
    """An event's position, its type and its fields, those at their default left out."""
    event = recorded.event
    kind = type(event).__name__
    fields = to_plain(event)
    for part in (fields, fields.get("about", {})):
        part |= {name: instant_text(part[name]) for name in _INSTANTS if name in part}
    if isinstance(event, e.RunStarted) and event.covers is not None:
        fields["covers"] = kala_ticks.covers_json(event.covers)
    if isinstance(event, e.OutputChunk):
        fields |= text_of(fields.pop("content", b""))
    return {"position": recorded.position, "type": kind, **fields}

"""Durable events as frames of a text/event-stream, `id:` the position in the log."""

from base64 import b64encode
from typing import Any, Final

import msgspec

from kala_es.dialects import kala_ticks
from kala_es.dialects.go_json import instant_text
from kala_es.domain import events as e
from kala_es.domain.values import to_plain
from kala_es.projections.recorded import Recorded

_INSTANTS: Final = ("at", "tick", "first", "last", "made_up", "until")
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
    return frame(position, "output", {"channel": chunk.channel, "offset": offset, **text_of(chunk.content)})


def state_frame(position: int, event: e.Event) -> bytes:
    """What happened to a run; b"" for what is no change of its state."""
    match event:
        case e.RunStarted():
            return frame(position, "state", _facts(event, "started", ("cause", "tick", "after")))
        case e.AttemptFailed():
            return frame(position, "state", _facts(event, "attempt-failed", ("attempt", "retrying", *_END)))
        case e.CancelRequested():
            return frame(position, "state", _facts(event, "cancel-requested", ()))
        case e.StatusReported():
            return frame(position, "state", _facts(event, "status-reported", ("status",)))
        case e.RunFinished():
            return frame(position, "end", _facts(event, "finished", ("attempts", *_END)))
        case _:
            return b""


def _facts(event: e.JobEvent, state: str, told: tuple[str, ...]) -> dict[str, Any]:
    facts = {name: getattr(event, name) for name in told}
    if "tick" in facts:
        facts["tick"] = None if facts["tick"] is None else instant_text(facts["tick"])
    return {"state": state, "at": instant_text(event.at), **facts}


def event_frame(recorded: Recorded) -> bytes:
    """Any event, whole: its type, its position and its fields, those at their default left out."""
    event = recorded.event
    kind = type(event).__name__
    fields = to_plain(event)
    for name in _INSTANTS:
        if name in fields:
            fields[name] = instant_text(fields[name])
    if isinstance(event, e.RunStarted) and event.covers is not None:
        fields["covers"] = kala_ticks.covers_json(event.covers)
    if isinstance(event, e.OutputChunk):
        fields |= text_of(fields.pop("content", b""))
    return frame(recorded.position, kind, {"position": recorded.position, "type": kind, **fields})

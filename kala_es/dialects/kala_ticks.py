"""Ticks and pauses in JSON: schedules as they are given and explained, the keys of a job's policy for its ticks, pauses
as they are asked for and shown, and lists of ticks."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from kala_es.dialects import go_json
from kala_es.dialects.go_json import Reader, dumps, instant_text, struct
from kala_es.domain.clock_changes import Fold, Gap
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant
from kala_es.domain.schedule_words import Explained
from kala_es.domain.several import SEPARATOR
from kala_es.domain.tick_list import TickOutcome
from kala_es.domain.tick_policy import CatchUp, Covered, Overlap, Pause, PauseDraft


def _one_of(words: tuple[str, ...], default: str = "") -> Reader:
    """A reader of known words; "" is the default. The literals are given back: see domain/values.py."""

    def read(value: Any, field: str) -> str:
        text = go_json.text(value, field) or default
        if text not in words:
            raise Invalid(field, f"must be one of {', '.join(word for word in words if word)}")
        return words[words.index(text)]

    return read


READERS: Final[tuple[tuple[str, Reader], ...]] = (
    ("overlap", _one_of(get_args(Overlap), "allow")),
    ("catch_up", _one_of(get_args(CatchUp))),
    ("catch_up_window", go_json.text),
    ("jitter", go_json.text),
    ("starting_deadline", go_json.text),
    ("dst_gap", _one_of(get_args(Gap), "run-after")),
    ("dst_fold", _one_of(get_args(Fold), "first")),
)
"""The keys of a job's policy for its ticks."""
_PAUSE: Final = struct(("reason", "reason", go_json.text), ("until", "until", go_json.time))


def read_schedule(value: Any, field: str) -> str:
    """A job's schedule; of an array of several the one text."""
    return f" {SEPARATOR} ".join(go_json.texts(value, field)) if type(value) is list else go_json.text(value, field)


def read_on_change(gap: str, fold: str) -> tuple[Gap, Fold]:
    """What a query says of clock changes, "" being the usual. Raises Invalid."""
    read = dict(READERS)
    return read["dst_gap"](gap, "dst_gap"), read["dst_fold"](fold, "dst_fold")


def parse_pause(body: bytes) -> PauseDraft:
    """What a request for a pause says; an empty body says nothing. Raises Invalid."""
    value = go_json.loads(body) if body.strip() else None
    return PauseDraft(**go_json.fields(value, _PAUSE)) if value is not None else PauseDraft()


def parse_moment(text: str, field: str) -> Instant:
    """A moment of a query. Raises Invalid."""
    moment = go_json.time(text, field)
    if moment is None:
        raise Invalid(field, "must be a time that comes once")
    return moment


def pause_fields(pause: Pause) -> dict[str, Any]:
    """A pause, as a job and the server show it."""
    return {
        "reason": pause.reason,
        "until": _moment(pause.until),
        "by": pause.by,
        "since": instant_text(pause.since),
    }


def server_pause_json(pause: Pause | None) -> bytes:
    """Whether the server is paused."""
    return dumps({"paused": None if pause is None else pause_fields(pause)})


def covers_json(covers: Covered) -> dict[str, Any]:
    """The ticks that a run stands for."""
    return {"first": instant_text(covers.first), "last": instant_text(covers.last), "count": covers.count}


def next_fields(ticks: Mapping[Instant, str], timezone: str) -> dict[str, Any]:
    """Coming ticks, each with why it is at another moment than usual, if it is."""
    moved = [{"tick": instant_text(tick), "because": why} for tick, why in ticks.items() if why]
    fields: dict[str, Any] = {"next": [instant_text(tick) for tick in ticks], "timezone": timezone}
    return fields | ({"moved": moved} if moved else {})


def explained_fields(explained: Explained, ticks: Mapping[Instant, str], timezone: str) -> dict[str, Any]:
    """What a schedule says, and its coming ticks."""
    return {"kind": explained.kind, "words": explained.words, **next_fields(ticks, timezone)}


def ticks_json(ticks: Sequence[TickOutcome], moved: Mapping[Instant, str]) -> bytes:
    """A list of ticks; `moved` says why some are at another moment than usual."""
    return dumps({"ticks": [_tick_fields(tick, moved.get(tick.tick, "")) for tick in ticks]})


def _tick_fields(tick: TickOutcome, moved: str) -> dict[str, Any]:
    fields = {
        "tick": instant_text(tick.tick),
        "outcome": tick.outcome,
        "at": _moment(tick.at),
        "run": tick.run,
        "reason": tick.reason,
        "made_up_by": tick.made_up_by,
    }
    return fields | ({"moved": moved} if moved else {})


def _moment(moment: Instant | None) -> str | None:
    return None if moment is None else instant_text(moment)

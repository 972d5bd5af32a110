"""A job's history in JSON: its changes, field by field in the API's own names, and the causes of its runs."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from kala_es.dialects import go_json
from kala_es.dialects.go_json import dumps, instant_text, struct
from kala_es.dialects.kala_declared import fields_json
from kala_es.domain import events as e
from kala_es.domain.changes import Change, Link
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant
from kala_es.domain.model import JobDraft
from kala_es.domain.tick_list import TickOutcome
from kala_es.domain.unanswered import Lack

_REVERT: Final = struct(("position", "position", go_json.integer))


def parse_revert(body: bytes, head: int) -> int:
    """The position whose definition is to come back; the log ends at `head`. Raises Invalid."""
    value = go_json.loads(body) if body.strip() else None
    position = go_json.fields(value, _REVERT).get("position") if value is not None else None
    if position is None:
        raise Invalid("position", "is missing")
    if not 1 <= position <= head:
        raise Invalid("position", f"must be a position of the log, 1 to {head}")
    return int(position)


def changes_json(changes: Iterable[Change]) -> bytes:
    """Changes, with a comma between them."""
    return b",".join(dumps(_change(change)) for change in changes)


def _change(change: Change) -> dict[str, Any]:
    event = change.event
    row = {
        "position": change.position,
        "time": instant_text(event.at),
        "principal": change.principal,
        "type": type(event).__name__,
        "fields": fields_json(change.before, change.after),
    }
    if isinstance(event, e.JobPaused):
        row |= {"until": _moment(event.until), "reason": event.reason}
    elif isinstance(event, e.JobDeleted) and event.cause is not None:
        row["with_parent"] = event.cause
    return row


class Known(NamedTuple):
    """What is known around a tick: the definition that held, why it has no answer if it has none, the change that
    brought its answer about, its runs, and why it is at another moment than usual."""

    draft: JobDraft | None
    lack: tuple[Lack, str] | None
    change: Change | None
    chain: Sequence[Link]
    moved: str = ""


def why_tick_json(tick: Instant, found: TickOutcome | None, known: Known) -> bytes:
    """What became of a tick, what brought that about, and the chain of runs from its own up to the root."""
    draft = known.draft
    outcome, reason = (found.outcome, found.reason) if found else known.lack or ("no tick", "")
    return dumps(
        {
            "tick": instant_text(tick),
            "outcome": outcome,
            "at": _moment(found.at) if found else None,
            "run": found.run if found else None,
            "reason": reason,
            "made_up_by": found.made_up_by if found else None,
            "schedule": draft.spec.schedule if draft else None,
            "timezone": draft.spec.timezone if draft else None,
            "change": _change(known.change) if known.change else None,
            "chain": [_link(link) for link in known.chain],
            **({"moved": known.moved} if known.moved else {}),
        }
    )


def why_run_json(chain: Sequence[Link]) -> bytes:
    """The chain of runs from one up to its root."""
    return dumps({"run": chain[0].run, "chain": [_link(link) for link in chain]})


def _link(link: Link) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run": link.run,
        "job": link.job,
        "cause": link.cause,
        "principal": link.principal,
        "tick": _moment(link.tick),
        "started_at": instant_text(link.started),
        "ended_at": _moment(link.ended),
        "outcome": link.outcome,
        "reason": link.reason,
        "attempts": link.attempts,
    }
    return row | {"retried": [_attempt(failed) for failed in link.retried]} if link.retried else row


def _attempt(failed: e.AttemptFailed) -> dict[str, Any]:
    return {
        "attempt": failed.attempt,
        "at": instant_text(failed.at),
        "outcome": failed.outcome,
        "exit_code": failed.exit_code,
        "signal": failed.signal,
        "reason": failed.reason,
        "retry_at": _moment(failed.retry_at),
    }


def _moment(moment: Instant | None) -> str | None:
    return None if moment is None else instant_text(moment)

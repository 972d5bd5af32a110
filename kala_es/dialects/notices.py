"""Notices as people and programs have them: the keys of `notify`, the text that is sent, the list of what was.

A mail has a text for people; a URL gets a JSON object with every key each time, null where it says nothing. A
template is given the same values by their Go names (`{{.JobId}}`, `{{.ExitCode}}`), "" where they are null; a
`printf "%q"` makes a JSON string of one.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

from kala_es.dialects import go_json
from kala_es.dialects.go_json import dumps, instant_text
from kala_es.domain import events as e
from kala_es.domain import template
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.notify import DELIMITERS, MAIL, OCCASIONS, Occasion, Target
from kala_es.notifier import Message

_ENDS: Final[Mapping[str, str]] = {"failed": "failed", "timed-out": "timed out", "lost": "was lost"}
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


# Reading and writing a job's keys


def read_targets(value: Any, field: str) -> tuple[Target, ...]:
    """The targets of `notify`. Raises Invalid."""
    if type(value) is not list:
        raise go_json.mismatch(value, field, "an array")
    return tuple(_target(item, f"{field}[{i}]") for i, item in enumerate(value))


def _target(value: Any, field: str) -> Target:
    return Target(**{"to": "", **go_json.fields(value, _TARGET, field)})


def _when(value: Any, field: str) -> tuple[Occasion, ...]:
    words = go_json.texts(value, field)
    for word in words:
        if word not in OCCASIONS:
            raise Invalid(field, f"{word[:40]!r} is none of {', '.join(OCCASIONS)}")
    if not words:
        raise Invalid(field, f"names none of {', '.join(OCCASIONS)}")
    return cast(tuple[Occasion, ...], tuple(dict.fromkeys(words)))


_TARGET: Final = go_json.struct(
    ("to", "to", go_json.text),
    ("when", "when", _when),
    ("template", "template", go_json.text),
    ("headers", "headers", go_json.text_map),
)


def write_targets(targets: tuple[Target, ...]) -> list[dict[str, Any]]:
    """The JSON of `notify`."""
    return [_written(target) for target in targets]


def _written(target: Target) -> dict[str, Any]:
    written: dict[str, Any] = {"to": target.to, "when": target.when}
    if target.template:
        written["template"] = target.template
    if target.headers:
        written["headers"] = dict(target.headers)
    return written


# What is sent


def message_of(notice: e.NoticeDue, output: str, *, cut: bool) -> Message:
    """The message of a notice. `output` is the last of its run, `cut` when there was more. Raises TemplateError."""
    said = _said(notice)
    fields = _fields(notice, said) | {"output": output, "output_truncated": cut}
    if notice.template:
        body = template.parse(notice.template, DELIMITERS).render(_go_names(fields))
    elif notice.to.startswith(MAIL):
        body = _letter(notice, fields)
    else:
        body = dumps(fields).decode()
    subject = _CONTROL.sub(" ", f"kala_es: {said}")
    return Message(id=notice.notice, to=notice.to, subject=subject, body=body, headers=notice.headers)


def _said(notice: e.NoticeDue) -> str:
    """The notice in one sentence."""
    about = notice.about
    match notice.when:
        case "recovery":
            what = "succeeded again"
        case "missed":
            what = "missed a tick" if about.count == 1 else f"missed {about.count} ticks"
        case "overdue":
            what = f"takes longer than {about.expected_duration}"
        case _:
            what = _ENDS.get(about.outcome or "", "failed")
    return f"job {about.name} {what}"


def _fields(notice: e.NoticeDue, said: str) -> dict[str, Any]:
    about = notice.about
    return {
        "id": notice.notice,
        "when": notice.when,
        "text": said,
        "at": instant_text(notice.at),
        "job_id": notice.job,
        "name": about.name,
        "owner": about.owner,
        "run_id": about.run,
        "cause": about.cause,
        "tick": _time(about.tick),
        "ran_at": _time(about.started),
        "ended_at": _time(about.ended),
        "outcome": about.outcome,
        "attempts": about.attempts,
        "exit_code": about.exit_code,
        "signal": about.signal,
        "reason": about.reason,
        "first_missed": _time(about.first),
        "last_missed": _time(about.last),
        "missed": about.count,
        "expected_duration": about.expected_duration,
    }


def _time(instant: Instant | None) -> str | None:
    return None if instant is None else instant_text(instant)


def _go_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key.title().replace("_", ""): "" if value is None else value for key, value in fields.items()}


def _letter(notice: e.NoticeDue, fields: Mapping[str, Any]) -> str:
    """The text for people: the facts that there are, the output, why it was sent."""
    about = notice.about
    took = None
    if about.started is not None and about.ended is not None:
        took = f"{max(about.ended - about.started, 0) / SECOND:.1f} s"
    rows = (
        ("Job", f"{about.name} ({notice.job})"),
        ("Run", about.run),
        ("Cause", about.cause),
        ("Due", fields["tick"]),
        ("Began", fields["ran_at"]),
        ("Ended", fields["ended_at"]),
        ("Took", took),
        ("Outcome", about.outcome),
        ("Attempts", about.attempts or None),
        ("Exit code", about.exit_code),
        ("Signal", about.signal),
        ("Reason", about.reason or None),
        ("Expected", about.expected_duration or None),
        (
            "Missed",
            None if about.first is None else f"{about.count}, {fields['first_missed']} to {fields['last_missed']}",
        ),
    )
    facts = "".join(f"{name + ':':11}{value}\n" for name, value in rows if value is not None)
    output = str(fields["output"]).rstrip()
    tail = (
        f"\n{'The last of its output' if fields['output_truncated'] else 'Its output'}:\n\n{output}\n" if output else ""
    )
    sentence = str(fields["text"])
    why = f"Sent to {notice.to.removeprefix(MAIL)}, to be told of: {notice.when}. Notice {notice.notice}."
    return f"{sentence[:1].upper()}{sentence[1:]}.\n\n{facts}{tail}\n-- \n{why}\n"


# The list


class _SummaryView(Protocol):
    """What the catalogue of notices says of one (projections/notices.py)."""

    @property
    def due(self) -> e.NoticeDue: ...
    @property
    def state(self) -> str: ...
    @property
    def attempts(self) -> int: ...
    @property
    def attempted(self) -> Instant | None: ...
    @property
    def next_at(self) -> Instant | None: ...
    @property
    def status(self) -> int | None: ...
    @property
    def reason(self) -> str: ...


def notice_json(summary: _SummaryView) -> bytes:
    """A notice, and what became of it."""
    due = summary.due
    return dumps(
        {
            "id": due.notice,
            "job_id": due.job,
            "run_id": due.about.run,
            "when": due.when,
            "to": due.to,
            "text": _said(due),
            "at": instant_text(due.at),
            "state": summary.state,
            "attempts": summary.attempts,
            "last_attempt_at": _time(summary.attempted),
            "next_attempt_at": _time(summary.next_at),
            "status": summary.status,
            "reason": summary.reason,
        }
    )

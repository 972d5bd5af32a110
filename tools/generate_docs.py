"""Writes the pages of docs/ that follow from the code: lifecycle.md, events.md and api/jobs.schema.json.

With `--check` it writes nothing, and exits 1 if one is stale. The same code gives the same bytes. What a page says of
an event is its docstring; nothing is written here twice.
"""

import argparse
import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal, NewType, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT
from msgspec.structs import FieldInfo, fields

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain import ids, lifecycle
from kala_es.domain.bounds import Bounds
from kala_es.domain.lifecycle import ARROWS, DECIDES, MOVES_NOTHING, STATES, Arrow, Machine
from kala_es.domain.model import Counters, JobSpec, RemoteCall
from kala_es.domain.named_work import NamedWork
from kala_es.domain.notify import Notify, Target
from kala_es.domain.processing import Reached
from kala_es.domain.retention import Retention
from kala_es.domain.terms import AttemptTerms
from kala_es.domain.tick_policy import Covered, TickPolicy
from kala_es.domain.trimming import OF_HISTORY, RunRedacted, TrimmedRun
from kala_es.domain.values import Value
from kala_es.web.file_schema import jobs_file

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
MADE: Final = "<!-- Made by tools/generate_docs.py: change the code, then run `make docs`. -->"
VALUES: Final = (
    JobSpec,
    RemoteCall,
    NamedWork,
    TickPolicy,
    AttemptTerms,
    Notify,
    Target,
    Retention,
    Bounds,
    Reached,
    TrimmedRun,
    Counters,
    Covered,
    e.About,
)
UNDECIDED: Final[Mapping[type[Any], str]] = {
    e.OutputChunk: "the node, for the agent that carries out the attempt, or the job's actor, before a run that is "
    "imported; nothing decides on it",
    e.RequestAnswered: "the node, in the commit of what the request did; nothing decides on it",
    e.NoticeDue: "the job's actor, in the commit of the events that call for it; the node, for a run that is overdue",
    e.NoticeAttempted: "the node, after each attempt to tell it",
    e.OutputHandedOver: "the node, now and then while a run goes on, and at its end",
    e.ProcessorFailed: "the node, each time that a processor fails",
    e.ServerPaused: "the node, for whoever asks",
    e.ServerResumed: "the node, for whoever asks, or when the pause's time is over",
    **dict.fromkeys(OF_HISTORY, "the node's janitor; nothing decides on it"),
    RunRedacted: "the node, for whoever asks; nothing decides on it",
}
SIMPLE: Final[Mapping[Any, str]] = {str: "text", int: "integer", float: "number", bool: "yes or no", bytes: "bytes"}


def main(arguments: Sequence[str], docs: Path = DOCS) -> int:
    """Write the pages, or with `--check` only compare them; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    check = parser.parse_args(arguments).check
    stale = [name for name, text in pages().items() if _content(docs / name) != text.encode()]
    for name in stale:
        if not check:
            (docs / name).parent.mkdir(exist_ok=True)
            (docs / name).write_bytes(pages()[name].encode())
        print(f"docs/{name} {'is stale; `make docs` writes it anew' if check else 'written'}")
    return int(check and bool(stale))


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def pages() -> dict[str, str]:
    """The text of each page by its name."""
    schema = json.dumps(jobs_file(), indent=2) + "\n"
    return {"lifecycle.md": _page(_lifecycle()), "events.md": _page(_events()), "api/jobs.schema.json": schema}


def _page(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


# docs/lifecycle.md


def _lifecycle() -> Iterator[str]:
    yield from ("# Lifecycle", "", MADE, "", *(lifecycle.__doc__ or "").strip().splitlines(), "")
    for machine, states in STATES.items():
        yield from (f"## {machine.capitalize()}", "")
        yield from _table(("state", "meaning"), ((f"**{state}**", means) for state, means in states.items()))
        yield from _diagram(machine)
        arrows = [arrow for arrow in ARROWS if arrow.machine == machine]
        yield from _table(("in", "event", "when", "to"), map(_arrow_row, arrows))
        if MOVES_NOTHING[machine]:
            yield from (f"Moves nothing, in any state: {', '.join(map(_link, MOVES_NOTHING[machine]))}.", "")
    yield from _decisions()


def _arrow_row(arrow: Arrow) -> Sequence[str]:
    return arrow.source, _link(arrow.event), arrow.condition.text, arrow.target


def _link(event: type[Any]) -> str:
    return f"[{event.__name__}](events.md#{event.__name__.lower()})"


def _diagram(machine: Machine) -> Iterator[str]:
    """A Mermaid state diagram; arrows between the same two states share a line."""
    labels: dict[tuple[str, str], dict[str, None]] = {}
    for arrow in ARROWS:
        if arrow.machine == machine:
            when = f" ({arrow.condition.text})" if arrow.condition.text else ""
            labels.setdefault((arrow.source, arrow.target), {})[arrow.event.__name__ + when] = None
    first = next(iter(STATES[machine]))
    leaving = {source for source, target in labels if source != target}
    yield from ("```mermaid", "stateDiagram-v2")
    yield from (f'    state "{state}" as {_name(state)}' for state in STATES[machine])
    yield f"    [*] --> {_name(first)}"
    for (source, target), events in labels.items():
        yield f"    {_name(source)} --> {_name(target)}: {', '.join(events)}"
    yield from (f"    {_name(state)} --> [*]" for state in STATES[machine] if state not in leaving)
    yield from ("```", "")


def _name(state: str) -> str:
    return state.replace(" ", "_").replace("-", "_")


def _decisions() -> Iterator[str]:
    yield from ("## What a command may lead to", "")
    rows = ((f"`{command.__name__}`", ", ".join(map(_link, events))) for command, events in DECIDES.items())
    yield from _table(("command", "events"), rows)


# docs/events.md


def _events() -> Iterator[str]:
    kinds: tuple[type[Any], ...] = get_args(e.Event)
    yield from ("# Events", "", MADE, "", *(e.__doc__ or "").strip().splitlines(), "")
    yield "A record holds an event's `at` as its time and the other fields as a CBOR map by name, in which a field that"
    yield "has its default is left out. The states that events lead to are in [lifecycle.md](lifecycle.md)."
    yield ""
    yield from _table(("event", "meaning"), ((f"[{k.__name__}](#{k.__name__.lower()})", _meaning(k)) for k in kinds))
    for kind in kinds:
        record = codec.encode(_sample(kind))
        yield from (f"## {kind.__name__}", "", _meaning(kind), "")
        yield f"Version {record.version}, in the stream `{record.stream}`. Written by {_writer(kind)}."
        yield from ("", *_field_table(kind))
    yield from ("## Values", "", *_new_types(), "")
    for value in VALUES:
        yield from (f"### {value.__name__}", "", _meaning(value), "", *_field_table(value))


def _new_types() -> Iterator[str]:
    """A line for each NewType of the ids; what it means is the string below it."""
    body = ast.parse(inspect.getsource(ids)).body
    for statement, below in zip(body, [*body[1:], None], strict=True):
        name = ast.unparse(statement.targets[0]) if isinstance(statement, ast.Assign) else ""
        new = vars(ids).get(name)
        if isinstance(new, NewType):
            yield f"- **{name}**: {_type(new.__supertype__)}{_docstring(below)}"


def _docstring(statement: ast.stmt | None) -> str:
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return f". {text}"
        case _:
            return ""


def _meaning(kind: type[Any]) -> str:
    return " ".join((kind.__doc__ or "").split())


def _writer(kind: type[Any]) -> str:
    if kind in UNDECIDED:
        return UNDECIDED[kind]
    commands = [f"`{command.__name__}`" for command, events in DECIDES.items() if kind in events]
    return f"the job's actor, on {', '.join(commands)}"


def _sample(kind: type[Any]) -> e.Event:
    """An event whose ids are their own names in braces, to ask the codec about."""
    hints = get_type_hints(kind)
    event: e.Event = kind(
        **{f.name: f"{{{f.name}}}" if _is_text(hints[f.name]) else 0 for f in fields(kind) if f.required}
        | {f.name: JobSpec(name="x") for f in fields(kind) if hints[f.name] is JobSpec}
    )
    return event


def _is_value(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Value)


def _is_text(hint: Any) -> bool:
    return hint is str or (isinstance(hint, NewType) and hint.__supertype__ is str)


def _field_table(kind: type[Any]) -> Iterator[str]:
    hints = get_type_hints(kind)
    rows = ((f"`{f.name}`", _type(hints[f.name]), _default(f)) for f in fields(kind))
    yield from _table(("field", "type", "default"), rows)


def _type(hint: Any) -> str:
    """A type in words. A NewType and a kind of value keep their names; a Literal is its values."""
    if hint in SIMPLE:
        return SIMPLE[hint]
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if NoneType in arguments:
        return " or ".join(_type(a) for a in arguments if a is not NoneType) + " or none"
    if get_origin(hint) is tuple:
        inner = [_type(a) for a in arguments if a is not Ellipsis]
        return f"list of {inner[0]}" if Ellipsis in arguments else f"[{', '.join(inner)}]"
    name = str(hint.__name__)
    return f"[{name}](#{name.lower()})" if _is_value(hint) else name


def _default(field: FieldInfo) -> str:
    match field.default:
        case x if x is NODEFAULT:
            return "always given"
        case None:
            return "none"
        case bool(flag):
            return "yes" if flag else "no"
        case ():
            return "empty"
        case Value():
            return "all defaults"
        case str(text):
            return f'`"{text}"`'
        case value:
            return f"`{value!r}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Go's template functions but for printing: comparison, len, index, slice, escapes, and the table of them all.

Rules:
- A function takes the list of its arguments and raises ValueError with a sentence in Go's words.
- None is Go's nil slice: it is empty and false, and equals an empty list or map.
- Text is counted, indexed and sliced in UTF-8 bytes, as in Go; a cut that falls inside a character leaves U+FFFD.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus

from kala_es.domain.template_print import Arguments, Value, printf, println, sprint, type_name

__all__ = ["FUNCTIONS", "Function", "Value"]

_HTML: Final = str.maketrans(
    {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"},
)
_JS: Final = str.maketrans(
    {chr(code): f"\\u{code:04X}" for code in range(32)}
    | {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}
)


# Comparison


def _equal(one: Value, other: Value) -> bool:
    kinds = {type_name(one), type_name(other)}
    if one is None or other is None:
        return kinds <= {"nil", "list", "map"} and not one and not other
    if len(kinds) > 1:
        raise ValueError(f"incompatible types for comparison: {type_name(one)} and {type_name(other)}")
    if kinds <= {"list", "map"}:
        raise ValueError(f"non-comparable type {type_name(one)}")
    return one == other


def _less(one: Value, other: Value) -> bool:
    kinds = (type_name(one), type_name(other))
    if kinds[0] != kinds[1] and not {"nil", "list", "map"} & set(kinds):
        raise ValueError(f"incompatible types for comparison: {kinds[0]} and {kinds[1]}")
    if isinstance(one, str) and isinstance(other, str):
        return one < other
    if isinstance(one, int | float) and isinstance(other, int | float) and "bool" not in kinds:
        return one < other
    raise ValueError("invalid type for comparison")


def _at_most(one: Value, other: Value) -> bool:
    return _less(one, other) or _equal(one, other)


# Parts


def _len(value: Value) -> int:
    match value:
        case None:
            return 0
        case str():
            return len(_bytes(value))
        case bool() | int() | float():
            raise ValueError(f"len of type {type_name(value)}")
        case _:
            return len(value)


def _index(arguments: Arguments) -> Value:
    value, *keys = arguments
    for key in keys:
        match value:
            case Mapping():
                value = value.get(_key(key))
            case bool() | int() | float():
                raise ValueError(f"can't index item of type {type_name(value)}")
            case _:
                parts = _bytes(value) if isinstance(value, str) else value or ()
                value = parts[_position(key, len(parts) - 1)]
    return value


def _slice(arguments: Arguments) -> Value:
    value, *limits = arguments
    if isinstance(value, Mapping | bool | int | float):
        raise ValueError(f"can't slice item of type {type_name(value)}")
    parts = _bytes(value) if isinstance(value, str) else value or ()
    positions = [_position(limit, len(parts)) for limit in limits]
    start = positions[0] if positions else 0
    end = positions[1] if len(positions) > 1 else len(parts)
    if start > end:
        raise ValueError(f"invalid slice index: {start} > {end}")
    chosen = parts[start:end]
    return chosen.decode("utf-8", "replace") if isinstance(chosen, bytes) else chosen


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _key(value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError(f"value has type {type_name(value)}; should be string")
    return value


def _position(value: Value, last: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"cannot index slice/array with type {type_name(value)}")
    if not 0 <= value <= last:
        raise ValueError(f"index out of range: {value}")
    return value


# Escapes


def _js(text: str) -> str:
    visible = (char if char.isprintable() or char < "\x80" else f"\\u{ord(char):04X}" for char in text.translate(_JS))
    return "".join(visible)


# The table


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function by its name in templates: from `least` to `most` arguments (None: any number)."""

    apply: Callable[[Arguments], Value]
    least: int
    most: int | None


def _function(apply: Callable[[Arguments], Value], least: int, most: int | None) -> Function:
    return Function(apply=apply, least=least, most=most)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "print": _function(sprint, 0, None),
    "printf": _function(printf, 1, None),
    "println": _function(println, 0, None),
    "len": _function(lambda given: _len(given[0]), 1, 1),
    "index": _function(_index, 1, None),
    "slice": _function(_slice, 1, 3),
    "not": _function(lambda given: not given[0], 1, 1),
    "eq": _function(lambda given: any(_equal(given[0], other) for other in given[1:]), 2, None),
    "ne": _function(lambda given: not _equal(given[0], given[1]), 2, 2),
    "lt": _function(lambda given: _less(given[0], given[1]), 2, 2),
    "le": _function(lambda given: _at_most(given[0], given[1]), 2, 2),
    "gt": _function(lambda given: not _at_most(given[0], given[1]), 2, 2),
    "ge": _function(lambda given: not _less(given[0], given[1]), 2, 2),
    "html": _function(lambda given: sprint(given).translate(_HTML), 0, None),
    "js": _function(lambda given: _js(sprint(given)), 0, None),
    "urlquery": _function(lambda given: quote_plus(sprint(given), safe="", errors="replace"), 0, None),
}

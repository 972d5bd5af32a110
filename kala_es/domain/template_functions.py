"""What Go's template functions make of values: print, printf, comparison, len, index, slice and escapes.

Rules:
- A function takes the list of its arguments and raises ValueError with a sentence in Go's words.
- None is Go's nil slice: it prints as `[]`, is empty and false, and equals an empty list or map. A mapping prints as
  a map with its keys in order, a struct's fields too, for no type says which it was.
- Text is counted, indexed and sliced in UTF-8 bytes, as in Go; a cut that falls inside a character leaves U+FFFD.
- printf knows %v %s %q %d %x %X %o %b %c %t %f %e %g with `+`, `-`, ` `, `0`, `#` (for %x), width and precision. What
  does not fit is shown as Go shows it (`%!d(string=x)`, `%!s(MISSING)`); `*` and `[n]` are refused.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final, TypeAlias
from urllib.parse import quote_plus

Value: TypeAlias = "str | int | float | bool | Sequence[Value] | Mapping[str, Value] | None"
Arguments: TypeAlias = Sequence[Value]

MAX_TEXT_BYTES: Final = 1024 * 1024
"""The longest text that a template or one of its functions may make."""
MAX_WIDTH: Final = 1_000
"""The largest width and precision of printf: it applies to each element of a list, so it multiplies."""

_DIRECTIVE: Final = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>[0-9]*)(?:\.(?P<precision>[0-9]*))?(?P<verb>.?)", re.DOTALL
)
_HTML: Final = str.maketrans(
    {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"},
)
_JS: Final = str.maketrans(
    {chr(code): f"\\u{code:04X}" for code in range(32)}
    | {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}
)
_QUOTE: Final = MappingProxyType(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
)


# Values


def type_name(value: Value) -> str:
    """The value's type for a sentence, in Go's words where Go has one."""
    match value:
        case None:
            return "nil"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case str():
            return "string"
        case Mapping():
            return "map"
        case _:
            return "list"


def text_of(value: Value) -> str:
    """The value as an action prints it."""
    match value:
        case None:
            return "[]"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value)
        case float():
            return _float_text(value)
        case Mapping():
            return "map[" + " ".join(f"{key}:{text_of(value[key])}" for key in sorted(value)) + "]"
        case _:
            return "[" + " ".join(map(text_of, value)) + "]"


def _float_text(value: float) -> str:
    """The shortest digits that read back as `value`; with an exponent below 1e-4 and from 1e6 on (Go's %v)."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{value:+}".replace("inf", "Inf")
    shortest = Decimal(repr(value)).normalize()
    exponent = shortest.adjusted()
    if not value or -4 <= exponent < 6:
        return f"{shortest:f}"
    first, *others = shortest.as_tuple().digits
    point = "." if others else ""
    return f"{'-' if value < 0 else ''}{first}{point}{''.join(map(str, others))}e{exponent:+03d}"


# Printing


def sprint(arguments: Arguments) -> str:
    """The arguments one after another, with a space between two that are not text."""
    pieces: list[str] = []
    for position, value in enumerate(arguments):
        if position and not isinstance(value, str) and not isinstance(arguments[position - 1], str):
            pieces.append(" ")
        pieces.append(text_of(value))
    return "".join(pieces)


def _println(arguments: Arguments) -> str:
    return " ".join(map(text_of, arguments)) + "\n"


def _printf(arguments: Arguments) -> str:
    layout, *values = arguments
    if not isinstance(layout, str):
        raise ValueError(f"wrong type for value; expected string; got {type_name(layout)}")
    pieces: list[str] = []
    room = MAX_TEXT_BYTES
    for piece in _printf_pieces(layout, values):
        room -= len(piece)
        if room < 0:
            raise ValueError(f"the text is over {MAX_TEXT_BYTES} characters")
        pieces.append(piece)
    return "".join(pieces)


def _printf_pieces(layout: str, values: Arguments) -> Iterator[str]:
    end = used = 0
    for match in _DIRECTIVE.finditer(layout):
        yield layout[end : match.start()]
        end = match.end()
        if match["verb"] in ("%", ""):
            yield match["verb"] or "%!(NOVERB)"
        elif used < len(values):
            yield _formatted(_directive(match), values[used])
            used += 1
        else:
            yield f"%!{match['verb']}(MISSING)"
    yield layout[end:]
    if used < len(values):
        yield "%!(EXTRA " + ", ".join(f"{type_name(value)}={text_of(value)}" for value in values[used:]) + ")"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Directive:
    """One %verb with what stands before it; `precision` None is "none given"."""

    flags: str
    width: int
    precision: int | None
    verb: str


def _directive(match: re.Match[str]) -> _Directive:
    width = int(match["width"] or 0)
    precision = None if match["precision"] is None else int(match["precision"] or 0)
    if max(width, precision or 0) > MAX_WIDTH:
        raise ValueError(f"a width or precision over {MAX_WIDTH}")
    if match["verb"] in "*[":
        raise ValueError(f"{match[0]} is not supported")
    if "#" in match["flags"] and match["verb"] not in "xX":
        raise ValueError(f"{match[0]} is not supported: # goes with x only")
    return _Directive(flags=match["flags"], width=width, precision=precision, verb=match["verb"])


def _formatted(directive: _Directive, value: Value) -> str:
    """The value by the directive, which applies to each element of a list or map."""
    match value:
        case None:
            return "[]"
        case str() | int() | float():
            return _formatted_scalar(directive, value)
        case Mapping():
            pairs = (f"{_formatted(directive, key)}:{_formatted(directive, value[key])}" for key in sorted(value))
            return "map[" + " ".join(pairs) + "]"
        case _:
            return "[" + " ".join(_formatted(directive, element) for element in value) + "]"


def _formatted_scalar(directive: _Directive, value: str | float) -> str:
    match directive.verb, value:
        case "v" | "t", bool():
            return _padded(directive, text_of(value))
        case "v" | "s", str() as text:
            return _padded(directive, text[: directive.precision])
        case "q", str() as text:
            return _padded(directive, _quoted(text[: directive.precision]))
        case "x" | "X", str() as text:
            digits = text[: directive.precision].encode("utf-8", "replace").hex()
            return _padded(directive, digits.upper() if directive.verb == "X" else digits)
        case "c", int() as code if not isinstance(code, bool):
            return _padded(directive, chr(code) if 0 <= code <= 0x10FFFF else "\ufffd")
        case "v" | "d" | "x" | "X" | "o" | "b", int() as number if not isinstance(number, bool):
            return _integer(directive, number)
        case "v" | "f" | "e" | "g", float() as number:
            return _decimal(directive, number)
        case _:
            return f"%!{directive.verb}({type_name(value)}={text_of(value)})"


def _integer(directive: _Directive, number: int) -> str:
    base = "d" if directive.verb == "v" else directive.verb
    prefix = f"0{base}" if "#" in directive.flags else ""
    digits = format(abs(number), base).zfill(directive.precision or 0)
    sign = _sign(directive, negative=number < 0)
    if _zero_padded(directive) and directive.precision is None:
        digits = digits.zfill(directive.width - len(sign))
    return _aligned(directive, sign + prefix + digits)


def _decimal(directive: _Directive, number: float) -> str:
    precision = 6 if directive.precision is None else directive.precision
    if directive.verb in "fe":
        digits = format(abs(number), f".{precision}{directive.verb}")
    else:
        digits = text_of(abs(number)) if directive.precision is None else format(abs(number), f".{precision}g")
    sign = _sign(directive, negative=math.copysign(1, number) < 0)
    return _aligned(
        directive, sign + (digits.zfill(directive.width - len(sign)) if _zero_padded(directive) else digits)
    )


def _sign(directive: _Directive, *, negative: bool) -> str:
    if negative:
        return "-"
    # %+v is for structs in Go, and says nothing about a number's sign.
    return "+" if "+" in directive.flags and directive.verb != "v" else " " if " " in directive.flags else ""


def _zero_padded(directive: _Directive) -> bool:
    return "0" in directive.flags and "-" not in directive.flags


def _aligned(directive: _Directive, text: str) -> str:
    return text.ljust(directive.width) if "-" in directive.flags else text.rjust(directive.width)


def _padded(directive: _Directive, text: str) -> str:
    return text.rjust(directive.width, "0") if _zero_padded(directive) else _aligned(directive, text)


def _quoted(text: str) -> str:
    return '"' + "".join(_QUOTE.get(char) or _visible(char) for char in text) + '"'


def _visible(char: str) -> str:
    code = ord(char)
    if char.isprintable():
        return char
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


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


FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {
        "print": _function(sprint, 0, None),
        "printf": _function(_printf, 1, None),
        "println": _function(_println, 0, None),
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
)

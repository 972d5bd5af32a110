"""The values of templates and how Go prints them: print, println and printf.

Rules:
- None is Go's nil slice and prints as `[]`. A mapping prints as a map with its keys in order, a struct's fields too,
  for no type says which it was.
- printf knows %v %s %q %d %x %X %o %b %c %t %f %e %g with `+`, `-`, ` `, `0`, `#` (for %x), width and precision, each
  for the elements of a list or map too. What does not fit is shown as Go shows it (`%!d(string=x)`, `%!s(MISSING)`).
- `*` and `[n]` are refused, and so are widths over MAX_WIDTH: a width applies to every element, so it multiplies.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

Value: TypeAlias = "str | int | float | bool | Sequence[Value] | Mapping[str, Value] | None"
Arguments: TypeAlias = Sequence[Value]

MAX_TEXT_BYTES: Final = 1024 * 1024
"""The longest text that a template or one of its functions may make."""
MAX_WIDTH: Final = 1_000
"""The largest width and precision of printf."""

_DIRECTIVE: Final = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>[0-9]*)(?:\.(?P<precision>[0-9]*))?(?P<verb>.?)", re.DOTALL
)
_QUOTE: Final = dict(zip('\a\b\f\n\r\t\v\\"', 'abfnrtv\\"', strict=True))
"""What stands after a backslash in %q for each character that Go escapes by name."""


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
    shortest = Decimal(repr(value))
    if not shortest.is_finite():
        return "NaN" if shortest.is_nan() else f"{value:+}".replace("inf", "Inf")
    shortest = shortest.normalize()
    exponent = shortest.adjusted()
    if not value or -4 <= exponent < 6:
        return f"{shortest:f}"
    first, *others = shortest.as_tuple().digits
    point = "." if others else ""
    return f"{'-' if value < 0 else ''}{first}{point}{''.join(map(str, others))}e{exponent:+03d}"


def sprint(arguments: Arguments) -> str:
    """The arguments one after another, with a space between two that are not text."""
    pieces: list[str] = []
    for position, value in enumerate(arguments):
        if position and not isinstance(value, str) and not isinstance(arguments[position - 1], str):
            pieces.append(" ")
        pieces.append(text_of(value))
    return "".join(pieces)


def println(arguments: Arguments) -> str:
    """The arguments with spaces between, and a newline."""
    return " ".join(map(text_of, arguments)) + "\n"


def printf(arguments: Arguments) -> str:
    """The arguments after the first as that one, the layout, says; raises ValueError."""
    layout, *values = arguments
    if not isinstance(layout, str):
        raise ValueError(f"wrong type for value; expected string; got {type_name(layout)}")
    pieces: list[str] = []
    room = MAX_TEXT_BYTES
    for piece in _pieces(layout, values):
        room -= len(piece)
        if room < 0:
            raise ValueError(f"the text is over {MAX_TEXT_BYTES} characters")
        pieces.append(piece)
    return "".join(pieces)


def _pieces(layout: str, values: Arguments) -> Iterator[str]:
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
    sign = _sign(directive, negative=Decimal(number).is_signed())
    if _zero_padded(directive):
        digits = digits.zfill(directive.width - len(sign))
    return _aligned(directive, sign + digits)


def _sign(directive: _Directive, *, negative: bool) -> str:
    if negative:
        return "-"
    if "+" in directive.flags and directive.verb != "v":  # %+v is about structs
        return "+"
    return " " if " " in directive.flags else ""


def _zero_padded(directive: _Directive) -> bool:
    return "0" in directive.flags and "-" not in directive.flags


def _aligned(directive: _Directive, text: str) -> str:
    return text.ljust(directive.width) if "-" in directive.flags else text.rjust(directive.width)


def _padded(directive: _Directive, text: str) -> str:
    return text.rjust(directive.width, "0") if _zero_padded(directive) else _aligned(directive, text)


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\{_QUOTE[char]}" if char in _QUOTE else _visible(char) for char in text) + '"'


def _visible(char: str) -> str:
    code = ord(char)
    if char.isprintable():
        return char
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

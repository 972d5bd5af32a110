"""JSON as Go's encoding/json reads and writes a struct: what clients of a Go server rely on, whatever the struct says.

- A key finds its field in any letter case; unknown keys are ignored; of two keys for one field the last wins.
- null leaves a field at Go's zero value. That is the default in our values too, so such a field is left out.
- Invalid UTF-8 and lone surrogates become U+FFFD. Anything after the value is an error.
- An integer field takes an integer literal: no 1.0, no 1e3, no "1".
- Written, `<`, `>` and `&` are escaped; a time is RFC 3339 in UTC with as many digits of a fraction as it needs.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import msgspec

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant

# Reading


class Malformed(Invalid):
    """Not JSON, or a value of the wrong type: refused before any rule about jobs is asked."""


Reader: TypeAlias = Callable[[Any, str], Any]
"""Takes a value and its field's name, gives our value; raises Invalid."""
Struct: TypeAlias = Mapping[str, tuple[str, str, Reader]]
"""Key -> the key as documented, our attribute, the reader."""

MAX_INTEGER: Final = 2**63 - 1

NEVER: Final = "0001-01-01T00:00:00Z"
"""Go's zero time."""

_ZERO: Final = datetime(1, 1, 1)
_EPOCH: Final = datetime(1970, 1, 1)
_MICRO: Final = timedelta(microseconds=1)
_FIRST: Final = (_ZERO - _EPOCH) // _MICRO
LATEST: Final = (datetime.max - _EPOCH) // _MICRO
"""The last microsecond that a time can say."""
_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:Z|([+-](?:[01][0-9]|2[0-3])):([0-5][0-9]))"
)
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_TYPES: Final = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def struct(*fields: tuple[str, str, Reader]) -> Struct:
    """A struct's fields by key, exactly as documented (found first, it is what clients send) and folded."""
    folded = {_fold(field[0]): field for field in fields}
    return folded | {field[0]: field for field in fields}


def loads(body: bytes) -> Any:
    """The JSON value. Raises Malformed."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        if not body.strip(b" \t\r\n"):
            raise Malformed("", "the body is empty, not JSON") from None
        return _tolerant(body)


def _tolerant(body: bytes) -> Any:
    """What msgspec refuses and Go mends: invalid UTF-8, and half of a surrogate pair."""
    try:
        value = json.loads(body.decode("utf-8", "replace"))
        return msgspec.json.decode(_SURROGATES.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
    except (ValueError, RecursionError) as error:
        raise Malformed("", f"the body is not JSON: {error}") from None


def fields(value: Any, known: Struct, within: str = "") -> dict[str, Any]:
    """The attributes that an object's keys give. `within` names the object that it is a field of. Raises Invalid."""
    if type(value) is not dict:
        raise mismatch(value, within, "an object")
    prefix = within + "." if within else ""
    found: dict[str, Any] = {}
    for key, content in value.items():
        field = known.get(key) or known.get(_fold(key))
        if field is not None and content is not None:
            name, attribute, read = field
            found[attribute] = read(content, prefix + name)
    return found


def _fold(key: str) -> str:
    """Go's folding. Of all letters that are not ASCII, the Kelvin sign and the long s stand for ASCII ones."""
    return key.lower() if key.isascii() else key.lower().replace("\u017f", "s")


def mismatch(value: Any, field: str, wanted: str) -> Malformed:
    """The refusal of a value of the wrong type."""
    return Malformed(field, f"must be {wanted}, not {_TYPES[type(value)]}")


def text(value: Any, field: str) -> str:
    """A string field."""
    if type(value) is str:
        return value
    raise mismatch(value, field, "a string")


def flag(value: Any, field: str) -> bool:
    """A bool field."""
    if type(value) is bool:
        return value
    raise mismatch(value, field, "true or false")


def integer(value: Any, field: str) -> int:
    """An int field, 64 bits."""
    if type(value) is not int:
        raise (
            mismatch(value, field, "an integer")
            if type(value) is not float
            else Malformed(field, "must be an integer without a fraction or exponent")
        )
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise Malformed(field, f"must not be over {MAX_INTEGER}")
    return value


def unsigned(value: Any, field: str) -> int:
    """A uint field."""
    number = integer(value, field)
    if number < 0:
        raise Malformed(field, "must not be negative")
    return number


def texts(value: Any, field: str) -> tuple[str, ...]:
    """A list of strings; null among them is empty."""
    return tuple(text(item, f"{field}[{i}]") if item is not None else "" for i, item in enumerate(_list(value, field)))


def integers(value: Any, field: str) -> tuple[int, ...]:
    """A list of ints; null among them is 0."""
    return tuple(integer(item or 0, f"{field}[{i}]") for i, item in enumerate(_list(value, field)))


def text_map(value: Any, field: str) -> tuple[tuple[str, str], ...]:
    """A map of strings, as pairs."""
    return tuple((key, text(item, f"{field}.{key}") if item is not None else "") for key, item in _map(value, field))


def text_maps(value: Any, field: str) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """A map of maps of strings, as pairs."""
    inner = _map(value, field)
    return tuple((key, text_map(item, f"{field}.{key}") if item is not None else ()) for key, item in inner)


def texts_map(value: Any, field: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """A map of lists of strings, as pairs."""
    return tuple((key, texts(item, f"{field}.{key}") if item is not None else ()) for key, item in _map(value, field))


def time(value: Any, field: str) -> Instant | None:
    """A time.Time field, RFC 3339; None for Go's zero time. Digits finer than a microsecond are cut off."""
    match = _TIME.fullmatch(text(value, field))
    if not match:
        raise Malformed(field, "must be a time like 2030-01-31T12:00:00Z")
    *numbers, fraction, hours, minutes = match.groups()
    year, month, day, hour, minute, second = map(int, numbers)
    try:
        wall = datetime(year, month, day, hour, minute, second, int((fraction or "")[:6].ljust(6, "0")))
    except ValueError as error:
        raise Malformed(field, f"is no time: {error}") from None
    ahead = int(hours) * 60 + int(hours[0] + minutes) if hours else 0
    instant = (wall - _EPOCH) // _MICRO - ahead * 60 * SECOND
    if not _FIRST <= instant <= LATEST:
        raise Malformed(field, "must lie in the years 0001 to 9999")
    return Instant(instant) if instant != _FIRST else None


def _list(value: Any, field: str) -> list[Any]:
    if type(value) is list:
        return value
    raise mismatch(value, field, "an array")


def _map(value: Any, field: str) -> list[tuple[str, Any]]:
    if type(value) is dict:
        return list(value.items())
    raise mismatch(value, field, "an object")


# Writing


def dumps(value: dict[str, Any] | Sequence[Any] | str) -> bytes:
    """The object's JSON, on one line."""
    try:
        written = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError):  # over 64 bits, or a lone surrogate from a file name
        written = json.dumps(value, separators=(",", ":")).encode()
    return written.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")


def instant_text(instant: Instant | None) -> str:
    """A time.Time; None is never."""
    if instant is None:
        return NEVER
    seconds, micros = divmod(instant, SECOND)
    written = (_EPOCH + timedelta(0, seconds, micros)).isoformat()
    return written.rstrip("0") + "Z" if micros else written + "Z"


def printed_time(instant: Instant | None) -> str:
    """A time.Time as Go prints it, outside JSON."""
    return instant_text(instant).replace("T", " ").replace("Z", " +0000 UTC")


def trimmed(text: str) -> str:
    """Without the white space around it, as TrimSpace understands that."""
    return text.strip(_SPACE)

"""The fields of a cron expression: what each names, read from its text.

- A field is `*`, `?`, `n`, `a-b` or one of these with `/step`, or several with commas. `n/step` goes on to the field's
  end. Months and weekdays have names, in any case; Sunday is 0, and 7.
- `~` leaves the choice to the job: `~` is one value, which follows from the job's id as in Dkron (the sum of its code
  points), `a~b` one within a range, and with `/step` the first of the values that come so far apart. Those two follow
  from a digest of the id, so that minute and hour differ. The same id always chooses the same.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from kala_es.domain.errors import Invalid

CHOICE: Final = "~"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """A kind of field: values from `low` to `high`. A larger one up to `most` is written for `low`. Those up to `sure`
    always come."""

    noun: str
    low: int
    high: int
    most: int
    sure: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What a field names, rising; whether it leaves nothing out by saying so; whether it goes on and on."""

    values: tuple[int, ...]
    free: bool
    running: bool


class Fields(NamedTuple):
    """The six of an expression."""

    second: Field
    minute: Field
    hour: Field
    number: Field
    month: Field
    weekday: Field


class Word(NamedTuple):
    """A word of a text, and the column at which it begins; the first is 1."""

    text: str
    column: int


MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NUMBER: Final = Kind(noun="day of the month", low=1, high=31, most=31, sure=28)
KINDS: Final = (
    Kind(noun="second", low=0, high=59, most=59, sure=59),
    Kind(noun="minute", low=0, high=59, most=59, sure=59),
    Kind(noun="hour", low=0, high=23, most=23, sure=23),
    NUMBER,
    Kind(noun="month", low=1, high=12, most=12, sure=12, names=MONTHS),
    Kind(noun="day of the week", low=0, high=6, most=7, sure=6, names=WEEKDAYS),
)
_NO_SECONDS: Final = Field(values=(0,), free=False, running=False)


def words_of(text: str) -> list[Word]:
    """The words of a text."""
    return [Word(found[0], found.start() + 1) for found in re.finditer(r"\S+", text)]


def read_fields(words: list[Word], job: str) -> Fields:
    """What five fields name, or six with the seconds first, for the job with this id. Raises Invalid."""
    fields = [_placed(word, kind, job) for word, kind in zip(words, KINDS[-len(words) :], strict=True)]
    return Fields(*([_NO_SECONDS] if len(words) < len(KINDS) else []), *fields)


def _placed(word: Word, kind: Kind, job: str) -> Field:
    try:
        return _field(word.text, kind, job if CHOICE in word.text else "")
    except Invalid as error:
        raise Invalid(error.field, error.reason, word.column + (error.column or 1) - 1) from None


class _Part(NamedTuple):
    """A piece of a field between commas."""

    values: range
    free: bool
    running: bool


@lru_cache(maxsize=4096)
def _field(text: str, kind: Kind, job: str) -> Field:
    values: set[int] = set()
    free = running = False
    column = 1
    for piece in text.split(","):
        if piece:
            try:
                part = _part(piece, kind, job)
            except Invalid as error:
                raise Invalid(error.field, error.reason, column) from None
            values.update(value if value <= kind.high else kind.low for value in part.values)
            free, running = free or part.free, running or part.running
        column += len(piece) + 1
    if not values:
        raise _wrong(text, kind, "names none")
    return Field(values=tuple(sorted(values)), free=free, running=running and len(values) > 1)


def _part(piece: str, kind: Kind, job: str) -> _Part:
    body, stepped, step_text = piece.partition("/")
    step = _number(step_text, piece, kind) if stepped else None
    if step == 0:
        raise _wrong(piece, kind, "has a step of 0")
    if CHOICE in body:
        return _chosen(piece, kind, (job, step))
    low, ranged, high = body.partition("-")
    starred = low in ("*", "?") and not ranged
    first = kind.low if starred else _value(low, piece, kind)
    last = _value(high, piece, kind) if ranged else kind.high if starred or stepped else first
    if first > last:
        raise _wrong(piece, kind, "ends before it begins")
    running = starred or (bool(stepped) and not ranged)
    return _Part(range(first, last + 1, step or 1), starred and step in (None, 1), running)


def _chosen(piece: str, kind: Kind, asked: tuple[str, int | None]) -> _Part:
    """One value, or each `step`th one, as it falls to the job."""
    job, step = asked
    low_text, _, high_text = piece.partition("/")[0].partition(CHOICE)
    anywhere = not (low_text or high_text)
    first = kind.low if anywhere else _value(low_text, piece, kind)
    last = kind.high if anywhere else _value(high_text, piece, kind)
    if first > last:
        raise _wrong(piece, kind, "ends before it begins")
    width = (kind.sure if anywhere else last) - first + 1
    if step is not None:
        begin = first + _share(kind, job) % min(step, width)
        return _Part(range(begin, last + 1, step), anywhere and step == 1, anywhere)
    value = first + (sum(map(ord, job)) if anywhere else _share(kind, job)) % width
    return _Part(range(value, value + 1), free=False, running=False)


def _share(kind: Kind, job: str) -> int:
    """A number of the job's own for a kind of field."""
    name = f"{kind.noun} {job}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big")


def _value(text: str, piece: str, kind: Kind) -> int:
    """A number or a name."""
    name = text.lower()
    value = kind.names.index(name) + kind.low if name in kind.names else _number(text, piece, kind)
    if not kind.low <= value <= kind.most:
        raise _wrong(piece, kind, f"is not within {kind.low} and {kind.most}")
    return value


def _number(text: str, piece: str, kind: Kind) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        names = f", or a name ({kind.names[0]}, {kind.names[1]}...)" if kind.names else ""
        raise _wrong(piece, kind, f"is not of the form *, 5, 1-5, */5, ~ or 1~5{names}")
    return int(text)


def _wrong(piece: str, kind: Kind, reason: str) -> Invalid:
    return Invalid("schedule", f"the {kind.noun} {piece!r} of the cron expression {reason}")

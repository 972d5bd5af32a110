"""What a query says, checked; a wrong value is refused (400) by its parameter's name."""

from typing import Final

from kala_es.domain.errors import Invalid
from kala_es.web.exchange import Request

LAST_POSITION: Final = (1 << 63) - 1
"""No log has a position after it."""


def whole(request: Request, name: str, within: tuple[int, int]) -> int | None:
    """A whole number within bounds; None when it is not given. Raises Invalid."""
    text = request.query.get(name)
    return None if text is None else checked(text, name, within)


def checked(text: str, name: str, within: tuple[int, int]) -> int:
    """The number that a text says. Raises Invalid."""
    low, high = within
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and low <= int(text) <= high):
        raise Invalid(name, f"must be a whole number from {low} to {high}, not {text[:40]!r}")
    return int(text)


def flag(request: Request, name: str) -> bool | None:
    """`true` or `false`; None when it is not given. Raises Invalid."""
    text = request.query.get(name)
    if text not in (None, "true", "false"):
        raise Invalid(name, f"must be true or false, not {text[:40]!r}")
    return None if text is None else text == "true"


def choice(request: Request, name: str, known: tuple[str, ...]) -> str | None:
    """One of the known words; None when it is not given. Raises Invalid."""
    text = request.query.get(name)
    if text is not None and text not in known:
        raise Invalid(name, f"must be one of {', '.join(known)}, not {text[:40]!r}")
    return text


def choices(request: Request, name: str, known: tuple[str, ...]) -> frozenset[str] | None:
    """Some of the known words, with commas in between; None when it is not given. Raises Invalid."""
    text = request.query.get(name)
    words = None if text is None else frozenset(text.split(","))
    for word in words or ():
        if word not in known:
            raise Invalid(name, f"must be one of {', '.join(known)}, not {word[:40]!r}")
    return words

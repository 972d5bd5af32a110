"""A part's output as lines of text, for processors that tell one at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kala_es.processor import End, Piece


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end. `at` is when it began, in microseconds since the epoch."""

    channel: str
    at: int
    text: str


def lines_of(pieces: Sequence[Piece]) -> Iterator[Line]:
    """The lines, each channel for itself, in the order of their ends. A line that is not finished comes last."""
    begun: dict[str, tuple[int, bytes]] = {}
    for piece in pieces:
        at, before = begun.pop(piece.channel, (piece.at, b""))
        *whole, rest = (before + piece.content).split(b"\n")
        for content in whole:
            yield _line(piece.channel, at, content)
            at = piece.at
        if rest:
            begun[piece.channel] = at, rest
    for channel, (at, content) in begun.items():
        yield _line(channel, at, content)


def _line(channel: str, at: int, content: bytes) -> Line:
    return Line(channel, at, content.removesuffix(b"\r").decode("utf-8", "replace"))


def said_of(end: End, attempt: int) -> str:
    """An end in a few words: `attempt 2 failed: exit code 3`."""
    dropped = f"; {end.dropped} bytes of output were left out" if end.dropped else ""
    return f"attempt {attempt} {end.outcome}" + (f": {end.reason}" if end.reason else "") + dropped

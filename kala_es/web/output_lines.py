"""A run's output by lines, some of them at a time, each piece with its channel and attempt: for viewers of much output.

1. A line ends with a line feed; what follows the last one is a line too, unfinished. They are counted from 1 over all
   attempts, of both channels as they came or of one.
2. An answer has at most OUTPUT_LINES_BYTES. Of lines that do not fit the last ones are left out, or, of the newest
   lines, the first ones. Of a line that is longer than that there is its beginning, or (of the newest) its end.
3. `position` is the last chunk's that is counted: a stream after it goes on where this ends.
"""

from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from kala_es import limits
from kala_es.dialects.go_json import dumps
from kala_es.domain.errors import Invalid
from kala_es.projections.output import CHANNELS, bytes_before, feeds_before
from kala_es.projections.runs import RunSummary
from kala_es.runtime.log_reader import LogReader
from kala_es.web.exchange import Request, Response, answer_json
from kala_es.web.frames import text_of
from kala_es.web.output import kept, size_of
from kala_es.web.parameters import choice, whole
from kala_es.web.replies import NO_RUN, WRONG
from kala_es.web.runs import run_of
from kala_es.web.site import Site
from kala_es.web.table import Parameter, Reply, Row

_MANY: Final = 1 << 53
_USUAL: Final = 500
_LINE_FEED: Final = b"\n"


class Piece(NamedTuple):
    """A part of a chunk. `dropped` bytes were left out right before it."""

    channel: str
    attempt: int
    content: bytes
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much output there is, of a run or of one of its channels, and the position of its last chunk."""

    channel: str | None
    size: int
    lines: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Lines from `first` to before `next`. `skipped` bytes of the first are left out before the pieces, or, if `cut`,
    what follows them of the last."""

    first: int
    next: int
    pieces: tuple[Piece, ...]
    skipped: int = 0
    cut: bool = False


async def get_lines(request: Request, site: Site) -> Response:
    """GET /job/{id}/executions/{run}/output/lines/: from `first` on, or the newest."""
    run = await kept(run_of(request, site), site)
    first = whole(request, "first", (1, _MANY))
    most = whole(request, "limit", (1, limits.MAX_OUTPUT_LINES)) or _USUAL
    last = whole(request, "last", (1, limits.MAX_OUTPUT_LINES))
    if first and last:
        raise Invalid("last", "say from which line on, or how many of the last, not both")
    finder = LineFinder(site.scheduler.reader, run, await _extent(site, run, choice(request, "channel", CHANNELS)))
    found = await finder.newest(last) if last else await finder.lines(first or 1, most)
    return answer_json(dumps(_json(found, finder.extent)))


async def _extent(site: Site, run: RunSummary, channel: str | None) -> Extent:
    """How much there is at this moment; whether its last line is finished is looked up after that."""
    folds = site.scheduler.folds.output
    size, feeds, position = size_of(run, channel), folds.line_feeds(run.id, channel), folds.last_position(run.id)
    unfinished = False
    if size:
        reading = site.scheduler.reader.output(run.id, channel=channel, start=size - 1, stop=size)
        async with aclosing(reading) as pieces:
            unfinished = b"".join([piece async for piece in pieces]) != _LINE_FEED
    return Extent(channel=channel, size=size, lines=feeds + unfinished, position=position)


class LineFinder:
    """Finds lines in what a run had printed at a moment."""

    def __init__(self, reader: LogReader, run: RunSummary, extent: Extent) -> None:
        self._reader = reader
        self._run = run
        self.extent = extent

    async def lines(self, first: int, count: int) -> Lines:
        """At most `count` lines from `first` on."""
        if first > self.extent.lines:
            return Lines(first=first, next=first, pieces=())
        pieces = await self._read(await self._start(first), feeds=count)
        ended = _feeds(pieces)
        if ended >= count or _size(pieces) < limits.OUTPUT_LINES_BYTES:
            return Lines(first=first, next=min(first + count, self.extent.lines + 1), pieces=pieces)
        if ended:
            return Lines(first=first, next=first + ended, pieces=_until_feed(pieces))
        return Lines(first=first, next=first + 1, pieces=pieces, cut=True)

    async def newest(self, count: int) -> Lines:
        """At most `count` lines up to the end."""
        last = self.extent.lines
        first = max(last - count, 0) + 1
        if not last:
            return Lines(first=1, next=1, pieces=())
        start = await self._start(first)
        least = self.extent.size - limits.OUTPUT_LINES_BYTES
        pieces = await self._read(max(start, least))
        if start >= least:
            return Lines(first=first, next=last + 1, pieces=pieces)
        whole = _after_feed(pieces)
        if whole:
            lines = _feeds(whole) + (whole[-1].content[-1:] != _LINE_FEED)
            return Lines(first=last + 1 - lines, next=last + 1, pieces=whole)
        return Lines(first=last, next=last + 1, pieces=pieces, skipped=least - await self._start(last))

    async def _start(self, line: int) -> int:
        """The first byte of a line that there is."""
        channel, number = self.extent.channel, line - 1
        piece = self._reader.line_feed(self._run.id, number, channel)
        if piece is None:
            return 0
        begins = bytes_before(piece, channel)
        async with aclosing(self._reader.chunks(self._run.id, channel=channel, start=begins)) as chunks:
            async for place, chunk in chunks:
                at = -1
                for _ in range(number - feeds_before(place, channel)):
                    at = chunk.content.index(_LINE_FEED, at + 1)
                return bytes_before(place, channel) + at + 1
        return 0

    async def _read(self, start: int, *, feeds: int = _MANY) -> tuple[Piece, ...]:
        """What there is from a byte on, up to so many line feeds, or as much as an answer may have."""
        found: list[Piece] = []
        stop = min(self.extent.size, start + limits.OUTPUT_LINES_BYTES)
        async with aclosing(self._reader.chunks(self._run.id, channel=self.extent.channel, start=start)) as chunks:
            async for place, chunk in chunks:
                begins = bytes_before(place, self.extent.channel)
                if begins >= stop or not feeds:
                    break
                content = chunk.content[max(start - begins, 0) : stop - begins]
                taken = _up_to(content, feeds)
                feeds -= taken.count(_LINE_FEED)
                dropped = chunk.dropped if begins >= start else 0
                found.append(Piece(chunk.channel, chunk.attempt, taken, dropped))
        return tuple(found)


def _up_to(content: bytes, feeds: int) -> bytes:
    """The part of it up to so many line feeds."""
    parts = content.split(_LINE_FEED, min(feeds, len(content)))
    return content if len(parts) <= feeds else content[: len(content) - len(parts[-1])]


def _feeds(pieces: tuple[Piece, ...]) -> int:
    return sum(piece.content.count(_LINE_FEED) for piece in pieces)


def _size(pieces: tuple[Piece, ...]) -> int:
    return sum(len(piece.content) for piece in pieces)


def _until_feed(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """The pieces up to their last line feed; there is one."""
    last = max(i for i, piece in enumerate(pieces) if _LINE_FEED in piece.content)
    head, _, _ = pieces[last].content.rpartition(_LINE_FEED)
    return *pieces[:last], pieces[last]._replace(content=head + _LINE_FEED)


def _after_feed(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """The pieces after their first line feed; none if there is none, or nothing after it."""
    for i, piece in enumerate(pieces):
        _, feed, tail = piece.content.partition(_LINE_FEED)
        if feed:
            rest = (piece._replace(content=tail, dropped=0), *pieces[i + 1 :])
            return tuple(piece for piece in rest if piece.content)
    return ()


def _json(found: Lines, extent: Extent) -> dict[str, Any]:
    return {
        "first": found.first,
        "next": found.next,
        "lines": extent.lines,
        "bytes": extent.size,
        "position": extent.position,
        "skipped": found.skipped,
        "cut": found.cut,
        "pieces": [_piece_json(piece) for piece in found.pieces],
    }


def _piece_json(piece: Piece) -> dict[str, Any]:
    gap = {"dropped": piece.dropped} if piece.dropped else {}
    return {"channel": piece.channel, "attempt": piece.attempt, **gap, **text_of(piece.content)}


LINES: Final = Row(
    method="GET",
    pattern="/api/v1/job/{id}/executions/{run}/output/lines/",
    handler=get_lines,
    summary="Read some lines of a run's output, with their channels and attempts",
    parameters=(
        Parameter(name="first", kind="integer", about="From this line on, from 1."),
        Parameter(name="limit", kind="integer", about=f"At most so many, 1 to {limits.MAX_OUTPUT_LINES}."),
        Parameter(name="last", kind="integer", about="Or the last so many."),
        Parameter(name="channel", kind="string", about="stdout or stderr; both as they came if not given."),
    ),
    replies=(
        Reply(status=200, about="The lines.", schema="OutputLines"),
        WRONG,
        NO_RUN,
        Reply(status=410, about="The run was trimmed: its output is kept no longer.", schema="Error"),
    ),
)

"""How a request finds its row of the route table.

A path is cut into segments before it is unquoted, so an id may hold a slash. Empty segments do not count: neither
a missing slash at the end nor a doubled one makes a difference. Of two rows that fit, the one whose word stands
furthest left counts.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote

from kala_es import limits
from kala_es.web.exchange import Request, Response, refuse_for
from kala_es.web.site import Site

Handler = Callable[[Request, Site], Awaitable[Response]]


class Refuse(Protocol):
    """Makes the answer to an error."""

    def __call__(self, error: Exception, *, initializing: bool = False) -> Response:
        """`initializing`: a job was to be created or replaced."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter or header, for the documentation. `kind` is its JSON schema's type."""

    name: str
    kind: str
    about: str
    where: str = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that a route may give. `schema` names a component; "" for no body."""

    status: int
    about: str
    schema: str = ""
    media: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A route. A `direct` one is served in front of Quart: the hot ones, and those whose body has a limit of its own.

    Its body is waited for `body_patience` times as long as usual; with `spooled` it comes as a file. `replayed`
    completes an answer that is given again.
    `initializing` marks the routes whose errors begin as the original's do when a job is refused; `refuse` makes the
    answer to an error, in the words of the route's dialect.
    """

    method: str
    pattern: str
    handler: Handler
    summary: str
    replies: tuple[Reply, ...]
    parameters: tuple[Parameter, ...] = ()
    takes: str = ""
    direct: bool = False
    initializing: bool = False
    refuse: Refuse = refuse_for
    max_body: int = limits.MAX_BODY_BYTES
    body_patience: int = 1
    spooled: bool = False
    replayed: Callable[[Request, Response], Response] | None = None

    @property
    def name(self) -> str:
        """What the documentation and Quart call it."""
        return str(getattr(self.handler, "__name__", self.pattern))


@dataclass(frozen=True, slots=True)
class Found:
    """A row, and what its path's parameters are in this request."""

    row: Row
    params: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A row's pattern, cut: words stand for themselves, names (in braces) for any segment."""

    row: Row
    parts: tuple[str, ...]
    named: tuple[bool, ...] = field(default=())

    def fits(self, segments: Sequence[str]) -> bool:
        return all(n or p == s for p, n, s in zip(self.parts, self.named, segments, strict=True))


class Table:
    """All routes, by the number of their segments."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = tuple(rows)
        self._by_length: dict[int, list[_Pattern]] = {}
        for row in self.rows:
            parts = cut(row.pattern)
            named = tuple(part.startswith("{") for part in parts)
            self._by_length.setdefault(len(parts), []).append(_Pattern(row, parts, named))
        for patterns in self._by_length.values():
            patterns.sort(key=lambda p: p.named)

    def find(self, method: str, segments: Sequence[str]) -> Found | None:
        """The route of a request; HEAD is served by GET's."""
        wanted = "GET" if method == "HEAD" else method
        for pattern in self._by_length.get(len(segments), ()):
            if pattern.row.method == wanted and pattern.fits(segments):
                pairs = zip(pattern.parts, pattern.named, segments, strict=True)
                return Found(pattern.row, {part[1:-1]: segment for part, named, segment in pairs if named})
        return None

    def methods(self, segments: Sequence[str]) -> tuple[str, ...]:
        """The methods that a path knows; none for an unknown path."""
        fitting = (p.row.method for p in self._by_length.get(len(segments), ()) if p.fits(segments))
        known = set(fitting)
        if "GET" in known:
            known.add("HEAD")
        return (*sorted(known), "OPTIONS") if known else ()


def cut(path: str) -> tuple[str, ...]:
    """A path's segments, unquoted."""
    return tuple([unquote(part) if "%" in part else part for part in path.split("/") if part])

"""What a handler gets and what it gives: a request and an answer as small values, free of any framework."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import IO, Final
from urllib.parse import quote

from kala_es.dialects import kala
from kala_es.dialects.go_json import dumps
from kala_es.dialects.refusals import status_of
from kala_es.domain.errors import Overloaded, Unavailable
from kala_es.domain.ids import RunId
from kala_es.runtime.scheduler import Answer, Key, Origin

JSON: Final = ("Content-Type", "application/json;charset=UTF-8")
_ERROR: Final = ("Content-Type", "application/json")
_RETRY: Final = ("Retry-After", "1")
Parts = AsyncGenerator[bytes, None]
"""A body that is made while it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer. `until_over` is a run: the answer is not sent before it, and all that its end caused, are over."""

    status: int = 200
    body: bytes | Parts = b""
    headers: tuple[tuple[str, str], ...] = ()
    until_over: RunId | None = None

    def header(self, name: str) -> str:
        """A header's value, "" for none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


NO_CONTENT: Final = Response(status=204)


class Refused(Exception):
    """The edge's own no, with the answer that says so."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request. `segments` and `params` are the path's, unquoted; header names are in lower case.

    Of a query parameter given twice the last counts. `file` is the body of a route that takes a large one.
    """

    method: str
    segments: tuple[str, ...] = ()
    query_string: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: IO[bytes] | None = None
    principal: str = ""
    key: Key | None = None

    @property
    def path(self) -> str:
        """The path as it should be: single slashes, one at the end, each segment quoted."""
        return "/".join(["", *(quote(segment, safe="") for segment in self.segments), ""])

    def origin(self, granted: Response | None = None) -> Origin:
        """Who asks; with a key, `granted` is recorded as the answer to it."""
        if self.key is None or granted is None:
            return Origin(principal=self.principal)
        assert isinstance(granted.body, bytes)
        answer = Answer(status=granted.status, headers=granted.headers, body=granted.body)
        return Origin(principal=self.principal, key=self.key, answer=answer)


def answer_json(body: bytes | Parts, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """JSON on one line; the newline is added here, but for a body in parts."""
    return Response(status=status, body=body + b"\n" if isinstance(body, bytes) else body, headers=(JSON, *headers))


def refuse(status: int, reason: str, *headers: tuple[str, str]) -> Response:
    """An error of the edge's own."""
    return Response(status=status, body=dumps({"error": reason}) + b"\n", headers=(_ERROR, *headers))


def refuse_for(error: Exception, *, initializing: bool = False) -> Response:
    """The answer to a refusal of the scheduler's, or to a bug."""
    return answer_error(error, kala.error_json(error, initializing=initializing) + b"\n", _ERROR)


def answer_error(error: Exception, body: bytes, kind: tuple[str, str]) -> Response:
    """The answer to an error, in the words of a dialect; `kind` is its Content-Type."""
    headers = (kind, _RETRY) if isinstance(error, Overloaded | Unavailable) else (kind,)
    return Response(status=status_of(error), body=body, headers=headers)

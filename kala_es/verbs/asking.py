"""Requests of a verb to a server: JSON there, JSON back, and a sentence when it goes wrong.

What speaks HTTP is imported when there is something to ask: `serve` starts without it.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

from kala_es import limits

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from urllib.error import HTTPError

    from _typeshed import SupportsRead

USUAL_SERVER: Final = "http://127.0.0.1:8000"
_KINDS: Final = {"jobs": dict, "plan": list, "counts": dict, "taken": list, "refused": list}
"""What an answer's keys have."""


class Failed(Exception):
    """What a verb was to do did not come about, with the sentence that says why."""


class TooLarge(Failed):
    """What was to be read is larger than anything that a verb reads at once."""


class Answer(dict[str, Any]):
    """The object that a server has answered, empty if it said nothing. It may be any server: what is asked for has to
    be there. Raises Failed."""

    def __init__(self, url: str, said: Any) -> None:
        super().__init__(said if type(said) is dict else {})
        self._url = url
        for key, kind in _KINDS.items():
            if key in self and type(self[key]) is not kind:
                self.__missing__(key)

    def __missing__(self, key: str) -> NoReturn:
        raise Failed(f"{self._url}: does not answer as kala_es does: nothing that can be read says {key!r}")


def add_server(parser: argparse.ArgumentParser) -> None:
    """The flag that names the server."""
    parser.add_argument(
        "--server", default=USUAL_SERVER, metavar="URL", help=f"a server that runs; {USUAL_SERVER} if not given"
    )


def ask(server: str, path: str, value: object = None, *, seconds: float | None = limits.VERB_ANSWER_SECONDS) -> Answer:
    """The answer to a GET, or with a value to a POST of it. Raises Failed."""
    return _asked(server, path, None if value is None else json.dumps(value).encode(), seconds=seconds)


def send(server: str, path: str, file: "SupportsRead[bytes]") -> Answer:
    """The answer to a POST of a file, which takes as long as it takes. Raises Failed."""
    return _asked(server, path, file, seconds=None)


def _asked(
    server: str,
    path: str,
    body: "bytes | SupportsRead[bytes] | None",
    *,
    seconds: float | None = limits.VERB_ANSWER_SECONDS,
) -> Answer:
    import http.client
    import urllib.error
    import urllib.request

    url = f"{server.rstrip('/')}{path}"
    kind = "application/json" if isinstance(body, bytes) else "application/octet-stream"
    headers = {"Content-Type": kind} if body else {}
    try:
        request = urllib.request.Request(url, data=body, headers=headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=seconds) as answer:
            said = answer.read()
            return Answer(url, json.loads(said) if said else {})
    except urllib.error.HTTPError as refusal:
        raise Failed(f"{url}: {refusal.code}: {_reason(refusal)}") from None
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        raise Failed(f"{url}: {error}") from None


@contextmanager
def download(url: str) -> Iterator["HTTPResponse"]:
    """The body of the answer to a GET, to be read bit by bit. Raises Failed."""
    import http.client
    import urllib.error
    import urllib.request

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=limits.VERB_ANSWER_SECONDS) as answer:
            yield answer
    except urllib.error.HTTPError as refusal:
        raise Failed(f"{url}: {refusal.code}: {_reason(refusal)}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Failed(f"{url}: {error}") from None


def _reason(refusal: "HTTPError") -> str:
    try:
        return str(json.loads(refusal.read())["error"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return refusal.reason


def fetch(url: str) -> bytes:
    """What a URL gives, at most `MAX_BULK_BODY_BYTES`. Raises Failed."""
    import http.client
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=limits.VERB_ANSWER_SECONDS) as answer:
            return bounded(answer.read(limits.MAX_BULK_BODY_BYTES + 1), url)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Failed(f"{url}: {error}") from None


def read_file(file: str) -> bytes:
    """A file's bytes, at most `MAX_BULK_BODY_BYTES`. Raises Failed."""
    try:
        with open(file, "rb") as opened:
            return bounded(opened.read(limits.MAX_BULK_BODY_BYTES + 1), file)
    except OSError as error:
        raise Failed(f"{file}: {error.strerror}") from None


def bounded(content: bytes, where: str) -> bytes:
    """The same content, of at most `MAX_BULK_BODY_BYTES`. Raises TooLarge."""
    if len(content) > limits.MAX_BULK_BODY_BYTES:
        raise TooLarge(f"{where}: more than {limits.MAX_BULK_BODY_BYTES} bytes")
    return content

"""What the request of a remote job may ask for: the checks of what its owner gave.

An expected body is a regular expression of Python's `re`, which knows nearly all that Go's does. Where the same text
would mean something else here it is refused, rather than taken for what it does not mean.
"""

import re
from typing import Final

from kala_es import limits
from kala_es.domain.errors import Invalid
from kala_es.domain.model import RemoteCall

_SETS: Final = re.compile(r"\\.|(\[\^?\]?(?:\\.|[^\]\\])*\]?)", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\.", re.DOTALL)
_AMBIGUOUS: Final = re.compile(r"^\[\^?\[|.\[:\^?\w+:\]|--|&&|~~|\|\|", re.DOTALL)
"""In a set: another set, a class such as [:alpha:], and what Python keeps for operations on sets."""


def check_call(call: RemoteCall) -> None:
    """Raise Invalid, naming the key, unless such a request can be made."""
    if call.expected_body:
        _check_pattern(call.expected_body, "remote_properties.expected_body")
    files = {
        "ca_file": call.ca_file,
        "client_certificate_file": call.client_certificate_file,
        "client_key_file": call.client_key_file,
    }
    for key, path in files.items():
        if path:
            _check_path(path, f"remote_properties.{key}")
    if call.client_key_file and not call.client_certificate_file:
        raise Invalid("remote_properties.client_key_file", "there is no client_certificate_file that it belongs to")


def _check_pattern(text: str, field: str) -> None:
    if len(text) > limits.MAX_PATTERN_CHARS:
        raise Invalid(field, f"longer than {limits.MAX_PATTERN_CHARS} characters")
    if "\0" in text:
        raise Invalid(field, r"contains a NUL character; write \x00")
    for match in _SETS.finditer(text):
        if _AMBIGUOUS.search(_ESCAPED.sub("x", match[1] or "")):
            raise Invalid(field, f"{match[1]} is ambiguous: no [:alpha:], and a \\ before each [, -, &, ~ and | in it")
    try:
        re.compile(text, re.ASCII)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise Invalid(field, f"no regular expression: {error}") from None


def _check_path(path: str, field: str) -> None:
    if not path.startswith("/"):
        raise Invalid(field, "not an absolute path")
    if len(path) > limits.MAX_PATH_CHARS or "\0" in path:
        raise Invalid(field, f"no path: longer than {limits.MAX_PATH_CHARS} characters, or with a NUL among them")

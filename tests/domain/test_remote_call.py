"""What the request of a remote job may ask for: what is taken, and what is refused by its name."""

from typing import Any

import pytest

from kala_es import limits
from kala_es.domain.commands import CreateJob
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.job import decide
from kala_es.domain.model import JobSpec, RemoteCall

BODY = "remote_properties.expected_body"
KEY = "remote_properties.client_key_file"


def created(call: RemoteCall) -> None:
    spec = JobSpec(name="n", kind="remote", remote=call)
    decide(None, CreateJob(job=JobId("j"), at=Instant(0), spec=spec))


@pytest.mark.parametrize(
    "pattern",
    [
        "ok",
        '"status": *"(up|warm)"',
        r"(?i)^done\.$",
        r"(?s)begin.*end",
        r"(?P<code>\d{3})\b",
        r"[a-z&|~-]",
        r"[{\[]",
        r"[{[]",
        r"\[[0-9]",
        r"[]]",
        r"[^]\\[]",
        r"[:a]",
        r"[\-\-\[\[]",
        "\u00e4+",
        "x" * limits.MAX_PATTERN_CHARS,
    ],
)
def test_an_expression_is_taken(pattern: str) -> None:
    created(RemoteCall(url="http://x", expected_body=pattern))


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "no regular expression: missing )"),
        ("a**", "no regular expression: multiple repeat"),
        (r"\pL", r"no regular expression: bad escape \p"),
        (r"a\z", r"no regular expression: bad escape \z"),
        ("a(?i)", "no regular expression: global flags not at the start"),
        ("(?u)a", "no regular expression: ASCII and UNICODE flags are incompatible"),
        ("a{99999999999}", "no regular expression: the repetition number is too large"),
        ("(" * 499 + ")" * 499, "no regular expression: "),
        ("x" * (limits.MAX_PATTERN_CHARS + 1), "longer than 1000 characters"),
        ("a\0b", "contains a NUL character"),
        ("[[:alpha:]]", "[[:alpha:] is ambiguous"),
        ("a[_[:^digit:]]", "[_[:^digit:] is ambiguous"),
        ("[[{]", "[[{] is ambiguous"),
        ("[^[{]", "[^[{] is ambiguous"),
        ("[a-z--b]", "[a-z--b] is ambiguous"),
        ("x[a&&b]", "[a&&b] is ambiguous"),
    ],
)
def test_what_is_no_expression_or_means_another_thing_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(Invalid) as caught:
        created(RemoteCall(url="http://x", expected_body=pattern))
    assert caught.value.field == BODY
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("key", ["ca_file", "client_certificate_file", "client_key_file"])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("ca.pem", "not an absolute path"),
        ("~/ca.pem", "not an absolute path"),
        ("/a\0b", "no path"),
        ("/" + "x" * limits.MAX_PATH_CHARS, "no path: longer than 4096 characters"),
    ],
)
def test_a_file_is_an_absolute_path(key: str, path: str, reason: str) -> None:
    good: dict[str, Any] = {"url": "http://x", "client_certificate_file": "/c"}
    with pytest.raises(Invalid) as caught:
        created(RemoteCall(**{**good, key: path}))
    assert caught.value.field == f"remote_properties.{key}"
    assert caught.value.reason.startswith(reason)
    created(RemoteCall(**{**good, key: "/" + "x" * 4095}))


def test_a_key_belongs_to_a_certificate() -> None:
    with pytest.raises(Invalid) as caught:
        created(RemoteCall(url="http://x", client_key_file="/key.pem"))
    assert (caught.value.field, "client_certificate_file" in caught.value.reason) == (KEY, True)

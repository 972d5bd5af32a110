"""Our keys of `remote_properties`: read, refused by name, and written only when they say something."""

import json
from typing import Any

import pytest

from kala_es.dialects import kala, kala_declared, kala_remote
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.model import NO_CALL, Job, JobDraft, RemoteCall
from kala_es.domain.values import from_plain, replace, to_plain

NEXTKALAS = ["url", "method", "body", "headers", "timeout", "expected_response_codes"]
OURS: dict[str, Any] = {
    "lenient": True,
    "expected_body": "ok$",
    "verify_tls": False,
    "ca_file": "/ca.pem",
    "client_certificate_file": "/c.pem",
    "client_key_file": "/k.pem",
    "debug": True,
}


def read(call: dict[str, Any]) -> JobDraft:
    draft = kala.parse_job(json.dumps({"name": "n", "type": 1, "remote_properties": call}).encode())
    return replace(draft, id=JobId("j"))


def job_of(call: dict[str, Any]) -> Job:
    then = Instant(0)
    return Job(id=JobId("j"), spec=read(call).spec, born=then, planned=then, answered=then, next_tick=None)


def shown(call: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(kala.job_json(job_of(call), ()))["remote_properties"])


def test_every_key_is_read_and_written_after_the_originals() -> None:
    assert list(shown(OURS)) == [*NEXTKALAS, *OURS]
    assert {key: shown(OURS)[key] for key in OURS} == OURS
    assert read(shown(OURS)) == read(OURS)
    assert read({key.upper(): value for key, value in OURS.items()}) == read(OURS)


@pytest.mark.parametrize(
    "call",
    [
        {},
        dict.fromkeys(OURS),
        {"lenient": False, "expected_body": "", "verify_tls": True, "ca_file": "", "debug": False},
    ],
)
def test_what_says_nothing_is_not_written(call: dict[str, Any]) -> None:
    assert list(shown({"url": "u", **call})) == NEXTKALAS


@pytest.mark.parametrize("key", OURS)
def test_a_wrong_type_names_the_key(key: str) -> None:
    with pytest.raises(Invalid) as caught:
        read({key: 1})
    assert caught.value.field == f"remote_properties.{key}"


def test_a_request_comes_back_from_the_log() -> None:
    call = read(OURS).spec.remote
    assert from_plain(RemoteCall, to_plain(call)) == call
    assert from_plain(RemoteCall, {"url": "u"}) == replace(NO_CALL, url="u")


def test_that_nothing_is_verified_is_part_of_a_declaration() -> None:
    said = json.loads(kala.job_json(job_of({"url": "https://x", "verify_tls": False}), ()))
    assert kala_declared.declared(said)["remote_properties"] == {"url": "https://x", "verify_tls": False}
    before, after = read({"url": "https://x"}), read({"url": "https://x", "verify_tls": False})
    assert kala_declared.fields_json(before, after) == {"remote_properties.verify_tls": [None, False]}


def test_templates_see_the_originals_keys_alone() -> None:
    fields = kala.go_fields(job_of(OURS), ())["RemoteProperties"]
    assert isinstance(fields, dict)
    assert list(fields) == ["Url", "Method", "Body", "Headers", "Timeout", "ExpectedResponseCodes"]
    assert set(kala_remote.REMOTE) == {*NEXTKALAS, *OURS}

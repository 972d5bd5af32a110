"""The keys that say on which terms attempts are carried out: read, refused by name, written as they are kept."""

import json
from typing import Any

import pytest

from kala_es.dialects import kala
from kala_es.domain.commands import CreateJob
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.job import decide, evolve
from kala_es.domain.terms import USUAL, AttemptTerms
from kala_es.domain.values import from_plain, to_plain

ALL: dict[str, Any] = {
    "retry_delay": "PT10S",
    "retry_backoff": 2,
    "retry_max_delay": "PT1H",
    "retry_jitter": 0.5,
    "user": "nobody",
    "group": "daemon",
    "umask": "022",
    "nice": -3,
    "memory_limit": "256M",
    "cpu_limit": 60,
    "open_files_limit": 64,
    "success_codes": [0, 3],
    "max_output": "1 KiB",
    "on_max_output": "kill",
}


def terms_of(keys: dict[str, Any]) -> AttemptTerms:
    return kala.parse_job(json.dumps({"name": "a", "command": "b", **keys}).encode()).spec.terms


def created(keys: dict[str, Any]) -> dict[str, Any]:
    """The job as it is shown when it was created with these keys. Raises Invalid."""
    spec = kala.parse_job(json.dumps({"name": "a", "command": "b", **keys}).encode()).spec
    (event,) = decide(None, CreateJob(job=JobId("j"), at=Instant(0), spec=spec))
    job = evolve(None, event)
    assert job is not None
    return dict(json.loads(kala.job_json(job, ())))


def test_every_key_is_read_and_written_as_it_is_kept() -> None:
    assert set(ALL) == set(AttemptTerms.__struct_fields__)
    shown = created(ALL)
    assert {key: shown[key] for key in ALL} == {**ALL, "memory_limit": 256 << 20, "max_output": 1024}
    assert {key: created(shown)[key] for key in ALL} == {key: shown[key] for key in ALL}, "what is shown can be given"


def test_what_says_nothing_is_not_written() -> None:
    assert terms_of({}) == USUAL
    assert not set(created({})) & set(ALL)
    assert not set(created(dict.fromkeys(ALL))) & set(ALL)


def test_terms_come_back_from_the_log() -> None:
    for terms in (terms_of(ALL), USUAL):
        assert from_plain(AttemptTerms, to_plain(terms)) == terms
    assert to_plain(USUAL) == {}


@pytest.mark.parametrize(
    ("keys", "field", "reason"),
    [
        ({"retry_delay": "10s"}, "retry_delay", "10s"),
        ({"retry_delay": "P2Y"}, "retry_delay", "longer than 366 days"),
        ({"retry_delay": "PT1S", "retry_max_delay": "soon"}, "retry_max_delay", "soon"),
        ({"retry_delay": "PT1S", "retry_backoff": 0.5}, "retry_backoff", "not between 1 and 100"),
        ({"retry_delay": "PT1S", "retry_backoff": 10**400}, "retry_backoff", "not between 1 and 100"),
        ({"retry_delay": "PT1S", "retry_backoff": "2"}, "retry_backoff", "must be a number"),
        ({"retry_delay": "PT1S", "retry_jitter": 1.1}, "retry_jitter", "not between 0 and 1"),
        ({"retry_backoff": 2}, "retry_backoff", "there is no retry_delay"),
        ({"retry_max_delay": "PT1S"}, "retry_max_delay", "there is no retry_delay"),
        ({"user": "a\0b"}, "user", "cannot be the name of a user"),
        ({"group": "x" * 300}, "group", "cannot be the name of a group"),
        ({"umask": "099"}, "umask", "no octal mask"),
        ({"umask": 22}, "umask", "must be a string"),
        ({"nice": 20}, "nice", "not between -20 and 19"),
        ({"memory_limit": "256 apples"}, "memory_limit", "not a size"),
        ({"memory_limit": 1000}, "memory_limit", "not between"),
        ({"memory_limit": -1}, "memory_limit", "must not be negative"),
        ({"cpu_limit": 1 << 40}, "cpu_limit", "not between"),
        ({"open_files_limit": 2}, "open_files_limit", "not between 3"),
        ({"success_codes": []}, "success_codes", "names no code"),
        ({"success_codes": [256]}, "success_codes", "256 is no exit code"),
        ({"max_output": "x"}, "max_output", "not a size"),
        ({"max_output": 10, "on_max_output": "explode"}, "on_max_output", "must be"),
        ({"on_max_output": "kill"}, "on_max_output", "there is no max_output"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(keys: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(Invalid) as refusal:
        created(keys)
    assert refusal.value.field == field
    assert reason in refusal.value.reason

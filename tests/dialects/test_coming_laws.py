"""What holds for every list that comes from NextKala and Dkron: whatever stands in it is taken, or refused by name."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kala_es.dialects import from_dkron, from_kala, kala_imported, runs_from_dkron, runs_from_kala
from kala_es.dialects.coming import Coming
from kala_es.dialects.coming_runs import ComingRuns
from kala_es.dialects.go_json import dumps
from kala_es.dialects.kala_declared import parse_apply
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import JobId
from kala_es.domain.plan import check
from tests.dialects.test_coming import NOW
from tests.system.originals import HELLO

Json = Any
TEXTS: Final = (
    "", "x", "\ud800", "\0", "9" * 5_000, "-1", "1.5", "true", "T", "x" * 2_000,
    "P" + "9" * 30 + "Y", "P9999Y", "PT" + "9" * 300 + "S", "PT0.0000001S", "P1DT", "-P1D", "P0001-01-01T00:00:00",
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:01+23:59", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00Z",
    "R/2026-01-01T00:00:00Z/P1D", "R/9999-12-31T23:59:59Z/PT1S", "R99999999999999999999/2026-01-01T00:00:00Z/P1D",
    "R/2026-01-01T00:00:00Z/P" + "9" * 100 + "D", "R/0001-01-01T00:00:00+23:59/P1M", "R0/2026-01-01T00:00:00Z/",
    "@every 1h", "@every -1h", "@every", "@every 0", "@every " + "9" * 30 + "h", "@every " + "9" * 5_000 + "s",
    "@every 2562047h", "@every 1.5.5h", "@at 9999-12-31T23:59:59Z", "@manually", "@yearly", "@reboot", "0 0 31 2 *",
    "~ ~ * * *", "TZ=Nowhere 0 0 * * *", "0 * * * * * | @daily", "Europe/Berlin", "forbid", "shell", "http",
    "A=1,B", "=,=", "aGk=", "1Ki", "9" * 16 + "T", '["X: 1"]', '{"a": 1}', "[" * 100_000, "200,206", "{{ }}", "Success",
)  # fmt: skip
"""What is odd in one field or another."""
SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), 2**64, 10**400]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(TEXTS),
    st.text(max_size=20),
)
JSON: Final[st.SearchStrategy[Json]] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(TEXTS) | st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
METADATA: Final = st.dictionaries(
    st.sampled_from(["success_count", "error_count", "last_success", "last_attempted_run", "number_of_finished_runs"]),
    SCALARS,
)
REMOTE: Final = st.dictionaries(
    st.sampled_from(["url", "method", "body", "headers", "timeout", "expected_response_codes"]), JSON, max_size=3
)
CONFIG_KEYS: Final = (
    "command", "shell", "env", "cwd", "su", "payload", "timeout", "mem_limit", "url", "method", "headers", "expectCode",
    "expectBody", "debug", "tlsNoVerifyPeer", "nonsense",
)  # fmt: skip
CONFIG: Final = st.dictionaries(st.sampled_from(CONFIG_KEYS), st.sampled_from(TEXTS) | JSON, max_size=3)
KALA_JOB: Final[dict[str, Json]] = {"name": "n", "command": "true", "next_run_at": "0001-01-01T00:00:00Z"}
DKRON_JOB: Final[dict[str, Json]] = {
    "name": "j",
    "schedule": "@every 1h",
    "executor": "shell",
    "executor_config": {"command": "true"},
}
DKRON_KEYS: Final = (
    "displayname", "timezone", "schedule", "owner", "owner_email", "success_count", "error_count", "last_success",
    "last_error", "disabled", "tags", "metadata", "retries", "dependent_jobs", "parent_job", "processors",
    "concurrency", "executor", "executor_config", "status", "next", "ephemeral", "expires_at", "starts_at",
)  # fmt: skip
KALA_RUN: Final[dict[str, Json]] = {
    "id": "r",
    "job_id": "j",
    "ran_at": "2026-11-21T07:11:01.112313884Z",
    "status": "Success",
    "execution_duration": 1535557,
}
DKRON_RUN: Final[dict[str, Json]] = {**HELLO, "job_name": "j"}


@st.composite
def odd(draw: st.DrawFn, key: st.SearchStrategy[str]) -> tuple[str, Json]:
    """A key, and what it has."""
    name = draw(key)
    shaped = {"metadata": METADATA, "remote_properties": REMOTE, "executor_config": CONFIG}
    return name, draw(shaped[name] | JSON if name in shaped else JSON)


def taken_or_refused(coming: Coming, job: str, key: str) -> None:
    """The job is one or the other; the server, which is asked then, says the same. What is refused is the key."""
    (declared,) = [coming.jobs] if coming.jobs else [{}]
    assert (list(declared), [remark.job for remark in coming.refused]) in (([job], []), ([], [job]))
    refused = list(coming.refused)
    asked = parse_apply(dumps({"jobs": declared}))
    for draft in asked.jobs:
        with suppress(Invalid):
            check(draft.spec, JobId(job))
    assert all(remark.reason for remark in (*refused, *coming.notes))
    assert all(each.reason for each in asked.refused)
    assert all(remark.field.startswith(key) for remark in refused)


@given(odd(st.sampled_from(sorted(from_kala.KEYS - {"id"}))))
@example(("remote_properties", 5))
@example(("retries", 10**30))
@example(("epsilon", "P" + "9" * 300 + "Y"))
def test_whatever_a_field_of_nextkalas_has(field: tuple[str, Json]) -> None:
    body = json.dumps({"jobs": {"j": {**KALA_JOB, **dict([field])}}}).encode()
    taken_or_refused(from_kala.translate(body, NOW), "j", field[0])


@given(odd(st.sampled_from(DKRON_KEYS)))
@example(("executor_config", {"command": "true", "timeout": "9" * 5_000}))
@example(("schedule", "@every " + "9" * 30 + "h"))
def test_whatever_a_field_of_dkrons_has(field: tuple[str, Json]) -> None:
    body = json.dumps([{**DKRON_JOB, **dict([field])}]).encode()
    taken_or_refused(from_dkron.translate(body, NOW), "j", field[0])


@given(CONFIG)
@example({"url": "x", "timeout": "9" * 5_000})
@example({"url": "x", "headers": "["})
def test_whatever_a_request_of_dkrons_has(config: dict[str, Json]) -> None:
    body = json.dumps([{**DKRON_JOB, "executor": "http", "executor_config": config}]).encode()
    taken_or_refused(from_dkron.translate(body, NOW), "j", "executor_config")


RUN_KEYS: Final = ("id", "ran_at", "number_of_retries", "status", "execution_duration", "output")


def runs_taken_or_refused(coming: ComingRuns, key: str) -> None:
    assert len(coming.runs) + coming.running + len(coming.refused) == 1
    assert all(key in remark.field and remark.reason for remark in coming.refused)
    asked = kala_imported.parse_import(JobId("j"), dumps({"source": "there", "executions": coming.runs}))
    assert [(refused.field, refused.reason) for refused in asked.refused] == []


@given(odd(st.sampled_from(RUN_KEYS)))
@example(("execution_duration", 2**63 - 1))
@example(("output", "\ud800"))
def test_whatever_a_run_of_nextkalas_has(field: tuple[str, Json]) -> None:
    body = json.dumps({"job_stats": [{**KALA_RUN, **dict([field])}]}).encode()
    runs_taken_or_refused(runs_from_kala.translate("j", runs_from_kala.listed(body)["j"]), field[0])


@given(odd(st.sampled_from(sorted(DKRON_RUN.keys() - {"job_name"}))))
def test_whatever_an_execution_of_dkrons_has(field: tuple[str, Json]) -> None:
    body = json.dumps([{**DKRON_RUN, **dict([field])}]).encode()
    runs_taken_or_refused(runs_from_dkron.translate("j", runs_from_dkron.listed(body)), field[0])


READS: Final[dict[str, Callable[[bytes], object]]] = {
    "jobs of nextkala": lambda body: from_kala.translate(body, NOW),
    "jobs of dkron": lambda body: from_dkron.translate(body, NOW),
    "runs of nextkala": lambda body: [runs_from_kala.translate(*each) for each in runs_from_kala.listed(body).items()],
    "runs of dkron": lambda body: runs_from_dkron.translate("j", runs_from_dkron.listed(body)),
}


@pytest.mark.parametrize("what", READS)
@given(
    value=JSON
    | st.dictionaries(st.sampled_from(["jobs", "job_stats"]), JSON | st.dictionaries(st.text(max_size=3), JSON))
)
def test_whatever_a_list_is(what: str, value: Json) -> None:
    with suppress(Invalid):
        assert READS[what](json.dumps(value).encode()) is not None


@pytest.mark.parametrize("what", READS)
@given(body=st.binary(max_size=40))
def test_whatever_bytes_a_list_has(what: str, body: bytes) -> None:
    with suppress(Invalid):
        assert READS[what](body) is not None


def test_a_name_that_a_list_of_dkrons_has_twice_is_refused_with_both_places() -> None:
    listed = [DKRON_JOB, {**DKRON_JOB, "name": "other"}, {**DKRON_JOB, "retries": 3}]
    coming = from_dkron.translate(json.dumps(listed).encode(), NOW)
    assert list(coming.jobs) == ["other"]
    assert [(remark.job, remark.field, "[0], [2]" in remark.reason) for remark in coming.refused] == [
        ("j", "name", True)
    ]

"""What comes from NextKala and Dkron: lists recorded from the originals (tests/contract), and each rule by itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from kala_es.dialects import from_dkron, from_kala
from kala_es.dialects.coming import Coming
from kala_es.dialects.go_json import NEVER
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
NOW = Instant(1_795_000_000 * SECOND)
"""2026-11-18T09:06:40Z."""


def kala(**fields: Any) -> Coming:
    """One job, by the id j, as NextKala would list it."""
    usual = {"name": "n", "id": "j", "command": "true", "next_run_at": NEVER}
    return from_kala.translate(json.dumps({"jobs": {"j": {**usual, **fields}}}).encode(), NOW)


def dkron(**fields: Any) -> Coming:
    """One job, by the name j, as Dkron would list it."""
    usual = {"name": "j", "schedule": "@every 1h", "executor": "shell", "executor_config": {"command": "true"}}
    coming = from_dkron.translate(json.dumps([{**usual, **fields}]).encode(), NOW)
    coming.jobs = json.loads(json.dumps(coming.jobs))
    return coming


def told(coming: Coming) -> dict[str, str]:
    """What is said of the job's fields."""
    return {remark.field: remark.reason for remark in (*coming.notes, *coming.refused)}


def test_every_job_of_the_recorded_lists_is_taken_or_refused_with_a_reason() -> None:
    for translate, file in ((from_kala.translate, "kala-list.json"), (from_dkron.translate, "dkron-jobs.json")):
        body = (CONTRACT / file).read_bytes()
        coming = translate(body, NOW)
        listed = json.loads(body)
        assert len(coming.jobs) + len(coming.refused) == len(listed.get("jobs", ()) if type(listed) is dict else listed)
        assert all(remark.reason for remark in (*coming.refused, *coming.notes))
        assert translate(body, NOW).jobs == coming.jobs


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"jobs": []}', b"{"])
def test_what_is_no_list_of_nextkalas_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        from_kala.translate(body, NOW)


@pytest.mark.parametrize("body", [b"", b"{}", b"1", b"["])
def test_what_is_no_list_of_dkrons_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        from_dkron.translate(body, NOW)


def test_a_job_of_nextkalas_keeps_what_its_owner_gave_and_what_it_did() -> None:
    metadata = {"success_count": 2, "number_of_finished_runs": 3, "last_success": "2026-01-01T00:00:00.123456789+01:00"}
    coming = kala(
        owner="o@example.org",
        retries=3,
        epsilon="PT5M",
        TemplateDelimiters="{{ }}",
        resume_at_next_scheduled_time=True,
        schedule="R5/2026-11-17T12:00:00Z/P1D",
        next_run_at="2026-11-18T12:00:00Z",
        metadata=metadata,
        on_failure_job="other",
    )
    assert told(coming) == {}
    assert coming.jobs["j"] == {
        "name": "n",
        "command": "true",
        "owner": "o@example.org",
        "on_failure_job": "other",
        "schedule": "R5/2026-11-17T12:00:00Z/P1D",
        "retries": 3,
        "epsilon": "PT5M",
        "TemplateDelimiters": "{{ }}",
        "resume_at_next_scheduled_time": True,
        "metadata": metadata,
    }


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"schedule": "R/2026-01-01T00:00:00Z/P1D", "next_run_at": "2026-11-18T17:00:00Z"}, "next_run_at"),
        ({"schedule": "R/2026-01-01T00:00:00Z/P1D", "is_done": True}, "disabled"),
        ({"schedule": ""}, "schedule"),
        ({"schedule": "5R2/2099-01-01T00:00:00Z/P1D"}, "schedule"),
        ({"retries": -1}, "retries"),
        ({"dependent_jobs": "x"}, "dependent_jobs"),
        ({"flavour": 1, "is_done": True}, "flavour"),
        (
            {"type": 1, "is_done": True, "remote_properties": {"headers": {"Nextkala-Jobid": ["j"]}}},
            "remote_properties.headers",
        ),
        (
            {"type": 1, "is_done": True, "remote_properties": {"headers": {"Authorization": ["x"]}}},
            "remote_properties.headers",
        ),
    ],
)
def test_what_is_different_or_wrong_about_a_job_of_nextkalas_is_said(fields: dict[str, Any], field: str) -> None:
    assert list(told(kala(**fields))) == [field]


def test_what_is_done_there_does_not_go_on_here() -> None:
    assert kala(schedule="R/2026-01-01T00:00:00Z/P1D", is_done=True).jobs["j"]["disabled"] is True
    assert "disabled" not in kala(schedule="R0/2026-01-01T00:00:00Z/", is_done=True).jobs["j"]


def test_children_of_nextkalas_are_named_once_and_run_ids_are_left_behind() -> None:
    jobs = {
        "p": {"name": "p", "command": "true", "dependent_jobs": ["c", "x"], "is_done": True},
        "c": {"name": "c", "command": "true", "parent_jobs": ["p"], "dependent_jobs": None},
    }
    coming = from_kala.translate(json.dumps({"jobs": jobs}).encode(), NOW)
    assert coming.jobs["p"]["dependent_jobs"] == ["x"]
    assert coming.jobs["c"]["parent_jobs"] == ["p"]
    headers = {"Nextkala-Runid": ["r"], "X": ["1"]}
    assert kala(type=1, remote_properties={"headers": headers}).jobs["j"]["remote_properties"] == {
        "headers": {"X": ["1"]}
    }


@pytest.mark.parametrize(
    ("schedule", "following", "taken"),
    [
        ("@every 1h", "2026-11-21T08:09:40Z", "R/2020-01-01T00:09:40Z/PT3600S"),
        ("@every 1h", "2026-11-21T09:09:40Z", "R/2020-01-01T00:09:40Z/PT3600S"),
        ("@every 1h30m", NEVER, "R/2020-01-01T00:00:00Z/PT5400S"),
        ("@every 1.4s", NEVER, "R/2020-01-01T00:00:00Z/PT1S"),
        ("@every 0s", NEVER, "R/2020-01-01T00:00:00Z/PT1S"),
        ("@at 2030-01-01T01:00:00+01:00", NEVER, "@at 2030-01-01T01:00:00+01:00"),
        ("@daily", NEVER, "@daily"),
        ("@manually", NEVER, "@manually"),
        ("@every 2.7s", NEVER, "R/2020-01-01T00:00:00Z/PT2S"),
        ("0 0 9 * * *", NEVER, "0 0 9 * * *"),
    ],
)
def test_schedules_of_dkrons(schedule: str, following: str, taken: str) -> None:
    assert dkron(schedule=schedule, next=following).jobs["j"]["schedule"] == taken


SHELL_CONFIG = {
    "command": "echo $A",
    "shell": "true",
    "env": "A=1,B=2=3",
    "cwd": "/srv",
    "payload": "aGk=",
    "timeout": "1m30s",
    "su": "me:us",
    "mem_limit": "256MB",
}


def test_a_job_of_dkrons_with_a_shell() -> None:
    coming = dkron(
        displayname="Label",
        executor_config=SHELL_CONFIG,
        owner="me",
        owner_email="me@example.org",
        retries=2,
        concurrency="forbid",
        disabled=True,
        success_count=3,
        error_count=1,
        last_success="2026-11-21T07:09:40.534952759Z",
        last_error=None,
        timezone="Asia/Tokyo",
    )
    assert told(coming) == {}
    assert coming.jobs["j"] == {
        "name": "Label",
        "command": "echo $A",
        "shell": True,
        "env": {"A": "1", "B": "2=3"},
        "cwd": "/srv",
        "stdin": "hi",
        "timeout": "PT90S",
        "user": "me",
        "group": "us",
        "memory_limit": 256 << 20,
        "owner": "me",
        "disabled": True,
        "schedule": "R/2020-01-01T00:00:00Z/PT3600S",
        "retries": 2,
        "overlap": "skip",
        "notify": [{"to": "mailto:me@example.org", "when": ["failure"]}],
        "metadata": {
            "success_count": 3,
            "error_count": 1,
            "number_of_finished_runs": 4,
            "last_attempted_run": "2026-11-21T07:09:40.534952Z",
            "last_success": "2026-11-21T07:09:40.534952Z",
            "last_error": NEVER,
        },
    }


def test_a_job_of_dkrons_with_a_request() -> None:
    config = {
        "method": "POST",
        "url": "http://127.0.0.1/",
        "headers": '["X: http://x/y", "X: 2"]',
        "body": "b",
        "timeout": "7",
        "expectCode": "200,206",
    }
    coming = dkron(executor="http", executor_config=config, parent_job="p", schedule="")
    job = coming.jobs["j"]
    assert told(coming) == {}
    assert (job["type"], job["parent_jobs"]) == (1, ["p"])
    assert job["remote_properties"] == {
        "url": "http://127.0.0.1/",
        "method": "POST",
        "body": "b",
        "headers": {"X": ["http://x/y", "2"]},
        "timeout": 7,
        "expected_response_codes": [200, 206],
    }


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"executor": ""}, "executor"),
        ({"executor_config": {"command": 1}}, "executor_config"),
        ({"executor_config": {"command": "x", "timeout": "1 day"}}, "executor_config.timeout"),
        ({"executor_config": {"command": "x", "payload": "?"}}, "executor_config.payload"),
        ({"executor_config": {"command": "x", "mem_limit": "much"}}, "executor_config.mem_limit"),
        ({"executor": "http", "executor_config": {"headers": "X"}}, "executor_config.expectCode"),
        ({"executor": "http", "executor_config": {"expectCode": "2xx"}}, "executor_config.expectCode"),
        ({"schedule": "@every day"}, "schedule"),
        ({"schedule": ""}, "schedule"),
        ({"schedule": 1}, "schedule"),
        ({"retries": -1}, "retries"),
        ({"success_count": "1"}, "success_count"),
        ({"concurrency": "x"}, "concurrency"),
    ],
)
def test_what_has_no_counterpart_is_refused(fields: dict[str, Any], field: str) -> None:
    coming = dkron(**fields)
    assert coming.jobs == {}
    assert field in told(coming)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tags": {"server": "true"}}, "tags"),
        ({"processors": {"log": None, "email": {"to": "x"}}}, "processors.email"),
        ({"processors": {"files": {"forward": "true", "size": "3"}}}, "processors.files.size"),
        ({"schedule": "@daily"}, "schedule"),
        ({"schedule": "0 0 9 * * *"}, "schedule"),
        ({"schedule": "0 ~/15 * * * *", "timezone": "UTC"}, "schedule"),
        ({"executor_config": {"command": "x", "nonsense": "true"}}, "executor_config.nonsense"),
        ({"executor": "http", "executor_config": {"url": "http://127.0.0.1/"}}, "executor_config.expectCode"),
    ],
)
def test_what_is_left_behind_is_said(fields: dict[str, Any], field: str) -> None:
    coming = dkron(**fields)
    assert list(coming.jobs) == ["j"]
    assert list(told(coming)) == [field]


def test_ends_and_labels_of_dkrons_are_carried_over() -> None:
    times = {"starts_at": "2030-01-01T00:00:00Z", "expires_at": "2031-01-01T00:00:00Z"}
    coming = dkron(ephemeral=True, metadata={"office": "bcn"}, **times)
    assert told(coming) == {}
    job = coming.jobs["j"]
    assert (job["labels"], job["ephemeral"], job["starts_at"], job["expires_at"]) == (
        {"office": "bcn"},
        True,
        *times.values(),
    )


def test_a_long_timeout_of_dkrons_keeps_its_seconds() -> None:
    config = {"command": "x", "timeout": "34h17m36.5s"}
    assert dkron(executor_config=config).jobs["j"]["timeout"] == "PT123456.5S"


def test_processors_of_dkrons_are_carried_over() -> None:
    processors = {"fluent": {}, "files": {"forward": "false", "log_dir": "/var/log/dkron"}, "log": {"forward": "true"}}
    coming = dkron(processors=processors)
    assert coming.jobs["j"]["processors"] == processors
    assert told(coming) == {}
    assert "processors" in told(dkron(processors=["log"]))
    assert "files" in told(dkron(processors={"files": {"log_dir": 3}}))


def test_a_job_of_dkrons_without_a_name_is_refused_by_its_place() -> None:
    coming = from_dkron.translate(b'[{"name": 1}, 2]', NOW)
    assert [remark.job for remark in coming.refused] == ["[0]", "[1]"]


def test_another_executor_is_carried_over_and_the_server_says_whether_there_is_one() -> None:
    coming = dkron(executor="kafka", executor_config={"topic": "t"})
    assert not coming.refused
    assert {key: coming.jobs["j"][key] for key in ("type", "executor", "executor_config")} == {
        "type": 2,
        "executor": "kafka",
        "executor_config": {"topic": "t"},
    }

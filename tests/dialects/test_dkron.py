"""Dkron's dialect: a job written and read again is the same; what its executors do not know is refused by its key."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es.dialects import dkron
from kala_es.dialects.dkron_runs import execution_id, parse_id
from kala_es.dialects.go_json import dumps
from kala_es.domain.bounds import Bounds
from kala_es.domain.errors import Invalid, NotFound
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.model import Counters, Job, JobSpec, RemoteCall
from kala_es.domain.named_work import NO_NAMED, NamedWork
from kala_es.domain.notify import Notify, Target
from kala_es.domain.retention import Retention
from kala_es.domain.terms import AttemptTerms
from kala_es.domain.tick_policy import TickPolicy
from kala_es.domain.values import replace

T = Instant(1_800_000_000 * SECOND)
JOB = JobId("j")
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
NAMES = st.text("abcXYZ_", min_size=1, max_size=5)
PAIRS = st.dictionaries(NAMES, WORDS, max_size=3).map(lambda found: tuple(found.items()))
TIMES = st.one_of(st.none(), st.integers(1, 10**10).map(lambda s: Instant(s * SECOND)))
ENV = st.dictionaries(NAMES, st.text("ab ,;:$/", max_size=8), max_size=3).map(lambda found: tuple(found.items()))


def job_of(spec: JobSpec, **more: Any) -> Job:
    return Job(id=JOB, spec=spec, born=T, planned=T, answered=T, next_tick=T, **more)


def read(job: dict[str, Any], present: Job | None = None) -> JobSpec:
    fields = dkron.parse_job(dumps(job))
    return dkron.draft_of(fields, {present.id: present} if present else {}).spec


SHELL = {"name": "j", "schedule": "@every 1h", "executor": "shell", "executor_config": {"command": "true"}}


@given(
    st.builds(
        JobSpec,
        name=WORDS.map(lambda word: word or "j"),
        command=WORDS,
        owner=WORDS,
        schedule=st.sampled_from(["@every 1h", "0 0 9 * * *", "R/2020-01-01T00:00:00Z/PT1H"]),
        timezone=st.sampled_from(["", "Asia/Tokyo"]),
        retries=st.integers(0, 9),
        shell=st.booleans(),
        env=ENV,
        cwd=WORDS,
        stdin=WORDS,
        timeout=st.sampled_from(["", "PT90S", "PT1.5S"]),
        labels=PAIRS,
        tags=PAIRS,
        bounds=st.builds(Bounds, starts_at=TIMES, expires_at=TIMES, ephemeral=st.booleans()),
        terms=st.builds(
            AttemptTerms,
            user=NAMES,
            group=NAMES,
            memory_limit=st.sampled_from([0, 1 << 28]),
            retry_delay=st.just("PT5S"),
        ),
        ticks=st.builds(TickPolicy, overlap=st.sampled_from(["allow", "skip", "queue", "replace"])),
        notify=st.sampled_from([Notify(), Notify(targets=(Target(to="mailto:a@b.c"), Target(to="http://h/")))]),
        retention=st.just(Retention(runs=7)),
    )
)
def test_a_job_written_and_read_again_is_the_same(spec):
    present = job_of(spec)
    written = json.loads(dumps(dkron.job_fields(present, (), ())))
    assert read(written, present) == replace(spec, parents=None)


@given(st.builds(NamedWork, executor=st.sampled_from(["kafka", "a.b"]), config=PAIRS), st.sampled_from(["", "PT9S"]))
def test_a_job_of_a_package_s_executor_written_and_read_again_is_the_same(work, timeout):
    spec = JobSpec(name="j", schedule="@every 1h", kind="named", named=work, timeout=timeout)
    written = json.loads(dumps(dkron.job_fields(job_of(spec), (), ())))
    assert read(written, job_of(spec)) == spec
    assert read({**SHELL, "executor": "shell"}, job_of(spec)).named == NO_NAMED


@given(
    st.builds(
        RemoteCall,
        url=WORDS,
        method=st.sampled_from(["GET", "POST"]),
        body=WORDS,
        headers=st.dictionaries(NAMES, st.lists(NAMES, min_size=1, max_size=2).map(tuple), min_size=1, max_size=2).map(
            lambda found: tuple(found.items())
        ),
        timeout=st.integers(0, 99),
        expected_body=WORDS,
        verify_tls=st.booleans(),
        ca_file=st.sampled_from(["", "/etc/ca.pem"]),
        debug=st.booleans(),
    ),
    st.sampled_from([None, (200,), (200, 404)]),
)
def test_a_request_written_and_read_again_is_the_same(call, codes):
    call = replace(call, expected_codes=codes, lenient=codes is None)
    present = job_of(JobSpec(name="j", schedule="@every 1h", kind="remote", remote=call))
    written = json.loads(dumps(dkron.job_fields(present, (), ())))
    assert read(written, present).remote == call


def test_a_request_that_expects_200_alone_says_so():
    present = job_of(JobSpec(name="j", schedule="@every 1h", kind="remote", remote=RemoteCall(url="http://h/")))
    written = json.loads(dumps(dkron.job_fields(present, (), ())))
    assert written["executor_config"]["expectCode"] == "200"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"command": "true", "user": "root"}, "executor_config.user"),
        ({"command": "true", "shell": "maybe"}, "executor_config.shell"),
        ({"command": "true", "timeout": "soon"}, "executor_config.timeout"),
        ({"command": "true", "payload": "%"}, "executor_config.payload"),
        ({"command": "true", "mem_limit": "much"}, "executor_config.mem_limit"),
        ({"command": "true", "env": "A"}, "executor_config.env"),
    ],
)
def test_what_the_shell_executor_cannot_do_is_refused_by_its_key(config, field):
    with pytest.raises(Invalid) as refused:
        read({**SHELL, "executor_config": config})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"url": "http://h/", "timeout": "1m"}, "executor_config.timeout"),
        ({"url": "http://h/", "headers": "A: b"}, "executor_config.headers"),
        ({"url": "http://h/", "headers": '["A"]'}, "executor_config.headers"),
        ({"url": "http://h/", "expectCode": "ok"}, "executor_config.expectCode"),
        ({"command": "true"}, "executor_config.command"),
    ],
)
def test_what_the_http_executor_cannot_do_is_refused_by_its_key(config, field):
    with pytest.raises(Invalid) as refused:
        read({**SHELL, "executor": "http", "executor_config": config})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "Upper"}, "name"),
        ({"name": "a b"}, "name"),
        ({"executor": ""}, "executor"),
        ({"schedule": ""}, "schedule"),
        ({"parent_job": "j"}, "parent_job"),
        ({"concurrency": "x"}, "concurrency"),
        ({"processors": {"log": "true"}}, "processors.log"),
        ({"retries": -1}, "retries"),
        ({"expires_at": "soon"}, "expires_at"),
    ],
)
def test_what_is_no_job_is_refused_by_its_key(changes, field):
    with pytest.raises(Invalid) as refused:
        read({**SHELL, **changes})
    assert refused.value.field == field


def test_keys_come_in_any_letter_case_and_nulls_say_nothing():
    spec = read(
        {"NAME": "j", "Schedule": "@every 1h", "EXECUTOR": "shell", "executor_config": {"command": "x"}, "tags": None}
    )
    assert (spec.command, spec.tags) == ("x", ())


def test_a_value_with_commas_stays_whole():
    config = {"command": "true", "env": "A=1,2,B=,C=x=y"}
    assert read({**SHELL, "executor_config": config}).env == (("A", "1,2"), ("B", ""), ("C", "x=y"))


@pytest.mark.parametrize(
    ("counters", "status"),
    [
        (Counters(), ""),
        (Counters(last_success=T), "success"),
        (Counters(last_error=T), "failed"),
        (Counters(last_success=Instant(T + 1), last_error=T), "success"),
        (Counters(last_success=T, last_error=Instant(T + 1)), "failed"),
    ],
)
def test_the_status_is_that_of_the_last_end(counters, status):
    assert dkron.status_of(job_of(JobSpec(name="j"), counters=counters), ()) == status


def test_a_job_whose_tags_the_node_lacks_is_unplaced():
    job = job_of(JobSpec(name="j", tags=(("role", "web:2"),)))
    assert dkron.status_of(job, (("role", "web"),)) == ""
    assert dkron.status_of(job, (("role", "db"),)) == "unplaced"


def test_an_executions_id_names_a_run_and_an_attempt():
    assert parse_id(execution_id(RunId("a-b"), 3)) == (RunId("a-b"), 3)
    for text in ("", "a", "-1", "a-", "a-x", "a-²", f"a-{'9' * 30}"):
        with pytest.raises(NotFound):
            parse_id(text)

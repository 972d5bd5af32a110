"""What Dkron's executors publish of their config, against what their readers take."""

import jsonschema
import pytest

from kala_es.dialects.dkron_work import EXECUTORS, executor_of, read_work
from kala_es.domain.errors import Invalid
from kala_es.domain.model import JobSpec
from kala_es.options import schema_of_options

TAKEN = [
    ("shell", {"command": "true"}),
    ("shell", {"command": "x", "shell": "TRUE", "env": "A=1,2,B=", "cwd": "/", "su": "a:b", "payload": "eA=="}),
    ("shell", {"command": "x", "timeout": "1h30m1.5s", "mem_limit": " 256MiB "}),
    ("shell", {"command": "x", "timeout": "+.5ms", "mem_limit": "64k", "shell": "", "env": "", "payload": ""}),
    ("http", {"url": "http://h/"}),
    ("http", {"url": "http://h/", "method": "post", "headers": '["A: b"]', "timeout": "30", "expectCode": "200, 206"}),
    ("http", {"url": "http://h/", "debug": "1", "tlsNoVerifyPeer": "f", "tlsRootCAsFile": "/ca", "expectBody": "x"}),
]
REFUSED = [
    ("shell", {"command": "x", "user": "root"}),
    ("shell", {"command": "x", "shell": "yes"}),
    ("shell", {"command": "x", "env": "A"}),
    ("shell", {"command": "x", "payload": "%"}),
    ("shell", {"command": "x", "timeout": "1 day"}),
    ("shell", {"command": "x", "mem_limit": "much"}),
    ("shell", {"command": "x", "timeout": "9" * 41}),
    ("http", {"url": "http://h/", "timeout": "1s"}),
    ("http", {"url": "http://h/", "timeout": "9" * 5_000}),
    ("http", {"url": "http://h/", "expectCode": "2xx"}),
    ("http", {"url": "http://h/", "expectCode": "200,020"}),
    ("http", {"url": "http://h/", "debug": "maybe"}),
]


@pytest.mark.parametrize(("executor", "config"), TAKEN)
def test_what_a_reader_takes_the_schema_takes_also_as_it_is_written(executor, config):
    schema = schema_of_options(EXECUTORS[executor].options)
    jsonschema.validate(config, schema)
    spec = read_work(JobSpec(name="j"), executor, config)
    jsonschema.validate(executor_of(spec)[1], schema)


@pytest.mark.parametrize(("executor", "config"), REFUSED)
def test_what_the_schema_refuses_a_reader_refuses(executor, config):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config, schema_of_options(EXECUTORS[executor].options))
    with pytest.raises(Invalid):
        read_work(JobSpec(name="j"), executor, config)


def test_without_what_an_executor_needs_the_schema_refuses():
    for executor in EXECUTORS.values():
        with pytest.raises(jsonschema.ValidationError, match="required"):
            jsonschema.validate({}, schema_of_options(executor.options))


def test_a_duration_of_any_length_is_refused_at_once():
    with pytest.raises(Invalid, match="is not like 1h30m"):  # it would take hours, and the server with it
        read_work(JobSpec(name="j"), "shell", {"command": "x", "timeout": "9" * 500_000})

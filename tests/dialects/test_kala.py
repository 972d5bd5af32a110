"""NextKala's vocabulary: what its clients' bytes mean to us, and what ours look like to them."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es import limits
from kala_es.dialects import go_json, kala, kala_remote, refusals
from kala_es.dialects.go_json import Malformed
from kala_es.dialects.refusals import status_of
from kala_es.domain import errors
from kala_es.domain.commands import CreateJob
from kala_es.domain.errors import Invalid, Refusal
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.job import decide
from kala_es.domain.model import Counters, Job, JobDraft, JobSpec, RemoteCall, Run
from kala_es.domain.values import replace

EXCHANGES: Final = Path(__file__).resolve().parents[1] / "contract" / "kala-exchanges.jsonl"
RECORDED_AT: Final = "2026-11-21T07:10:58.805731Z"
T2020: Final = Instant(1_577_836_800_000_000)
T2099: Final = Instant(4_070_908_800_000_000)

# body, what the job is
GOOD: Final[list[tuple[str, JobDraft]]] = [
    ("null", JobDraft(spec=JobSpec(name=""))),
    ("{}", JobDraft(spec=JobSpec(name=""))),
    (' {"name":"a"}\r\n\t', JobDraft(spec=JobSpec(name="a"))),
    ('{"NAME":"a","cOmMaNd":"b"}', JobDraft(spec=JobSpec(name="a", command="b"))),
    ('{"name":"a","name":"b"}', JobDraft(spec=JobSpec(name="b"))),
    ('{"name":"a","Name":"b"}', JobDraft(spec=JobSpec(name="b"))),
    ('{"name":"a","NAME":null}', JobDraft(spec=JobSpec(name="a"))),
    (
        '{"name":"a","on_\u017fuccess":1,"\u017fchedule":"s","\u212aey":2}',
        JobDraft(spec=JobSpec(name="a", schedule="s")),
    ),
    ('{"name":"\\ud800x"}', JobDraft(spec=JobSpec(name="\ufffdx"))),
    ('{"name":"\\ud83d\\ude00"}', JobDraft(spec=JobSpec(name="\U0001f600"))),
    ('{"name":"a","unknown":[{"b":1e99}],"tags":null}', JobDraft(spec=JobSpec(name="a"))),
    ('{"name":"a","id":""}', JobDraft(spec=JobSpec(name="a"))),
    ('{"name":"a","id":"a/b"}', JobDraft(spec=JobSpec(name="a"), id=JobId("a/b"))),
    ('{"name":"a","id":"all"}', JobDraft(spec=JobSpec(name="a"), id=JobId("all"))),
    ('{"name":"a","id":"\u00e9 \u00fc"}', JobDraft(spec=JobSpec(name="a"), id=JobId("\u00e9 \u00fc"))),
    ('{"name":"a","TEMPLATEdelimiters":"{{ }}"}', JobDraft(spec=JobSpec(name="a", template_delimiters="{{ }}"))),
    ('{"name":"a","template_delimiters":"{{ }}"}', JobDraft(spec=JobSpec(name="a"))),
    ('{"name":"a","type":1}', JobDraft(spec=JobSpec(name="a", kind="remote"))),
    ('{"name":"a","type":0,"disabled":true}', JobDraft(spec=JobSpec(name="a"), disabled=True)),
    (
        '{"name":"a","parent_jobs":[],"dependent_jobs":["x",null]}',
        JobDraft(spec=JobSpec(name="a", parents=(), dependents=(JobId("x"), JobId("")))),
    ),
    ('{"name":"a","retries":3,"epsilon":"PT1M"}', JobDraft(spec=JobSpec(name="a", retries=3, epsilon="PT1M"))),
    (
        '{"name":"a","is_done":true,"next_run_at":"2030-01-01T00:00:00.123456789+01:00"}',
        JobDraft(spec=JobSpec(name="a")),
    ),
    (
        '{"name":"a","metadata":{"success_count":7,"last_success":"2020-01-01T00:00:00Z",'
        '"last_error":"0001-01-01T00:00:00Z","NUMBER_OF_FINISHED_RUNS":9}}',
        JobDraft(spec=JobSpec(name="a"), counters=Counters(success_count=7, last_success=T2020, finished_runs=9)),
    ),
    (
        '{"name":"a","remote_properties":{"url":"u","Method":"get","body":"b","headers":{"A":["1",null],"B":null},'
        '"timeout":4,"expected_response_codes":[200,null]}}',
        JobDraft(
            spec=JobSpec(
                name="a",
                remote=RemoteCall(
                    url="u",
                    method="get",
                    body="b",
                    headers=(("A", ("1", "")), ("B", ())),
                    timeout=4,
                    expected_codes=(200, 0),
                ),
            )
        ),
    ),
    ('{"name":"a","remote_properties":null,"metadata":null}', JobDraft(spec=JobSpec(name="a"))),
    (
        '{"name":"a","timezone":"Europe/Vienna","shell":true,"env":{"A":"1"},"cwd":"/","stdin":"in","timeout":"PT5S",'
        '"dependency_policy":"any"}',
        JobDraft(
            spec=JobSpec(
                name="a",
                timezone="Europe/Vienna",
                shell=True,
                env=(("A", "1"),),
                cwd="/",
                stdin="in",
                timeout="PT5S",
                dependency_policy="any",
            )
        ),
    ),
]

# body, the field at fault, whether it is the JSON (else a rule) that is at fault
BAD: Final = [
    ("", "", True),
    (" \n", "", True),
    ("asd", "", True),
    ("[]", "", True),
    ('"x"', "", True),
    ("1", "", True),
    ("true", "", True),
    ("NaN", "", True),
    ("{", "", True),
    ("{} x", "", True),
    ("\ufeff{}", "", True),
    ("[" * 5000, "", True),
    ("9" * 5000, "", True),
    ('{"name":"\t"}', "", True),
    ('{"name":5}', "name", True),
    ('{"name":["a"]}', "name", True),
    ('{"Disabled":"yes"}', "disabled", True),
    ('{"disabled":1}', "disabled", True),
    ('{"retries":-1}', "retries", True),
    ('{"retries":1.5}', "retries", True),
    ('{"retries":1.0}', "retries", True),
    ('{"retries":1e2}', "retries", True),
    ('{"retries":"2"}', "retries", True),
    ('{"retries":true}', "retries", True),
    ('{"retries":9223372036854775808}', "retries", True),
    ('{"retries":99999999999999999999999}', "retries", True),
    ('{"type":"1"}', "type", True),
    ('{"type":3}', "type", False),
    ('{"type":1,"executor":"e"}', "executor", False),
    ('{"type":1,"executor_config":{"a":"b"}}', "executor_config", False),
    ('{"type":-1}', "type", False),
    ('{"parent_jobs":"a"}', "parent_jobs", True),
    ('{"parent_jobs":[1]}', "parent_jobs[0]", True),
    ('{"next_run_at":"yesterday"}', "next_run_at", True),
    ('{"next_run_at":0}', "next_run_at", True),
    ('{"next_run_at":"2030-02-30T00:00:00Z"}', "next_run_at", True),
    ('{"next_run_at":"2030-01-01T24:00:00Z"}', "next_run_at", True),
    ('{"next_run_at":"2030-01-01T00:00:00"}', "next_run_at", True),
    ('{"next_run_at":"2030-01-01T00:00:00+24:00"}', "next_run_at", True),
    ('{"next_run_at":"0001-01-01T00:00:00+01:00"}', "next_run_at", True),
    ('{"metadata":[]}', "metadata", True),
    ('{"metadata":{"success_count":-1}}', "metadata.success_count", True),
    ('{"remote_properties":{"timeout":"4"}}', "remote_properties.timeout", True),
    ('{"remote_properties":{"headers":{"A":"1"}}}', "remote_properties.headers.A", True),
    ('{"remote_properties":{"expected_response_codes":"200"}}', "remote_properties.expected_response_codes", True),
    ('{"is_done":"no"}', "is_done", True),
    ('{"env":{"A":1}}', "env.A", True),
    ('{"shell":"yes"}', "shell", True),
    ('{"dependency_policy":"some"}', "dependency_policy", False),
    ('{"id":"a\\u0000"}', "id", False),
    ('{"id":"a\\nb"}', "id", False),
    ('{"id":"' + "x" * (limits.MAX_ID_CHARS + 1) + '"}', "id", False),
]


@pytest.mark.parametrize(("body", "draft"), GOOD)
def test_a_job_is_read_as_go_reads_it(body: str, draft: JobDraft):
    assert kala.parse_job(body.encode("utf-8", "surrogatepass")) == draft


@pytest.mark.parametrize(("body", "field", "malformed"), BAD)
def test_what_is_no_job_is_refused_with_the_field(body: str, field: str, malformed: bool):
    with pytest.raises(Invalid) as caught:
        kala.parse_job(body.encode())
    assert (caught.value.field, isinstance(caught.value, Malformed)) == (field, malformed)
    assert caught.value.reason


def test_invalid_utf8_is_replaced():
    assert kala.parse_job(b'{"name":"a\xff"}').spec.name == "a\ufffd"


def test_the_default_owner_owns_what_nobody_owns():
    assert kala.parse_job(b"{}", default_owner="o").spec.owner == "o"
    assert kala.parse_job(b'{"owner":""}', default_owner="o").spec.owner == "o"
    assert kala.parse_job(b'{"owner":"me"}', default_owner="o").spec.owner == "me"


# Bulk


@pytest.mark.parametrize("body", ['[{"name":"a"},null,{"NAME":"b"}]', '{"name":"a"}\n\n \r\nnull\n{"NAME":"b"}\r\n'])
def test_many_jobs_come_as_an_array_or_a_job_a_line(body: str):
    drafts = kala.parse_jobs(body.encode(), default_owner="o")
    assert [(d.spec.name, d.spec.owner) for d in drafts] == [("a", "o"), ("", "o"), ("b", "o")]


@pytest.mark.parametrize("body", ["", " \n", "[]", " [ ] "])
def test_no_jobs_are_no_error(body: str):
    assert kala.parse_jobs(body.encode()) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('[{"name":"a"},{"retries":-1}]', "[1].retries"),
        ('{"name":"a"}\n{"remote_properties":{"timeout":true}}', "[1].remote_properties.timeout"),
        ('[{},"x"]', "[1]"),
        ("{}\n[]", "[1]"),
        ("{}\n{", "[1]"),
        ("[{}", ""),
    ],
)
def test_a_bad_job_among_many_is_named_by_its_place(body: str, field: str):
    with pytest.raises(Malformed) as caught:
        kala.parse_jobs(body.encode())
    assert caught.value.field == field


@pytest.mark.parametrize("separator", [",", "\n"])
def test_too_many_jobs_are_refused(separator: str):
    items = separator.join(["null"] * (limits.MAX_BULK_JOBS + 1))
    with pytest.raises(Malformed, match="more than"):
        kala.parse_jobs((f"[{items}]" if separator == "," else items).encode())


# Any bytes


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS: Final = st.sampled_from([key for struct in (kala._JOB, kala_remote.REMOTE, kala._COUNTERS) for key in struct])
OBJECTS: Final = st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON, max_size=4), max_size=6)


@given(st.binary() | OBJECTS.map(lambda value: json.dumps(value).encode()))
def test_reading_raises_nothing_but_invalid(body: bytes):
    readers: tuple[Callable[[bytes], object], ...] = (kala.parse_job, kala.parse_jobs, kala.parse_status)
    for read in readers:
        refusal = refused(read, body)
        assert refusal is None or json.loads(kala.error_json(refusal))["error"]


def refused(read: Callable[[bytes], object], body: bytes) -> Invalid | None:
    try:
        read(body)
    except Invalid as error:
        return error
    return None


# Recorded creations: what the dialect and the rules make of them, against what the original did

RULES_DIFFER: Final = {
    "create.parent_unknown": "whether a parent exists is asked of the graph, not here",
    "create.bad_template_delims": "section 0: a template that does not parse is refused with 400",
    "fail.bad_template": "section 0: a template that does not parse is refused with 400",
    "schedule.bad.dur_frac": "section 0: the interval is what isodate parses, fractions too",
    "schedule.bad.cron": "cron expressions are schedules here",
    "schedule.maybe.R_minus5": "section 0: the grammar is strict",
    "schedule.maybe.suffix_R": "section 0: the grammar is strict",
    "schedule.maybe.dur_neg_outer": "section 0: the grammar is strict",
    "schedule.maybe.dur_day_then_garbage": "section 0: the grammar is strict",
}


def creations() -> list[Any]:
    lines = (json.loads(line) for line in EXCHANGES.read_text().splitlines())
    return [x for x in lines if x.get("request", {}).get("method") == "POST" and x["request"]["path"] == "/api/v1/job/"]


def raw(body: object) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else b""


@pytest.mark.parametrize("exchange", creations(), ids=lambda x: x["case"])
def test_recorded_creations_end_as_recorded(exchange: dict[str, Any]):
    at = go_json.time(RECORDED_AT, "")
    assert at is not None
    try:
        draft = kala.parse_job(raw(exchange["request"]["body"]))
        decide(None, CreateJob(job=JobId("x"), at=at, spec=draft.spec, counters=draft.counters))
        status, text = 201, ""
    except Refusal as error:
        status, text = status_of(error), json.loads(kala.error_json(error, initializing=True))["error"]
    assert (status != exchange["status"]) == (exchange["case"] in RULES_DIFFER)
    if status == exchange["status"] == 400:
        assert text.startswith(kala.INIT_PREFIX) == exchange["json"]["error"].startswith(kala.INIT_PREFIX)


def test_no_exception_is_stale():
    assert set(RULES_DIFFER) <= {exchange["case"] for exchange in creations()}


# Writing


def job(draft: JobDraft, **changes: Any) -> Job:
    state = Job(id=draft.id or JobId("i"), spec=draft.spec, born=T2020, planned=T2020, answered=T2020, next_tick=None)
    return replace(state, disabled=draft.disabled, counters=draft.counters, **changes)


def recorded(case: str) -> Any:
    lines = (json.loads(line) for line in EXCHANGES.read_text().splitlines())
    return next(line["json"] for line in lines if line["case"] == case)


def pairs(text: bytes | str) -> Any:
    """JSON with its order of keys."""
    return json.loads(text, object_pairs_hook=lambda items: items)


def test_a_job_that_says_nothing_looks_as_recorded():
    expected = recorded("get")["job"]
    state = job(kala.parse_job(b"{}"), id=JobId(expected["id"]))
    state = replace(state, spec=replace(state.spec, name="minimal", command="true", schedule=expected["schedule"]))
    state = replace(state, next_tick=go_json.time(expected["next_run_at"], ""))
    expected["next_run_at"] = expected["next_run_at"][:-4] + "Z"  # we count microseconds
    assert kala.job_json(state, ()).decode() == json.dumps(expected, separators=(",", ":"))


def test_a_job_that_says_everything_looks_as_recorded():
    exchange = next(x for x in creations() if x["case"] == "create.every_field")
    state = job(kala.parse_job(raw(exchange["request"]["body"])), next_tick=T2099)
    expected = recorded("get.every_field")["job"]
    expected |= {"next_run_at": "2099-01-01T00:00:00Z", "is_done": False}  # neither is a client's to say
    assert pairs(kala.job_json(state, state.spec.dependents or ())) == pairs(json.dumps(expected))


@given(OBJECTS.map(lambda value: json.dumps(value).encode()))
def test_a_job_comes_back_as_it_was_read(body: bytes):
    try:
        draft = kala.parse_job(body)
    except Invalid:
        return
    draft = replace(draft, id=draft.id or JobId("i"))
    written = kala.job_json(job(draft), draft.spec.dependents or ())
    assert kala.parse_job(written) == draft


def test_our_keys_come_last_and_only_when_they_say_something():
    body = b'{"stdin":"x","timezone":"UTC","dependency_policy":"any","env":{"A":"b"}}'
    keys = [key for key, _ in pairs(kala.job_json(job(kala.parse_job(body)), ()))]
    assert keys == [*recorded("get")["job"], "timezone", "env", "stdin", "dependency_policy"]


def test_markup_is_escaped():
    written = kala.job_json(job(kala.parse_job(b'{"name":"<a> & b"}')), ())
    assert rb'"name":"\u003ca\u003e \u0026 b"' in written


def test_dependents_are_null_when_nobody_gave_any():
    asked = [(b"{}", ()), (b'{"dependent_jobs":[]}', ()), (b"{}", (JobId("a"),))]
    written = [json.loads(kala.job_json(job(kala.parse_job(body)), ids))["dependent_jobs"] for body, ids in asked]
    assert written == [None, [], ["a"]]


def test_a_count_over_64_bits_is_written():
    state = replace(job(JobDraft(spec=JobSpec(name="a"))), counters=Counters(error_count=2**64))
    assert json.loads(kala.job_json(state, ()))["metadata"]["error_count"] == 2**64


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (None, "0001-01-01T00:00:00Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (120_000, "1970-01-01T00:00:00.12Z"),
        (10_000_000, "1970-01-01T00:00:10Z"),
        (T2099, "2099-01-01T00:00:00Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_are_written_as_go_writes_them(instant: Instant | None, text: str):
    assert kala.instant_text(instant) == text
    assert go_json.time(text, "") == instant


@given(st.integers(-62_135_596_799_999_999, 253_402_300_799_999_999))
def test_times_come_back(instant: int):
    assert go_json.time(kala.instant_text(Instant(instant)), "") == instant


_NOTHING: Final = {"retry_at": None, "redacted": None, "imported": None, "stdout_dropped": 0, "stderr_dropped": 0}


def run(**changes: Any) -> Any:
    """What the catalogue of runs says of one."""
    ended = {"id": RunId("r"), "job": JobId("j"), "cause": "manual", "started": T2020, "tick": None, "attempts": 1}
    ended |= {"ended": Instant(T2020 + 1500), "outcome": "succeeded", "exit_code": 0, "signal": None, "reason": ""}
    usual = {"reported": None, "stdout_bytes": 3, "stderr_bytes": 0, "covers": None, "output_digest": None}
    return SimpleNamespace(**(ended | usual | _NOTHING | changes))


def test_a_run_has_the_recorded_keys_first_and_then_ours():
    written = pairs(kala.run_json(run(attempts=3, tick=T2099), " out\n\u2003", remote=False))
    first = list(recorded("run.get_one")["job_run"])
    assert [key for key, _ in written[: len(first)]] == first
    assert dict(written) == {
        "id": "r",
        "job_id": "j",
        "ran_at": "2020-01-01T00:00:00Z",
        "number_of_retries": 2,
        "status": "Success",
        "execution_duration": 1_500_000,
        "output": "out",
        "outcome": "succeeded",
        "exit_code": 0,
        "signal": None,
        "cause": "manual",
        "tick": "2099-01-01T00:00:00Z",
        "ended_at": "2020-01-01T00:00:00.0015Z",
        "reason": "",
        "stdout_bytes": 3,
        "stderr_bytes": 0,
        "output_truncated": False,
        "output_dropped_bytes": 0,
        "retry_at": None,
        "covers": None,
        "output_trimmed": False,
        "output_digest": None,
        "redacted": None,
        "imported": None,
    }


RUNNING: Final = {"ended": None, "outcome": None}


@pytest.mark.parametrize(
    ("changes", "remote", "status", "duration"),
    [
        (RUNNING, False, "Started", 0),
        (RUNNING, True, "Started", 0),
        ({}, False, "Success", 1_500_000),
        ({}, True, "Started", 1_500_000),
        ({"outcome": "failed"}, False, "Failed", 1_500_000),
        ({"outcome": "timed-out"}, True, "Failed", 1_500_000),
        ({"outcome": "cancelled"}, False, "Failed", 1_500_000),
        ({"outcome": "lost"}, False, "Failed", 1_500_000),
        ({"reported": "Banana"}, True, "Banana", 1_500_000),
        ({"reported": ""}, False, "", 1_500_000),
        ({"ended": T2020 - 1}, False, "Success", 0),
    ],
)
def test_a_runs_status(changes: dict[str, Any], remote: bool, status: str, duration: int):
    written = json.loads(kala.run_json(run(**changes), "", remote=remote))
    assert (written["status"], written["execution_duration"]) == (status, duration)


def test_a_reason_with_half_a_surrogate_pair_is_written():
    assert json.loads(kala.run_json(run(reason="\udcff"), "", remote=False, truncated=True))["output_truncated"]


def test_the_stats_have_the_recorded_keys():
    stats = SimpleNamespace(jobs=5, disabled_jobs=2, error_count=1, success_count=7, last_attempted_run=None)
    written = json.loads(kala.stats_json(stats, next_run_at=T2099, created=T2020))["Stats"]
    assert list(written) == list(recorded("stats.empty")["Stats"])
    assert list(written.values()) == [
        3,
        2,
        5,
        1,
        7,
        "2099-01-01T00:00:00Z",
        kala.instant_text(None),
        "2020-01-01T00:00:00Z",
    ]


def test_kalas_own_stats():
    written = json.loads(kala.legacy_stats_json([run(), run(outcome="failed", attempts=2), run(reported="Failed")]))
    keys = ["job_id", "ran_at", "number_of_retries", "success", "execution_duration"]
    assert [list(item) for item in written["job_stats"]] == [keys] * 3
    assert [(item["success"], item["number_of_retries"]) for item in written["job_stats"]] == [
        (True, 0),
        (False, 1),
        (False, 0),
    ]


# The status that a client reports, templates, headers


@pytest.mark.parametrize(("body", "status"), [(b'"Success"', "Success"), (b'""', ""), (b"null", ""), (b' "a"\n', "a")])
def test_a_status_is_a_string(body: bytes, status: str):
    assert kala.parse_status(body) == status


@pytest.mark.parametrize("body", [b"", b"Success", b'{"status":"Success"}', b"1", b"[]", b'"a" "b"'])
def test_anything_else_is_no_status(body: bytes):
    with pytest.raises(Malformed):
        kala.parse_status(body)


def test_templates_see_gos_names():
    body = b'{"name":"n","type":1,"parent_jobs":["p"],"remote_properties":{"url":"u","headers":{"A":["b"]}}}'
    fields: Any = kala.go_fields(job(kala.parse_job(body)), (JobId("d"),))
    names = "Name Id Command Owner Disabled DependentJobs ParentJobs OnFailureJob Schedule Retries Epsilon NextRunAt "
    names += "TemplateDelimiters ResumeAtNextScheduledTime Metadata JobType RemoteProperties IsDone"
    done = "SuccessCount LastSuccess ErrorCount LastError LastAttemptedRun NumberOfFinishedRuns"
    call = "Url Method Body Headers Timeout ExpectedResponseCodes"
    assert [" ".join(part) for part in (fields, fields["Metadata"], fields["RemoteProperties"])] == [names, done, call]
    assert (fields["Name"], fields["JobType"], fields["DependentJobs"]) == ("n", 1, ("d",))
    assert fields["RemoteProperties"]["Headers"] == {"A": ("b",)}
    assert fields["NextRunAt"] == "0001-01-01 00:00:00 +0000 UTC"


def test_a_templates_empty_lists_and_maps():
    fields: Any = kala.go_fields(job(kala.parse_job(b"{}")), ())
    assert (fields["ParentJobs"], fields["RemoteProperties"]["Headers"]) == (None, {})


def test_a_job_is_done_when_nothing_is_left_to_do():
    state = job(JobDraft(spec=JobSpec(name="a"), counters=Counters(finished_runs=1)))
    busy = Run(id=RunId("r"), cause="manual", root=RunId("r"), started=T2020)
    for changes, done in (({}, True), ({"runs": (busy,)}, False), ({"next_tick": T2099}, False)):
        assert json.loads(kala.job_json(replace(state, **changes), ()))["is_done"] is done


def test_the_other_side_learns_the_run():
    assert kala.run_headers(JobId("j"), RunId("r")) == (("Nextkala-Jobid", "j"), ("Nextkala-Runid", "r"))


# Errors


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (Invalid("retries", "is bad"), 400, {"error": "retries: is bad", "field": "retries"}),
        (Invalid("", "is bad"), 400, {"error": "is bad"}),
        (
            Invalid("[2].template_delimiters", "bad"),
            400,
            {"error": "[2].TemplateDelimiters: bad", "field": "[2].TemplateDelimiters"},
        ),
        (
            Invalid("Idempotency-Key", "used"),
            422,
            {"error": "Idempotency-Key: used", "field": "Idempotency-Key"},
        ),
        (Malformed("name", "bad"), 400, {"error": "name: bad", "field": "name"}),
        (errors.NotFound("gone"), 404, {"error": "gone"}),
        (errors.Forbidden("local jobs are disabled"), 403, {"error": "local jobs are disabled"}),
        (errors.Conflict("over"), 409, {"error": "over"}),
        (errors.Overloaded("full"), 503, {"error": "full"}),
        (errors.LogFull("disk"), 507, {"error": "disk"}),
        (errors.Unavailable("stopping"), 503, {"error": "stopping"}),
    ],
)
def test_each_refusal_has_its_status_and_names_its_reason(error: Refusal, status: int, body: dict[str, str]):
    assert status_of(error) == status
    assert json.loads(kala.error_json(error)) == body


def test_every_refusal_has_a_status():
    assert {kind for kind, _ in refusals._STATUSES} == set(Refusal.__subclasses__())


def test_a_bug_is_a_500():
    assert status_of(errors.ActorCrashed("boom")) == status_of(KeyError("secret")) == 500
    assert "boom" in json.loads(kala.error_json(errors.ActorCrashed("boom")))["error"]
    assert b"secret" not in kala.error_json(KeyError("secret"))


def test_only_a_refusal_by_the_rules_begins_as_the_originals_did():
    texts = [
        json.loads(kala.error_json(error, initializing=True))["error"]
        for error in (
            Invalid("schedule", "bad"),
            Malformed("name", "bad"),
            errors.Forbidden("no"),
            Invalid("Idempotency-Key", "used"),
        )
    ]
    assert texts == [f"{kala.INIT_PREFIX}: schedule: bad", "name: bad", "no", "Idempotency-Key: used"]


def test_the_recordings_are_in_order():
    groups = [json.loads(line)["group"] for line in EXCHANGES.read_text().splitlines()]
    assert len(set(groups)) == 1 + sum(a != b for a, b in pairwise(groups))

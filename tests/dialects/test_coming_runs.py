"""Runs that come from NextKala and Dkron: what each list says of them, the recorded ones and each rule by itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from kala_es import limits
from kala_es.dialects import kala_imported, runs_from_dkron, runs_from_kala
from kala_es.dialects.coming_runs import ComingRuns
from kala_es.dialects.go_json import NEVER
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant, JobId, run_imported
from kala_es.domain.imported_runs import ImportedRun, ImportReport, RefusedRun
from tests.system.originals import HELLO

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
KALA: dict[str, Any] = {
    "id": "a07efdeb-54e7-45f8-602e-f22d2cc13f93",
    "job_id": "j",
    "ran_at": "2026-11-21T07:11:01.112313884Z",
    "number_of_retries": 0,
    "status": "Success",
    "execution_duration": 1535557,
    "output": "hello world",
}
DKRON: dict[str, Any] = {**HELLO, "job_name": "j"}


def kala(*changes: dict[str, Any]) -> ComingRuns:
    return runs_from_kala.translate("j", [{**KALA, **change} for change in changes])


def dkron(*changes: dict[str, Any]) -> ComingRuns:
    return runs_from_dkron.translate("j", [{**DKRON, **change} for change in changes])


def told(coming: ComingRuns) -> dict[str, str]:
    return {remark.field: remark.reason for remark in coming.refused}


def recorded_lists() -> list[bytes]:
    """Every list of executions that a running NextKala gave."""
    lines = (CONTRACT / "kala-exchanges.jsonl").read_text().splitlines()
    return [body.encode() for line in lines if (body := json.loads(line).get("body") or "").startswith('{"job_stats"')]


# NextKala


def test_every_run_of_the_recorded_lists_is_taken_left_out_or_refused_with_a_reason() -> None:
    lists = recorded_lists()
    assert len(lists) > 5
    for body in lists:
        by_job = runs_from_kala.listed(body)
        assert sum(map(len, by_job.values())) == len(json.loads(body)["job_stats"])
        for job, executions in by_job.items():
            coming = runs_from_kala.translate(job, executions)
            assert len(coming.runs) + coming.running + len(coming.refused) == len(executions)
            asked = {"source": "nextkala", "executions": coming.runs}
            assert not kala_imported.parse_import(JobId(job), json.dumps(asked).encode()).refused


def test_a_run_of_nextkalas_is_as_it_was() -> None:
    assert kala({}).runs == [
        {
            "id": KALA["id"],
            "ran_at": "2026-11-21T07:11:01.112313Z",
            "ended_at": "2026-11-21T07:11:01.113848Z",
            "outcome": "succeeded",
            "number_of_retries": 0,
            "output": "hello world",
        }
    ]
    assert kala({"status": "Failed", "number_of_retries": 2}).runs[0]["outcome"] == "failed"


def test_what_is_not_over_at_nextkala_is_left_out() -> None:
    coming = kala({"status": "Started"}, {"status": "Running"}, {})
    assert (coming.running, len(coming.runs), coming.refused) == (2, 1, [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": ""}, "status"),
        ({"status": None}, "status"),
        ({"status": "Done"}, "status"),
        ({"status": 1}, "status"),
        ({"ran_at": NEVER}, "ran_at"),
        ({"ran_at": "yesterday"}, "ran_at"),
        ({"execution_duration": -1}, "execution_duration"),
        ({"number_of_retries": 1.5}, "number_of_retries"),
        ({"output": ["x"]}, "output"),
        ({"output": "x" * (limits.MAX_IMPORTED_OUTPUT_BYTES + 1)}, "output"),
    ],
)
def test_an_odd_run_of_nextkalas_is_refused_alone(change: dict[str, Any], field: str) -> None:
    coming = kala({}, change)
    assert len(coming.runs) == 1
    assert list(told(coming)) == [f"executions.{KALA['id']}.{field}"]


def test_what_is_no_run_at_all_is_refused_by_its_place() -> None:
    coming = runs_from_kala.translate("j", [7, {**KALA, "id": ""}])
    assert list(told(coming)) == ["executions.[0]", "executions.[1].id"]


def test_a_list_of_nextkalas_is_sorted_by_job() -> None:
    body = json.dumps({"job_stats": [KALA, {**KALA, "job_id": "k"}, {**KALA, "job_id": 1}, 7]}).encode()
    assert {job: len(found) for job, found in runs_from_kala.listed(body).items()} == {"j": 1, "k": 1, "": 2}
    assert runs_from_kala.listed(b'{"job_stats": null}') == {}
    coming = kala({})
    runs_from_kala.refuse_nobodys(coming, runs_from_kala.listed(body)[runs_from_kala.NOBODYS])
    assert (len(coming.runs), list(told(coming))) == (1, [f"executions.{KALA['id']}.job_id", "executions.[1].job_id"])


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"job_stats": 1}'])
def test_what_is_no_list_of_nextkalas_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        runs_from_kala.listed(body)


# Dkron


def test_a_run_of_dkrons_is_all_attempts_of_a_group_on_a_node() -> None:
    later = {"attempt": 2, "started_at": "2026-11-21T07:09:41Z", "finished_at": "2026-11-21T07:09:42Z"}
    coming = dkron({**later, "output": "again\n"}, {"success": False}, {"node_name": "n2"}, {"group": 5})
    assert [run["id"] for run in coming.runs] == ["1795244980528037588-n1", "1795244980528037588-n2", "5-n1"]
    assert coming.runs[0] == {
        "id": "1795244980528037588-n1",
        "ran_at": "2026-11-21T07:09:40.530659Z",
        "ended_at": "2026-11-21T07:09:42Z",
        "outcome": "succeeded",
        "number_of_retries": 1,
        "output": "hello\nagain\n",
    }


def test_a_run_of_dkrons_that_failed_last_has_failed() -> None:
    (run,) = dkron({"success": True}, {"success": False, "attempt": 2}).runs
    assert (run["outcome"], run["number_of_retries"]) == ("failed", 1)


def test_what_never_finished_at_dkron_is_left_out() -> None:
    coming = dkron(
        {"finished_at": NEVER}, {"group": 1, "success": False}, {"group": 1, "attempt": 2, "finished_at": None}
    )
    assert (coming.running, coming.runs, coming.refused) == (2, [], [])


def test_executions_of_other_jobs_are_left_out() -> None:
    assert dkron({"job_name": "jj"}) == ComingRuns(job="j")


def test_a_run_of_dkrons_without_output_has_none() -> None:
    execution = {key: value for key, value in DKRON.items() if key != "output"}
    assert runs_from_dkron.translate("j", [execution]).runs[0]["output"] == ""


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"success": None}, "success"),
        ({"started_at": NEVER}, "started_at"),
        ({"finished_at": "later"}, "finished_at"),
        ({"attempt": "1"}, "attempt"),
        ({"output": 1}, "output"),
        ({"output": "x" * (limits.MAX_IMPORTED_OUTPUT_BYTES + 1)}, "output"),
    ],
)
def test_an_odd_run_of_dkrons_is_refused_alone(change: dict[str, Any], field: str) -> None:
    coming = dkron({"group": 1}, change)
    assert [run["id"] for run in coming.runs] == ["1-n1"]
    assert list(told(coming)) == [f"executions.{DKRON['group']}-n1.{field}"]


def test_what_has_no_group_is_refused_by_its_place() -> None:
    coming = runs_from_dkron.translate("j", [7, {**DKRON, "group": "x"}, {**DKRON, "node_name": 1}])
    assert list(told(coming)) == [
        "executions.[0]",
        "executions.x.group",
        "executions.1795244980528037588.node_name",
    ]


def test_attempts_that_print_too_much_together_are_refused() -> None:
    half = "x" * (limits.MAX_IMPORTED_OUTPUT_BYTES // 2 + 1)
    assert list(told(dkron({"output": half}, {"output": half, "attempt": 2}))) == [
        f"executions.{DKRON['group']}-n1.output"
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b"1", b"["])
def test_what_is_no_list_of_dkrons_is_refused(body: bytes) -> None:
    assert runs_from_dkron.listed(b"null") == []
    with pytest.raises(Invalid):
        runs_from_dkron.listed(body)


# The request


def parsed(**changes: Any) -> Any:
    asked = {"source": "nextkala", "executions": kala({}).runs, **changes}
    return kala_imported.parse_import(JobId("j"), json.dumps(asked).encode())


def test_a_request_is_read() -> None:
    asked = parsed(dry_run=True)
    started = Instant(1_795_245_061 * SECOND + 112_313)
    assert asked.runs == (
        ImportedRun(
            id=run_imported(JobId("j"), "nextkala", KALA["id"]),
            execution=KALA["id"],
            started=started,
            ended=Instant(started + 1_535),
            outcome="succeeded",
            output=b"hello world",
        ),
    )
    assert (asked.job, asked.source, asked.dry_run, asked.refused) == ("j", "nextkala", True, ())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": None}, "id"),
        ({"ran_at": NEVER}, "ran_at"),
        ({"ended_at": None}, "ended_at"),
        ({"outcome": "fine"}, "outcome"),
        ({"outcome": None}, "outcome"),
        ({"number_of_retries": -1}, "number_of_retries"),
        ({"exit_code": "0"}, "exit_code"),
        ({"output": 1}, "output"),
    ],
)
def test_what_is_wrong_about_one_is_noted(change: dict[str, Any], field: str) -> None:
    (good,) = kala({}).runs
    asked = parsed(executions=[good, {**good, **change}])
    assert (len(asked.runs), [refused.field for refused in asked.refused]) == (1, [field])
    assert parsed(executions=[1]).refused[0].execution == "[0]"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"source": ""}, "source"),
        ({"source": "x" * (limits.MAX_ID_CHARS + 1)}, "source"),
        ({"executions": None}, "executions"),
        ({"executions": {}}, "executions"),
        ({"executions": [{}] * (limits.MAX_IMPORTED_RUNS + 1)}, "executions"),
        ({"dry_run": 1}, "dry_run"),
    ],
)
def test_what_is_wrong_about_the_whole_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        parsed(**changes)
    assert refused.value.field == field


def test_the_report_as_json() -> None:
    report = ImportReport(taken=("a",), known=2, refused=(RefusedRun(execution="b", field="f", reason="r"),))
    assert json.loads(kala_imported.report_json(report, dry_run=True)) == {
        "dry_run": True,
        "taken": ["a"],
        "known": 2,
        "refused": [{"id": "b", "field": "f", "reason": "r"}],
    }

"""Runs of elsewhere over HTTP: added to a job's history, and read like others."""

import json
from typing import Any

import pytest

from kala_es import limits
from kala_es.domain.ids import JobId, run_imported
from tests.web.edges import API, Site, serving
from tests.web.test_openapi import check


def execution(name: str, start: str = "2020-01-01T00:00:00Z", **fields: Any) -> dict[str, Any]:
    """A run of elsewhere."""
    return {"id": name, "ran_at": start, "ended_at": start, "outcome": "succeeded", **fields}


async def post(site: Site, *executions: Any, job: str = "j", **asked: Any) -> Any:
    request = {"source": "nextkala", "executions": executions, **asked}
    return await site.http.post(f"{API}/job/{job}/executions/import/", json=request)


async def test_runs_are_added_and_read_like_others():
    async with serving() as site:
        await site.create("j")
        mine = await site.run_whole("j")
        dry = await post(site, execution("a"), execution("b"), dry_run=True)
        assert dry.json() == {"dry_run": True, "taken": ["a", "b"], "known": 0, "refused": []}
        failed = {"outcome": "failed", "number_of_retries": 2, "exit_code": 3, "reason": "why", "output": "é" * 20_000}
        late = execution("late", "2019-05-05T05:05:05.5Z", **failed)
        answer = await post(site, execution("a", output="hello\n"), late, execution("a"))
        assert answer.json() == {"dry_run": False, "taken": ["a", "late"], "known": 1, "refused": []}
        check(answer.content, "ImportReport")
        listed = await site.http.get(f"{API}/job/j/executions/")
        check(listed.content, "Runs")
        runs = listed.json()["job_stats"]
        assert [run["ran_at"][:4] for run in runs[:2]] == ["2019", "2020"]
        assert runs[2]["id"] == mine
        assert [run["imported"] for run in runs] == [
            {"source": "nextkala", "id": "late"},
            {"source": "nextkala", "id": "a"},
            None,
        ]
        told = ("status", "outcome", "exit_code", "reason", "number_of_retries", "cause", "stdout_bytes")
        assert [runs[0][key] for key in told] == ["Failed", "failed", 3, "why", 2, "imported", 40_000]
        assert (runs[1]["status"], runs[1]["output"]) == ("Success", "hello")
        legacy = (await site.http.get(f"{API}/job/stats/j/")).json()["job_stats"]
        assert [run["success"] for run in legacy] == [False, True, True]


async def test_one_run_its_output_and_its_stream():
    async with serving() as site:
        await site.create("j")
        await post(site, execution("a", output="x" * limits.CHUNK_BYTES + "end", number_of_retries=1))
        run = run_imported(JobId("j"), "nextkala", "a")
        path = f"{API}/job/j/executions/{run}/"
        assert (await site.http.get(path)).json()["job_run"]["imported"]["id"] == "a"
        part = await site.http.get(f"{path}output/", headers={"Range": f"bytes={limits.CHUNK_BYTES - 1}-"})
        assert (part.status_code, part.content) == (206, b"xend")
        frames = [frame.splitlines() for frame in (await site.http.get(f"{path}stream/")).text.split("\n\n")[1:-1]]
        assert [lines[1] for lines in frames] == ["event: output", "event: output", "event: end"]
        told = [json.loads(lines[2].removeprefix("data: ")) for lines in frames]
        assert [piece["offset"] for piece in told[:2]] == [0, limits.CHUNK_BYTES]
        end = {key: told[2][key] for key in ("state", "source", "started", "outcome", "attempts")}
        assert end == {
            "state": "imported",
            "source": "nextkala",
            "started": "2020-01-01T00:00:00Z",
            "outcome": "succeeded",
            "attempts": 2,
        }
        last = frames[2][0].removeprefix("id: ")
        assert (await site.http.get(f"{path}stream/", headers={"Last-Event-ID": last})).status_code == 204
        assert (await site.http.delete(path)).status_code == 409
        (link,) = (await site.http.get(f"{API}/job/j/why/", params={"run": run})).json()["chain"]
        assert (link["cause"], link["attempts"], link["outcome"]) == ("imported", 2, "succeeded")


async def test_what_is_wrong_is_said_and_nothing_is_taken():
    async with serving() as site:
        await site.create("j")
        position = site.node.scheduler.folds.position
        bad = execution("b", outcome="fine")
        dry = (await post(site, execution("a"), bad, 7, dry_run=True)).json()
        assert dry["taken"] == ["a"]
        assert [(refused["id"], refused["field"]) for refused in dry["refused"]] == [("b", "outcome"), ("[2]", "")]
        answer = await post(site, execution("a"), bad)
        assert (answer.status_code, answer.json()["field"]) == (400, "executions.b.outcome")
        for asked, status in (({"source": ""}, 400), ({"source": 1}, 400), ({"job": "nobody"}, 404)):
            assert (await post(site, execution("a"), **asked)).status_code == status
        assert (await site.http.post(f"{API}/job/j/executions/import/", content=b"[")).status_code == 400
        assert site.node.scheduler.folds.position == position


@pytest.mark.parametrize("count", [0, limits.MAX_IMPORTED_RUNS, limits.MAX_IMPORTED_RUNS + 1])
async def test_so_many_in_one_request(count: int):
    async with serving() as site:
        await site.create("j")
        answer = await post(site, *(execution(f"{n}", output="x" * 100) for n in range(count)))
        if count > limits.MAX_IMPORTED_RUNS:
            assert (answer.status_code, answer.json()["field"]) == (400, "executions")
        else:
            assert len(answer.json()["taken"]) == count


async def test_larger_than_other_bodies():
    async with serving() as site:
        await site.create("j")
        output = "x" * (2 * limits.MAX_BODY_BYTES)
        assert (await post(site, execution("a", output=output))).json()["taken"] == ["a"]
        (run,) = site.node.scheduler.folds.runs.of_job(JobId("j"), limit=2)
        assert run.stdout_bytes == len(output)

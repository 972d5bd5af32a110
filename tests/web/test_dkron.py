"""Dkron's API over HTTP: what it adds to the recorded transcript, and what is better than the original."""

import json

import pytest

from kala_es import limits
from kala_es.domain.events import JobDeleted, RunStarted, ServerPaused
from kala_es.domain.ids import RunId
from tests.nodes import FAILS, HANGS, ScriptedShell
from tests.web.edges import Site, frames, serving, writes

pytestmark = pytest.mark.trio


def shell(name: str, command: str = "succeeds", **fields):
    return {
        "name": name,
        "schedule": "@manually",
        "executor": "shell",
        "executor_config": {"command": command},
        **fields,
    }


class Unwilling(ScriptedShell):
    async def validate(self, remote):
        return "no"


async def make(site: Site, name: str, command: str = "succeeds", **fields):
    answer = await site.http.post("/v1/jobs", json=shell(name, command, **fields))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def run(site: Site, name: str, query: str = "") -> str:
    answer = await site.http.post(f"/v1/jobs/{name}{query}")
    assert answer.status_code == 200, answer.text
    execution: str = answer.json()["execution_id"]
    return execution


async def run_whole(site: Site, name: str) -> str:
    execution = await run(site, name)
    await site.node.scheduler.tree_end(RunId(execution.rpartition("-")[0]))
    return execution


async def get(site: Site, path: str):
    answer = await site.http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


# Jobs


async def test_a_job_of_one_api_is_the_same_job_in_the_other():
    async with serving() as site:
        await make(site, "j", displayname="A job", metadata={"office": "bcn"}, tags={"dc": "dc1"}, owner="me")
        job = (await get(site, "/api/v1/job/j/"))["job"]
        assert (job["name"], job["labels"], job["node_tags"]) == ("A job", {"office": "bcn"}, {"dc": "dc1"})
        await site.create("k", retries=3)
        assert (await get(site, "/v1/jobs/k"))["retries"] == 3


async def test_what_dkron_has_no_word_for_is_kept():
    async with serving() as site:
        await site.create("j", retry_delay="PT5S", keep_runs=7, overlap="queue", on_failure_job="h")
        await make(site, "j", retries=2)
        job = (await get(site, "/api/v1/job/j/"))["job"]
        assert (job["retry_delay"], job["keep_runs"], job["overlap"], job["on_failure_job"]) == (
            "PT5S",
            7,
            "queue",
            "h",
        )
        assert job["retries"] == 2


async def test_counters_and_history_outlive_a_replacement():
    async with serving() as site:
        await make(site, "j")
        await run_whole(site, "j")
        assert (await make(site, "j", retries=1))["success_count"] == 1
        assert len(await get(site, "/v1/jobs/j/executions")) == 1


async def test_the_next_tick_is_right_in_the_jobs_zone_at_once():
    async with serving() as site:
        job = await make(site, "j", schedule="0 0 9 * * *", timezone="Asia/Tokyo")
        assert job["next"].endswith("T00:00:00Z")


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"executor": "kafka"}, 400, "executor"),
        ({"executor_config": {"command": "x", "nonsense": "1"}}, 400, "executor_config.nonsense"),
        ({"executor_config": {"command": ""}}, 400, "executor_config.command"),
        ({"timezone": "Mars/X"}, 400, "timezone"),
        ({"starts_at": "2030-01-02T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"}, 400, "expires_at"),
        ({"metadata": {"k": "v" * 2000}}, 400, "metadata"),
        ({"parent_job": "nope"}, 404, None),
    ],
)
async def test_a_refusal_names_dkrons_key(changes, status, field):
    async with serving() as site:
        answer = await site.http.post("/v1/jobs", json=shell("j", **changes))
        assert answer.status_code == status
        assert answer.json().get("field") == field
        assert answer.json()["error"]
        assert await get(site, "/v1/jobs") == []


async def test_the_other_side_of_a_request_is_not_asked():
    async with serving(shell=Unwilling()) as site:
        config = {"url": "http://127.0.0.1:9/", "method": "GET"}
        body = shell("j", executor="http", executor_config=config)
        assert (await site.http.post("/v1/jobs", json=body)).status_code == 201
        remote = {"name": "k", "type": 1, "remote_properties": {"url": "http://127.0.0.1:9/"}}
        assert (await site.http.post("/api/v1/job/", json=remote)).status_code == 403


async def test_put_is_for_the_job_of_the_path():
    async with serving() as site:
        body = shell("j")
        del body["name"]
        assert (await site.http.put("/v1/jobs/j", json=body)).status_code == 200
        assert (await site.http.put("/v1/jobs/j", json={**body, "name": "k"})).json()["field"] == "name"


async def test_the_list_is_filtered_sorted_and_cut():
    async with serving({"fails": FAILS}) as site:
        await make(site, "a", "fails", retries=0, metadata={"x": "1", "y": "1"})
        await make(site, "b", metadata={"x": "1"}, displayname="Bee", retries=5)
        await make(site, "c", metadata={"x": "2"}, disabled=True, retries=3)
        await run_whole(site, "a")
        await run_whole(site, "b")

        async def names(query: str) -> list[str]:
            return [job["name"] for job in await get(site, f"/v1/jobs?{query}")]

        assert await names("metadata[x]=1") == ["a", "b"]
        assert await names("metadata[x]=1&metadata[y]=1") == ["a"]
        assert await names("q=ee") == ["b"]
        assert await names("disabled=true") == ["c"]
        assert await names("status=success") == ["b"]
        assert await names("status=failed") == ["a"]
        assert await names("status=untriggered") == ["c"]
        assert await names("status=partially_failed") == []
        assert await names("_sort=retries&_order=DESC") == ["b", "c", "a"]
        assert await names("_order=DESC") == ["c", "b", "a"]
        assert await names("_start=1&_end=2") == ["b"]
        assert await names("_start=7") == []
        answer = await site.http.get("/v1/jobs?_end=1&disabled=false")
        assert (answer.headers["X-Total-Count"], len(answer.json())) == ("2", 1)


@pytest.mark.parametrize(
    "query", ["_start=-1", "_start=2&_end=1", "_order=up", "_sort=nonsense", "status=odd", "disabled=maybe"]
)
async def test_a_wrong_query_is_refused_by_its_name(query):
    async with serving() as site:
        await make(site, "j")
        answer = await site.http.get(f"/v1/jobs?{query}")
        assert answer.status_code == 400
        assert answer.json()["field"] in query


async def test_pretty_indents_whatever_its_value():
    async with serving() as site:
        await make(site, "j")
        for path in ("/v1/jobs?pretty", "/v1/jobs/j?pretty=false", "/v1/busy?pretty=", "/v1?pretty"):
            answer = await site.http.get(path)
            assert answer.text == json.dumps(answer.json(), indent=4, ensure_ascii=False), path


async def test_a_job_with_dependents_is_not_deleted():
    async with serving() as site:
        await make(site, "j")
        await make(site, "kid", schedule="", parent_job="j")
        answer = await site.http.delete("/v1/jobs/j")
        assert (answer.status_code, "kid" in answer.json()["error"]) == (404, True)
        assert (await site.http.delete("/v1/jobs/kid")).json()["name"] == "kid"
        assert (await site.http.delete("/v1/jobs/j")).status_code == 200


async def test_an_ephemeral_job_is_gone_after_its_success():
    async with serving() as site:
        await make(site, "once", ephemeral=True)
        execution = await run_whole(site, "once")
        assert (await site.http.get("/v1/jobs/once")).status_code == 404
        assert len(site.node.events(JobDeleted)) == 1
        assert (await get(site, f"/v1/jobs/once/executions/{execution}"))["success"] is True


# Runs


async def test_forbid_holds_for_a_start_by_hand_unless_it_is_forced():
    async with serving({"hangs": HANGS}) as site:
        await make(site, "j", "hangs", concurrency="forbid")
        await run(site, "j")
        refused = await site.http.post("/v1/jobs/j")
        assert (refused.status_code, "in flight" in refused.json()["error"]) == (409, True)
        await run(site, "j", "?force=true")
        assert len(await get(site, "/v1/busy")) == 2


async def test_a_disabled_job_runs_when_it_is_forced():
    async with serving() as site:
        await make(site, "j", disabled=True)
        assert (await site.http.post("/v1/jobs/j")).status_code == 404
        assert await run(site, "j", "/run?force=true")
        assert len(site.node.events(RunStarted)) == 1


async def test_run_on_create_names_the_execution():
    async with serving() as site:
        answer = await site.http.post("/v1/jobs?runoncreate", json=shell("j"))
        assert answer.json()["execution_id"]
        assert (
            "execution_id" not in (await site.http.post("/v1/jobs?runoncreate", json=shell("k", disabled=True))).json()
        )


async def test_a_job_that_is_created_and_may_not_run_is_created():
    async with serving({"hangs": HANGS}) as site:
        await make(site, "j", "hangs", concurrency="forbid")
        await run(site, "j")
        fields = shell("j", "hangs", concurrency="forbid", displayname="changed")
        answer = await site.http.post("/v1/jobs?runoncreate", json=fields)
        assert (answer.status_code, answer.json()["displayname"]) == (201, "changed")
        assert "in flight" in answer.json()["execution_refused"]
        assert "execution_id" not in answer.json()
        answer = await site.http.put("/v1/jobs/k?runoncreate", json=shell("k", tags={"x": "y"}))
        assert (answer.status_code, "x=y" in answer.json()["execution_refused"]) == (200, True)
        assert len(site.node.events(RunStarted)) == 1


async def test_the_answer_to_a_job_explains_its_schedule_on_request():
    async with serving() as site:
        body = shell("j", schedule="0 0 9 * * 1-5", timezone="Asia/Tokyo")
        answer = await site.http.post("/v1/jobs?explain=true", json=body)
        explained = answer.json()["schedule_explained"]
        assert (answer.status_code, explained["words"]) == (201, "at 09:00 on weekdays, Asia/Tokyo")
        assert explained["next"] == [answer.json()["next"]]
        edited = await site.http.put("/v1/jobs/j?explain=true", json={**body, "schedule": "@every 90s"})
        assert edited.json()["schedule_explained"]["kind"] == "every"
        assert "schedule_explained" not in (await site.http.post("/v1/jobs", json=body)).json()
        wrong = await site.http.post("/v1/jobs?explain=true", json=shell("j", schedule="0 25 * * *"))
        assert (wrong.status_code, wrong.json()["field"]) == (400, "schedule")


async def test_a_zone_in_the_schedule_goes_before_the_one_beside_it():
    async with serving() as site:
        job = await make(site, "j", schedule="TZ=UTC 0 0 9 * * *", timezone="Asia/Tokyo")
        assert (job["next"][10:], job["timezone"]) == ("T09:00:00Z", "")


async def test_busy_shows_all_that_a_run_has_printed_so_far():
    script = writes(("stdout", b"line 1\n"), ("stderr", b"oops\n"), ("stdout", b"line 2\n"), hangs=True)
    async with serving({"long": script}) as site:
        await make(site, "j", "long")
        execution = await run(site, "j")
        sizes = site.node.scheduler.folds.output.sizes
        await site.node.until(lambda: sum(sizes(RunId(execution.removesuffix("-1")))) == 19)
        (busy,) = await get(site, "/v1/busy")
        assert busy["output"] == "line 1\noops\nline 2\n"
        assert (busy["id"], busy["finished_at"], busy["success"]) == (execution, "0001-01-01T00:00:00Z", False)
        assert busy["group"] > 2**53


async def test_each_attempt_is_an_execution_and_a_success_after_a_retry_is_one():
    scripts = [writes(("stdout", b"first\n"), exit_code=1), writes(("stdout", b"second\n"))]
    async with serving({"flaky": scripts}) as site:
        await make(site, "j", "flaky", retries=1)
        await make(site, "kid", schedule="", parent_job="j")
        execution = await run_whole(site, "j")
        newest, oldest = await get(site, "/v1/jobs/j/executions")
        assert (newest["attempt"], newest["success"], newest["output"]) == (2, True, "second\n")
        assert (oldest["attempt"], oldest["success"], oldest["output"]) == (1, False, "first\n")
        assert (oldest["id"], newest["group"]) == (execution, oldest["group"])
        assert (await get(site, "/v1/jobs/j"))["status"] == "success"
        assert len(await get(site, "/v1/jobs/kid/executions")) == 1
        first = await get(site, f"/v1/jobs/j/executions/{execution}")
        assert first == oldest


async def test_clearing_forgets_the_executions_and_counts_anew_in_both_views():
    async with serving({"flaky": [FAILS, writes(("stdout", b"fine"))]}) as site:
        await make(site, "j", "flaky", retries=1)
        await make(site, "k", "flaky", retries=1)
        execution = await run_whole(site, "j")
        await run_whole(site, "k")
        answer = await site.http.delete("/v1/jobs/j/executions?pretty")
        assert answer.status_code == 200
        job = answer.json()
        counts = ("success_count", "error_count", "last_success", "last_error", "status")
        assert [job[key] for key in counts] == [0, 0, None, None, ""]
        answer = await site.http.get("/v1/jobs/j/executions")
        assert (answer.json(), answer.headers["X-Total-Count"]) == ([], "0")
        assert (await site.http.get(f"/v1/jobs/j/executions/{execution}")).status_code == 404
        assert (await get(site, "/api/v1/job/j/"))["job"]["metadata"]["number_of_finished_runs"] == 0
        assert (await site.http.delete("/api/v1/job/k/executions/")).status_code == 204
        assert (await get(site, "/api/v1/job/k/executions/"))["job_stats"] == []
        for path in ("/v1/jobs/nobody/executions", "/api/v1/job/nobody/executions/"):
            assert (await site.http.delete(path)).status_code == 404


async def test_executions_are_newest_first_with_the_end_of_their_output():
    async with serving({"says": writes(("stdout", b"0123456789"))}) as site:
        await make(site, "j", "says")
        ids = [await run_whole(site, "j") for _ in range(45)]
        answer = await site.http.get("/v1/jobs/j/executions?output_size_limit=4")
        assert [item["id"] for item in answer.json()] == ids[::-1]
        assert answer.headers["X-Total-Count"] == "45"
        assert {(item["output"], item["output_truncated"], item["output_bytes"]) for item in answer.json()} == {
            ("6789", True, 10)
        }
        rising = await get(site, "/v1/jobs/j/executions?_order=ASC&output_size_limit=99")
        assert [item["id"] for item in rising] == ids
        assert {(item["output"], item["output_truncated"]) for item in rising} == {("0123456789", False)}
        assert "output" not in (await get(site, "/v1/jobs/j/executions?output_size_limit=0"))[0]


async def test_a_list_shows_as_much_output_as_the_original():
    size = limits.EXECUTION_OUTPUT_BYTES
    async with serving({"says": writes(*[("stdout", b"x" * 16_000)] * 16, ("stdout", b"end"))}) as site:
        await make(site, "j", "says")
        execution = await run_whole(site, "j")
        (item,) = await get(site, "/v1/jobs/j/executions")
        assert (len(item["output"]), item["output"][-4:], item["output_bytes"]) == (size, "xend", 256_003)
        assert len((await get(site, f"/v1/jobs/j/executions/{execution}"))["output"]) == 256_003


@pytest.mark.parametrize("execution", ["nope", "nope-1", "{run}-2", "{run}"])
async def test_an_execution_that_is_none_is_not_found(execution):
    async with serving() as site:
        await make(site, "j")
        await make(site, "k")
        run_id = (await run_whole(site, "j")).rpartition("-")[0]
        named = execution.replace("{run}", run_id)
        assert (await site.http.get(f"/v1/jobs/j/executions/{named}")).status_code == 404
        assert (await site.http.get(f"/v1/jobs/k/executions/{run_id}-1")).status_code == 404


async def test_an_execution_is_streamed_as_its_run():
    async with serving({"says": writes(("stdout", b"hello\n"))}) as site:
        await make(site, "j", "says")
        execution = await run_whole(site, "j")
        answer = await site.http.get(f"/v1/jobs/j/executions/{execution}/stream")
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert "hello" in "".join(str(frame.data) for frame in frames(answer.text))


# Restore, and the node


async def restore(site: Site, jobs, name: str = "file"):
    return await site.http.post("/v1/restore", files={name: ("backup.json", json.dumps(jobs))})


async def test_a_backup_brings_back_jobs_and_counters_whatever_their_order():
    async with serving() as site:
        await make(site, "j")
        await make(site, "a-kid", schedule="", parent_job="j")
        await run_whole(site, "j")
        backup = await get(site, "/v1/jobs")
        for name in ("a-kid", "j"):
            assert (await site.http.delete(f"/v1/jobs/{name}")).status_code == 200
        answer = await restore(site, backup)
        assert answer.status_code == 200
        assert sorted(json.loads(answer.json())) == ["success create a-kid", "success create j"]
        assert await get(site, "/v1/jobs") == backup


async def test_what_a_restore_refuses_is_said_with_its_job_and_in_dkron_s_words():
    kid = {**shell("kid", schedule=""), "parent_job": "nobody"}
    async with serving() as site:
        for jobs, field in (
            ([kid], "jobs.kid.parent_job"),
            ([shell("good"), shell("bad", schedule="")], "jobs.bad.schedule"),
            ([shell("bad", "")], "jobs.bad.executor_config.command"),
        ):
            answer = await restore(site, jobs)
            assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_restored_counters_never_fall():
    async with serving() as site:
        await make(site, "j")
        await run_whole(site, "j")
        backup = await get(site, "/v1/jobs")
        await run_whole(site, "j")
        assert (await restore(site, backup)).status_code == 200
        assert (await get(site, "/v1/jobs/j"))["success_count"] == 2
        assert (await restore(site, [{**backup[0], "success_count": 9}])).status_code == 200
        assert (await get(site, "/v1/jobs/j"))["success_count"] == 9


@pytest.mark.parametrize(
    "others",
    [
        [shell("bad", schedule="never")],
        [shell("bad", schedule="", parent_job="nope")],
        [shell("x", schedule="", parent_job="y"), shell("y", schedule="", parent_job="x")],
        [{"name": "bad"}],
        ["text"],
    ],
)
async def test_a_backup_is_restored_whole_or_not_at_all(others):
    async with serving() as site:
        answer = await restore(site, [shell("good"), *others])
        assert (answer.status_code, bool(answer.json()["error"])) == (400, True)
        assert await get(site, "/v1/jobs") == []


async def test_what_is_no_form_or_has_no_file_is_refused():
    async with serving() as site:
        assert (await restore(site, [], name="other")).status_code == 404
        assert (await site.http.post("/v1/restore", content=b"[]")).status_code == 404
        assert (await restore(site, {"jobs": {}})).status_code == 400
        broken = {"Content-Type": "multipart/form-data"}
        assert (await site.http.post("/v1/restore", content=b"x", headers=broken)).status_code == 404


async def test_new_definitions_are_refused_while_they_are_paused():
    async with serving() as site:
        await make(site, "j")
        assert (await site.http.post("/v1/pause")).json() == {"paused": True}
        refused = await site.http.post("/v1/jobs", json=shell("k"))
        assert (refused.status_code, "paused" in refused.json()["error"]) == (503, True)
        await run_whole(site, "j")
        assert (await site.http.post("/v1/unpause")).json() == await get(site, "/v1/pause") == {"paused": False}
        await make(site, "k")


async def test_the_node_is_a_cluster_of_one():
    async with serving(node="n1") as site:
        assert (await get(site, "/v1/leader"))["Name"] == "n1"
        assert (await site.http.get("/v1/members")).headers["X-Total-Count"] == "1"
        assert await get(site, "/v1/isleader") == "I am a leader"
        assert (await get(site, "/health"))["status"] == "healthy"
        assert (await site.http.post("/v1/leave")).json() == {}
        assert len(site.node.events(ServerPaused)) == 1


async def test_a_node_that_takes_no_work_is_unhealthy():
    async with serving(ready=lambda: False) as site:
        answer = await site.http.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")

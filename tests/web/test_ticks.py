"""Over HTTP: a job's policy for its ticks, pauses, and the list of ticks."""

import json
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import trio

from kala_es.domain.events import JobPaused, RunSkipped, ServerPaused
from tests.nodes import HANGS
from tests.web.edges import API, draft, serving

POLICY: dict[str, Any] = {
    "overlap": "queue",
    "catch_up": "all",
    "catch_up_window": "PT1H",
    "jitter": "PT30S",
    "starting_deadline": "PT2H",
}


async def create(site: Any, **fields: Any) -> Any:
    return await site.http.post(f"{API}/job/", content=json.dumps(draft(**fields)).encode())


async def job(site: Any) -> Any:
    return (await site.http.get(f"{API}/job/j/")).json()["job"]


async def test_the_policy_is_read_and_shown():
    async with serving() as site:
        assert (await create(site, id="j", **POLICY)).status_code == 201
        shown = await job(site)
        assert {key: shown[key] for key in POLICY} == POLICY
        await create(site, id="j")
        assert not POLICY.keys() & (await job(site)).keys()


@pytest.mark.parametrize(
    "fields", [{"overlap": "maybe"}, {"catch_up": "two"}, {"jitter": "1"}, {"catch_up_window": "PT1H"}]
)
async def test_a_bad_policy_is_refused(fields):
    async with serving() as site:
        answer = await create(site, **fields)
        assert (answer.status_code, answer.json()["field"]) == (400, next(iter(fields)))


async def test_a_job_is_paused_and_resumed():
    async with serving() as site:
        await create(site, id="j")
        body = {"reason": "a move", "until": "2999-01-01T00:00:00Z"}
        for _ in range(2):
            assert (await site.http.post(f"{API}/job/pause/j/", json=body)).status_code == 204
        assert len(site.node.events(JobPaused)) == 1
        paused = (await job(site))["paused"]
        assert {**paused, "since": ""} == {**body, "by": "", "since": ""}
        for _ in range(2):
            assert (await site.http.post(f"{API}/job/resume/j/")).status_code == 204
        assert "paused" not in await job(site)
        for what in ("pause", "resume"):
            assert (await site.http.post(f"{API}/job/{what}/nobody/")).status_code == 404
        late = await site.http.post(f"{API}/job/pause/j/", json={"until": "2000-01-01T00:00:00Z"})
        assert (late.status_code, late.json()["field"]) == (400, "until")


async def test_the_server_is_paused_and_resumed():
    async with serving() as site:
        assert (await site.http.get(f"{API}/pause/")).json() == {"paused": None}
        for _ in range(2):
            assert (await site.http.post(f"{API}/pause/", json={"reason": "a move"})).status_code == 204
        assert len(site.node.events(ServerPaused)) == 1
        paused = (await site.http.get(f"{API}/pause/")).json()["paused"]
        assert (paused["reason"], paused["until"]) == ("a move", None)
        assert (await create(site, id="j", schedule="")).status_code == 201
        with trio.fail_after(10):
            await site.node.until(lambda: bool(site.node.events(RunSkipped)))
        assert (await site.http.post(f"{API}/resume/")).status_code == 204
        with trio.fail_after(10):
            await site.node.ends("j")
        assert (await site.http.get(f"{API}/pause/")).json() == {"paused": None}
        (tick,) = (await site.http.get(f"{API}/job/j/ticks/")).json()["ticks"]
        assert (tick["outcome"], tick["reason"], tick["made_up_by"]) == ("started", "", None)
        run = (await site.http.get(f"{API}/job/j/executions/{tick['run']}/")).json()["job_run"]
        assert (run["cause"], run["tick"], run["covers"]) == ("catch-up", tick["tick"], None)


async def test_the_list_of_ticks_in_pages():
    async with serving() as site:
        await create(site, id="j", schedule="R4/2999-01-01T00:00:00Z/PT1H")
        within = "from=2999-01-01T01:00:00Z&to=2999-01-01T04:00:00Z"
        answer = await site.http.get(f"{API}/job/j/ticks/?{within}&limit=2")
        assert [(each["tick"], each["outcome"]) for each in answer.json()["ticks"]] == [
            ("2999-01-01T01:00:00Z", "coming"),
            ("2999-01-01T02:00:00Z", "coming"),
        ]
        rest = await site.http.get(answer.links["next"]["url"])
        assert [each["tick"] for each in rest.json()["ticks"]] == ["2999-01-01T03:00:00Z"]
        assert "next" not in rest.links
        for wrong in ("from=x", "to=0", f"{within}&limit=0", "from=2999-01-02T00:00:00Z&to=2999-01-01T00:00:00Z"):
            assert (await site.http.get(f"{API}/job/j/ticks/?{wrong}")).status_code == 400
        assert (await site.http.get(f"{API}/job/k/ticks/")).status_code == 404


async def test_a_start_that_would_overlap_is_refused():
    async with serving({"hangs": HANGS}) as site:
        await create(site, id="j", command="hangs", overlap="skip")
        headers = {"Prefer": "respond-async"}
        assert (await site.http.post(f"{API}/job/start/j/", headers=headers)).status_code == 202
        again = await site.http.post(f"{API}/job/start/j/", headers=headers)
        assert (again.status_code, "in flight" in again.json()["error"]) == (409, True)


async def test_a_job_on_a_cron_expression_runs():
    async with serving() as site:
        assert (await create(site, id="j", schedule="* * * * * *", timezone="Asia/Tokyo")).status_code == 201
        with trio.fail_after(10):
            await site.node.ends("j")
        shown = await job(site)
        assert (shown["schedule"], shown["timezone"], shown["is_done"]) == ("* * * * * *", "Asia/Tokyo", False)
        coming = (await site.http.get(f"{API}/job/j/next/?count=3")).json()["next"]
        seconds = [datetime.fromisoformat(each) for each in coming]
        assert [one - other for other, one in pairwise(seconds)] == [timedelta(seconds=1)] * 2
        first = (await site.http.get(f"{API}/job/j/ticks/?limit=1")).json()["ticks"][0]
        assert first["outcome"] == "started"


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"schedule": "* * * *"}, "schedule", "5 fields, or 6"),
        ({"schedule": "61 * * * *"}, "schedule", "the minute '61'"),
        ({"schedule": "@at 2020-01-01T00:00:00Z"}, "schedule", "already passed"),
        ({"schedule": "@daily", "timezone": "Nope"}, "timezone", "no time zone"),
    ],
)
async def test_a_bad_cron_expression_is_refused(fields, field, reason):
    async with serving() as site:
        answer = await create(site, **fields)
        assert (answer.status_code, answer.json()["field"]) == (400, field)
        assert reason in answer.json()["error"]

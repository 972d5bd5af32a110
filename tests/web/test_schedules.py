"""Over HTTP: what a schedule means, how a job is given several, and what is said of ticks that clock changes move."""

import json
from typing import Any

import pytest

from tests.web.edges import API, draft, serving

FROM = "2024-03-30T12:00:00Z"
GAP = "02:30 is skipped by the clocks of Europe/Berlin, which are put forward to 03:00"


async def ask(site: Any, **query: Any) -> Any:
    return await site.http.get(f"{API}/schedule/", params=query)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            {"expr": "0 9 * * 1-5", "timezone": "Asia/Tokyo", "from": FROM, "count": 2},
            {
                "expr": "0 9 * * 1-5",
                "kind": "cron",
                "words": "at 09:00 on weekdays, Asia/Tokyo",
                "next": ["2024-04-01T00:00:00Z", "2024-04-02T00:00:00Z"],
                "timezone": "Asia/Tokyo",
            },
        ),
        (
            {"expr": "30 2 * * *", "timezone": "Europe/Berlin", "from": FROM, "count": 2},
            {
                "expr": "30 2 * * *",
                "kind": "cron",
                "words": "at 02:30 every day, Europe/Berlin",
                "next": ["2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z"],
                "timezone": "Europe/Berlin",
                "moved": [{"tick": "2024-03-31T01:00:00Z", "because": GAP}],
            },
        ),
        (
            {"expr": "@every 90s", "from": FROM, "count": 1},
            {
                "expr": "@every 90s",
                "kind": "every",
                "words": "every 90 seconds, counted from when the schedule was set",
                "next": ["2024-03-30T12:01:30Z"],
                "timezone": "",
            },
        ),
    ],
)
async def test_a_schedule_is_explained(query: dict[str, Any], expected: dict[str, Any]) -> None:
    async with serving() as site:
        answer = await ask(site, **query)
        assert (answer.status_code, answer.json()) == (200, expected)


async def test_what_is_asked_for_beside_it_counts():
    async with serving() as site:
        query = {"expr": "30 2 * * *", "timezone": "Europe/Berlin", "from": FROM, "dst_gap": "skip"}
        found = (await ask(site, **query)).json()
        assert found["next"][0] == "2024-04-01T00:30:00Z"
        assert len(found["next"]) == 10
        assert "moved" not in found
        assert (await ask(site, expr="~ ~ * * *", job="nightly")).json()["words"] == "at 23:47 every day, UTC"
        several = (await ask(site, expr="0 9 * * * | @at 2024-03-30T12:00:00Z", **{"from": FROM})).json()
        assert (several["kind"], several["next"][:2]) == ("several", [FROM, "2024-03-31T09:00:00Z"])
        assert (await ask(site, expr="@manually")).json()["next"] == []


@pytest.mark.parametrize(
    ("query", "field", "column"),
    [
        ({}, "expr", None),
        ({"expr": " "}, "expr", None),
        ({"expr": "0 25 * * *"}, "expr", 3),
        ({"expr": "@daily | 0 0 1,32 * *"}, "expr", 16),
        ({"expr": "R/2099-01-01T00:00:00Z"}, "expr", None),
        ({"expr": "@daily", "timezone": "Nope"}, "timezone", None),
        ({"expr": "@daily", "count": 0}, "count", None),
        ({"expr": "@daily", "from": "noon"}, "from", None),
        ({"expr": "@daily", "dst_gap": "never"}, "dst_gap", None),
        ({"expr": "@daily", "dst_fold": "third"}, "dst_fold", None),
        ({"expr": "@every 1s | * * * * * *"}, "expr", None),
    ],
)
async def test_what_is_wrong_says_where(query: dict[str, Any], field: str, column: int | None) -> None:
    async with serving() as site:
        answer = await ask(site, **query)
        said = answer.json()
        assert (answer.status_code, said["field"], said.get("column")) == (400, field, column)
        assert said["error"].startswith(f"{field}: ")


async def test_a_job_that_is_refused_says_the_column_too():
    async with serving() as site:
        answer = await site.http.post(f"{API}/job/", json=draft(schedule="0 25 * * *"))
        assert (answer.status_code, answer.json()["field"], answer.json()["column"]) == (400, "schedule", 3)
        for key, value in (("dst_gap", "never"), ("dst_fold", "third")):
            answer = await site.http.post(f"{API}/job/", json=draft(**{key: value}))
            assert (answer.status_code, answer.json()["field"]) == (400, key)
            assert "must be one of" in answer.json()["error"]


async def test_one_of_many_that_is_refused_says_the_column_too():
    async with serving() as site:
        answer = await site.http.post(f"{API}/job/bulk/", json=[draft(), draft(schedule="0 25 * * *")])
        assert (answer.status_code, answer.json()["field"], answer.json()["column"]) == (400, "[1].schedule", 3)


async def test_an_array_of_schedules_is_one_text():
    async with serving() as site:
        await site.create("j", schedule=["0 9 * * *", "R0/2099-01-01T00:00:00Z/"])
        assert (await job(site))["schedule"] == "0 9 * * * | R0/2099-01-01T00:00:00Z/"
        refused = await site.http.post(f"{API}/job/", json=draft(schedule=["0 9 * * *", 1]))
        assert (refused.status_code, refused.json()["field"]) == (400, "schedule[1]")


async def job(site: Any) -> Any:
    return (await site.http.get(f"{API}/job/j/")).json()["job"]


async def test_a_job_keeps_what_it_says_of_clock_changes_and_shows_what_they_move():
    async with serving() as site:
        spec = {"schedule": "R/2099-03-28T02:30:00/P1D", "timezone": "Europe/Berlin"}
        await site.create("j", **spec)
        assert not {"dst_gap", "dst_fold"} & (await job(site)).keys()
        following = (await site.http.get(f"{API}/job/j/next/?count=3")).json()
        assert following["next"][1] == "2099-03-29T01:00:00Z"
        assert following["moved"] == [{"tick": "2099-03-29T01:00:00Z", "because": GAP}]
        span = {"from": "2099-03-28T00:00:00Z", "to": "2099-03-30T00:00:00Z"}
        listed = (await site.http.get(f"{API}/job/j/ticks/", params=span)).json()["ticks"]
        assert [tick.get("moved") for tick in listed] == [None, GAP]
        why = (await site.http.get(f"{API}/job/j/why/", params={"tick": "2099-03-29T01:00:00Z"})).json()
        assert (why["outcome"], why["moved"]) == ("coming", GAP)
        await site.create("j", **spec, dst_gap="skip", dst_fold="both")
        assert ((await job(site))["dst_gap"], (await job(site))["dst_fold"]) == ("skip", "both")
        following = (await site.http.get(f"{API}/job/j/next/?count=3")).json()
        assert following["next"][1] == "2099-03-30T00:30:00Z"
        assert "moved" not in following


async def test_the_answer_to_a_job_explains_its_schedule_on_request():
    async with serving() as site:
        explained = {"kind": "iso8601", "words": "every day from 2099-01-01 00:00:00, UTC", "timezone": "",
                     "next": ["2099-01-01T00:00:00Z"]}  # fmt: skip
        body = json.dumps(draft(id="j")).encode()
        answer = await site.http.post(f"{API}/job/?explain=true", content=body, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()) == (201, {"id": "j", "schedule_explained": explained})
        again = await site.http.post(f"{API}/job/?explain=true", content=body, headers={"Idempotency-Key": "k"})
        assert again.content == answer.content
        assert (await site.http.post(f"{API}/job/", content=body)).json() == {"id": "j"}
        edited = (await site.http.put(f"{API}/job/j/?explain=true", content=body)).json()
        assert edited == {"job": await job(site), "schedule_explained": explained}
        assert (await site.http.put(f"{API}/job/j/", content=body)).json() == {"job": await job(site)}
        wrong = await site.http.post(f"{API}/job/?explain=true", json=draft(schedule="0 25 * * *"))
        assert (wrong.status_code, wrong.json()["column"]) == (400, 3)
        assert (await site.http.post(f"{API}/job/?explain=yes", content=body)).json()["field"] == "explain"


async def test_an_edit_of_other_things_is_explained_by_the_plan_that_goes_on():
    async with serving() as site:
        await site.create("j", schedule="@every 240h")
        (due,) = (await site.http.get(f"{API}/job/j/next/?count=1")).json()["next"]
        body = json.dumps(draft(schedule="@every 240h", command="other")).encode()
        edited = (await site.http.put(f"{API}/job/j/?explain=true", content=body)).json()
        assert edited["schedule_explained"]["next"] == [due]
        child = json.dumps(draft(id="c", schedule="", parent_jobs=["j"])).encode()
        explained = (await site.http.post(f"{API}/job/?explain=true", content=child)).json()["schedule_explained"]
        assert explained == {"kind": "child", "words": "after its parents", "next": [], "timezone": ""}

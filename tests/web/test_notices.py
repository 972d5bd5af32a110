"""Notices over HTTP: the keys of a job, the list of what was told, the events' frames."""

import json

import pytest

from kala_es.domain import events as e
from kala_es.domain.notify import Target
from kala_es.runtime.scheduler import Rules
from kala_es.web.frames import event_frame
from kala_es.web.stream import EVENT_TYPES
from tests.nodes import FAILS
from tests.web.edges import API, draft, serving

NOBODY = "mailto:nobody@example.com"
"""Refused at once, for the node has no mail server."""


async def test_what_a_job_wants_told_is_kept_and_shown():
    written = [
        {"to": "mail", "when": ["failure"]},
        {
            "to": "https://example.com/hook",
            "when": ["recovery", "overdue"],
            "template": "{{.Text}}",
            "headers": {"Authorization": "Bearer x"},
        },
    ]
    async with serving() as site:
        await site.create("j", owner="a@example.com", notify=[{"TO": "mail"}, *written[1:]], expected_duration="PT5M")
        job = (await site.http.get(f"{API}/job/j/")).json()["job"]
        assert (job["notify"], job["expected_duration"]) == (written, "PT5M")
        assert (await site.http.put(f"{API}/job/j/", json=draft(notify=[]))).json()["job"]["notify"] == []
        assert "notify" not in (await site.http.put(f"{API}/job/j/", json=draft(notify=None))).json()["job"]


@pytest.mark.parametrize(
    ("notify", "field"),
    [
        ({}, "notify"),
        (["mail"], "notify[0]"),
        ([{"to": 1}], "notify[0].to"),
        ([{}], "notify[0].to"),
        ([{"to": "x"}], "notify[0].to"),
        ([{"to": NOBODY, "when": "failure"}], "notify[0].when"),
        ([{"to": NOBODY}, {"to": NOBODY, "when": ["never"]}], "notify[1].when"),
        ([{"to": NOBODY, "when": []}], "notify[0].when"),
        ([{"to": NOBODY, "when": ["overdue"]}], "notify[0].when"),
        ([{"to": "http://x", "headers": {"a": 1}}], "notify[0].headers.a"),
        ([{"to": NOBODY, "template": "{{"}], "notify[0].template"),
    ],
)
async def test_what_cannot_be_told_is_refused_by_its_key(notify, field):
    async with serving() as site:
        answer = await site.http.post(f"{API}/job/", json=draft(notify=notify))
        assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_the_list_of_what_was_told():
    async with serving({"fails": FAILS}) as site:
        notify = [{"to": NOBODY}, {"to": "mail"}]
        for job in ("a", "b"):
            await site.create(job, command="fails", name=f"the <{job}>", owner="a@example.com", notify=notify)
            await site.run_whole(job)
        await site.node.until(lambda: len(site.node.events(e.NoticeAttempted)) == 4)

        async def listed(query: str = "") -> list[dict]:
            answer = await site.http.get(f"{API}/notices/?{query}")
            assert answer.status_code == 200, answer.text
            return list(answer.json()["notices"])

        whole = await listed()
        (run, *_) = (await site.http.get(f"{API}/job/a/executions/")).json()["job_stats"]
        first = whole[0]
        assert {
            key: first[key] for key in ("job_id", "run_id", "when", "to", "text", "state", "attempts", "status")
        } == {
            "job_id": "a",
            "run_id": run["id"],
            "when": "failure",
            "to": NOBODY,
            "text": "job the <a> failed",
            "state": "given-up",
            "attempts": 1,
            "status": None,
        }
        assert "no mail server" in first["reason"]
        assert first["at"] == run["ended_at"]
        assert first["next_attempt_at"] is None
        assert [notice["job_id"] for notice in whole] == ["a", "a", "b", "b"]
        assert await listed("job=b") == whole[2:]
        assert await listed("job=none") == []
        assert await listed("state=given-up") == whole
        assert await listed("state=delivered") == await listed("state=waiting") == []
        assert await listed(f"after={first['id']}&job=a") == whole[1:2]
        answer = await site.http.get(f"{API}/notices/?limit=3&state=given-up")
        assert answer.json()["notices"] == whole[:3]
        assert (await site.http.get(answer.links["next"]["url"])).json()["notices"] == whole[3:]
        for query in ("state=lost", "after=x", "limit=0"):
            answer = await site.http.get(f"{API}/notices/?{query}")
            assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0])


async def test_a_notice_s_frame_tells_its_times_as_others_do():
    rules = Rules(notify=(Target(to=NOBODY),))
    async with serving({"fails": FAILS}, rules=rules) as site:
        await site.create("j", command="fails")
        await site.run_whole("j")
        await site.node.until(lambda: bool(site.node.events(e.NoticeAttempted)))
        (frame,) = [event_frame(r) for r in site.node.history() if isinstance(r.event, e.NoticeDue)]
        data = json.loads(frame.decode().partition("data: ")[2])
        assert (data["type"], data["when"], data["to"]) == ("NoticeDue", "failure", NOBODY)
        assert data["about"]["ended"] == data["at"] > "2026"
        assert {"NoticeDue", "NoticeAttempted"} <= {*EVENT_TYPES}

"""Over HTTP: what changed a job, why a tick became what it did, and a definition that comes back."""

from typing import Any

import pytest
import trio

from kala_es import limits
from kala_es.dialects.go_json import instant_text
from kala_es.domain.events import JobCreated, JobUpdated, RunSkipped, RunStarted
from kala_es.domain.ids import SECOND, Instant
from kala_es.domain.retention import Kept
from kala_es.runtime.scheduler import Rules
from tests.nodes import FAILS
from tests.web.edges import API, FAR, draft, serving
from tests.web.test_openapi import check


async def get(site: Any, path: str) -> Any:
    answer = await site.http.get(f"{API}{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def revert(site: Any, job: str, position: object, **headers: str) -> Any:
    return await site.http.post(f"{API}/job/{job}/revert/", json={"position": position}, headers=headers)


async def edited(site: Any) -> None:
    """A job that was created, edited, disabled, paused and deleted."""
    await site.create("j", command="one")
    await site.http.put(f"{API}/job/j/", json=draft(command="two", retries=3))
    await site.http.post(f"{API}/job/disable/j/")
    await site.http.post(f"{API}/job/pause/j/", json={"reason": "a move"})
    await site.http.delete(f"{API}/job/j/")


async def test_each_change_with_its_fields():
    async with serving() as site:
        await edited(site)
        history = (await get(site, "/job/j/history/"))["history"]
        assert [change["type"] for change in history] == [
            "JobCreated",
            "JobUpdated",
            "JobDisabled",
            "JobPaused",
            "JobDeleted",
        ]
        assert history[0]["fields"]["command"] == [None, "one"]
        assert history[1]["fields"] == {"command": ["one", "two"], "retries": [None, 3]}
        assert history[2]["fields"] == {"disabled": [None, True]}
        assert (history[3]["fields"], history[3]["reason"], history[3]["until"]) == ({}, "a move", None)
        assert history[4]["fields"]["command"] == ["two", None]
        positions = [change["position"] for change in history]
        assert positions == sorted(positions)
        assert {change["principal"] for change in history} == {""}


async def test_pages_and_what_is_wrong():
    async with serving() as site:
        await edited(site)
        whole = (await get(site, "/job/j/history/"))["history"]
        page = await site.http.get(f"{API}/job/j/history/?limit=2")
        found = page.json()["history"]
        while "Link" in page.headers:
            page = await site.http.get(page.headers["Link"].partition(">")[0].lstrip("<"))
            found += page.json()["history"]
        assert found == whole
        assert (await get(site, f"/job/j/history/?after={whole[-1]['position']}")) == {"history": []}
        assert (await site.http.get(f"{API}/job/none/history/")).status_code == 404
        for query in ("limit=0", "after=-1", "after=x"):
            answer = await site.http.get(f"{API}/job/j/history/?{query}")
            assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0])


async def test_a_page_of_large_definitions_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_BYTES", 1_000)
    async with serving() as site:
        await site.create("j")
        for i in range(40):
            await site.http.put(f"{API}/job/j/", json=draft(stdin=f"{i} " * 500))
        page = await site.http.get(f"{API}/job/j/history/?limit=100")
        found = page.json()["history"]
        assert len(found) < 40
        while "Link" in page.headers:
            page = await site.http.get(page.headers["Link"].partition(">")[0].lstrip("<"))
            found += page.json()["history"]
        assert found == (await get(site, "/job/j/history/"))["history"]


async def test_why_a_run_began_up_to_what_began_it_all():
    async with serving({"fails": FAILS}) as site:
        await site.create("handler")
        await site.create("top")
        await site.create("child", "fails", parent_jobs=["top"], schedule="", on_failure_job="handler")
        root = await site.run_whole("top")
        last = next(run for run in site.node.events(RunStarted) if run.job == "handler")
        chain = (await get(site, f"/job/handler/why/?run={last.run}"))["chain"]
        assert [(link["job"], link["cause"], link["outcome"]) for link in chain] == [
            ("handler", "on-failure", "succeeded"),
            ("child", "parent", "failed"),
            ("top", "manual", "succeeded"),
        ]
        assert chain[-1]["run"] == root
        for path in (f"/job/top/why/?run={last.run}", "/job/top/why/?run=none"):
            assert (await site.http.get(f"{API}{path}")).status_code == 404


async def test_why_a_tick_became_what_it_did():
    async with serving() as site:
        await site.create("j", schedule=FAR)
        await site.http.put(f"{API}/job/j/", json=draft(schedule="R/2099-01-01T00:00:00Z/P2D"))
        coming = await get(site, "/job/j/why/?tick=2099-01-03T00:00:00Z")
        assert (coming["outcome"], coming["chain"]) == ("coming", [])
        none = await get(site, "/job/j/why/?tick=2099-01-02T00:00:00Z")
        assert (none["outcome"], none["schedule"]) == ("no tick", "R/2099-01-01T00:00:00Z/P2D")
        assert "has no such tick" in none["reason"]
        before = await get(site, "/job/j/why/?tick=2001-01-02T00:00:00Z")
        assert (before["outcome"], before["schedule"]) == ("no tick", None)
        await site.create("once", schedule="")
        await site.node.until(lambda: site.node.events(RunStarted, job="once"))
        (run,) = site.node.events(RunStarted, job="once")
        tick = (await get(site, "/job/once/ticks/"))["ticks"][0]["tick"]
        why = await get(site, f"/job/once/why/?tick={tick}")
        assert (why["outcome"], why["run"], why["chain"][0]["cause"]) == ("started", run.run, "schedule")


async def test_why_a_tick_was_skipped_names_the_change():
    async with serving() as site:
        soon = instant_text(Instant(site.node.clock.now() // SECOND * SECOND + 2 * SECOND))
        await site.create("j", schedule=f"R/{soon}/PT1S")
        await site.http.post(f"{API}/job/pause/j/", json={"reason": "a move"})
        await site.node.until(lambda: site.node.events(RunSkipped, job="j"))
        why = await get(site, f"/job/j/why/?tick={soon}")
        assert (why["outcome"], why["reason"], why["change"]["reason"]) == ("skipped", "paused", "a move")


async def test_which_attempts_were_tried_again():
    async with serving({"fails": FAILS}) as site:
        await site.create("j", "fails", retries=2)
        run = await site.run_whole("j")
        await site.run_whole("j")
        answer = await site.http.get(f"{API}/job/j/why/?run={run}")
        check(answer.content, "Why")
        (link,) = answer.json()["chain"]
        assert (link["attempts"], link["outcome"]) == (3, "failed")
        assert [(each["attempt"], each["outcome"], each["exit_code"]) for each in link["retried"]] == [
            (1, "failed", 1),
            (2, "failed", 1),
        ]


async def test_why_a_run_that_was_asked_for_did_not_begin():
    async with serving() as site:
        await site.create("top")
        await site.create("child", parent_jobs=["top"], schedule="", disabled=True)
        root = await site.run_whole("top")
        (skipped,) = site.node.events(RunSkipped)
        chain = (await get(site, f"/job/child/why/?run={skipped.run}"))["chain"]
        assert [(link["run"], link["outcome"], link["reason"]) for link in chain] == [
            (skipped.run, "skipped", "disabled"),
            (root, "succeeded", ""),
        ]
        assert (await site.http.get(f"{API}/job/top/why/?run={skipped.run}")).status_code == 404


async def test_a_tick_whose_answer_is_forgotten(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRIMMED_RUNS_REMEMBERED", 2)
    monkeypatch.setattr(limits, "BASE_RUNS", 3)
    async with serving(rules=Rules(kept=Kept(runs=1))) as site:
        await site.create("j", schedule="* * * * * *")
        first, *_ = await site.node.ends("j")
        tick = next(each.tick for each in site.node.events(RunStarted) if each.run == first.run)
        await trio.sleep(60)
        why = await get(site, f"/job/j/why/?tick={instant_text(tick)}")
        assert (why["outcome"], why["run"], why["schedule"]) == ("forgotten", None, "* * * * * *")


async def test_a_tick_whose_job_was_deleted_first():
    async with serving() as site:
        await site.create("j", schedule="", disabled=True)
        tick = (await get(site, "/job/j/history/"))["history"][0]["time"]
        assert (await get(site, f"/job/j/why/?tick={tick}"))["outcome"] == "waiting"
        await site.http.delete(f"{API}/job/j/")
        assert (await get(site, f"/job/j/why/?tick={tick}"))["outcome"] == "unanswered"


@pytest.mark.parametrize("query", ["", "?tick=noon", "?tick=2099-01-01T00:00:00Z&run=r"])
async def test_what_cannot_be_explained(query: str):
    async with serving() as site:
        await site.create("j")
        answer = await site.http.get(f"{API}/job/j/why/{query}")
        assert (answer.status_code, answer.json()["field"]) == (400, "tick")
        assert (await site.http.get(f"{API}/job/none/why/?tick=2099-01-01T00:00:00Z")).status_code == 404


async def position_of(site: Any, index: int) -> int:
    """The position of one of the job's changes."""
    return int((await get(site, "/job/j/history/"))["history"][index]["position"])


async def test_a_definition_comes_back():
    async with serving() as site:
        await site.create("j", command="one")
        before = await get(site, "/job/j/")
        first = await position_of(site, 0)
        await site.http.put(f"{API}/job/j/", json=draft(command="two"))
        answer = await revert(site, "j", first)
        assert (answer.status_code, answer.json()) == (200, before)
        assert await get(site, "/job/j/") == before
        assert len(site.node.events(JobUpdated)) == 2
        assert (await revert(site, "j", first)).json() == before, "it is so already"
        assert len(site.node.events(JobUpdated)) == 2


async def test_a_repetition_gets_the_first_answer():
    async with serving() as site:
        await site.create("j", command="one")
        await site.http.put(f"{API}/job/j/", json=draft(command="two"))
        first = await revert(site, "j", 1, **{"Idempotency-Key": "k"})
        await site.http.put(f"{API}/job/j/", json=draft(command="three"))
        again = await revert(site, "j", 1, **{"Idempotency-Key": "k"})
        assert (again.status_code, again.content) == (200, first.content)
        assert (await get(site, "/job/j/"))["job"]["command"] == "three"
        assert (await revert(site, "j", 2, **{"Idempotency-Key": "k"})).status_code == 422


async def test_a_schedule_that_has_begun_comes_back_and_nothing_that_passed_runs():
    async with serving() as site:
        body = {"jobs": {"j": draft(schedule="R/2020-01-01T00:00:00Z/P100Y")}}
        assert (await site.http.post(f"{API}/job/apply/", json=body)).status_code == 200
        await site.http.put(f"{API}/job/j/", json=draft())
        for _ in range(2):
            answer = await revert(site, "j", await position_of(site, 0))
            assert (answer.status_code, answer.json()["job"]["next_run_at"]) == (200, "2120-01-01T00:00:00Z")
            assert (await site.http.delete(f"{API}/job/j/")).status_code == 204
        assert not site.node.events(RunStarted)


async def test_a_deleted_job_comes_back():
    async with serving() as site:
        await edited(site)
        answer = await revert(site, "j", await position_of(site, 1))
        job = answer.json()["job"]
        assert (answer.status_code, job["command"], job["retries"], job["disabled"]) == (200, "two", 3, False)
        assert len(site.node.events(JobCreated)) == 2
        gone = await revert(site, "j", await position_of(site, 4))
        assert (gone.status_code, gone.json()["field"]) == (400, "position")


async def test_a_job_that_runs_once_does_not_run_because_it_came_back():
    async with serving() as site:
        await site.create("j", schedule="")
        await site.node.ends("j")
        await site.http.delete(f"{API}/job/j/")
        answer = await revert(site, "j", 1)
        assert (answer.status_code, answer.json()["job"]["next_run_at"]) == (200, "0001-01-01T00:00:00Z")
        await site.http.put(f"{API}/job/j/", json=draft())
        refused = await revert(site, "j", 1)
        assert (refused.status_code, refused.json()["field"]) == (400, "schedule")
        assert len(site.node.events(RunStarted)) == 1


async def test_a_parent_that_is_gone_keeps_a_definition_from_coming_back():
    async with serving() as site:
        await site.create("p")
        await site.create("j", schedule="", parent_jobs=["p"])
        await site.http.put(f"{API}/job/j/", json=draft())
        await site.http.delete(f"{API}/job/p/")
        answer = await revert(site, "j", await position_of(site, 0))
        assert (answer.status_code, answer.json()["field"]) == (400, "parent_jobs")


async def test_what_cannot_come_back():
    async with serving() as site:
        await site.create("other")
        await site.create("j")
        head = site.node.node.folds.position
        for position in (0, head + 1, 1, "x", None):
            answer = await revert(site, "j", position)
            assert (answer.status_code, answer.json()["field"]) == (400, "position"), position
        assert (await revert(site, "none", 1)).status_code == 404
        assert (await site.http.post(f"{API}/job/j/revert/")).json()["field"] == "position"


async def test_a_job_that_somebody_made_meanwhile_is_not_taken_back():
    async with serving() as site:
        await site.create("j", command="old")
        await site.http.delete(f"{API}/job/j/")
        first = await position_of(site, 0)
        await site.create("j", command="new")
        answer = await revert(site, "j", first, **{"If-None-Match": "*"})
        assert (answer.status_code, answer.json()["error"]) == (412, "there is a job of this id again")
        await site.http.delete(f"{API}/job/j/")
        assert (await revert(site, "j", first, **{"If-None-Match": "*"})).status_code == 200
        assert (await site.http.get(f"{API}/job/j/")).json()["job"]["command"] == "old"


@pytest.mark.parametrize("job", ["start", "stats", "disable", "history"])
async def test_where_pages_ask_an_id_is_no_word(job):
    async with serving() as site:
        await site.create(job, command="old")
        await site.create("revert", schedule=FAR)
        await site.http.put(f"{API}/job/{job}/", json=draft(command="new"))
        here = f"/webui/jobs/{job}/"
        answer = await site.http.post(f"{here}revert/", json={"position": 1})
        assert (answer.status_code, answer.json()["job"]["command"]) == (200, "old")
        for path in ("history/", "why/?tick=2030-01-01T00:00:00Z", "ticks/", "next/"):
            assert (await site.http.get(here + path)).status_code == 200, path
        assert not (await site.http.get(f"{API}/job/revert/executions/")).json()["job_stats"]

"""A job's page as the server writes it: what it says, what it escapes, and the way back from a deletion."""

import json
from typing import Any

import pytest

from kala_es import limits
from kala_es.domain.ids import JobId
from kala_es.web.pages import kin
from kala_es.web.pages.kin import GOING, LISTED
from tests.nodes import FAILS, HANGS
from tests.web.edges import API, FAR, draft, serving
from tests.web.elements import Element, read

EVIL = "<img src=x onerror=alert(1)>"
SPRING = "R/2099-03-28T02:30:00/P1D"


async def page(site: Any, path: str) -> Element:
    answer = await site.http.get(f"/webui/jobs/{path}")
    assert answer.status_code == 200, answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return read(answer.text)


def facts(root: Element) -> dict[str, str]:
    """Each term of the page's lists with what is said of it."""
    terms, said = root.all("dt"), root.all("dd")
    return {term.text: each.text for term, each in zip(terms, said, strict=True)}


async def test_a_definition_in_the_words_of_people():
    async with serving() as site:
        await site.create(
            "j",
            name="nightly",
            env={"A": "1", "B": "two"},
            overlap="queue",
            retries=3,
            notify=[{"to": "https://example.com/x", "when": ["failure", "recovery"]}],
            timeout="PT10M",
            labels={"team": "blue"},
        )
        said = facts(await page(site, "j/"))
        assert said["Id"] == "j"
        assert said["Environment"] == "A: 1 B: two"
        assert said["While a run is in flight, a tick"] == "queue: waits for its end"
        assert said["Notices"] == "https://example.com/x of failure, recovery"
        assert said["Time limit of an attempt"] == "PT10M"
        assert said["Labels"] == "team: blue"
        assert "Backoff" not in said


async def test_a_schedule_in_words_and_its_ticks_on_two_clocks():
    async with serving() as site:
        await site.create("j", schedule=SPRING, timezone="Europe/Berlin")
        root = await page(site, "j/")
        first, second = root.one("ol", id="coming").all("li")[:2]
        assert "Every day from 2099-03-28 02:30:00, Europe/Berlin." in root.text
        assert first.one("time")["datetime"] == "2099-03-28T01:30:00Z"
        assert "2099-03-28 02:30:00 CET" in first.text
        assert "2099-03-29 03:00:00 CEST" in second.text
        assert "02:30 is skipped by the clocks of Europe/Berlin" in second.one(class_="moved").text
        assert not first.all(class_="moved")


async def test_a_job_without_ticks_says_why():
    async with serving() as site:
        await site.create("p")
        await site.create("c", schedule="", parent_jobs=["p"])
        root = await page(site, "c/")
        assert root.one("p", id="none-coming").text == "None: it runs after its parents."
        assert "hidden" not in root.one("p", id="none-coming").attributes


async def test_runs_newest_first_a_page_at_a_time():
    async with serving({"fails": FAILS}) as site:
        await site.create("j", "fails")
        runs = [await site.run_whole("j") for _ in range(limits.RUNS_ON_A_PAGE + 2)]
        root = await page(site, "j/")
        rows = root.one("table", id="runs").one("tbody").all("tr")
        assert [row["data-run"] for row in rows] == runs[:1:-1]
        assert rows[0]["data-outcome"] == "failed"
        assert rows[0].one(class_="reason").text == "exit code 1"
        assert root.one("div", id="job")["data-live"] == "yes"
        earlier = await page(site, "j/" + root.one("a", rel="next")["href"].rpartition("/")[2])
        rows = earlier.one("table", id="runs").one("tbody").all("tr")
        assert [row["data-run"] for row in rows] == runs[1::-1]
        assert earlier.one("div", id="job")["data-live"] == ""
        assert not earlier.all("a", rel="next")
        unknown = await site.http.get("/webui/jobs/j/?before=nothing")
        assert (unknown.status_code, "there is no run" in unknown.text) == (400, True)


async def test_a_run_in_flight_has_no_end():
    async with serving({"hangs": HANGS}) as site:
        await site.create("j", "hangs")
        run = await site.start("j")
        row = (await page(site, "j/")).one("tr", data_run=run)
        assert (row["data-ended"], row["data-outcome"]) == ("", "")
        assert row.one(class_="badge running").text == "running"


async def test_how_a_job_is():
    async with serving() as site:
        await site.create("j")
        assert [b.text for b in (await page(site, "j/")).one("span", id="states").all(class_="badge succeeded")]
        await site.http.post(f"{API}/job/pause/j/", json={"reason": "a move"})
        paused = await page(site, "j/")
        assert paused.one("button", data_act="resume").text == "Resume"
        assert "a move" in paused.one(id="paused").text
        await site.http.post(f"{API}/job/disable/j/")
        disabled = await page(site, "j/")
        assert "disabled" in disabled.one("button", data_act="start").attributes
        assert disabled.all("button", data_act="enable")


# Its place among others


async def kinship(site: Any) -> None:
    """a and b start c, which starts d and, when it fails, e; d starts f; a names f too; x is no job."""
    for job in "a", "b":
        await site.create(job)
    await site.create("c", schedule="", parent_jobs=["a", "b"], dependent_jobs=["x"], on_failure_job="e")
    await site.create("d", schedule="", parent_jobs=["c"])
    await site.create("e")
    await site.create("f", schedule="", parent_jobs=["d", "a"])


async def test_what_starts_it_is_on_its_left_and_what_it_starts_on_its_right():
    async with serving() as site:
        await kinship(site)
        jobs = site.node.scheduler.folds.jobs
        drawing = kin.draw(jobs, JobId("c"))
        at = {box.job: box.x for box in drawing.boxes}
        assert at["a"] == at["b"] < at["c"] < at["d"] == at["e"] == at["x"] < at["f"]
        for edge, _ in drawing.edges:
            assert at[edge.start] < at[edge.end], edge
        ties = {(edge.start, edge.end): edge.tie for edge, _ in drawing.edges}
        assert ties == {
            ("a", "c"): "success",
            ("b", "c"): "success",
            ("a", "f"): "success",
            ("c", "x"): "success",
            ("c", "d"): "success",
            ("c", "e"): "failure",
            ("d", "f"): "success",
        }
        places = [(box.x, box.y) for box in drawing.boxes]
        assert len(set(places)) == len(places)
        assert not drawing.more


async def test_a_large_family_is_drawn_in_part():
    async with serving() as site:
        await site.create("p")
        for i in range(limits.MAX_GRAPH_JOBS):
            await site.create(f"c{i}", schedule="", parent_jobs=["p"])
        drawing = kin.draw(site.node.scheduler.folds.jobs, JobId("p"))
        assert len(drawing.boxes) == limits.MAX_GRAPH_JOBS // 2
        assert drawing.more
        assert "There are more." in (await page(site, "p/")).text


async def test_a_family_that_is_tied_closely_is_drawn_in_part():
    """Each job has all those before it as its parents: few jobs, but more arrows than a page has room for."""
    async with serving() as site:
        jobs = [f"{i:02}" for i in range(limits.MAX_GRAPH_JOBS // 2)]
        for i, job in enumerate(jobs):
            parents = {"schedule": "", "parent_jobs": jobs[:i]} if i else {}
            await site.create(job, name="'" * 200 + job, **parents)
        drawing = kin.draw(site.node.scheduler.folds.jobs, JobId("00"))
        assert len(drawing.boxes) == len(jobs)
        assert len(drawing.edges) == limits.MAX_GRAPH_EDGES
        assert {edge.end for edge, _ in drawing.edges} == set(jobs[1:])
        assert drawing.more
        answer = await site.http.get("/webui/jobs/00/")
        assert "There are more." in answer.text
        assert len(answer.content) < 300_000


async def test_the_drawing_leads_to_the_others():
    async with serving() as site:
        await kinship(site)
        root = await page(site, "c/")
        drawing = root.one("svg", role="group")
        assert {link["href"] for link in drawing.all("a")} == {f"/webui/jobs/{job}/" for job in "abdef"}
        assert root.one(class_="box unknown").one("title").text == "x (x): no such job"
        said = facts(root)
        assert said["Started by"] == "a job , a job ; when all of its parents have succeeded"
        assert said["When it fails"] == "a job"
        assert "no such job" in said["When it succeeds"]


async def test_who_goes_with_a_job():
    async with serving() as site:
        await kinship(site)
        jobs = site.node.scheduler.folds.jobs
        assert kin.doomed(jobs, JobId("c")) == ("d",)  # f has another parent
        assert kin.doomed(jobs, JobId("a")) == ()
        told = json.loads((await page(site, "c/")).one("div", id="job")["data-doomed"])
        assert told == {"count": 1, "jobs": [{"id": "d", "name": "a job"}], "losing": 1}
        told = json.loads((await page(site, "a/")).one("div", id="job")["data-doomed"])
        assert told == {"count": 0, "jobs": [], "losing": 2}
        await site.http.delete(f"{API}/job/c/")
        assert {job for job in "abcdef" if jobs.get(JobId(job)) is None} == {"c", "d"}


# What changed it


async def edited(site: Any) -> None:
    await site.create("j", command="one")
    await site.http.put(f"{API}/job/j/", json=draft(command="two", retries=3))
    await site.http.post(f"{API}/job/disable/j/")
    await site.http.post(f"{API}/job/pause/j/", json={"reason": "a move"})


def rows_of(table: Element) -> list[list[str]]:
    return [[cell.text for cell in row.walk() if cell.name in ("th", "td")] for row in table.one("tbody").all("tr")]


async def test_each_change_newest_first_with_what_going_back_would_change():
    async with serving() as site:
        await edited(site)
        items = (await page(site, "j/changes/")).one("ol", class_="changes").all("li")
        words = [item.all("h2")[0].one("span").text for item in items]
        assert words == ["paused", "disabled", "edited", "created"]
        paused, disabled, edit, creation = items
        assert "a move" in paused.text
        assert not disabled.all("button", data_revert="3")  # that is how it is
        assert rows_of(edit.all("table")[-1]) == [["Command line", "one", "two"], ["Retries", "not set", "3"]]
        assert rows_of(creation.one("dialog").one("table")) == [
            ["Command line", "two", "one"],
            ["Disabled", "yes", "not set"],
            ["Retries", "3", "not set"],
        ]
        assert creation.one("button", data_revert="1")["data-page"] == "/webui/jobs/j/"


async def test_many_changes_are_paged():
    async with serving() as site:
        await site.create("j")
        for i in range(limits.CHANGES_ON_A_PAGE):
            await site.http.put(f"{API}/job/j/", json=draft(command=f"c{i}"))
        root = await page(site, "j/changes/")
        assert len(root.one("ol", class_="changes").all("li")) == limits.CHANGES_ON_A_PAGE
        rest = await page(site, "j/changes/" + root.one("a", rel="next")["href"].rpartition("/")[2])
        assert [item["id"] for item in rest.one("ol", class_="changes").all("li")] == ["p1"]


async def test_a_deleted_job_says_who_went_with_it_and_how_it_comes_back():
    async with serving() as site:
        await site.create("p", name="parent")
        await site.create("c", schedule="", parent_jobs=["p"])
        await site.run_whole("p")
        await site.http.delete(f"{API}/job/p/")
        root = await page(site, "p/?took=c,nobody")
        assert root.one("h1").text == "parent"
        assert root.one("button", data_revert="1").text == "Bring it back"
        assert [link["href"] for link in root.all("a") if link.text == "c"] == ["/webui/jobs/c/"]
        assert len(root.one("section", **{"aria-labelledby": "runs-title"}).one("tbody").all("tr")) == 1
        child = await page(site, "c/")
        assert "because its parent p was deleted" in child.one(id="gone").text
        back = await site.http.post(f"{API}/job/p/revert/", json={"position": 1})
        assert back.status_code == 200
        assert (await page(site, "p/")).one("table", id="runs").one("tbody").all("tr")


async def test_there_never_was_such_a_job():
    async with serving() as site:
        for path in "nobody/", "nobody/changes/", "nobody/edit", "nobody/duplicate":
            answer = await site.http.get(f"/webui/jobs/{path}")
            assert (answer.status_code, "there is no job" in answer.text) == (404, True)


@pytest.mark.parametrize("path", ["", "changes/", "edit", "duplicate"])
async def test_what_anybody_writes_is_text(path: str):
    async with serving() as site:
        evil = "a/b" + EVIL
        fields = {"name": EVIL, "command": EVIL, "owner": EVIL, "env": {EVIL: EVIL}, "labels": {EVIL: EVIL}}
        answer = await site.http.post(f"{API}/job/", json=draft(id=evil, **{**fields, "env": {"A": EVIL}}))
        assert answer.status_code == 201, answer.text
        await site.http.post(f"{API}/job/", json=draft(id="child", name=EVIL, schedule="", parent_jobs=[evil]))
        root = await page(site, f"a%2Fb%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E/{path}")
        assert root.one("h1").text.endswith(EVIL)
        assert not root.all("img")


async def test_a_large_definition_is_cut_on_the_page():
    async with serving() as site:
        await site.create("j", command="x" * 500_000)
        answer = await site.http.get("/webui/jobs/j/", headers={"Accept-Encoding": "identity"})
        assert len(answer.content) < 300_000
        assert "498000 characters more" in answer.text


async def test_a_schedule_that_is_far_away():
    async with serving() as site:
        await site.create("j", schedule=FAR)
        assert "2099-01-01 00:00:00 UTC" in (await page(site, "j/")).one("ol", id="coming").text


async def test_a_job_whose_id_is_all_is_deleted_alone():
    async with serving() as site:
        await site.create("all")
        await site.create("other")
        address = (await page(site, "all/")).one("div", id="job")["data-delete"]
        rows = (await page(site, "")).one("table", id="jobs").one("tbody").all("tr")
        assert [row.attributes.get("data-delete") for row in rows] == [address, None]
        assert (await site.http.delete(address)).status_code == 200
        assert (await site.http.get(f"{API}/job/all/")).status_code == 404
        assert (await site.http.get(f"{API}/job/other/")).status_code == 200


async def test_very_many_children_are_counted_and_some_named():
    async with serving() as site:
        await site.create("parent")
        for i in range(GOING + 3):
            await site.create(f"child{i:03}", schedule="", parent_jobs=["parent"])
        root = await page(site, "parent/")
        said = facts(root)["When it succeeds"]
        assert said.endswith(f"and {GOING + 3 - LISTED} more")
        assert len(root.one("div", id="job").parent.all("a", href=f"/webui/jobs/child{LISTED - 1:03}/")) >= 1
        doomed = json.loads(root.one("div", id="job")["data-doomed"])
        assert (doomed["count"], len(doomed["jobs"])) == (GOING + 3, GOING)

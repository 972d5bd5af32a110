"""A run's page as the server writes it: state, cause, attempts, events, and what is said when the output is gone."""

import re
from html import unescape

import trio

from kala_es import limits
from kala_es.domain.retention import Kept
from kala_es.runtime.scheduler import Rules
from tests.nodes import FAILS, Script
from tests.web.edges import API, Site, serving, writes

EVIL = "<img src=x onerror=alert(1)>"


async def page_of(site: Site, run: str) -> str:
    answer = await site.http.get(f"/webui/runs/{run}/")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html;charset=UTF-8"
    return answer.text


def words(page: str) -> str:
    """What can be read on it."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def attribute(page: str, name: str) -> str:
    found = re.search(rf'{name}="([^"]*)"', page)
    assert found is not None, name
    return unescape(found[1])


async def test_a_run_that_is_over() -> None:
    async with serving({"w": writes(("stdout", b"one\n"), ("stderr", b"two\n"))}) as site:
        await site.create("a/b", "w", name="nightly")
        run = (await site.http.post(f"{API}/job/start/a%2Fb/", headers={"Prefer": "respond-async"})).headers["Location"]
        run = run.split("/")[-2]
        await site.node.ends("a/b")
        page = await page_of(site, run)
        read = words(page)
        assert "succeeded · nightly" in read
        assert "RunStarted began because of a request" in read
        assert "RunFinished succeeded, exit code 0, after 1 attempt" in read
        assert "Cause manual" in read
        assert attribute(page, "data-address") == f"{API}/job/a%2Fb/executions/{run}/output/"
        assert (await site.http.get(attribute(page, "data-address"))).content == b"one\ntwo\n"
        assert attribute(page, "data-live") == "false"
        assert 'href="/webui/jobs/a%2Fb/"' in page
        positions = [int(number) for number in re.findall(r'data-position="(\d+)"', page)]
        assert positions == sorted(positions)
        assert len(positions) == 2


async def test_a_run_in_flight_can_be_followed_from_the_position_of_its_page() -> None:
    async with serving({"w": writes(("stdout", b"so far"), hangs=True)}) as site:
        await site.create("j", "w")
        run = await site.start("j")
        page = await page_of(site, run)
        assert attribute(page, "data-live") == "true"
        assert int(attribute(page, "data-after")) <= site.node.scheduler.folds.position
        assert attribute(page, "data-stream") == f"{API}/job/j/executions/{run}/stream/"
        assert "Ended not yet" in words(page)
        await site.http.delete(f"{API}/job/j/executions/{run}/")
        await site.node.ends("j")
        read = words(await page_of(site, run))
        assert "CancelRequested its end was asked for" in read
        assert "cancelled" in read


async def test_attempts_have_their_times_and_ends() -> None:
    scripts: dict[str, Script] = {"w": Script(exit_code=7)}
    async with serving(scripts) as site:
        site.node.shell.scripts["w"] = [Script(exit_code=7), FAILS, Script()]
        await site.create("j", "w", retries=2)
        page = await page_of(site, await site.run_whole("j"))
        rows = re.findall(r'<tr data-attempt="(\d)".*?</tr>', page, re.DOTALL)
        assert rows == ["1", "2", "3"]
        read = words(page)
        assert "exit code 7; tried again at once" in read
        assert "succeeded, exit code 0, after 3 attempts" in read


async def test_a_run_names_the_runs_that_led_to_it() -> None:
    async with serving() as site:
        await site.create("root", name="the root")
        await site.create("middle", name="the middle", parent_jobs=["root"])
        await site.create("leaf", parent_jobs=["middle"])
        root = await site.run_whole("root")
        runs = site.node.scheduler.folds.runs
        (leaf,) = runs.of_job("leaf", limit=2)  # type: ignore[arg-type]
        page = await page_of(site, leaf.id)
        read = words(page)
        assert "Cause parent" in read
        assert "Caused by a run of the middle succeeded" in read
        assert "Began all a run of the root succeeded" in read
        assert f'href="/webui/runs/{leaf.after}/"' in page
        assert f'href="/webui/runs/{root}/"' in page


async def test_the_usual_duration_is_the_median_of_what_succeeded(autojump_clock: trio.testing.MockClock) -> None:
    async with serving({}) as site:
        await site.create("j", "w")
        runs: list[str] = []
        for seconds in (10, 12, 11, 90):
            site.node.shell.scripts["w"] = Script(seconds=seconds)
            runs.append(await site.run_whole("j"))
        first, last = runs[0], runs[-1]
        assert "usually" not in await page_of(site, first)
        page = await page_of(site, last)
        assert "1 m 30 s usually 11.0 s" in words(page)
        assert re.search(r'data-run-part="late">', page)
        assert f'href="/webui/runs/{first}/"' not in page
        assert "the run before" in words(page)
        assert "none after" in words(page)


async def test_a_run_of_a_deleted_job_is_shown_and_cannot_be_run_again() -> None:
    async with serving() as site:
        await site.create("j")
        run = await site.run_whole("j")
        assert 'data-run-part="again"' in await page_of(site, run)
        await site.http.delete(f"{API}/job/j/")
        page = await page_of(site, run)
        assert "j (deleted)" in words(page)
        assert 'data-run-part="again"' not in page


async def test_what_is_erased_is_said() -> None:
    async with serving({"w": writes(("stdout", b"secret\n"))}) as site:
        await site.create("j", "w")
        run = await site.run_whole("j")
        await site.http.post(f"{API}/job/j/executions/{run}/redact/", json={"reason": f"a password {EVIL}"})
        page = await page_of(site, run)
        assert "The output was erased a password <img" in words(page)
        assert "<img" not in page
        assert 'id="output"' not in page


async def test_what_is_kept_no_longer_is_said(autojump_clock: trio.testing.MockClock) -> None:
    async with serving({"w": writes(("stdout", b"one"), seconds=1)}, rules=Rules(kept=Kept(runs=1))) as site:
        await site.create("j", "w")
        old, _ = await site.run_whole("j"), await site.run_whole("j")
        await trio.sleep(30)
        page = await page_of(site, old)
        assert "The output is kept no longer It was 3 B." in words(page)
        assert 'id="output"' not in page


async def test_a_long_story_is_cut_and_its_end_told(monkeypatch) -> None:
    monkeypatch.setattr(limits, "RUN_EVENTS_SHOWN", 3)
    async with serving({"w": FAILS}) as site:
        await site.create("j", "w", retries=9)
        read = words(await page_of(site, await site.run_whole("j")))
        assert read.count("AttemptFailed") == 2
        assert "after 10 attempts" in read
        assert "There are more: 10 in all." in read


async def test_names_are_escaped_and_what_is_not_there_is_said() -> None:
    async with serving() as site:
        await site.create("j", name=EVIL)
        page = await page_of(site, await site.run_whole("j"))
        assert "<img" not in page
        assert EVIL in unescape(page)
        missing = await site.http.get("/webui/runs/none/")
        assert missing.status_code == 404
        assert "there is no run" in words(missing.text)

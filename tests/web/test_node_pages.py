"""The pages of the node as the server writes them: the calendar, the log, jobs as they were, the settings."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest

from kala_es.runtime.scheduler import Rules
from kala_es.web.pages.calendar import MOST_TICKS
from kala_es.web.pages.events import PAGE
from tests.nodes import FAILS
from tests.web.edges import API, Site, draft, serving, writes

EVIL = "<img src=x onerror=alert(1)>"


async def words(site: Site, path: str, status: int = 200) -> str:
    """What can be read on a page, its head and navigation left out."""
    return read(await page_of(site, path, status))


async def page_of(site: Site, path: str, status: int = 200) -> str:
    answer = await site.http.get(path)
    assert answer.status_code == status, (path, answer.text.partition("<main")[2], site.complaints)
    return answer.text.partition("<main")[2]


def read(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def rows(page: str, cell: str) -> list[str]:
    """The texts of all cells of a class."""
    return [read(found) for found in re.findall(rf'<td class="{cell}">(.*?)</td>', page, re.DOTALL)]


def the_hour(page: str) -> str:
    """What the calendar of a day says of the hour that is now."""
    return read(page.partition('<li class="is-now">')[2].partition("</li>\n    <li")[0])


async def test_a_day_lists_what_ended_and_what_is_due() -> None:
    async with serving({"fails": FAILS}) as site:
        await site.create("good", name=EVIL)
        await site.create("bad", "fails", name="bad")
        await site.create("soon", name="soon", schedule="0 0 * * * *")
        await site.run_whole("good")
        run = await site.run_whole("bad")
        page = await page_of(site, "/webui/calendar/?view=day")
        hour = the_hour(page)
        assert EVIL in hour
        assert "1 failed" in hour
        assert f'href="/webui/runs/{run}/"' in page
        assert "<img" not in page
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        coming = await page_of(site, f"/webui/calendar/?view=day&date={tomorrow}")
        assert coming.count(">soon</a>") == 24
        assert "bad" not in read(coming)


async def test_a_week_counts_by_the_hours_of_a_zone() -> None:
    async with serving() as site:
        await site.create("j", name="daily", schedule="0 30 12 * * *", timezone="UTC")
        page = await page_of(site, "/webui/calendar/?date=2030-07-03&zone=Europe/Berlin")
        assert "01 Jul to 07 Jul 2030" in read(page)
        (noon,) = re.findall(r'<tr><th scope="row">14:00</th>(.*?)</tr>', page, re.DOTALL)
        assert read(noon).split() == ["1", "due"] * 7
        other = page.replace(noon, "")
        assert "1 due" not in read(other)


async def test_a_zone_half_an_hour_off_has_whole_hours_too() -> None:
    async with serving() as site:
        await site.create("j", name="each minute", schedule="* * * * *")
        day = await words(site, "/webui/calendar/?date=2030-07-03&view=day&zone=Asia/Kolkata")
        assert (day.count("60 due"), day.count(":30 60 due")) == (24, 24)


async def test_the_calendar_of_one_job_has_its_runs_alone() -> None:
    async with serving({"fails": FAILS}) as site:
        await site.create("a", "fails", name="first")
        await site.create("b", "fails", name="second")
        for job in ("a", "a", "b"):
            await site.run_whole(job)
        page = await page_of(site, "/webui/calendar/?view=day&job=a")
        assert "2 failed" in the_hour(page)
        assert "second" not in read(page)
        await page_of(site, "/webui/calendar/?job=nobody", 404)


async def test_ticks_are_counted_however_many_and_beyond_what_is_looked_at_said_to_be_unknown() -> None:
    async with serving() as site:
        await site.create("j", name="often", schedule="* * * * * *")
        often = (await words(site, "/webui/calendar/?date=2030-07-03")).replace("\u202f", " ")
        assert often.count("3 600 due") == 7 * 24
        assert "not counted" not in often
        past = await words(site, "/webui/calendar/?date=2020-01-01&view=day")
        assert "23:00 nothing" in past
        assert "due" not in past
        for i in range(MOST_TICKS // (7 * 24)):
            await site.create(f"j{i}", name="each minute", schedule="* * * * *")
        many = (await words(site, "/webui/calendar/?date=2030-07-03")).replace("\u202f", " ")
        assert many.count("not counted") == 7 * 24 - 1
        assert "3 600 due" not in many


async def test_clocks_that_change_leave_a_day_whole() -> None:
    async with serving() as site:
        for day, hours in (("2030-03-31", 23), ("2030-10-27", 25)):
            page = await page_of(site, f"/webui/calendar/?view=day&zone=Europe/Berlin&date={day}")
            assert page.count('class="day-hour"') == hours


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("date=yesterday", "is no date"),
        ("date=0001-01-01", "is too far away"),
        ("view=year", "must be one of week"),
    ],
)
async def test_a_calendar_that_there_is_not(query: str, said: str) -> None:
    async with serving() as site:
        assert said in await words(site, f"/webui/calendar/?{query}", 400)


async def test_a_calendar_in_a_zone_that_only_the_browser_knows_is_in_utc() -> None:
    async with serving() as site:
        said = await words(site, "/webui/calendar/?zone=Moon/Base&date=2030-07-03")
        assert "Calendar UTC Moon/Base is no zone here" in said


async def test_the_log_has_its_newest_events_first_and_values_as_text() -> None:
    async with serving({"w": writes(("stdout", b"hello"))}) as site:
        await site.create("j", "w", name=EVIL)
        run = await site.run_whole("j")
        page = await page_of(site, "/webui/events/")
        kinds = rows(page, "nowrap")[1::2]
        assert kinds[-1] == "JobCreated"
        assert "RunFinished" in kinds
        assert "OutputChunk" not in kinds
        positions = [int(position) for position in rows(page, "number muted")]
        assert positions == sorted(positions, reverse=True)
        assert EVIL in read(page)
        assert "<img" not in page
        assert f'href="/webui/runs/{run}/"' in page
        every = await page_of(site, "/webui/events/?type=all")
        assert "text hello" in read(every)


async def test_the_log_is_filtered_by_type_and_job() -> None:
    async with serving() as site:
        for job in ("a", "b"):
            await site.create(job, name=job)
            await site.run_whole(job)
        page = await page_of(site, "/webui/events/?type=RunFinished&job=b")
        assert rows(page, "nowrap")[1::2] == ["RunFinished"]
        assert 'data-kind="RunFinished" data-job="b"' in page
        assert "No event fits" in await words(site, "/webui/events/?job=nobody")
        assert "there is no event 'Nothing'" in await words(site, "/webui/events/?type=Nothing", 400)


async def test_the_log_is_turned_to_its_begin_and_no_event_is_left_out() -> None:
    async with serving() as site:
        await site.create("j")
        for _ in range(PAGE):
            assert (await site.http.post(f"{API}/job/disable/j/")).status_code == 204
            assert (await site.http.post(f"{API}/job/enable/j/")).status_code == 204
        path, seen, pages = "/webui/events/?type=all", list[int](), 0
        while path:
            page, pages = await page_of(site, path), pages + 1
            seen += [int(position) for position in rows(page, "number muted")]
            older = re.search(r'rel="next" href="([^"]*)"', page)
            path = f"/webui/events/{unescape(older[1])}" if older else ""
        assert pages == 3
        assert seen == list(range(seen[0], seen[-1] - 1, -1))
        assert len(seen) > 2 * PAGE


async def test_jobs_are_shown_as_they_were() -> None:
    async with serving() as site:
        await site.create("j", name="old name", command="succeeds")
        then = site.node.scheduler.folds.position
        changed = await site.http.put(f"{API}/job/j/", json=draft(name="new name"))
        assert changed.status_code in (200, 204), changed.text
        await site.create("late", name="came later")
        assert (await site.http.delete(f"{API}/job/j/")).status_code == 204
        text = await words(site, f"/webui/at/?at={then}")
        assert f"As it was at position {then}" in text
        assert "old name" in text
        assert "new name" not in text
        assert "came later" not in text
        now = await words(site, f"/webui/at/?at={site.node.scheduler.folds.position}")
        assert "came later" in now
        assert "old name" not in now


async def test_a_moment_that_cannot_be_shown_is_said_at_its_field() -> None:
    async with serving() as site:
        assert "See the jobs as they were" in await words(site, "/webui/at/")
        for at in ("tomorrow", "99999"):
            page = await page_of(site, f"/webui/at/?at={at}", 400)
            (said,) = re.findall(r'id="at-wrong" role="alert">(.*?)</span>', page)
            assert said
            assert f'value="{at}"' in page


async def test_settings_say_what_the_node_is_and_allows() -> None:
    async with serving(rules=Rules(local_jobs=False), version="1.2.3", node="tall <b>oak</b>") as site:
        page = await page_of(site, "/webui/settings/")
        text = read(page)
        assert "Version 1.2.3" in text
        assert "Node tall <b>oak</b>" in text
        assert "<b>oak" not in page
        assert "Local commands refused: only remote jobs" in text
        assert "keeps everything in memory" in text
        assert 'id="pause"' in page


async def test_settings_say_that_all_jobs_are_paused_and_why() -> None:
    async with serving() as site:
        answer = await site.http.post(f"{API}/pause/", json={"reason": EVIL})
        assert answer.status_code in (200, 204), answer.text
        page = await page_of(site, "/webui/settings/")
        assert f"Reason {EVIL}" in read(page)
        assert "Until someone resumes them" in read(page)
        assert 'id="resume"' in page
        assert 'id="pause"' not in page

"""A page of the past comes at once: with the jobs of then if they are read by then, else it asks for them again."""

import re
from html import unescape

import pytest
import trio

from kala_es import limits
from kala_es.replay.moments import moment_of
from tests.web.edges import Site, serving


async def test_a_past_that_is_read_at_once_is_on_the_page() -> None:
    async with serving(first_content_seconds=20) as site:
        await site.create("j", name="an old job")
        page = (await site.http.get("/webui/at/?at=1")).text
        assert "an old job" in page
        assert 'id="reading"' not in page


async def test_a_page_does_not_wait_for_the_past_and_says_where_it_is() -> None:
    async with serving(first_content_seconds=0) as site:
        await site.create("j", name="an old job")
        answer = await site.http.get("/webui/at/?at=1&q=old")
        assert answer.status_code == 200
        assert "Reading the log up to that moment" in answer.text
        assert "an old job" not in answer.text
        (rest,) = re.findall(r'data-rest="([^"]*)"', answer.text)
        whole = await site.http.get(f"/webui/at/{unescape(rest)}")
        assert "an old job" in whole.text
        assert 'id="reading"' not in whole.text
        assert "Reading the log" not in (await site.http.get("/webui/at/")).text
        assert site.complaints == []


async def test_many_pages_that_did_not_wait_leave_room_for_one_that_does() -> None:
    async with serving(first_content_seconds=0) as site:
        await site.create("j")
        for _ in range(30):
            assert (await site.http.get("/webui/at/?at=1")).status_code == 200
        assert (await site.http.get("/webui/at/?at=1&wait=true")).status_code == 200


async def test_a_moment_that_cannot_be_shown_is_refused_also_when_it_is_waited_for() -> None:
    async with serving(first_content_seconds=0) as site:
        for query in ("at=99999", "at=99999&wait=true", "at=tomorrow"):
            assert (await site.http.get(f"/webui/at/?{query}")).status_code == 400, query


async def test_a_page_waits_for_its_turn_and_is_refused_when_none_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(first_content_seconds=20) as site:
        await site.create("j", name="an old job")
        held = [await site.node.scheduler.past(moment_of("1", "at")) for _ in range(limits.MAX_MOMENTS)]
        assert (await site.http.get("/api/v1/job/?at=1")).status_code == 503
        pages: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, site, pages)
            await trio.sleep(0.3)
            assert pages == []
            held.clear()
        assert "an old job" in pages[0]
        held += [await site.node.scheduler.past(moment_of("1", "at"), patience=5) for _ in range(limits.MAX_MOMENTS)]
        monkeypatch.setattr(limits, "MOMENT_PATIENCE_SECONDS", 0.1)
        assert (await site.http.get("/webui/at/?at=1")).status_code == 503


async def _read(site: Site, pages: list[str]) -> None:
    pages.append((await site.http.get("/webui/at/?at=1&wait=true")).text)

"""A page of the past comes at once: with the jobs of then if they are read by then, else it asks for them again."""

import re
from html import unescape

from tests.web.edges import serving


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

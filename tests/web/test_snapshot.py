"""What the snapshot route refuses. What it gives is in tests/replay and tests/system/test_archive.py."""

from tests.web.edges import API, serving


async def test_a_log_in_memory_cannot_be_exported():
    async with serving() as site:
        answer = await site.http.get(f"{API}/snapshot/")
        assert (answer.status_code, "in memory" in answer.json()["error"]) == (403, True)


async def test_a_wrong_query_is_refused_by_its_name():
    async with serving() as site:
        for query, field in (("since=-1", "since"), ("since=x", "since"), ("output=some", "output")):
            answer = await site.http.get(f"{API}/snapshot/?{query}")
            assert (answer.status_code, answer.json()["field"]) == (400, field)

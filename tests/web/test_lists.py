"""Lists of jobs and runs: whole, in pages, filtered; in slices that hold up nobody."""

import time
from typing import Any

import pytest
import trio

from kala_es.runtime.scheduler import Rules
from kala_es.web.json_cache import JsonCache
from tests.web.edges import API, draft, serving


async def pages(site, path: str) -> list[dict[str, Any]]:
    found = []
    while path:
        answer = await site.http.get(path)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        path = answer.links.get("next", {}).get("url", "")
    return found


async def test_the_whole_list_is_sorted_by_id():
    async with serving() as site:
        names = [f"j{i:04}" for i in range(600)]
        answer = await site.http.post(f"{API}/job/bulk/", json=[draft(id=name) for name in reversed(names)])
        assert answer.status_code == 201
        assert list((await site.http.get(f"{API}/job/")).json()["jobs"]) == names


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 10_000])
async def test_pages_hold_every_job_once(limit):
    async with serving() as site:
        names = ["a&b=c", "b/ü", "c", "d", "e", "f"]
        for name in names:
            await site.create(name)
        found = await pages(site, f"{API}/job/?limit={limit}")
        assert [list(page["jobs"]) for page in found] == [names[i : i + limit] for i in range(0, 6, limit)]


async def test_filters():
    async with serving() as site:
        await site.create("one", name="Backup", owner="ann@example.org")
        await site.create("two", name="mail", command="run BACKUP now", disabled=True)
        await site.create("three", name="x")

        async def ids(query: str) -> list[str]:
            return [job for page in await pages(site, f"{API}/job/?{query}") for job in page["jobs"]]

        assert await ids("q=backup") == ["one", "two"]
        assert await ids("q=ANN%40") == ["one"]
        assert await ids("q=THREE") == ["three"]
        assert await ids("q=nothing") == []
        assert await ids("disabled=true") == ["two"]
        assert await ids("disabled=false") == ["one", "three"]
        assert await ids("q=backup&disabled=false&limit=1") == ["one"]
        assert await ids("q=backup&limit=1") == ["one", "two"]
        assert await ids("after=one") == ["three", "two"]
        assert await ids("unknown=1&q=") == ["one", "three", "two"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=x", "limit=-1", "limit=", "disabled=1", "disabled="]
)
async def test_a_bad_value_is_refused_by_its_name(query):
    async with serving() as site:
        answer = await site.http.get(f"{API}/job/?{query}")
        assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0])
        assert query.partition("=")[0] in answer.json()["error"]


async def test_runs_in_pages_and_whole():
    async with serving() as site:
        await site.create("j")
        runs = [await site.run_whole("j") for _ in range(5)]
        whole = (await site.http.get(f"{API}/job/j/executions/")).json()["job_stats"]
        assert [run["id"] for run in whole] == runs
        for limit in (1, 2, 5, 6):
            found = await pages(site, f"{API}/job/j/executions/?limit={limit}")
            assert [[run["id"] for run in page["job_stats"]] for page in found] == [
                runs[i : i + limit] for i in range(0, 5, limit)
            ]
        after = (await site.http.get(f"{API}/job/j/executions/?after={runs[3]}")).json()["job_stats"]
        assert [run["id"] for run in after] == runs[4:]
        for query in ("after=none", "limit=0"):
            answer = await site.http.get(f"{API}/job/j/executions/?{query}")
            assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0])


async def test_a_job_is_seen_as_it_is_now():
    async with serving() as site:
        await site.create("j", name="one")
        await site.http.get(f"{API}/job/")
        await site.http.put(f"{API}/job/j/", json=draft(name="two"))
        assert (await site.http.get(f"{API}/job/")).json()["jobs"]["j"]["name"] == "two"
        await site.create("child", parent_jobs=["j"], schedule="")
        assert (await site.http.get(f"{API}/job/")).json()["jobs"]["j"]["dependent_jobs"] == ["child"]
        await site.http.delete(f"{API}/job/child/")
        assert (await site.http.get(f"{API}/job/j/")).json()["job"]["dependent_jobs"] is None


async def test_runs_that_are_shown_no_longer_hide_no_others(monkeypatch):
    monkeypatch.setattr("kala_es.web.runs._SLICE", 2)
    async with serving(rules=Rules(runs_kept_seconds=60)) as site:
        await site.create("j")
        old = [await site.run_whole("j") for _ in range(5)]
        site.node.clock.step(61)
        new = [await site.run_whole("j") for _ in range(3)]
        listed = (await site.http.get(f"{API}/job/j/executions/")).json()["job_stats"]
        assert [run["id"] for run in listed] == new
        found = await pages(site, f"{API}/job/j/executions/?limit=2")
        assert [[run["id"] for run in page["job_stats"]] for page in found] == [new[:2], new[2:]]
        assert len((await site.http.get(f"{API}/job/stats/j/")).json()["job_stats"]) == 3
        assert (await site.http.get(f"{API}/job/j/executions/{old[0]}/")).status_code == 404


async def test_a_job_that_goes_while_the_list_is_sent_harms_nothing():
    async with serving() as site:
        names = [f"j{i:04}" for i in range(1000)]
        await site.http.post(f"{API}/job/bulk/", json=[draft(id=name, stdin="x" * 3000) for name in names])
        async with site.http.stream("GET", f"{API}/job/", headers={"Accept-Encoding": "identity"}) as answer:
            parts = answer.aiter_raw()
            text = await anext(parts)
            assert (await site.http.delete(f"{API}/job/all/")).status_code == 204
            text += b"".join([part async for part in parts])
        assert text.startswith(b'{"jobs":{"j0000":{')
        assert text.endswith(b"}}\n")


def test_the_cache_keeps_within_its_limit():
    cache: JsonCache[int, str] = JsonCache(limit=100)
    for i in range(20):
        assert cache.keep(i, "a", bytes(30)) == bytes(30)
        assert cache.size <= 100
    assert [i for i in range(20) if cache.get(i)] == [17, 18, 19]
    cache.keep(19, "b", bytes(10))
    assert (cache.get(19), cache.size) == (("b", bytes(10)), 70)
    cache.keep(20, "c", bytes(200))  # more than there is room for
    assert (cache.get(20), cache.size) == (None, 0)


async def test_a_run_is_seen_as_it_is_now():
    async with serving() as site:
        await site.create("j")
        run = await site.run_whole("j")

        async def status() -> str:
            (item,) = (await site.http.get(f"{API}/job/j/executions/")).json()["job_stats"]
            return str(item["status"])

        assert await status() == "Success"
        await site.http.put(f"{API}/job/j/executions/{run}/", content=b'"Failed"')
        assert await status() == "Failed"


async def test_a_long_list_holds_up_nobody():
    async with serving() as site:
        for start in range(0, 3000, 1000):
            jobs = [draft(id=f"j{i:05}") for i in range(start, start + 1000)]
            assert (await site.http.post(f"{API}/job/bulk/", json=jobs)).status_code == 201
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await trio.lowlevel.checkpoint()
                longest = max(longest, time.perf_counter() - before)

        app, stream = site.app, []

        async def send(message) -> None:
            stream.append(message.get("body", b""))

        async def receive():
            if asked:
                await trio.sleep_forever()
            asked.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}

        asked: list[bool] = []
        scope = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": "GET",
            "path": f"{API}/job/",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
        }
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await app(scope, receive, send)
            nursery.cancel_scope.cancel()
        sent = [len(part) for part in stream if part]
        assert len(sent) > 10  # in slices
        assert max(sent) < 500_000
        print(f"the loop was held for {longest * 1000:.1f} ms at most")

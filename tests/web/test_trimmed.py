"""A trimmed run over HTTP: it says so, keeps its sizes and digest, and its output is gone."""

from collections.abc import Sequence
from hashlib import blake2b

import trio

from kala_es.domain.retention import Kept
from kala_es.runtime.scheduler import Rules
from tests.web.edges import API, serving, streaming, writes

KEEP_ONE = Rules(kept=Kept(runs=1))
TALKS = {"talks": writes(("stdout", b"one"), ("stderr", b"two"), seconds=1)}


async def test_a_trimmed_run_says_so(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(TALKS, rules=KEEP_ONE) as site:
        await site.create("j", "talks")
        old, new = await site.run_whole("j"), await site.run_whole("j")
        await trio.sleep(30)
        page = f"{API}/job/j/executions/{old}/"
        run = (await site.http.get(page)).json()["job_run"]
        assert (run["output"], run["output_truncated"], run["output_trimmed"]) == ("", False, True)
        assert (run["stdout_bytes"], run["stderr_bytes"]) == (3, 3)
        assert run["output_digest"] == blake2b(b"onetwo", digest_size=32).hexdigest()
        answer = await site.http.get(f"{page}output/")
        assert answer.status_code == 410
        assert "kept no longer" in answer.json()["error"]
        runs = (await site.http.get(f"{API}/job/j/executions/")).json()["job_stats"]
        assert [(r["id"], r["output_trimmed"], r["output_digest"] is None) for r in runs] == [
            (old, True, False),
            (new, False, True),
        ]
        assert (await site.http.get(f"{API}/job/j/executions/{new}/output/")).content == b"onetwo"


async def test_a_stream_has_no_output_of_a_trimmed_run_that_is_not_erased_yet(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scripts = {"talks": writes(("stdout", b"one"), seconds=1, exit_code=3)}
    async with serving(scripts, rules=KEEP_ONE) as site:

        async def erase_nothing(positions: Sequence[int]) -> None:
            await trio.lowlevel.checkpoint()

        site.node.log.trim = erase_nothing  # type: ignore[method-assign]
        await site.create("j", "talks", retries=1)
        old, new = await site.run_whole("j"), await site.run_whole("j")
        await trio.sleep(30)
        streams = [(await site.http.get(f"{API}/job/j/executions/{run}/stream/")).text for run in (old, new)]
        assert ["event: output" in text for text in streams] == [False, True]
        assert all("event: end" in text for text in streams)
        assert site.complaints == []


async def test_what_was_redacted_is_told_to_nobody_though_a_stream_was_open_before() -> None:
    async with serving({"talks": writes(("stdout", b"a secret"))}) as site, streaming(site, f"{API}/events/") as before:
        await site.create("j", "talks")
        run = await site.run_whole("j")
        while "a secret" not in before.text:
            assert await before.read()
        redacted = await site.http.post(f"{API}/job/j/executions/{run}/redact/", json={"reason": "it leaked"})
        assert redacted.status_code == 204
        for query in ("after=0", "after=0&job=j", "after=0&type=OutputChunk"):
            path = f"{API}/events/?{query}"
            async with streaming(site, path) as stream:
                if "type" in query:  # nothing of it is left, so there is nothing to wait for
                    with trio.move_on_after(0.5):
                        await stream.read_all()
                else:
                    while "RunFinished" not in stream.text:
                        assert await stream.read()
            assert "a secret" not in stream.text, query
            assert ("RunFinished" in stream.text) is ("type" not in query)


async def test_a_list_that_was_read_before_tells_of_it_too(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(TALKS, rules=KEEP_ONE) as site:
        await site.create("j", "talks")
        old = await site.run_whole("j")
        before = (await site.http.get(f"{API}/job/j/executions/")).json()["job_stats"]
        assert [run["output"] for run in before] == ["onetwo"]
        await site.run_whole("j")
        await trio.sleep(30)
        after = (await site.http.get(f"{API}/job/j/executions/")).json()["job_stats"]
        assert [(run["id"] == old, run["output"]) for run in after] == [(True, ""), (False, "onetwo")]


async def test_a_jobs_own_keys_are_read_and_written(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as site:
        await site.create("j", keep_runs=5, keep_for="P7D", keep_output_bytes=1000)
        job = (await site.http.get(f"{API}/job/j/")).json()["job"]
        assert (job["keep_runs"], job["keep_for"], job["keep_output_bytes"]) == (5, "P7D", 1000)
        await site.create("k", keep_runs=5)
        assert "keep_for" not in (await site.http.get(f"{API}/job/k/")).json()["job"]
        for key, value in (("keep_runs", -1), ("keep_for", "a week"), ("keep_for", "PT0S"), ("keep_output_bytes", -1)):
            body = {"name": "n", "command": "x", "schedule": "R/2099-01-01T00:00:00Z/P1D", key: value}
            answer = await site.http.post(f"{API}/job/", json=body)
            assert answer.status_code == 400
            assert answer.json()["field"] == key

"""Output with gaps: every reader is told where, and how much was left out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.web.edges import API, Site, read_frames, serving, writes

TALK = writes(("stdout", b"0123456789"), ("stderr", b"errors"), ("stdout", b"abcdefghij"))


@asynccontextmanager
async def finished(policy: str, most: int) -> AsyncIterator[tuple[Site, str]]:
    """A site, and the path of a run that was over its limit."""
    async with serving({"w": TALK}) as site:
        await site.create("j", "w", max_output=most, on_max_output=policy)
        yield site, f"{API}/job/j/executions/{await site.run_whole('j')}/"


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("truncate-head", "01234567\n[4 bytes left out]\ncdefghij\n[6 bytes left out]"),
        ("truncate-tail", "0123456789errors\n[10 bytes left out]"),
    ],
)
async def test_a_run_says_its_true_size_and_marks_the_gap(policy, text):
    async with finished(policy, 16) as (site, path):
        run = (await site.http.get(path)).json()["job_run"]
        assert run["output"] == text
        assert (run["stdout_bytes"], run["stderr_bytes"]) == (20, 6)
        assert (run["output_truncated"], run["output_dropped_bytes"]) == (True, 10)
        assert run["outcome"] == "succeeded"


async def test_raw_output_has_no_mark_in_it_but_headers_that_tell():
    async with finished("truncate-head", 16) as (site, path):
        both = await site.http.get(path + "output/")
        assert both.content == b"01234567cdefghij"
        assert both.headers["Output-Dropped-Bytes"] == "10"
        assert both.headers["Output-Gaps"] == "8+4, 16+6"
        stdout = await site.http.get(path + "output/?channel=stdout", headers={"Range": "bytes=8-"})
        assert (stdout.status_code, stdout.content) == (206, b"cdefghij")
        assert (stdout.headers["Output-Dropped-Bytes"], stdout.headers["Output-Gaps"]) == ("4", "8+4")
        stderr = await site.http.get(path + "output/?channel=stderr")
        assert (stderr.content, stderr.headers["Output-Gaps"]) == (b"", "0+6")


async def test_output_that_is_whole_has_no_such_headers():
    async with finished("truncate-head", 1000) as (site, path):
        whole = await site.http.get(path + "output/")
        assert whole.content == b"0123456789errorsabcdefghij"
        assert "Output-Gaps" not in whole.headers
        run = (await site.http.get(path)).json()["job_run"]
        assert (run["output_truncated"], run["output_dropped_bytes"]) == (False, 0)


async def test_a_stream_tells_the_gap_before_the_chunk_and_the_sum_at_the_end():
    async with finished("truncate-head", 16) as (site, path):
        frames = await read_frames(site, path + "stream/")
        output = [frame.data for frame in frames if frame.event == "output"]
        assert [(each["offset"], each["text"], each.get("dropped", 0)) for each in output] == [
            (0, "01234567", 0),
            (8, "cdefghij", 4),
        ]
        end = frames[-1]
        assert (end.event, end.data["stdout_dropped"], end.data["stderr_dropped"]) == ("end", 4, 6)

"""A run's output as bytes: whole, by channel, in ranges; of a run in flight what there is."""

import pytest

from kala_es.domain.events import OutputChunk
from tests.web.edges import API, Site, serving, writes

CHUNKS = [("stdout", b"one\n"), ("stderr", b"\xff\x00err"), ("stdout", "zwei ü\n".encode()), ("stdout", b"x" * 40_000)]
BOTH = b"".join(content for _, content in CHUNKS)
STDOUT = b"".join(content for channel, content in CHUNKS if channel == "stdout")
STDERR = b"\xff\x00err"


async def finished(site: Site) -> str:
    await site.create("j", "w")
    return f"{API}/job/j/executions/{await site.run_whole('j')}/output/"


async def test_whole_and_by_channel():
    async with serving({"w": writes(*CHUNKS)}) as site:
        path = await finished(site)
        for query, expected in (("", BOTH), ("?channel=stdout", STDOUT), ("?channel=stderr", STDERR)):
            answer = await site.http.get(path + query)
            assert (answer.status_code, answer.content) == (200, expected)
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["Content-Length"] == str(len(expected))
            assert answer.headers["Accept-Ranges"] == "bytes"
            assert "Content-Encoding" not in answer.headers
            head = await site.http.head(path + query)
            assert (head.content, head.headers["Content-Length"]) == (b"", str(len(expected)))
        assert (await site.http.get(f"{path}?channel=both")).json()["field"] == "channel"
        assert (await site.http.get(f"{API}/job/j/executions/none/output/")).status_code == 404


def ranges(size: int) -> list[tuple[str, int, int]]:
    """Headers, and the [start, stop) that they mean."""
    return [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, size),
        (f"bytes=0-{size - 1}", 0, size),
        (f"bytes=0-{size * 2}", 0, size),
        ("bytes=2-4", 2, 5),
        (f"bytes={size - 1}-", size - 1, size),
        ("bytes=-1", size - 1, size),
        (f"bytes=-{size * 2}", 0, size),
        ("Bytes = 3 - 4", 3, 5),
    ]


@pytest.mark.parametrize(("query", "whole"), [("", BOTH), ("?channel=stdout", STDOUT), ("?channel=stderr", STDERR)])
async def test_single_ranges(query, whole):
    async with serving({"w": writes(*CHUNKS)}) as site:
        path = await finished(site) + query
        for header, start, stop in ranges(len(whole)):
            answer = await site.http.get(path, headers={"Range": header})
            assert (answer.status_code, answer.content) == (206, whole[start:stop]), header
            assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
            assert answer.headers["Content-Length"] == str(stop - start)


async def test_every_byte_can_be_asked_for_alone():
    small = [("stdout", b"ab"), ("stderr", b"c"), ("stdout", b"def"), ("stderr", b"gh")]
    async with serving({"w": writes(*small)}) as site:
        path = await finished(site)
        for query, whole in (("", b"abcdefgh"), ("?channel=stdout", b"abdef"), ("?channel=stderr", b"cgh")):
            for i in range(len(whole)):
                got = await site.http.get(path + query, headers={"Range": f"bytes={i}-{i}"})
                assert got.content == whole[i : i + 1]
                assert (await site.http.get(path + query, headers={"Range": f"bytes={i}-"})).content == whole[i:]


async def test_ranges_that_cannot_be_given_and_those_that_are_not_understood():
    async with serving({"w": writes(*CHUNKS)}) as site:
        path = await finished(site)
        for header in (f"bytes={len(BOTH)}-", "bytes=-0", f"bytes={10**17}-"):
            answer = await site.http.get(path, headers={"Range": header})
            assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(BOTH)}"), header
        for header in (
            "bytes=5-2",
            "bytes=0-1,3-4",
            "lines=1-2",
            "bytes=",
            "bytes=-",
            "bytes=x-",
            f"bytes={'9' * 5000}-",
        ):
            answer = await site.http.get(path, headers={"Range": header})
            assert (answer.status_code, len(answer.content)) == (200, len(BOTH)), header
        answer = await site.http.get(path, headers={"Range": "bytes=0-1", "If-Range": '"x"'})
        assert answer.status_code == 200


async def test_a_run_without_output():
    async with serving() as site:
        await site.create("j")
        path = f"{API}/job/j/executions/{await site.run_whole('j')}/output/"
        answer = await site.http.get(path)
        assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
        assert (await site.http.get(path, headers={"Range": "bytes=0-"})).status_code == 416


async def test_a_run_in_flight_gives_what_it_has():
    async with serving({"w": writes(("stdout", b"so far"), hangs=True)}) as site:
        await site.create("j", "w")
        run = await site.start("j")
        await site.node.until(lambda: site.node.events(OutputChunk) != [])
        answer = await site.http.get(f"{API}/job/j/executions/{run}/output/")
        assert (answer.content, answer.headers["Content-Length"]) == (b"so far", "6")

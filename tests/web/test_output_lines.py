"""Output by lines: any of them, of both channels or one, within a bound, each piece with its channel and attempt."""

import base64
from typing import Any

import pytest

from kala_es import limits
from kala_es.domain.events import OutputChunk
from kala_es.domain.retention import Kept
from kala_es.runtime.scheduler import Rules
from tests.nodes import Script
from tests.web.edges import API, Site, read_frames, serving, writes

CHUNKS = [
    ("stdout", b"one\ntw"),
    ("stderr", b"bad\n"),
    ("stdout", b"o\n\n\nfive"),
    ("stderr", b"\xff\xfe worse"),
    ("stdout", b" and more\nsix\nseven"),
]


def output(chunks: Any, channel: str | None) -> bytes:
    return b"".join(content for its_channel, content in chunks if channel in (None, its_channel))


def lines_of(content: bytes) -> list[bytes]:
    """What a line is: it ends with its line feed; the last may have none."""
    return content.splitlines(keepends=True) if b"\r" not in content else [*content.split(b"\n")]


def content_of(answer: dict[str, Any]) -> bytes:
    return b"".join(
        base64.b64decode(piece["base64"]) if "base64" in piece else piece["text"].encode() for piece in answer["pieces"]
    )


async def finished(site: Site, job: str = "j") -> str:
    await site.create(job, "w")
    return f"{API}/job/{job}/executions/{await site.run_whole(job)}/output/lines/"


async def read(site: Site, path: str, **query: Any) -> dict[str, Any]:
    answer = await site.http.get(path, params={k: v for k, v in query.items() if v is not None})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("channel", [None, "stdout", "stderr"])
@pytest.mark.parametrize("bound", [1 << 20, 12, 5, 1])
async def test_any_lines_can_be_read(monkeypatch, channel, bound):
    monkeypatch.setattr(limits, "OUTPUT_LINES_BYTES", bound)
    async with serving({"w": writes(*CHUNKS)}) as site:
        path = await finished(site)
        whole = output(CHUNKS, channel)
        lines = lines_of(whole)
        for first in range(1, len(lines) + 1):
            for count in (1, 2, 100):
                answer = await read(site, path, first=first, limit=count, channel=channel)
                assert (answer["first"], answer["lines"], answer["bytes"]) == (first, len(lines), len(whole))
                told = lines[first - 1 : answer["next"] - 1]
                assert 1 <= len(told) <= count
                if answer["cut"]:
                    assert content_of(answer) == told[0][:bound]
                else:
                    assert content_of(answer) == b"".join(told)
                assert len(content_of(answer)) <= bound
                wanted = b"".join(lines[first - 1 : first - 1 + count])
                if len(wanted) < bound:
                    assert content_of(answer) == wanted
        beyond = await read(site, path, first=len(lines) + 1, channel=channel)
        assert (beyond["pieces"], beyond["next"]) == ([], len(lines) + 1)


@pytest.mark.parametrize("channel", [None, "stdout", "stderr"])
@pytest.mark.parametrize("bound", [1 << 20, 20, 9, 3])
async def test_the_newest_lines_can_be_read(monkeypatch, channel, bound):
    monkeypatch.setattr(limits, "OUTPUT_LINES_BYTES", bound)
    async with serving({"w": writes(*CHUNKS)}) as site:
        path = await finished(site)
        lines = lines_of(output(CHUNKS, channel))
        for last in (1, 2, 100):
            answer = await read(site, path, last=last, channel=channel)
            told = lines[answer["first"] - 1 :]
            assert answer["next"] == len(lines) + 1
            assert 1 <= len(told) <= last
            assert content_of(answer) == b"".join(told)[answer["skipped"] :]
            assert len(content_of(answer)) <= bound
            assert not answer["skipped"] or len(told) == 1


async def test_a_piece_says_its_channel_and_attempt_and_what_is_missing_before_it():
    scripts: dict[str, Script] = {}
    async with serving(scripts) as site:
        first = writes(("stdout", b"a\n"), ("stderr", b"b\n"), exit_code=1)
        site.node.shell.scripts["w"] = [first, writes(("stdout", b"c\n"))]
        await site.create("j", "w", retries=1)
        path = f"{API}/job/j/executions/{await site.run_whole('j')}/output/lines/"
        assert (await read(site, path))["pieces"] == [
            {"channel": "stdout", "attempt": 1, "text": "a\n"},
            {"channel": "stderr", "attempt": 1, "text": "b\n"},
            {"channel": "stdout", "attempt": 2, "text": "c\n"},
        ]
        assert [piece["attempt"] for piece in (await read(site, path, first=3))["pieces"]] == [2]


async def test_a_stream_goes_on_where_the_lines_end():
    async with serving({"w": writes(("stdout", b"so"), ("stdout", b" far\nan"), seconds=0.1, hangs=True)}) as site:
        await site.create("j", "w")
        run = await site.start("j")
        await site.node.until(lambda: len(site.node.events(OutputChunk)) == 2)
        here = f"{API}/job/j/executions/{run}/"
        answer = await read(site, f"{here}output/lines/", last=10)
        assert (content_of(answer), answer["lines"]) == (b"so far\nan", 2)
        await site.http.delete(here)
        later = await read_frames(site, f"{here}stream/?after={answer['position']}")
        assert "output" not in [frame.event for frame in later]
        earlier = await read_frames(site, f"{here}stream/?after={answer['position'] - 1}")
        assert [frame.data["text"] for frame in earlier if frame.event == "output"] == [" far\nan"]


async def test_a_run_without_output_has_no_lines():
    async with serving() as site:
        await site.create("j")
        path = f"{API}/job/j/executions/{await site.run_whole('j')}/output/lines/"
        for query in ({}, {"last": 5}, {"first": 3}):
            answer = await read(site, path, **query)
            assert (answer["lines"], answer["bytes"], answer["pieces"]) == (0, 0, [])


async def test_what_is_asked_wrongly_and_what_is_gone():
    async with serving({"w": writes(*CHUNKS)}, rules=Rules(kept=Kept(runs=1))) as site:
        path = await finished(site)
        for query, field in (
            ("first=0", "first"),
            ("limit=0", "limit"),
            (f"limit={limits.MAX_OUTPUT_LINES + 1}", "limit"),
            ("last=0", "last"),
            ("first=1&last=1", "last"),
            ("channel=both", "channel"),
        ):
            answer = await site.http.get(f"{path}?{query}")
            assert (answer.status_code, answer.json()["field"]) == (400, field), query
        assert (await site.http.get(f"{API}/job/j/executions/none/output/lines/")).status_code == 404
        await site.http.post(f"{path.removesuffix('output/lines/')}redact/", json={"reason": "a password"})
        gone = await site.http.get(path)
        assert gone.status_code == 410
        assert "a password" in gone.json()["error"]

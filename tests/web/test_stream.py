"""Streams: every event once, in order, live and from the log, resumed at any position."""

import base64

import pytest
import trio

from kala_es import limits
from kala_es.domain.events import OutputChunk, RunFinished
from tests.nodes import FAILS, Script
from tests.web.edges import API, Frame, raw, read_frames, serving, streaming, writes

OUTPUT = (("stdout", b"one\n"), ("stderr", b"err"), ("stdout", "zwei ü\n".encode()), ("stdout", b"drei"))
FAR_AWAY = str((1 << 63) - 1)


def path_of(run: str) -> str:
    return f"{API}/job/any/executions/{run}/stream/"


def written(found: list[Frame]) -> dict[str, bytes]:
    """The output that frames tell, each piece where its offset puts it."""
    told: dict[str, bytes] = {"stdout": b"", "stderr": b""}
    for data in [frame.data for frame in found if frame.event == "output"]:
        assert data["offset"] == len(told[data["channel"]])
        told[data["channel"]] += base64.b64decode(data["base64"]) if "base64" in data else data["text"].encode()
    return told


async def test_a_finished_run_is_replayed_from_the_log():
    async with serving({"w": writes(*OUTPUT)}) as site:
        await site.create("j", "w")
        run = await site.run_whole("j")
        found = await read_frames(site, path_of(run))
        assert [frame.event for frame in found] == ["state", *["output"] * 4, "end"]
        assert written(found) == {"stdout": "one\nzwei ü\ndrei".encode(), "stderr": b"err"}
        assert found[0].data["state"] == "started"
        assert found[0].data["cause"] == "manual"
        assert {k: found[-1].data[k] for k in ("outcome", "exit_code", "signal", "attempts")} == {
            "outcome": "succeeded",
            "exit_code": 0,
            "signal": None,
            "attempts": 1,
        }
        assert [frame.id for frame in found] == sorted({frame.id for frame in found})


async def test_a_run_is_followed_live():
    async with serving({"w": writes(*OUTPUT, seconds=0.3)}) as site:
        await site.create("j", "w")
        run = await site.start("j")
        found = await read_frames(site, path_of(run))
        assert found == await read_frames(site, path_of(run))
        assert found[-1].event == "end"
        assert len(found) == 6


@pytest.mark.parametrize("live", [False, True])
async def test_resumed_at_every_position(live):
    script = writes(*OUTPUT, seconds=0.25 if live else 0.0)
    async with serving({"w": script}) as site:
        await site.create("j", "w")
        await site.create("other", "w")
        run = await (site.start("j") if live else site.run_whole("j"))
        await site.start("other")
        whole = await read_frames(site, path_of(run))
        for i, frame in enumerate(whole[:-1]):
            rest = whole[i + 1 :]
            assert await read_frames(site, path_of(run), **{"Last-Event-ID": str(frame.id)}) == rest
            assert await read_frames(site, f"{path_of(run)}?after={frame.id}") == rest
            header = {"Last-Event-ID": str(frame.id)}
            assert await read_frames(site, f"{path_of(run)}?after=0", **header) == rest
        over = await site.http.get(path_of(run), headers={"Last-Event-ID": str(whole[-1].id)})
        assert (over.status_code, over.content) == (204, b"")
        beyond = await site.http.get(path_of(run), headers={"Last-Event-ID": FAR_AWAY})
        assert (beyond.status_code, beyond.content) == (204, b"")


async def test_a_reader_that_leaves_and_resumes_again_and_again_misses_nothing():
    pieces = tuple(("stdout", b"%06d\n" % i) for i in range(150))
    async with serving({"w": writes(*pieces, seconds=0.6)}) as site:
        await site.create("j", "w")
        run = await site.start("j")
        found: list[Frame] = []
        while not found or found[-1].event != "end":
            last = {"Last-Event-ID": str(found[-1].id)} if found else {}
            found += await read_frames(site, path_of(run), until=lambda new: len(new) >= 7, **last)
        assert written(found)["stdout"] == b"".join(content for _, content in pieces)
        assert len({frame.id for frame in found}) == len(found)


async def test_offsets_count_over_all_attempts():
    scripts: dict[str, Script] = {}
    async with serving(scripts) as site:
        first = writes(("stdout", b"abc"), ("stderr", b"e1"), exit_code=1)
        site.node.shell.scripts["w"] = [first, FAILS, writes(("stdout", b"de"), ("stderr", b"e2"), ("stdout", b"f"))]
        await site.create("j", "w", retries=3)
        run = await site.run_whole("j")
        found = await read_frames(site, path_of(run))
        assert written(found) == {"stdout": b"abcdef", "stderr": b"e1e2"}
        states = [frame.data for frame in found if frame.event == "state"]
        assert [s["state"] for s in states] == ["started", "attempt-failed", "attempt-failed"]
        assert [s.get("retrying") for s in states[1:]] == [True, True]
        for i, frame in enumerate(found[:-1]):
            assert await read_frames(site, f"{path_of(run)}?after={frame.id}") == found[i + 1 :]


async def test_bytes_that_are_no_text_come_as_they_are():
    cut = "ü".encode()
    async with serving(
        {"w": writes(("stdout", b"a" + cut[:1]), ("stdout", cut[1:] + b"b"), ("stdout", b"\0\n\r"))}
    ) as site:
        await site.create("j", "w")
        found = await read_frames(site, path_of(await site.run_whole("j")))
        assert written(found)["stdout"] == "aüb\0\n\r".encode()
        assert ["base64" in f.data for f in found if f.event == "output"] == [True, True, False]
        assert found[1].data["text"] == "a\ufffd"


async def test_cancellation_and_reports_are_told():
    async with serving({"w": Script(hangs=True)}) as site:
        await site.create("j", "w")
        run = await site.start("j")
        here = f"{API}/job/j/executions/{run}/"
        await site.http.put(here, content=b'"Running"')
        await site.http.delete(here)
        found = await read_frames(site, path_of(run))
        states = [frame.data["state"] for frame in found]
        assert states[:3] == ["started", "status-reported", "cancel-requested"]
        assert (found[1].data["status"], found[-1].event, found[-1].data["outcome"]) == ("Running", "end", "cancelled")


async def test_a_reader_that_falls_behind_reads_the_log_again(monkeypatch):
    monkeypatch.setattr(limits, "TOPIC_EVENTS", 3)
    pieces = tuple(("stdout", bytes([65 + i % 26]) * 5000) for i in range(120))
    async with serving({"w": writes(*pieces, seconds=0.1)}) as site:
        await site.create("j", "w")
        run = await site.start("j")
        async with streaming(site, path_of(run)) as stream:
            await site.node.ends("j")  # the reader has read nothing by then
            await stream.read_all()
            assert written(stream.frames)["stdout"] == b"".join(content for _, content in pieces)


async def test_many_readers_share_the_frames():
    pieces = tuple(("stdout", b"%04d\n" % i) for i in range(40))
    async with serving({"w": writes(*pieces, seconds=0.4)}) as site:
        await site.create("j", "w")
        run = await site.start("j")
        found: list[list[Frame]] = []

        async def read() -> None:
            found.append(await read_frames(site, path_of(run)))

        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(read)
        assert len(found) == 30
        assert all(f == found[0] for f in found)
        assert written(found[0])["stdout"] == b"".join(content for _, content in pieces)
        assert site.node.node.broadcaster.readers == 0


async def test_a_silent_stream_has_a_heartbeat(monkeypatch):
    monkeypatch.setattr(limits, "SSE_HEARTBEAT_SECONDS", 0.05)
    async with serving({"w": Script(hangs=True)}) as site:
        await site.create("j", "w")
        run = await site.start("j")
        for path in (path_of(run), f"{API}/events/?job=none"):
            async with streaming(site, path) as stream:
                while stream.text.count(": ping\n\n") < 3:
                    assert await stream.read()


async def test_readers_are_limited_and_those_that_leave_are_forgotten(monkeypatch):
    monkeypatch.setattr(limits, "MAX_SSE_READERS", 2)
    async with serving({"w": Script(hangs=True)}) as site:
        await site.create("j", "w")
        path = path_of(await site.start("j"))
        async with streaming(site, path) as one, streaming(site, path) as two:
            assert (one.status, two.status) == (200, 200)
            refused = await site.http.get(path)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        with trio.fail_after(2):
            while site.node.node.broadcaster.readers:  # noqa: ASYNC110
                await trio.sleep(0.005)
        async with streaming(site, path) as stream:
            assert stream.status == 200


async def test_heads_and_errors():
    async with serving() as site:
        await site.create("j")
        run = await site.run_whole("j")
        head = await site.http.head(path_of(run))
        assert (head.status_code, head.content) == (200, b"")
        for path, field in (
            (f"{path_of(run)}?after=x", "after"),
            (f"{API}/events/?type=Nothing", "type"),
            (f"{API}/events/?after={site.node.log.records.head + 1}", "after"),
            (f"{API}/events/?type=RunStarted,Nothing", "type"),
        ):
            refused = await site.http.get(path)
            assert (refused.status_code, refused.json()["field"]) == (400, field)
        refused = await site.http.get(path_of(run), headers={"Last-Event-ID": "-1"})
        assert (refused.status_code, refused.json()["field"]) == (400, "Last-Event-ID")
        assert (await site.http.get(path_of("none"))).status_code == 404
        assert site.node.node.broadcaster.readers == 0


async def test_a_position_that_the_log_has_not_is_refused():
    """Of a log that was restored to before it: who waited there would miss what comes until then."""
    async with serving({"w": writes(*OUTPUT, hangs=True)}) as site:
        await site.create("j", "w")
        run = await site.start("j")
        for path in (path_of(run), f"{API}/events/"):
            refused = await site.http.get(path, headers={"Last-Event-ID": "1000"})
            assert (refused.status_code, refused.json()["field"]) == (400, "Last-Event-ID")
            assert f"to {site.node.log.records.head}, not '1000'" in refused.json()["error"]


# All events


async def test_all_events_from_a_position_and_filtered():
    async with serving({"w": writes(("stdout", b"\xff"))}) as site:
        await site.create("j", "w")
        await site.create("k")
        await site.run_whole("j")
        await site.run_whole("k")
        await site.http.post(f"{API}/job/disable/k/", headers={"Idempotency-Key": "secret"})
        head = site.node.log.records.head

        async def events(query: str, count: int) -> list[Frame]:
            with trio.fail_after(5):
                return await read_frames(site, f"{API}/events/?{query}", until=lambda f: len(f) >= count)

        every = await events("after=0", head - 1)
        assert [frame.id for frame in every] == list(range(1, head))  # the last is what the request was answered
        assert every[0].event == "JobCreated"
        assert every[0].data["spec"]["name"] == "a job"
        assert every[0].data["at"].endswith("Z")
        assert [f.event for f in await events("after=0&job=k", 4)] == [
            "JobCreated",
            "RunStarted",
            "RunFinished",
            "JobDisabled",
        ]
        (chunk,) = await events("after=0&type=OutputChunk", 1)
        assert (chunk.data["base64"], chunk.data["text"], chunk.data["position"]) == ("/w==", "\ufffd", chunk.id)
        assert [f.id for f in await events(f"after={every[2].id}", 3)][:3] == [f.id for f in every[3:6]]
        some = await events("after=0&job=k&type=JobDisabled,RunFinished", 2)
        assert [f.event for f in some] == ["RunFinished", "JobDisabled"]
        quiet = await events("after=0&output=none", head - 2)
        assert [f.id for f in quiet] == [f.id for f in every if f.event != "OutputChunk"]


async def test_new_events_come_as_they_happen():
    async with serving() as site:
        await site.create("before")
        found: list[Frame] = []

        async def follow(*, task_status) -> None:
            async with streaming(site, f"{API}/events/") as stream:
                task_status.started()
                while not found or found[-1].event != "JobDeleted":
                    assert await stream.read()
                    found[:] = stream.frames

        async with trio.open_nursery() as nursery:
            await nursery.start(follow)
            await site.create("j")
            await site.run_whole("j")
            await site.http.delete(f"{API}/job/j/")
        assert [frame.event for frame in found] == ["JobCreated", "RunStarted", "RunFinished", "JobDeleted"]


async def test_nothing_is_told_before_it_can_be_asked_for():
    """Law 2, and what a stream tells is in the folds."""
    async with serving({"w": writes(*OUTPUT, seconds=0.2)}) as site:
        await site.create("j", "w")
        run = await site.start("j")
        folds = site.node.scheduler.folds
        async with streaming(site, path_of(run)) as stream:
            while await stream.read():
                assert all(frame.id <= folds.position for frame in stream.frames)
        assert site.node.events(RunFinished, OutputChunk)
        assert b"event: end" in await raw(site, f"GET {path_of(run)} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())

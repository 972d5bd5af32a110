"""A POST with a key is carried out once, also across a restart, and its first answer is given again."""

import json

import pytest
import trio

from kala_es import limits
from kala_es.domain.events import JobCreated, JobUpdated, RequestAnswered, RunStarted
from kala_es.web.routes import ROUTES
from tests.nodes import HANGS, memory_storage, restarted
from tests.web.edges import API, Site, draft, serving, writes


def key(text: str = "k-1", **more: str) -> dict[str, str]:
    return {"Idempotency-Key": text, **more}


async def post(site: Site, path: str, headers: dict[str, str], content: bytes = b""):
    path = path if path.startswith("/v1/") else f"{API}{path}"
    return await site.http.post(path, content=content, headers=headers)


def request_for(name: str) -> tuple[str, bytes]:
    """A request to each route that is a POST."""
    return {
        "create_job": ("/job/", json.dumps(draft()).encode()),
        "create_jobs": ("/job/bulk/", json.dumps([draft(), draft()]).encode()),
        "apply_jobs": ("/job/apply/", json.dumps({"jobs": {"k": draft(), "j": draft()}}).encode()),
        "start_job": ("/job/start/j/", b""),
        "enable_job": ("/job/enable/j/", b""),
        "disable_job": ("/job/disable/j/", b""),
        "pause_job": ("/job/pause/j/", b'{"reason": "r"}'),
        "resume_job": ("/job/resume/j/", b""),
        "revert_job": ("/job/j/revert/", b'{"position": 1}'),
        "pause_server": ("/pause/", b""),
        "resume_server": ("/resume/", b""),
        "run_v1_job": ("/v1/jobs/j", b""),
        "run_v1_job_by_name": ("/v1/jobs/j/run", b""),
        "toggle_v1_job": ("/v1/jobs/j/toggle", b""),
    }[name]


POSTS = [row for row in ROUTES if row.method == "POST"]
KEYED = [row.name for row in POSTS if any(parameter.name == "Idempotency-Key" for parameter in row.parameters)]


def test_only_what_records_nothing_the_second_time_takes_no_key():
    assert {row.name for row in POSTS} - {*KEYED} == {
        "compact",
        "create_v1_job",
        "import_runs",
        "leave_v1",
        "pause_v1",
        "post_snapshot",
        "redact_run",
        "restore_v1",
        "unpause_v1",
    }


def test_a_key_may_be_wrong_wherever_there_is_one():
    rows = [row for row in POSTS if row.name in KEYED]
    assert [row.name for row in rows if 400 not in {reply.status for reply in row.replies}] == []


@pytest.mark.parametrize("route", KEYED)
async def test_every_post_is_carried_out_once(route):
    path, content = request_for(route)
    storage = memory_storage()
    async with serving(storage=storage) as site:
        await site.create("j")
        first = await post(site, path, key(), content)
        assert first.status_code in (200, 201, 204)
        assert "Idempotency-Replayed" not in first.headers
        await site.node.until(lambda: not site.node.scheduler.folds.busy)
        before = len(site.node.history())
        again = await post(site, path, key(), content)
        assert_same(first, again)
        assert len(site.node.history()) == before
    async with serving(storage=restarted(storage)) as site:  # after a restart, the folds built anew
        assert_same(first, await post(site, path, key(), content))
        assert len(site.node.events(RequestAnswered)) == 1


def assert_same(first, again):
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers.get("Content-Type") == first.headers.get("Content-Type")


async def test_another_request_with_the_key_is_refused():
    async with serving() as site:
        await site.create("j")
        content = json.dumps(draft()).encode()
        assert (await post(site, "/job/", key(), content)).status_code == 201
        for path, other in (("/job/", content + b" "), ("/job/start/j/", b""), ("/job/?x=1", content)):
            refused = await post(site, path, key(), other)
            assert (refused.status_code, refused.headers["Content-Type"]) == (422, "application/json"), path
        assert len(site.node.events(JobCreated)) == 2


async def test_a_refused_request_may_be_asked_again():
    async with serving() as site:
        assert (await post(site, "/job/start/j/", key())).status_code == 404
        await site.create("j")
        again = await post(site, "/job/start/j/", key())
        assert again.status_code == 204
        assert "Idempotency-Replayed" not in again.headers


async def test_the_keys_length():
    async with serving() as site:
        content = json.dumps(draft()).encode()
        most = "x" * limits.MAX_IDEMPOTENCY_KEY_CHARS
        assert (await post(site, "/job/", key(most), content)).status_code == 201
        assert (await post(site, "/job/", key(most + "x"), content)).status_code == 400
        assert (await post(site, "/job/", key(""), content)).status_code == 400
        assert (await site.http.get(f"{API}/stats/", headers=key(most + "x"))).status_code == 200  # GET needs none


async def test_requests_with_one_key_take_turns():
    async with serving() as site:
        content = json.dumps(draft()).encode()
        answers = []

        async def ask() -> None:
            answers.append(await post(site, "/job/", key(), content))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        assert len({answer.content for answer in answers}) == 1
        assert {answer.status_code for answer in answers} == {201}
        assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 19
        assert len(site.node.events(JobCreated)) == 1
        assert not site.node.events(JobUpdated)


async def test_a_start_that_is_repeated_waits_for_the_same_run():
    async with serving({"slow": writes(seconds=0.4)}) as site:
        await site.create("j", "slow")
        over = []

        async def ask() -> None:
            over.append(await post(site, "/job/start/j/", key()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.1)
            nursery.start_soon(ask)
            await trio.sleep(0.1)
            assert not over
        assert [answer.status_code for answer in over] == [204, 204]
        assert sorted("Idempotency-Replayed" in answer.headers for answer in over) == [False, True]
        assert len(site.node.events(RunStarted)) == 1


async def test_a_start_that_need_not_be_awaited_names_the_same_run_again():
    async with serving({"hangs": HANGS}) as site:
        await site.create("j", "hangs")
        first = await post(site, "/job/start/j/", key(Prefer="respond-async"))
        again = await post(site, "/job/start/j/", key(Prefer="respond-async"))
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.headers["Location"] == again.headers["Location"]
        assert len(site.node.events(RunStarted)) == 1


async def test_a_client_that_leaves_may_ask_again():
    async with serving({"slow": writes(seconds=0.3)}) as site:
        await site.create("j", "slow")
        stream = await trio.open_tcp_stream("127.0.0.1", site.port)
        await stream.send_all(
            f"POST {API}/job/start/j/ HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k-1\r\n\r\n".encode()
        )
        await stream.aclose()
        again = await post(site, "/job/start/j/", key())
        assert again.status_code == 204
        assert len(site.node.events(RunStarted)) == 1
        assert len(site.node.events(RequestAnswered)) == 1
        assert site.node.job("j").counters.finished_runs == 1


async def test_of_a_plan_that_is_too_long_to_be_kept_its_counts_are_told_again(monkeypatch):
    monkeypatch.setattr(limits, "MAX_RECEIPT_BYTES", 400)
    async with serving() as site:
        content = json.dumps({"jobs": {f"j{i}": draft() for i in range(9)}}).encode()
        first = (await post(site, "/job/apply/", key(), content)).json()
        again = await post(site, "/job/apply/", key(), content)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (len(first["plan"]), again.json()) == (9, {**first, "plan": []})


async def test_a_key_is_refused_where_the_answer_is_too_long_to_be_kept(monkeypatch):
    async with serving() as site:
        await site.create("j", "x" * 500)
        monkeypatch.setattr(limits, "MAX_RECEIPT_BYTES", 400)
        for path in ("/v1/jobs/j/toggle", "/job/j/revert/"):
            answer = await post(site, path, key(), b'{"position": 1}')
            assert (answer.status_code, "at most 400 are kept" in answer.text) == (422, True), answer.text
        assert not site.node.job("j").disabled
        assert (await post(site, "/v1/jobs/j/toggle", {})).status_code == 200
        assert site.node.job("j").disabled

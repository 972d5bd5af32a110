"""Every route once, through a real socket, and the paths by which it is found."""

import gzip
import json
from urllib.parse import quote

import pytest
import trio

from kala_es.domain.events import JobUpdated, OutputChunk, RunStarted
from kala_es.runtime.scheduler import Rules
from kala_es.web.routes import ROUTES
from kala_es.web.table import Table, cut
from tests.nodes import HANGS
from tests.web.edges import API, FAR, draft, raw, serving, writes

JSON = "application/json;charset=UTF-8"


async def test_a_job_is_created_read_replaced_and_deleted():
    async with serving(default_owner="o@example.org") as site:
        created = await site.http.post(f"{API}/job/", json=draft(name="one"))
        assert (created.status_code, created.headers["Content-Type"]) == (201, JSON)
        job = created.json()["id"]
        assert created.content == b'{"id":"%b"}\n' % job.encode()
        read = await site.http.get(f"{API}/job/{job}/")
        assert (read.status_code, read.headers["Content-Type"]) == (200, JSON)
        assert read.content.endswith(b"}\n")
        assert read.json()["job"]["owner"] == "o@example.org"
        replaced = await site.http.put(f"{API}/job/{job}/", json=draft(name="two", id="other"))
        assert replaced.status_code == 200
        assert (replaced.json()["job"]["name"], replaced.json()["job"]["id"]) == ("two", job)
        assert replaced.json()["job"]["owner"] == ""
        deleted = await site.http.delete(f"{API}/job/{job}/")
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert "content-length" not in deleted.headers
        assert (await site.http.get(f"{API}/job/{job}/")).status_code == 404


async def test_errors_are_json_and_say_where():
    async with serving() as site:
        missing = await site.http.get(f"{API}/job/none/")
        assert (missing.status_code, missing.headers["Content-Type"]) == (404, "application/json")
        assert missing.json() == {"error": "there is no job 'none'"}
        broken = await site.http.post(f"{API}/job/", content=b"{")
        assert broken.status_code == 400
        nameless = await site.http.post(f"{API}/job/", json=draft(name=""))
        assert nameless.status_code == 400
        assert nameless.json()["error"].startswith("Error occurred when initializing the job")
        assert nameless.json()["field"] == "name"
        # a missing job is noticed before the body is looked at
        assert (await site.http.put(f"{API}/job/none/", content=b"{")).status_code == 404
        unknown = await site.http.get("/nowhere")
        assert (unknown.status_code, unknown.json()) == (404, {"error": "404 page not found"})


async def test_rules_forbid():
    async with serving(rules=Rules(local_jobs=False, delete_all=False)) as site:
        refused = await site.http.post(f"{API}/job/", json=draft())
        assert (refused.status_code, refused.json()) == (403, {"error": "local jobs are disabled"})
        assert (await site.http.delete(f"{API}/job/all/")).status_code == 403


async def test_all_jobs_are_deleted_and_all_is_a_job_too():
    async with serving() as site:
        await site.create("all")
        await site.create("other")
        assert (await site.http.get(f"{API}/job/all/")).json()["job"]["id"] == "all"
        assert (await site.http.delete(f"{API}/job/all/")).status_code == 204
        assert (await site.http.get(f"{API}/job/")).content == b'{"jobs":{}}\n'


async def test_a_remote_jobs_body_is_read_and_replaced():
    async with serving() as site:
        remote = {"url": "http://example.org/", "body": '{"a": <1>}'}
        await site.create("r", type=1, remote_properties=remote)
        await site.create("l")
        answer = await site.http.get(f"{API}/job/r/params/")
        assert (answer.content, answer.headers["Content-Type"]) == (b'{"a": <1>}', JSON)
        assert (await site.http.put(f"{API}/job/r/params/", content=b"any\xff bytes")).status_code == 204
        assert (await site.http.get(f"{API}/job/r/params/")).text == "any\ufffd bytes"
        for answer in (await site.http.get(f"{API}/job/l/params/"), await site.http.put(f"{API}/job/l/params/")):
            assert (answer.status_code, answer.json()) == (403, {"error": "Job is not a remote job"})
        assert (await site.http.get(f"{API}/job/none/params/")).status_code == 404


async def test_enable_and_disable():
    async with serving() as site:
        await site.create("j")
        for verb, disabled in (("disable", True), ("disable", True), ("enable", False), ("enable", False)):
            assert (await site.http.post(f"{API}/job/{verb}/j/")).status_code == 204
            assert site.node.job("j").disabled is disabled
        assert (await site.http.post(f"{API}/job/enable/none/")).status_code == 404


async def test_a_start_is_answered_when_the_whole_tree_is_over():
    async with serving({"slow": writes(seconds=0.2)}) as site:
        await site.create("parent", "slow")
        await site.create("child", "slow", schedule="", parent_jobs=["parent"])
        assert (await site.http.post(f"{API}/job/start/parent/")).status_code == 204
        assert site.node.job("child").counters.success_count == 1


async def test_a_start_is_answered_at_once_if_that_is_preferred():
    async with serving({"hangs": HANGS}) as site:
        await site.create("a/b", "hangs")
        answer = await site.http.post(f"{API}/job/start/a%2Fb/", headers={"Prefer": "handling=lenient, respond-async"})
        assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "respond-async")
        run = await site.http.get(answer.headers["Location"])
        assert run.json()["job_run"]["job_id"] == "a/b"
        assert run.json()["job_run"]["status"] == "Started"


async def test_a_run_is_read_reported_on_and_cancelled():
    async with serving(
        {"hangs": writes(("stdout", b"half"), hangs=True), "quick": writes(("stdout", b" a\n"))}
    ) as site:
        await site.create("h", "hangs")
        await site.create("q", "quick")
        over, flying = await site.run_whole("q"), await site.start("h")
        here = f"{API}/job/ignored/executions"
        read = (await site.http.get(f"{here}/{over}/")).json()["job_run"]
        assert (read["output"], read["status"], read["stdout_bytes"], read["output_truncated"]) == (
            "a",
            "Success",
            3,
            False,
        )
        await site.node.until(lambda: site.node.events(OutputChunk, job="h") != [])
        assert (await site.http.get(f"{here}/{flying}/")).json()["job_run"]["output"] == "half"
        assert (await site.http.put(f"{here}/{over}/", content=b'"Banana"')).status_code == 204
        assert (await site.http.get(f"{here}/{over}/")).json()["job_run"]["status"] == "Banana"
        assert (await site.http.put(f"{here}/{over}/", content=b'{"a":1}')).status_code == 400
        assert (await site.http.put(f"{here}/none/", content=b'"Success"')).status_code == 404
        assert (await site.http.delete(f"{here}/{over}/")).status_code == 409
        assert (await site.http.delete(f"{here}/none/")).status_code == 404
        assert (await site.http.delete(f"{here}/{flying}/")).status_code == 204
        await site.node.ends("h")
        assert (await site.http.get(f"{here}/{flying}/")).json()["job_run"]["outcome"] == "cancelled"
        runs = (await site.http.get(f"{API}/job/q/executions/")).json()["job_stats"]
        assert [run["id"] for run in runs] == [over]
        assert (await site.http.get(f"{API}/job/stats/q/")).json()["job_stats"][0]["success"] is False
        assert (await site.http.get(f"{API}/job/none/executions/")).status_code == 404
        assert (await site.http.get(f"{API}/job/stats/none/")).status_code == 404


async def test_the_runs_of_a_deleted_job_stay_readable():
    async with serving() as site:
        await site.create("j")
        run = await site.run_whole("j")
        await site.http.delete(f"{API}/job/j/")
        assert (await site.http.get(f"{API}/job/j/executions/{run}/")).status_code == 200
        assert (await site.http.get(f"{API}/job/j/executions/")).status_code == 404


async def test_output_is_cut_in_a_run_and_in_a_list_and_invalid_utf8_is_replaced(monkeypatch):
    monkeypatch.setattr("kala_es.limits.OUTPUT_IN_LIST_BYTES", 4)
    monkeypatch.setattr("kala_es.limits.OUTPUT_IN_RUN_BYTES", 6)
    async with serving({"w": writes(("stdout", b"ab\xff"), ("stderr", b"cd"), ("stdout", b"ef"))}) as site:
        await site.create("j", "w")
        run = await site.run_whole("j")
        (listed,) = (await site.http.get(f"{API}/job/j/executions/")).json()["job_stats"]
        one = (await site.http.get(f"{API}/job/j/executions/{run}/")).json()["job_run"]
        assert (listed["output"], listed["output_truncated"]) == ("ab\ufffdc", True)
        assert (one["output"], one["output_truncated"]) == ("ab\ufffdcde", True)
        assert (one["stdout_bytes"], one["stderr_bytes"]) == (5, 2)


async def test_the_next_ticks():
    async with serving() as site:
        await site.create("j", schedule="R/2099-03-28T00:00:00/P1D", timezone="Europe/Berlin")
        answer = (await site.http.get(f"{API}/job/j/next/?count=3")).json()
        assert answer["timezone"] == "Europe/Berlin"
        assert answer["next"] == ["2099-03-27T23:00:00Z", "2099-03-28T23:00:00Z", "2099-03-29T22:00:00Z"]
        assert len((await site.http.get(f"{API}/job/j/next/")).json()["next"]) == 10
        for count in ("0", "1001", "x", "-1", ""):
            answer = await site.http.get(f"{API}/job/j/next/?count={count}")
            assert (answer.status_code, answer.json()["field"]) == (400, "count"), count
        assert (await site.http.get(f"{API}/job/none/next/")).status_code == 404


async def test_stats_health_and_readiness():
    ready = [True]
    async with serving(ready=lambda: ready[0]) as site:
        await site.create("j", disabled=True)
        stats = (await site.http.get(f"{API}/stats/")).json()["Stats"]
        assert (stats["jobs"], stats["active_jobs"], stats["disabled_jobs"]) == (1, 0, 1)
        assert (await site.http.get("/healthz")).json() == {"status": "ok"}
        assert (await site.http.get("/readyz")).status_code == 200
        ready[0] = False
        assert (await site.http.get("/readyz")).status_code == 503
        assert (await site.http.get("/healthz")).status_code == 200


async def test_many_jobs_are_created_at_once_or_none():
    async with serving() as site:
        lines = b"\n".join(json.dumps(draft(id=f"l{i}")).encode() for i in range(3))
        answer = await site.http.post(f"{API}/job/bulk/", content=lines)
        assert (answer.status_code, answer.json()) == (201, {"ids": ["l0", "l1", "l2"]})
        answer = await site.http.post(f"{API}/job/bulk/", json=[draft(), draft()])
        assert len(set(answer.json()["ids"])) == 2
        answer = await site.http.post(f"{API}/job/bulk/", json=[draft(id="new"), draft(name="")])
        assert (answer.status_code, answer.json()["field"]) == (400, "[1].name")
        assert (await site.http.get(f"{API}/job/new/")).status_code == 404
        assert (await site.http.post(f"{API}/job/bulk/", json=[draft(id="l0")])).status_code == 409
        assert (await site.http.post(f"{API}/job/bulk/", content=b" ")).status_code == 400
        assert (
            await site.http.post(f"{API}/job/bulk/", json=[draft(id="big", metadata={}, stdin="x" * 70_000)])
        ).status_code == 201


# Paths


@pytest.mark.parametrize("job", ["a/b", "é ü", "all", "%2F", "a?b#c", "..a", "start", "x" * 200])
async def test_any_id_is_reachable(job):
    async with serving() as site:
        await site.create(job)
        path = f"{API}/job/{quote(job, safe='')}/"
        assert (await site.http.get(path)).json()["job"]["id"] == job
        assert (await site.http.get(f"{path}executions/")).json() == {"job_stats": []}
        assert (await site.http.post(f"{API}/job/disable/{quote(job, safe='')}/")).status_code == 204
        assert list((await site.http.get(f"{API}/job/")).json()["jobs"]) == [job]


async def test_slashes_do_not_matter_and_queries_are_cut_off():
    async with serving() as site:
        await site.create("j")
        for path in ("//api/v1//job/j//", "/api/v1/job/j", "/api/v1/job/j?x=1", "/api/v1/job/j/"):
            answer = await raw(site, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 200"), path
        answer = await raw(
            site, b"GET http://elsewhere/api/v1/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", [f"{API}/job/", "/healthz", f"{API}/job/j/", f"{API}/openapi.json"])
async def test_head_is_get_without_the_body(path):
    async with serving() as site:
        await site.create("j")
        got, head = await site.http.get(path), await site.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        assert head.headers.get("Content-Length") == got.headers.get("Content-Length")
        assert (await site.http.get(path)).content == got.content  # the connection is still in step


async def test_options_and_wrong_methods_tell_what_is_allowed():
    async with serving() as site:
        for path, allow in (
            (f"{API}/job", "GET, HEAD, POST, OPTIONS"),
            (f"{API}/job/all/", "DELETE, GET, HEAD, PUT, OPTIONS"),
            (f"{API}/job/start/x/", "POST, OPTIONS"),
            ("/healthz", "GET, HEAD, OPTIONS"),
        ):
            options, patch = await site.http.options(path), await site.http.patch(path)
            assert (options.status_code, options.content, options.headers["Allow"]) == (204, b"", allow)
            assert (patch.status_code, patch.headers["Allow"]) == (405, allow)
            assert "PATCH is not allowed" in patch.json()["error"]
        assert (await site.http.options("/nowhere")).status_code == 404


def test_of_two_rows_that_fit_the_one_with_the_word_further_left_counts():
    table = Table(ROUTES)

    def names(method: str, path: str) -> tuple[str, dict[str, str]] | None:
        found = table.find(method, cut(path))
        return (found.row.name, found.params) if found else None

    assert names("GET", "/api/v1/job/all/") == ("get_job", {"id": "all"})
    assert names("DELETE", "/api/v1/job/all/") == ("delete_all_jobs", {})
    assert names("POST", "/api/v1/job/start/params/") == ("start_job", {"id": "params"})
    assert names("GET", "/api/v1/job/start/params/") == ("get_params", {"id": "start"})
    assert names("HEAD", "/api/v1/job/stats/x") == ("get_legacy_stats", {"id": "x"})
    assert names("GET", "/api/v1/job/") == ("list_jobs", {})
    assert names("GET", "/api/v1/") is None
    assert names("POST", "/api/v1/job/x/") is None


# Encoding


async def test_text_is_gzipped_for_who_takes_it():
    async with serving() as site:
        await site.create("j")
        for path in (f"{API}/job/", f"{API}/stats/", f"{API}/job/j/", f"{API}/job/none/", f"{API}/openapi.json"):
            plain = await site.http.get(path, headers={"Accept-Encoding": "br, gzip;q=0.0"})
            assert "Content-Encoding" not in plain.headers
            assert plain.headers["Vary"] == "Accept-Encoding"
            async with site.http.stream("GET", path, headers={"Accept-Encoding": "br;q=1, GZIP ; q=0.5"}) as zipped:
                body = b"".join([part async for part in zipped.aiter_raw()])
            assert zipped.headers["Content-Encoding"] == "gzip"
            assert zipped.headers["Vary"] == "Accept-Encoding"
            if path != f"{API}/stats/":
                assert gzip.decompress(body) == plain.content


# Failures


async def test_a_bug_is_answered_without_its_traceback(monkeypatch):
    async with serving() as site:
        monkeypatch.setattr(site.node.scheduler, "first_tick", lambda: 1 / 0)
        answer = await site.http.get(f"{API}/stats/")
        assert answer.status_code == 500
        assert "ZeroDivision" not in answer.text
        assert answer.json()["error"]
        assert "ZeroDivisionError" in "".join(site.complaints)


async def test_a_client_that_leaves_does_not_undo_what_it_asked():
    async with serving({"slow": writes(seconds=0.3)}) as site:
        await site.create("j", "slow")
        body = json.dumps(draft(id="k", schedule=FAR)).encode()
        head = f"POST {API}/job/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        for request in (head + body, f"POST {API}/job/start/j/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()):
            stream = await trio.open_tcp_stream("127.0.0.1", site.port)
            await stream.send_all(request)
            await trio.sleep(0.05)
            await stream.aclose()
        await site.node.ends("j")
        assert site.node.job("k").id == "k"
        # half a body does nothing
        await raw(site, head + body.replace(b'"k"', b'"l"')[:-5])
        assert len(site.node.events(RunStarted)) == 1
        assert not site.node.events(JobUpdated)
        assert (await site.http.get(f"{API}/job/l/")).status_code == 404
        assert not site.complaints

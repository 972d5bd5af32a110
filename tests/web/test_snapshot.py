"""The snapshot routes: what they refuse, and jobs that are taken in. The archive itself is in tests/replay."""

import re
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cbor2
import pytest

from kala_es import archive, codec, limits
from kala_es.domain import events as e
from kala_es.domain.events import Event
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.model import JobSpec
from kala_es.event_log import LogError
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections.jobs import Jobs
from kala_es.replay.exporting import export
from kala_es.replay.jobs_of import dump, jobs_of, load
from tests.web.edges import API, FAR, serving


async def test_a_log_in_memory_cannot_be_exported():
    async with serving() as site:
        answer = await site.http.get(f"{API}/snapshot/")
        assert (answer.status_code, "in memory" in answer.json()["error"]) == (403, True)


async def test_a_wrong_query_is_refused_by_its_name():
    async with serving() as site:
        for query, field in (("since=-1", "since"), ("since=x", "since"), ("output=some", "output")):
            answer = await site.http.get(f"{API}/snapshot/?{query}")
            assert (answer.status_code, answer.json()["field"]) == (400, field)


async def archive_of(directory: Path, events: Sequence[Event]) -> bytes:
    log = open_log(directory, MemoryFoldStore())
    await log.append([codec.encode(event) for event in events])
    await log.close()
    parts: list[bytes] = []
    export(directory, parts.append)
    return b"".join(parts)


def made(job: str, name: str = "j") -> Event:
    return e.JobCreated(job=JobId(job), at=Instant(5), spec=JobSpec(name=name, command="true", schedule=FAR))


LOG = (
    made("a", "first"),
    made("b"),
    made("c"),
    e.JobDeleted(job=JobId("c"), at=Instant(6)),
    e.JobDisabled(job=JobId("a"), at=Instant(7)),
    e.JobPaused(job=JobId("b"), at=Instant(8), reason="a holiday", by="alice"),
)


async def test_jobs_are_taken_in_without_their_runs(tmp_path):
    content = await archive_of(tmp_path, LOG)
    async with serving() as site:
        planned = await site.http.post(f"{API}/snapshot/?dry_run=true", content=content)
        assert (planned.status_code, planned.json()["counts"]["create"]) == (200, 2), planned.text
        assert (await site.http.get(f"{API}/job/")).json()["jobs"] == {}
        answer = await site.http.post(f"{API}/snapshot/", content=content)
        assert (answer.status_code, answer.json()["counts"]["create"]) == (200, 2), answer.text
        jobs = (await site.http.get(f"{API}/job/")).json()["jobs"]
        assert {job: (jobs[job]["name"], jobs[job]["disabled"]) for job in jobs} == {
            "a": ("first", True),
            "b": ("j", False),
        }
        assert jobs["b"]["paused"]["reason"] == "a holiday"


async def test_what_becomes_of_jobs_that_are_there_is_for_the_client_to_say(tmp_path):
    content = await archive_of(tmp_path, LOG)
    async with serving() as site:
        await site.create("a", "mine")
        for query in ("", "?on_conflict=fail"):
            answer = await site.http.post(f"{API}/snapshot/{query}", content=content)
            assert (answer.status_code, answer.json()["error"]) == (409, "there is a job 'a' already")
        assert (await site.http.get(f"{API}/job/b/")).status_code == 404
        planned = await site.http.post(f"{API}/snapshot/?dry_run=true", content=content)
        assert planned.json()["counts"] == {"create": 1, "change": 0, "delete": 0, "unchanged": 0, "refused": 1}
        skipped = await site.http.post(f"{API}/snapshot/?on_conflict=skip", content=content)
        assert skipped.json()["counts"]["create"] == 1
        assert (await site.http.get(f"{API}/job/a/")).json()["job"]["command"] == "mine"
        replaced = await site.http.post(f"{API}/snapshot/?on_conflict=replace", content=content)
        assert replaced.json()["counts"] == {"create": 0, "change": 1, "delete": 0, "unchanged": 1, "refused": 0}
        job = (await site.http.get(f"{API}/job/a/")).json()["job"]
        assert (job["command"], job["disabled"]) == ("true", True)


async def test_a_job_that_is_left_as_it_is_counts_as_it_is(tmp_path):
    starts = JobSpec(name="b", command="true", schedule=FAR, dependents=(JobId("a"),))
    content = await archive_of(tmp_path, (made("a"), e.JobCreated(job=JobId("b"), at=Instant(5), spec=starts)))
    async with serving() as site:
        await site.create("a", "mine", dependent_jobs=["b"])
        answer = await site.http.post(f"{API}/snapshot/?on_conflict=skip", content=content)
        assert (answer.status_code, answer.json().get("field")) == (400, "jobs.b.dependent_jobs"), answer.text
        assert "would start itself again, through 'a'" in answer.json()["error"]
        assert (await site.http.get(f"{API}/job/b/")).status_code == 404


async def test_what_is_no_whole_archive_is_refused_with_the_byte(tmp_path):
    content = await archive_of(tmp_path, LOG)
    async with serving() as site:
        for body, why in ((b"", "byte 0: this is no archive"), (content[:-1], "byte [0-9]+: the archive is cut off")):
            answer = await site.http.post(f"{API}/snapshot/", content=body)
            assert answer.status_code == 400
            assert re.search(why, answer.json()["error"])
        assert (await site.http.get(f"{API}/job/")).json()["jobs"] == {}


async def test_an_archive_of_a_later_version_is_refused_as_that(tmp_path, monkeypatch):
    with monkeypatch.context() as later:
        later.setattr(archive, "VERSION", 2)
        content = await archive_of(tmp_path, LOG)  # its digests fit
    async with serving() as site:
        await site.create("a", "mine")
        for query in ("", "?dry_run=true", "?on_conflict=replace"):
            answer = await site.http.post(f"{API}/snapshot/{query}", content=content)
            assert answer.status_code == 400
            assert re.search("byte 0: .*version 2", answer.json()["error"]), answer.text
        assert list((await site.http.get(f"{API}/job/")).json()["jobs"]) == ["a"]


async def test_an_archive_that_goes_on_from_another_has_no_jobs(tmp_path):
    await archive_of(tmp_path, LOG)
    parts: list[bytes] = []
    export(tmp_path, parts.append, after=2)
    async with serving() as site:
        answer = await site.http.post(f"{API}/snapshot/", content=b"".join(parts))
        assert (answer.status_code, "goes on after position 2" in answer.json()["error"]) == (400, True)


async def test_only_so_many_archives_are_read_at_a_time(monkeypatch):
    monkeypatch.setattr(limits, "MAX_IMPORTS", 0)
    async with serving() as site:
        answer = await site.http.post(f"{API}/snapshot/", content=b"")
        assert (answer.status_code, "are being read already" in answer.json()["error"]) == (503, True)


async def test_a_process_that_fails_is_no_fault_of_the_archive(tmp_path, monkeypatch):
    content = await archive_of(tmp_path, LOG)
    async with serving() as site:
        with monkeypatch.context() as broken:
            broken.setenv("PYTHONMALLOC", "none")  # no Python starts with that
            answer = await site.http.post(f"{API}/snapshot/", content=content)
        assert (answer.status_code, "its log has the details" in answer.json()["error"]) == (500, True)
        assert "kala_es.replay.jobs_of ended with 1" in site.complaints.pop()
        assert (await site.http.post(f"{API}/snapshot/", content=content)).status_code == 200


def test_no_more_jobs_are_taken_in_than_a_request_may_have(monkeypatch):
    jobs = Jobs()
    for number in range(3):
        jobs.apply(made(f"j{number}"))
    there = list(jobs.after(""))
    assert len(load(dump(there))) == 3
    with monkeypatch.context() as few:
        few.setattr(limits, "MAX_BULK_JOBS", 2)
        with pytest.raises(LogError, match="There are 3 jobs in the archive; at most 2"):
            dump(there)
    monkeypatch.setattr(limits, "MAX_BULK_BODY_BYTES", 100)
    with pytest.raises(LogError, match="at most 100 are taken in at once"):
        dump(there)


async def test_jobs_that_take_too_much_at_a_time_are_refused(tmp_path, monkeypatch):
    content = await archive_of(tmp_path, [made("a"), made("b"), e.JobDeleted(job=JobId("b"), at=Instant(6))])
    assert [job.id for job in jobs_of(BytesIO(content))] == ["a"]
    size = len(codec.encode(made("a")).body)
    monkeypatch.setattr(limits, "MAX_IMPORT_BYTES", 2 * size)
    jobs_of(BytesIO(content))
    monkeypatch.setattr(limits, "MAX_IMPORT_BYTES", 2 * size - 1)
    with pytest.raises(LogError, match="At position 2 the jobs take more than"):
        jobs_of(BytesIO(content))


@pytest.mark.parametrize("place", ["part", "block", "row", "body"])
async def test_what_is_small_and_takes_much_memory_is_not_decoded(tmp_path, monkeypatch, place):
    """4 MB of empty arrays are 4 kB compressed, and 280 MiB when they are read."""
    many = b"\x9f" + b"\x80" * 2_000 + b"\xff"
    row = [b"\x86", *map(cbor2.dumps, ("job:a", "JobDeleted", 1, 5, "")), cbor2.dumps(many)]
    block = {"block": many, "row": cbor2.dumps([many]), "body": cbor2.dumps([b"".join(row)])}.get(place, b"\x80")
    writer = archive.Writer()
    content = writer.header(archive.Header(log=b"i" * 16, at=0))
    content += writer._framed([[]] * 2_000 if place == "part" else [1, 1, zlib.compress(block)])
    with pytest.raises((archive.ArchiveRefused, LogError)) as wide:
        jobs_of(BytesIO(content))
    monkeypatch.setattr(archive, "MAX_ARCHIVE_VALUES", 1_000)
    with pytest.raises((archive.ArchiveRefused, LogError), match=r"1000 values|too many values") as narrow:
        jobs_of(BytesIO(content))
    assert str(wide.value) != str(narrow.value)

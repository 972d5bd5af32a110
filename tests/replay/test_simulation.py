"""The ticks that would come: of jobs as they are, and of jobs that files declare."""

import json
from pathlib import Path
from typing import Any

import pytest

from kala_es import codec
from kala_es.cli import main
from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.iso8601 import parse_schedule
from kala_es.domain.model import Job, JobDraft, JobSpec
from kala_es.domain.tick_policy import Pause, TickPolicy, offset_of
from kala_es.domain.values import replace
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.replay.simulation import as_new, coming, line
from tests.domain.moments import at

SUMMER = (at("2026-03-28T00:00:00Z"), at("2026-03-31T00:00:00Z"))


def job(schedule: str, **fields: Any) -> Job:
    name = fields.pop("id", "j")
    spec = JobSpec(name=name, command="true", schedule=schedule, **fields)
    return as_new(JobDraft(id=JobId(name), spec=spec), SUMMER[0])


def ticks(*jobs: Job, **given: Any) -> list[dict[str, Any]]:
    return [json.loads(line(found)) for found in coming(jobs, SUMMER, **given)]


def test_a_zone_that_puts_its_clocks_forward():
    berlin = job("R/2026-01-01T02:30:00/P1D", timezone="Europe/Berlin")
    assert [found["tick"] for found in ticks(berlin)] == [
        "2026-03-28T01:30:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
    ]


def test_jobs_take_turns_and_repetitions_end():
    often, twice = job("R/2026-01-01T06:00:00Z/PT12H", id="a"), job("R2/2026-03-28T07:00:00Z/P1D", id="b")
    assert [(found["job"], found["tick"][8:13]) for found in ticks(twice, often)] == [
        ("a", "28T06"),
        ("b", "28T07"),
        ("a", "28T18"),
        ("a", "29T06"),
        ("b", "29T07"),
        ("a", "29T18"),
        ("a", "30T06"),
        ("b", "30T07"),
        ("a", "30T18"),
    ]


def test_the_range_holds_its_first_moment_and_not_its_last():
    assert [found["tick"][:10] for found in ticks(job("R/2026-01-01T00:00:00Z/P1D"))] == [
        "2026-03-28",
        "2026-03-29",
        "2026-03-30",
    ]


def test_a_job_with_jitter_is_due_after_its_tick():
    spread = job("R/2026-01-01T23:00:00Z/P1D", ticks=TickPolicy(jitter="PT4H"))
    offset = offset_of(spread.spec.ticks, spread.id)
    found = [(at(each["due"]) - at(each["tick"]), each["due"]) for each in ticks(spread)]
    assert {late for late, _ in found} == {offset}
    assert all(SUMMER[0] <= at(due) < SUMMER[1] for _, due in found)


def test_what_would_be_skipped_says_why():
    daily = job("R/2026-01-01T12:00:00Z/P1D")
    pause = Pause(since=SUMMER[0], until=at("2026-03-29T12:00:00Z"))
    reasons = ["paused", "", ""]
    assert [found["reason"] for found in ticks(replace(daily, pause=pause))] == reasons
    assert [found["reason"] for found in ticks(daily, server_pause=pause)] == reasons
    assert [found["outcome"] for found in ticks(daily, server_pause=pause)] == ["skipped", "started", "started"]
    assert {found["reason"] for found in ticks(replace(daily, disabled=True))} == {"disabled"}


def test_a_pause_counts_from_its_beginning_to_its_end_by_when_a_tick_is_due():
    hourly = job("R/2026-03-28T00:00:00Z/PT1H")
    pause = Pause(since=at("2026-03-28T03:00:00Z"), until=at("2026-03-28T05:00:00Z"))
    for found in ticks(replace(hourly, pause=pause)), ticks(hourly, server_pause=pause):
        assert [each["due"][8:13] for each in found if each["reason"] == "paused"] == ["28T03", "28T04"]
    spread = job("R/2026-03-28T00:00:00Z/PT12H", ticks=TickPolicy(jitter="PT11H"))
    due = at("2026-03-28T12:00:00Z") + offset_of(spread.spec.ticks, spread.id)
    after, before = Pause(since=Instant(due + 1)), Pause(since=SUMMER[0], until=Instant(due))
    assert [each["reason"] for each in ticks(replace(spread, pause=after))] == ["", "", *["paused"] * 4]
    assert [each["reason"] for each in ticks(replace(spread, pause=before))] == ["paused", *[""] * 5]


def test_a_child_has_no_ticks_and_a_job_without_a_schedule_has_one():
    assert not ticks(job("R/2026-01-01T00:00:00Z/P1D", parents=(JobId("p"),)))
    assert [found["tick"] for found in ticks(job(""))] == ["2026-03-28T00:00:00Z"]


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("R/2026-01-01T02:30:00/P1D", "Europe/Berlin"),
        ("R/2026-01-31T02:30:00/P1M", "Europe/Berlin"),
        ("R/2026-01-01T00:00:00Z/PT7H", ""),
        ("R/2011-12-20T12:00:00/P1D", "Pacific/Apia"),
        ("R3/2026-01-01T00:00:00Z/P1M", ""),
    ],
)
def test_a_walk_is_one_tick_after_another(text: str, zone: str):
    schedule = parse_schedule(text, zone)
    moment = Instant(schedule.start - 1)
    for walked, _ in zip(schedule.walk(moment), range(500), strict=False):
        assert walked == schedule.next_after(moment)
        moment = walked
    if schedule.count < 500:
        assert schedule.next_after(moment) is None


def run(capfdbinary: Any, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    code = main(["replay", "simulate", "--from", "2026-03-28T00:00:00Z", "--until", "2026-03-30T00:00:00Z", *arguments])
    out, err = capfdbinary.readouterr()
    return code, [json.loads(text) for text in out.splitlines()], err.decode()


async def _fill(directory: Path) -> None:
    log = open_log(directory, MemoryFoldStore())
    daily, other = (job(f"R/2026-01-01T0{hour}:00:00Z/P1D").spec for hour in (5, 9))
    known: list[e.Event] = [
        e.JobCreated(job=JobId("a"), at=at("2026-01-01T00:00:00Z"), spec=daily),
        e.JobUpdated(job=JobId("a"), at=at("2026-02-01T00:00:00Z"), spec=other),
    ]
    await log.append([codec.encode(event) for event in known])
    await log.close()


async def test_the_jobs_of_a_log_and_of_files(tmp_path: Path, capfdbinary: Any) -> None:
    await _fill(tmp_path / "data")
    code, found, _ = run(capfdbinary, "--data", str(tmp_path / "data"))
    assert (code, [each["tick"] for each in found]) == (0, ["2026-03-28T09:00:00Z", "2026-03-29T09:00:00Z"])
    file = tmp_path / "jobs.yaml"
    file.write_text("jobs: {b: {name: b, command: 'true', schedule: 'R/2026-01-01T04:00:00Z/P1D'}}\n")
    code, found, _ = run(capfdbinary, "--with", str(file))
    assert (code, [(each["job"], each["due"][11:13]) for each in found]) == (0, [("b", "04"), ("b", "04")])


async def test_what_cannot_be_simulated_is_refused(tmp_path: Path, capfdbinary: Any) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text("jobs:\n  b: {name: b, command: 'true', schedule: daily}\n")
    refusals = {
        ("--with", str(file)): "schedule",
        ("--data", str(tmp_path)): "there is no log in",
        ("--from", "yesterday"): "--from: must be a time",
        ("--until", "2026-01-01T00:00:00Z"): "--until: must not come before --from",
    }
    for arguments, sentence in refusals.items():
        code, found, said = run(capfdbinary, *arguments)
        assert (code, found, sentence in said) == (1, [], True), said

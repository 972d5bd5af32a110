"""A real server that was down, or paused, while ticks passed."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.servers import eventually
from tests.system.lives import JOB, Lives

pytestmark = pytest.mark.system


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def three_soon() -> str:
    """Three ticks, the first in a moment, one a second."""
    return f"R2/{text(datetime.now(UTC) + timedelta(seconds=1.5))}/PT1S"


def ticks(lives: Lives, job: str) -> list[Any]:
    status, answer = lives.call("GET", f"{JOB}{job}/ticks/")
    assert status == 200, answer
    return list(answer["ticks"])


def test_ticks_missed_while_the_server_was_down(tmp_path: Path) -> None:
    with Lives(tmp_path) as lives:
        schedule = three_soon()
        policies: dict[str, dict[str, str]] = {
            "one": {},
            "all": {"catch_up": "all"},
            "queued": {"catch_up": "all", "overlap": "queue"},
            "late": {"starting_deadline": "PT0.1S"},
        }
        jobs = {name: lives.make(schedule=schedule, **policy) for name, policy in policies.items()}
        lives.server.kill9()
        time.sleep(4.0)
        lives.again()
        eventually(lambda: len(lives.runs(jobs["all"])) == len(lives.runs(jobs["queued"])) == 3)
        (run,) = lives.runs(jobs["one"])
        assert (run["cause"], run["covers"]["count"]) == ("catch-up", 3)
        listed = ticks(lives, jobs["one"])
        assert [tick["outcome"] for tick in listed] == ["missed", "missed", "started"]
        assert {tick["made_up_by"] or tick["run"] for tick in listed} == {run["id"]}
        assert [tick["outcome"] for tick in ticks(lives, jobs["all"])] == ["started"] * 3
        assert lives.runs(jobs["late"]) == []
        assert {tick["reason"] for tick in ticks(lives, jobs["late"])} == {"the starting deadline passed"}


def test_a_pause_outlives_the_server_and_ends_by_the_clock(tmp_path: Path) -> None:
    with Lives(tmp_path) as lives:
        job = lives.make(schedule=three_soon())
        until = text(datetime.now(UTC) + timedelta(seconds=8))
        assert lives.call("POST", "/api/v1/pause/", {"reason": "a move", "until": until})[0] == 204
        lives.kill_and_restart()
        assert lives.call("GET", "/api/v1/pause/")[1]["paused"]["reason"] == "a move"
        eventually(lambda: [tick["reason"] for tick in ticks(lives, job)] == ["paused"] * 3)
        eventually(lambda: len(lives.runs(job)) == 1)
        assert lives.runs(job)[0]["covers"]["count"] == 3
        assert lives.call("GET", "/api/v1/pause/")[1] == {"paused": None}


def test_a_cron_job_goes_on_after_a_kill(tmp_path: Path) -> None:
    with Lives(tmp_path) as lives:
        job = lives.make(schedule="* * * * * *", catch_up="all")
        eventually(lambda: len(lives.runs(job)) >= 2)
        lives.kill_and_restart()
        before = len(lives.runs(job))
        eventually(lambda: len(lives.runs(job)) >= before + 2)
        answered = [tick for tick in ticks(lives, job) if tick["outcome"] not in ("waiting", "coming")]
        moments = [datetime.fromisoformat(tick["tick"]) for tick in answered]
        assert {tick["outcome"] for tick in answered} == {"started"}
        assert moments == [moments[0] + timedelta(seconds=count) for count in range(len(moments))]

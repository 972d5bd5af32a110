"""Dkron's routes about the server's own work: runs by day, and Go's expvar."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from kala_es.domain.ids import SECOND
from kala_es.web.dkron_stats import shown
from tests.nodes import FAILS, HANGS, Script
from tests.web.edges import Site, serving

MEDIA = "application/json; charset=utf-8"
SCRIPTS = {"fails": FAILS, "hangs": HANGS, "slow": Script(seconds=100)}


def today(site: Site) -> date:
    return datetime.fromtimestamp(site.node.clock.now() / SECOND, UTC).date()


async def test_each_day_is_there_today_last():
    async with serving(SCRIPTS) as site:
        await site.create("works")
        await site.create("fails", "fails")
        for job in ("works", "fails", "works"):
            await site.run_whole(job)
        answer = await site.http.get("/v1/stats")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, MEDIA)
        days = answer.json()["stats"]
        first = today(site) - timedelta(days=29)
        assert [day["date"] for day in days] == [(first + timedelta(days=i)).isoformat() for i in range(30)]
        assert {tuple(day.values())[1:] for day in days[:-1]} == {(0, 0)}
        assert days[-1] == {"date": today(site).isoformat(), "success_count": 2, "failed_count": 1}


async def test_whatever_did_not_succeed_has_failed():
    async with serving(SCRIPTS) as site:
        await site.create("late", "slow", timeout="PT0.01S")
        await site.create("cancelled", "hangs")
        await site.run_whole("late")
        run = await site.start("cancelled")
        await site.http.delete(f"/api/v1/job/cancelled/executions/{run}/")
        await site.node.scheduler.tree_end(run)
        days = site.node.node.folds.days.until(site.node.clock.now(), 1)
        assert (days[0][1].timed_out, days[0][1].cancelled) == (1, 1)
        assert (await site.http.get("/v1/stats?days=1")).json()["stats"][0]["failed_count"] == 2


async def test_days_are_counted_and_wrong_ones_refused():
    async with serving() as site:
        for days in (1, 7, 365):
            assert len((await site.http.get(f"/v1/stats?days={days}")).json()["stats"]) == days
        for wrong in ("0", "366", "-1", "x", "", "1.5"):
            answer = await site.http.get(f"/v1/stats?days={wrong}")
            assert (answer.status_code, answer.json()["field"]) == (400, "days"), wrong
            assert "1 to 365" in answer.json()["error"]


async def test_pretty_indents_by_four():
    async with serving() as site:
        plain = await site.http.get("/v1/stats?days=2")
        for query in ("pretty", "pretty=", "pretty=false"):
            pretty = await site.http.get(f"/v1/stats?days=2&{query}")
            assert pretty.text == json.dumps(plain.json(), indent=4)
        assert b"\n" not in plain.content


async def test_expvar_says_what_is_so():
    async with serving(SCRIPTS, node="here") as site:
        await site.create("ticks")
        await site.create("child", parent_jobs=["ticks"], schedule="")
        await site.create("disabled", disabled=True)
        answer = await site.http.get("/debug/vars")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, MEDIA)
        told = answer.json()
        assert sorted(told) == ["cmdline", "cron_entries", "memstats", "node", "scheduler_started"]
        assert (told["cron_entries"], told["scheduler_started"], told["node"]) == (1, 1, "here")
        assert 10_000_000 < told["memstats"]["Alloc"] == told["memstats"]["Sys"]
        assert told["memstats"]["NumGC"] > 0
        site.node.node.registry.stopping = True
        assert (await site.http.get("/debug/vars")).json()["scheduler_started"] == 0


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (["k", "serve", "--port", "8000", "--data", "/d"], ["k", "serve", "--port", "8000", "--data", "/d"]),
        (["--mailer-password", "s3cret", "--port", "1"], ["--mailer-password", "...", "--port", "1"]),
        (["--mailer-password=s3cret", "--port=1"], ["--mailer-password=...", "--port=1"]),
        (["--mailer-pass", "s3cret", "x"], ["--mailer-pass", "...", "x"]),
        (["--mailer-pass=s3cret"], ["--mailer-pass=..."]),
        (["--notify-url", "https://example.com/hook/s3cret"], ["--notify-url", "..."]),
        (["-v", "serve", "-n", "-p", "8"], ["-v", "serve", "-n", "-p", "8"]),
        (["--jobdb-password", "s3cret"], ["--jobdb-password", "..."]),
    ],
)
def test_a_command_line_is_shown_without_its_texts(given: list[str], seen: list[str]):
    assert shown(given) == seen

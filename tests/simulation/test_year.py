"""A year of a daily, an hourly and a monthly job in Berlin, across both changes of its clocks, in seconds.

The timetable looks at the wall clock every second, so a year by the monotonic clock would be 31 million looks: here the
wall clock jumps over the stretches in which nothing is due, to two seconds before the next tick.
"""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import trio

from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant
from tests.nodes import MONDAY, RunningNode, Script, ScriptedShell, check_ticks, running_node

BERLIN = ZoneInfo("Europe/Berlin")
END = datetime(2027, 1, 6, tzinfo=BERLIN)


def instant(moment: datetime) -> Instant:
    return Instant(round(moment.timestamp() * SECOND))


def moments(node: RunningNode, job: str, zone: ZoneInfo) -> list[datetime]:
    """When the job's runs began, on a zone's wall clock."""
    return [datetime.fromtimestamp(run.at / SECOND, zone) for run in node.events(e.RunStarted, job=job)]


async def pass_time(node: RunningNode, until: Instant) -> None:
    """Let the wall clock run to `until`, without the stretches in which nothing is due."""
    while node.clock.now() < until:
        first = node.scheduler.first_tick()
        assert first is not None
        idle = (min(first, until) - node.clock.now()) / SECOND - 2
        if idle > 0 and not len(node.node.folds.busy):
            node.clock.step(idle)
        await trio.sleep(3)


@pytest.mark.slow
async def test_a_year_of_runs_is_exactly_on_time(autojump_clock):
    shell = ScriptedShell({"works": Script(seconds=0.75, output=(("stdout", b"done"),))})
    async with running_node(shell=shell) as node:
        await node.create("hourly", schedule="R/2026-01-06T00:30:00Z/PT1H")
        for job, schedule in (("daily", "R/2026-01-06T09:00:00/P1D"), ("monthly", "R/2026-01-31T12:00:00/P1M")):
            await node.create(job, command="works", schedule=schedule, timezone="Europe/Berlin")
        await pass_time(node, instant(END))

        started = node.events(e.RunStarted)
        assert all(run.at == run.tick and run.cause == "schedule" for run in started)
        assert {end.outcome for end in node.events(e.RunFinished)} == {"succeeded"}
        assert not node.events(e.TickMissed, e.RunSkipped, e.AttemptFailed)
        check_ticks(node, node.clock.now())

        hourly = moments(node, "hourly", ZoneInfo("UTC"))
        assert hourly == [datetime(2026, 1, 6, 0, 30, tzinfo=UTC) + timedelta(hours=k) for k in range(365 * 24 - 1)]
        daily = moments(node, "daily", BERLIN)
        assert daily == [datetime(2026, 1, 6, 9, tzinfo=BERLIN) + timedelta(days=k) for k in range(365)]
        assert {moment.utcoffset() for moment in daily} == {timedelta(hours=1), timedelta(hours=2)}
        monthly = moments(node, "monthly", BERLIN)
        last_days = [monthrange(2026, month)[1] for month in range(1, 13)]
        assert monthly == [datetime(2026, month, last_days[month - 1], 12, tzinfo=BERLIN) for month in range(1, 13)]

        summaries = [node.scheduler.job(job).counters for job in map(type(started[0].job), ("daily", "monthly"))]
        assert [counters.success_count for counters in summaries] == [365, 12]
        assert node.clock.now() >= MONDAY + 365 * 86_400 * SECOND

"""The line of jobs whose ticks passed: who is on time passes it, the others go so many a second."""

import trio

from kala_es import limits
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.domain.model import Job, JobSpec
from kala_es.domain.values import replace
from kala_es.runtime.turns import Turns

NOW = Instant(1_893_456_000 * SECOND)
EARLIER = Instant(NOW - 60 * SECOND)
RATE = limits.CATCH_UP_STARTS_PER_SECOND


def job(name: int) -> Job:
    spec = JobSpec(name="n", command="true")
    return Job(id=JobId(f"{name}"), spec=spec, born=EARLIER, planned=EARLIER, answered=EARLIER, next_tick=NOW)


async def test_late_jobs_go_so_many_a_second_in_their_order(autojump_clock, nursery):
    gone: list[tuple[JobId, float]] = []
    turns = Turns(lambda each: gone.append((each, trio.current_time())))
    nursery.start_soon(turns.run)
    begun = trio.current_time()
    for i in range(3 * RATE):
        turns.take(job(i), EARLIER, NOW)
    assert len(gone) == RATE
    turns.take(job(2 * RATE), EARLIER, NOW)  # it is in line already
    await trio.sleep(10)
    assert [each for each, _ in gone] == [f"{i}" for i in range(3 * RATE)]
    waits = [at - begun for _, at in gone]
    for second in range(1, 5):
        assert sum(second <= wait < second + 1 for wait in waits) <= RATE + 1


async def test_who_is_on_time_is_not_held_up(autojump_clock):
    gone: list[JobId] = []
    turns = Turns(gone.append)
    for i in range(2 * RATE):
        turns.take(job(i), EARLIER, NOW)
    for i in range(1_000, 3_000):
        turns.take(job(i), Instant(NOW - SECOND), NOW)
    assert len(gone) == RATE + 2_000
    turns.take(replace(job(5_000), owed=EARLIER), NOW, NOW)
    assert "5000" not in gone


def test_what_a_stop_left_open_was_missed_while_the_server_was_down():
    turns = Turns(lambda each: None)
    turns.begin(NOW, ["a", "b"])
    assert turns.gap(JobId("a"), lambda: EARLIER) == "the server was down"
    assert turns.gap(JobId("a"), lambda: EARLIER) is None
    assert turns.gap(JobId("b"), lambda: Instant(NOW + 1)) is None
    assert turns.gap(JobId("c"), lambda: EARLIER) is None

"""The timetable: never early, on time to the microsecond, whatever is moved and however the wall clock jumps."""

import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es.clock import TrioClock
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.runtime.timetable import Timetable

START = Instant(1_767_600_000 * SECOND)


class Bench:
    """A running timetable and what it fired: job and seconds since the start, by the wall clock."""

    def __init__(self) -> None:
        self.clock = TrioClock(START)
        self.fired: list[tuple[str, float]] = []
        self.timetable = Timetable(self.clock, self.due)

    def due(self, job: JobId) -> None:
        self.fired.append((job, self.seconds()))

    def seconds(self) -> float:
        return (self.clock.now() - START) / SECOND

    def plan(self, job: str, seconds: float | None) -> None:
        self.timetable.plan(JobId(job), None if seconds is None else at(seconds))


def at(seconds: float) -> Instant:
    return Instant(START + round(seconds * SECOND))


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    bench = Bench()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.timetable.run)
        yield bench
        nursery.cancel_scope.cancel()


async def test_ticks_fire_in_order_and_exactly_on_time(autojump_clock):
    async with running() as bench:
        for job, seconds in (("c", 7.25), ("a", 0.5), ("b", 0.500001), ("d", 3600.0)):
            bench.plan(job, seconds)
        await trio.sleep(4_000)
        assert bench.fired == [("a", 0.5), ("b", 0.500001), ("c", 7.25), ("d", 3600.0)]


async def test_what_is_due_already_fires_at_once(autojump_clock):
    async with running() as bench:
        await trio.sleep(10)
        bench.plan("late", 3)
        bench.plan("now", 10)
        await trio.testing.wait_all_tasks_blocked()
        assert bench.fired == [("late", 10.0), ("now", 10.0)]


async def test_a_sleeping_timetable_hears_of_an_earlier_tick(autojump_clock):
    async with running() as bench:
        await trio.sleep(30.3)
        bench.plan("later", 31.2)
        await trio.sleep(0.1)
        bench.plan("sooner", 30.7)
        await trio.sleep(10)
        assert bench.fired == [("sooner", 30.7), ("later", 31.2)]


async def test_a_moved_tick_fires_once_at_its_new_time(autojump_clock):
    async with running() as bench:
        bench.plan("later", 10)
        bench.plan("sooner", 10)
        bench.plan("there and back", 10)
        await trio.sleep(1)
        bench.plan("later", 20)
        bench.plan("sooner", 5)
        bench.plan("there and back", 30)
        bench.plan("there and back", 10)
        await trio.sleep(100)
        assert bench.fired == [("sooner", 5.0), ("there and back", 10.0), ("later", 20.0)]


async def test_a_removed_tick_does_not_fire(autojump_clock):
    async with running() as bench:
        bench.plan("removed", 10)
        bench.plan("kept", 11)
        bench.plan("never planned", None)
        assert len(bench.timetable) == 2
        await trio.sleep(5)
        bench.plan("removed", None)
        bench.plan("removed", None)
        assert len(bench.timetable) == 1
        assert bench.timetable.first() == at(11)
        await trio.sleep(100)
        assert bench.fired == [("kept", 11.0)]
        assert bench.timetable.first() is None


async def test_a_job_that_fired_drops_out_until_it_is_planned_again(autojump_clock):
    async with running() as bench:
        bench.plan("a", 1)
        await trio.sleep(5)
        assert len(bench.timetable) == 0
        bench.plan("a", 1)
        await trio.sleep(5)
        bench.plan("a", 20)
        await trio.sleep(50)
        assert bench.fired == [("a", 1.0), ("a", 5.0), ("a", 20.0)]


async def test_a_wall_clock_that_jumps_ahead_fires_each_job_once_within_a_second(autojump_clock):
    async with running() as bench:
        bench.plan("jumped over", 600)
        bench.plan("not reached", 7200)
        await trio.sleep(0.5)
        bench.clock.step(3600)
        await trio.sleep(1.001)
        assert [job for job, _ in bench.fired] == ["jumped over"]
        await trio.sleep(7200)
        assert [job for job, _ in bench.fired] == ["jumped over", "not reached"]
        assert bench.fired[1][1] == 7200.0


async def test_a_wall_clock_that_jumps_back_makes_ticks_wait_for_it(autojump_clock):
    async with running() as bench:
        bench.plan("a", 10)
        await trio.sleep(9.5)
        bench.clock.step(-3600)
        await trio.sleep(3599)
        assert not bench.fired
        await trio.sleep(2)
        assert bench.fired == [("a", 10.0)]


async def test_a_timetable_without_ticks_sleeps_a_minute_at_a_time(autojump_clock):
    bench = Bench()
    wakes: list[float] = []
    first = bench.timetable.first
    bench.timetable.first = lambda: wakes.append(bench.seconds()) or first()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.timetable.run)
        await trio.sleep(3600)
        nursery.cancel_scope.cancel()
    assert len(wakes) <= 61


jobs = st.sampled_from("abcde").map(JobId)
seconds = st.integers(0, 40_000_000).map(lambda micros: micros / SECOND)
steps = st.one_of(
    st.tuples(st.just("plan"), jobs, seconds),
    st.tuples(st.just("plan"), jobs, seconds),
    st.tuples(st.just("remove"), jobs, st.none()),
    st.tuples(st.just("sleep"), st.none(), seconds),
    st.tuples(st.just("jump"), st.none(), st.floats(-60, 60)),
)


@given(st.lists(steps, max_size=40))
@settings(deadline=None, max_examples=100)
def test_it_does_what_a_plain_table_would(story):
    trio.run(compare_with_a_table, story, clock=trio.testing.MockClock(autojump_threshold=0))


async def compare_with_a_table(story: list[tuple[str, JobId | None, float | None]]) -> None:
    async with trio.open_nursery() as nursery:
        table = Table()
        nursery.start_soon(table.timetable.run)
        for what, job, number in story:
            match what, job, number:
                case "plan", str(), float() | int():
                    table.plan(job, Instant(table.clock.now() + round(number * SECOND)))
                case "remove", str(), _:
                    table.plan(job, None)
                case "sleep", _, float() | int():
                    await trio.sleep(number)
                    table.check_nothing_is_overdue()
                case "jump", _, float() | int():
                    table.jump(number)
            assert len(table.timetable) == len(table.planned)
        table.jump(10_000)
        await trio.sleep(2)
        assert not table.planned
        nursery.cancel_scope.cancel()


class Table:
    """The model: due times in a dict. A tick may be a second late (by the monotonic clock) after a jump of the wall
    clock, and not at all otherwise; `due_since` is when a jump or a late plan made it due."""

    def __init__(self) -> None:
        self.clock = TrioClock(START)
        self.timetable = Timetable(self.clock, self.due)
        self.planned: dict[JobId, Instant] = {}
        self.due_since: dict[JobId, float] = {}
        self.jumped = float("-inf")

    def plan(self, job: JobId, tick: Instant | None) -> None:
        self.timetable.plan(job, tick)
        self.planned.pop(job, None)
        self.due_since.pop(job, None)
        if tick is not None:
            self.planned[job] = tick
            self.note_what_is_due()

    def jump(self, seconds: float) -> None:
        self.clock.step(seconds)
        self.jumped = trio.current_time()
        self.note_what_is_due()

    def note_what_is_due(self) -> None:
        for job, tick in self.planned.items():
            if tick > self.clock.now():
                self.due_since.pop(job, None)
            else:
                self.due_since.setdefault(job, trio.current_time())

    def excused(self, job: JobId) -> bool:
        return trio.current_time() - max(self.jumped, self.due_since.get(job, self.jumped)) < 1.00001

    def due(self, job: JobId) -> None:
        tick, now = self.planned[job], self.clock.now()
        assert tick <= now, "early"
        assert now - tick < 10 or self.excused(job), "late"
        del self.planned[job]
        self.due_since.pop(job, None)

    def check_nothing_is_overdue(self) -> None:
        for job, tick in self.planned.items():
            assert self.clock.now() <= tick or self.excused(job), "never fired"


def test_a_hundred_thousand_jobs_cost_little_memory_also_when_all_are_moved_often():
    names = [JobId(f"job {i}") for i in range(100_000)]
    ticks = [Instant(START + i) for i in range(len(names) * 4)]
    timetable = Timetable(StoppedClock(), lambda job: None)
    tracemalloc.start()
    try:
        for i, name in enumerate(names):
            timetable.plan(name, ticks[i])
        assert tracemalloc.get_traced_memory()[0] / len(names) < 200
        for turn in (1, 2):
            for i, name in enumerate(names):
                timetable.plan(name, ticks[i + turn])
        assert tracemalloc.get_traced_memory()[0] / len(names) < 400
        for name in names:
            timetable.plan(name, None)
        assert tracemalloc.get_traced_memory()[0] / len(names) < 120
    finally:
        tracemalloc.stop()
    assert len(timetable) == 0
    assert timetable.first() is None


class StoppedClock:
    """A clock for a timetable that never runs."""

    def now(self) -> Instant:
        return START

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing sleeps here")


@pytest.mark.parametrize("count", [2_000])
async def test_many_jobs_due_at_once_fire_in_one_turn(autojump_clock, count):
    async with running() as bench:
        for i in range(count):
            bench.plan(f"{i:05}", 60)
        await trio.sleep(59.9)
        assert not bench.fired
        await trio.sleep(0.2)
        assert bench.fired == [(f"{i:05}", 60.0) for i in range(count)]

"""The pace of work that can wait: the clock of both is the mock clock, so what is asked for is exact."""

import pytest
import trio
from trio.testing import MockClock

from kala_es import limits
from kala_es.runtime import pace as module
from kala_es.runtime.pace import Pace

STEP = 1.001 * limits.JANITOR_STEP_MS / 1_000
"""A little more, as floats are."""
SHARE = limits.JANITOR_SHARE


@pytest.fixture
async def pace(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> Pace:
    """One whose working time is the mock clock's."""
    monkeypatch.setattr(module, "perf_counter", trio.current_time)
    return Pace()


async def waiting(seconds: float) -> None:
    """Something else's time."""
    await trio.sleep(seconds)


async def paused(pace: Pace) -> float:
    """How long it pauses now, in seconds."""
    before = trio.current_time()
    await pace.pause()
    return trio.current_time() - before


async def pause_beside(pace: Pace, clock: MockClock, seconds: float) -> None:
    """Work a step, and pause while others hold the loop for so long."""

    async def others() -> None:
        await trio.sleep(STEP)
        clock.jump(seconds)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        clock.jump(STEP)
        await pace.pause()


async def test_a_short_step_goes_on(pace: Pace, autojump_clock: MockClock) -> None:
    autojump_clock.jump(STEP / 2)
    assert await paused(pace) == 0


@pytest.mark.parametrize("steps", [1, 4])
async def test_after_work_others_have_their_share(pace: Pace, autojump_clock: MockClock, steps: int) -> None:
    autojump_clock.jump(steps * STEP)
    assert await paused(pace) == pytest.approx(steps * STEP * (1 / SHARE - 1), rel=0.01)


async def test_many_steps_on_an_idle_loop_stay_short(pace: Pace, autojump_clock: MockClock) -> None:
    for _ in range(50):
        autojump_clock.jump(STEP)
        assert await paused(pace) == pytest.approx(STEP * (1 / SHARE - 1), rel=0.01)


async def test_waiting_is_no_work(pace: Pace, autojump_clock: MockClock) -> None:
    await pace.wait_for(waiting(5))
    assert await paused(pace) == 0


async def test_a_step_is_longer_when_the_others_turn_was(pace: Pace, autojump_clock: MockClock) -> None:
    await pause_beside(pace, autojump_clock, 30 * STEP)
    autojump_clock.jump(5 * STEP)
    assert await paused(pace) == 0


async def test_no_step_is_longer_than_the_longest(pace: Pace, autojump_clock: MockClock) -> None:
    await pause_beside(pace, autojump_clock, 60)
    autojump_clock.jump(1.001 * limits.JANITOR_LONGEST_STEP_MS / 1_000)
    assert await paused(pace) > 0


async def test_behind_it_takes_the_larger_share_until_it_begins_anew(pace: Pace, autojump_clock: MockClock) -> None:
    await pace.wait_for(waiting(limits.JANITOR_BEHIND_SECONDS + 1))
    autojump_clock.jump(STEP)
    assert await paused(pace) == pytest.approx(STEP * (1 / limits.JANITOR_SHARE_BEHIND - 1), rel=0.01)
    pace.begin()
    autojump_clock.jump(STEP)
    assert await paused(pace) == pytest.approx(STEP * (1 / SHARE - 1), rel=0.01)

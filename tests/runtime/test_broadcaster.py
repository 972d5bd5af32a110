"""Durable events to live readers: none missed, none doubled, at any pace; who falls behind is told so."""

import random
from collections.abc import Sequence
from typing import Final

import pytest
import trio
import trio.testing

from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.projections.recorded import Recorded
from kala_es.runtime.broadcaster import ALL, Broadcaster, Topic

LARGE: Final = bytes(32 * 1024)


def chunk(position: int, run: str, content: bytes = b"x") -> Recorded:
    event = e.OutputChunk(
        job=JobId("j"),
        at=Instant(1),
        run=RunId(run),
        attempt=1,
        sequence=position,
        channel="stdout",
        offset=0,
        content=content,
    )
    return Recorded(position, event)


def edit(position: int) -> Recorded:
    return Recorded(position, e.JobEnabled(job=JobId("j"), at=Instant(1)))


def positions(topic: Topic, after: int) -> list[int] | None:
    fresh = topic.after(after)
    return None if fresh is None else [entry.recorded.position for entry in fresh]


class Reader:
    """Takes what is new of a topic, with pauses up to `pace` seconds; what the topic holds no more it reads from
    `log`, a page at a time, as a stream does."""

    def __init__(self, broadcaster: Broadcaster, name: str, pace: float) -> None:
        self.broadcaster = broadcaster
        self.name = name
        self.pace = pace
        self.seen: list[int] = []
        self.pages = 0

    async def read(self, log: Sequence[Recorded], last: int) -> None:
        position, random_ = 0, random.Random(self.pace)
        with self.broadcaster.follow(self.name) as topic:
            while position < last:
                fresh = positions(topic, position)
                if fresh is None:
                    page = log[position : position + 50]
                    fresh = [r.position for r in page if self.name in (ALL, getattr(r.event, "run", None))]
                    position = page[-1].position
                    self.pages += 1
                elif not fresh:
                    await topic.wait()
                    continue
                self.seen += fresh
                position = max([position, *fresh])
                await trio.sleep(random_.random() * self.pace)


@pytest.mark.parametrize("seed", range(5))
async def test_no_reader_misses_or_doubles_an_event_at_any_pace(autojump_clock, seed):
    """The chunks are large, so that a topic holds some 120 of them."""
    random_ = random.Random(seed)
    broadcaster = Broadcaster()
    last = 2_000
    log: list[Recorded] = []
    readers = [Reader(broadcaster, name, pace) for name in (ALL, "a") for pace in (0.0, 0.01, 0.3, 3.0, 20.0)]

    async with trio.open_nursery() as nursery:
        for reader in readers:
            nursery.start_soon(reader.read, log, last)
        await trio.testing.wait_all_tasks_blocked()
        while len(log) < last:
            size = min(random_.randint(1, 30), last - len(log))
            batch = [chunk(len(log) + 1 + i, random_.choice("ab"), LARGE) for i in range(size)]
            if len(log) + size == last:
                batch[-1] = chunk(last, "a", LARGE)
            log.extend(batch)
            broadcaster.publish(batch)
            await trio.sleep(random_.choice((0, 0.01, 0.5)))
    for reader in readers:
        assert reader.seen == [r.position for r in log if reader.name == ALL or getattr(r.event, "run", "") == "a"]
        assert not reader.pages or reader.pace > 0, "who takes all at once is never behind"
        assert reader.pages or reader.pace < 20, "who sleeps long falls behind"


async def test_a_reader_that_starts_late_begins_where_the_topic_does():
    broadcaster = Broadcaster()
    broadcaster.begin(41)
    with broadcaster.follow(ALL) as topic:
        assert topic.since == 41
        assert positions(topic, 41) == []
        assert positions(topic, 40) is None
        broadcaster.publish([edit(42), edit(43)])
        assert positions(topic, 41) == [42, 43]
        assert positions(topic, 42) == [43]
        with broadcaster.follow(ALL) as same:
            assert same is topic


async def test_a_topic_opened_between_batches_holds_all_that_follows():
    broadcaster = Broadcaster()
    broadcaster.publish([edit(1), edit(2)])
    with broadcaster.follow(ALL) as topic:
        broadcaster.publish([edit(3)])
        assert positions(topic, 2) == [3]
        assert positions(topic, 1) is None


async def test_a_run_s_topic_has_its_events_and_no_others():
    broadcaster = Broadcaster()
    with broadcaster.follow("a") as topic, broadcaster.follow(ALL) as every:
        broadcaster.publish([chunk(1, "a"), chunk(2, "b"), edit(3), chunk(4, "a")])
        assert positions(topic, 0) == [1, 4]
        assert positions(every, 0) == [1, 2, 3, 4]


async def test_only_followers_of_what_is_new_are_woken(autojump_clock):
    broadcaster = Broadcaster()
    woken: list[str] = []

    async def wait(name: str) -> None:
        with broadcaster.follow(name) as topic:
            await topic.wait()
            woken.append(name)

    async with trio.open_nursery() as nursery:
        for name in ("a", "a", "b", ALL):
            nursery.start_soon(wait, name)
        await trio.testing.wait_all_tasks_blocked()
        broadcaster.publish([chunk(1, "a")])
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(woken) == sorted(["a", "a", ALL])
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("size", [0, 16 * 1024])
async def test_who_falls_behind_what_is_held_is_told_and_can_come_back(size):
    broadcaster = Broadcaster()
    with broadcaster.follow("a") as topic:
        for position in range(1, 20_001):
            broadcaster.publish([chunk(position, "a", b"x" * size)])
        assert positions(topic, 0) is None
        held = 20_000 - topic.since
        assert held == (10_000 if size == 0 else 4 * 1024 * 1024 // (size + 256))
        assert positions(topic, topic.since - 1) is None
        assert positions(topic, topic.since) == list(range(topic.since + 1, 20_001))
        assert positions(topic, 20_000) == []


async def test_a_topic_is_freed_with_its_last_reader_and_begins_anew():
    broadcaster = Broadcaster()
    with broadcaster.follow("a") as topic:
        with broadcaster.follow("a"), broadcaster.follow("b"):
            assert (topic.readers, broadcaster.readers) == (2, 3)
        broadcaster.publish([chunk(1, "a")])
        assert (topic.readers, broadcaster.readers) == (1, 1)
        assert positions(topic, 0) == [1]
    assert broadcaster.readers == 0
    broadcaster.publish([chunk(2, "a")])
    assert positions(topic, 0) == [1], "a topic that nobody follows is fed no more"
    with broadcaster.follow("a") as fresh:
        assert fresh is not topic
        assert fresh.since == 2


async def test_a_topic_is_freed_also_when_its_reader_fails():
    broadcaster = Broadcaster()
    with pytest.raises(ZeroDivisionError), broadcaster.follow("a"):
        raise ZeroDivisionError
    assert broadcaster.readers == 0


async def test_a_frame_made_for_one_reader_serves_all():
    broadcaster = Broadcaster()
    with broadcaster.follow("a") as topic, broadcaster.follow("a") as same:
        broadcaster.publish([chunk(1, "a")])
        (first,), (second,) = topic.after(0) or [], same.after(0) or []
        assert first is second
        assert first.frame is None

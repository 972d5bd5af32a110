"""What changed between two moments, what a time means, and which snapshots of the past are kept."""

from itertools import pairwise
from pathlib import Path

import pytest
import trio

from kala_es import limits
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.domain.model import JobDraft, JobSpec
from kala_es.projections import past
from kala_es.replay.difference import difference
from kala_es.replay.moments import Moment, NotKnown, Replay
from kala_es.runtime.scheduler import Origin
from tests.nodes import ScriptedShell, running_node

DAY = 24 * 3600


async def test_what_changed_is_told_field_by_field_with_who_did_it(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell()) as node:
        spec = JobSpec(name="a", command="succeeds", schedule="R/2099-01-01T00:00:00Z/P1D")
        for name in ("kept", "edited", "deleted"):
            await node.scheduler.create(JobDraft(id=JobId(name), spec=spec), Origin())
        position = node.node.folds.position
        edited = JobSpec(name="a", command="fails", schedule="R/2099-01-01T00:00:00Z/P1D", retries=2)
        await node.scheduler.update(JobDraft(id=JobId("edited"), spec=edited), Origin(principal="alice"))
        await node.scheduler.delete(JobId("deleted"), Origin(principal="bob"))
        await node.scheduler.create(JobDraft(id=JobId("fresh"), spec=spec), Origin())
        await node.scheduler.start(JobId("kept"), node.scheduler.new_run_id(JobId("kept")), Origin())
        replay = Replay(node.storage.source, Moment(position=position))
        replay.finish()
        found = list(difference(replay, node.node.folds.position))
        assert [(each["id"], each["change"]) for each in found] == [
            ("deleted", "deleted"),
            ("edited", "changed"),
            ("fresh", "created"),
        ]
        assert found[1]["fields"] == {"command": ["succeeds", "fails"], "retries": [None, 2]}
        assert [each["by"][0]["principal"] for each in found] == ["bob", "alice", ""]


async def test_a_time_is_what_was_recorded_by_then(autojump_clock: trio.testing.MockClock) -> None:
    async with running_node(shell=ScriptedShell()) as node:
        before = node.clock.now()
        await trio.sleep(1)
        await node.scheduler.create(JobDraft(id=JobId("a"), spec=JobSpec(name="a", command="succeeds")), Origin())
        await node.idle()
        source = node.storage.source
        assert Replay(source, Moment(time=before)).finish().position == 0
        assert Replay(source, Moment(time=Instant(before + 3600 * SECOND))).finish().position == source.head
        with pytest.raises(NotKnown, match=f"the log ends at position {source.head}"):
            Replay(source, Moment(position=source.head + 1))


def test_the_older_the_sparser(tmp_path: Path) -> None:
    for number in range(1, 500):
        past.keep(tmp_path / "s", b"content", position=number * 10, time=Instant(number), every=10)
    there = past.kept(tmp_path / "s")
    assert len(there) == limits.MAX_PAST_SNAPSHOTS
    positions = [each.position for each in there]
    assert positions[-1] == 4990
    gaps = [later - earlier for earlier, later in pairwise(positions)]
    assert sum(gaps[:10]) > 5 * sum(gaps[-10:])
    assert there[0].content() == b"content"
    there[0].path.write_bytes(b"damaged")
    assert there[0].content() == b""

"""A node runs the jobs whose tags it has; of others it says why nothing ran."""

import pytest
import trio

from kala_es.domain.events import RunSkipped, RunStarted
from kala_es.runtime.scheduler import Rules
from tests.nodes import running_node

RULES = Rules(tags=(("role", "web"), ("dc", "dc1")))
OFTEN = "@every 20m"


@pytest.mark.parametrize("tags", [(), (("role", "web"),), (("role", "web:2"), ("dc", "dc1"))])
async def test_a_job_whose_tags_it_has_runs(tags, autojump_clock):
    async with running_node(rules=RULES) as node:
        await node.create("j", schedule=OFTEN, tags=tags)
        await trio.sleep(1800)
        assert len(node.events(RunStarted)) == 1


@pytest.mark.parametrize("tags", [(("role", "db"),), (("role", "web"), ("rack", "1")), (("role", "web:x"),)])
async def test_ticks_of_another_job_are_skipped_with_the_reason(tags, autojump_clock):
    async with running_node(rules=RULES) as node:
        await node.create("j", schedule=OFTEN, tags=tags)
        await trio.sleep(1800 + 3600)
        assert node.events(RunStarted) == []
        assert [event.reason for event in node.events(RunSkipped)] == ["no node has its tags"] * 4


async def test_a_child_of_another_place_is_skipped_and_its_parents_tree_ends(autojump_clock):
    async with running_node(rules=RULES) as node:
        await node.create("j", schedule="@manually")
        await node.create("kid", schedule="", parents=("j",), tags=(("role", "db"),))
        await node.run_whole("j")
        assert [event.job for event in node.events(RunSkipped)] == ["kid"]
        assert node.scheduler.folds.trees.open == {}

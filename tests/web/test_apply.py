"""Jobs as declared: one request makes many as they are to be, all or none, in one commit."""

from typing import Any

import pytest
import trio

from kala_es.domain import commands as c
from kala_es.domain.ids import JobId
from kala_es.domain.model import JobSpec
from tests.nodes import HANGS
from tests.web.edges import API, Site, draft, serving

PAST = "R/2020-01-01T00:00:00Z/P1D"


async def apply(site: Site, jobs: dict[str, Any], **asked: Any) -> dict[str, Any]:
    answer = await site.http.post(f"{API}/job/apply/", json={"jobs": jobs, **asked})
    assert answer.status_code == 200, answer.text
    plan: dict[str, Any] = answer.json()
    return plan


def actions(plan: dict[str, Any]) -> dict[str, str]:
    return {step["id"]: step["action"] for step in plan["plan"]}


async def test_jobs_are_made_as_declared_and_the_second_time_nothing_happens():
    async with serving() as site:
        jobs = {"child": draft(parent_jobs=["parent"], schedule=""), "parent": draft(env={"B": "1", "A": "2"})}
        first = await apply(site, jobs)
        assert actions(first) == {"child": "create", "parent": "create"}
        position = site.node.scheduler.folds.position
        again = await apply(site, jobs, prune=True)
        assert actions(again) == {"child": "unchanged", "parent": "unchanged"}
        assert again["counts"]["unchanged"] == 2
        assert site.node.scheduler.folds.position == position
        assert site.node.job("child").spec.managed_by == "apply"


async def test_a_dry_run_says_what_would_become_of_each_and_changes_nothing():
    async with serving() as site:
        await apply(site, {"a": draft(), "b": draft(), "c": draft()})
        position = site.node.scheduler.folds.position
        wanted = {"a": draft(name="another", type=0), "c": draft(), "d": draft(), "e": draft(name=""), "f": []}
        plan = await apply(site, wanted, prune=True, dry_run=True)
        assert site.node.scheduler.folds.position == position
        rows = {step["id"]: step for step in plan["plan"]}
        assert rows["a"]["fields"] == {"name": ["a job", "another"]}
        assert (rows["b"]["action"], rows["c"]["action"], rows["d"]["action"]) == ("delete", "unchanged", "create")
        assert (rows["e"]["action"], rows["e"]["field"], rows["e"]["reason"]) == (
            "refused",
            "name",
            "a job needs a name",
        )
        assert (rows["f"]["action"], rows["f"]["reason"]) == ("refused", "must be an object, not an array")


async def test_changes_creations_and_deletions_are_one_commit():
    async with serving() as site:
        await apply(site, {"a": draft(), "b": draft()})
        await site.create("by-hand")
        commits = site.node.scheduler.folds.position
        plan = await apply(site, {"a": draft(name="new"), "c": draft()}, prune=True)
        assert actions(plan) == {"a": "change", "c": "create", "b": "delete"}
        assert site.node.scheduler.folds.position == commits + 3
        assert [job.id for job in site.node.scheduler.jobs()] == ["a", "by-hand", "c"]


async def test_only_what_the_same_hand_keeps_is_pruned():
    async with serving() as site:
        await apply(site, {"mine": draft()}, managed_by="team-a")
        await apply(site, {"theirs": draft()}, managed_by="team-b", prune=True)
        assert {job.id for job in site.node.scheduler.jobs()} == {"mine", "theirs"}


@pytest.mark.parametrize(
    ("jobs", "field"),
    [
        ({"good": draft(), "bad": draft(schedule="R/x/P1D")}, "jobs.bad.schedule"),
        ({"good": draft(), "bad": draft(retries="3")}, "jobs.bad.retries"),
        ({"good": draft(), "bad": draft(parent_jobs=["nobody"])}, "jobs.bad.parent_jobs"),
        ({"good": draft(), "bad": draft(parent_jobs=["bad"])}, "jobs.bad.parent_jobs"),
        ({"good": draft(dependent_jobs=["bad"]), "bad": draft(on_failure_job="good")}, "jobs.good.dependent_jobs"),
        ({"bad": draft(parent_jobs=["old"]), "old": draft(parent_jobs=["bad"])}, "jobs.bad.parent_jobs"),
        ({"good": draft(), "": draft()}, "jobs..id"),
        ([], "jobs"),
    ],
)
async def test_a_refusal_names_job_and_field_and_changes_nothing(jobs: Any, field: str):
    async with serving() as site:
        await site.create("old")
        position = site.node.scheduler.folds.position
        answer = await site.http.post(f"{API}/job/apply/", json={"jobs": jobs})
        assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
        assert site.node.scheduler.folds.position == position


async def test_a_job_that_has_a_child_made_by_hand_is_not_pruned():
    async with serving() as site:
        await apply(site, {"parent": draft()})
        await site.create("child", parent_jobs=["parent"], schedule="")
        refused = await site.http.post(f"{API}/job/apply/", json={"jobs": {}, "prune": True})
        assert (refused.status_code, refused.json()["field"]) == (400, "jobs.parent")
        assert "'child'" in refused.json()["error"]


async def test_children_move_to_another_parent_while_theirs_is_deleted():
    async with serving() as site:
        await apply(site, {"old": draft(), "child": draft(parent_jobs=["old"], schedule="")})
        moved = {"new": draft(), "child": draft(parent_jobs=["new"], schedule="")}
        await apply(site, moved, prune=True)
        await trio.testing.wait_all_tasks_blocked()
        assert site.node.job("child").spec.parents == ("new",)
        assert set(actions(await apply(site, moved, prune=True)).values()) == {"unchanged"}


async def test_a_schedule_that_has_begun_goes_on_and_what_passed_is_not_run():
    async with serving() as site:
        await apply(site, {"a": draft(schedule=PAST)})
        await trio.testing.wait_all_tasks_blocked()
        job = site.node.job("a")
        assert job.runs == ()
        assert job.next_tick is not None
        assert job.next_tick > job.born
        await apply(site, {"a": draft(schedule=PAST.replace("P1D", "P2D"))})
        assert site.node.job("a").spec.schedule.endswith("P2D")


async def test_what_was_planned_elsewhere_does_not_start_because_it_is_new():
    async with serving() as site:
        metadata = {"success_count": 3, "number_of_finished_runs": 3, "last_success": "2025-01-01T00:00:00Z"}
        jobs = {"once": draft(schedule="", metadata=metadata), "passed": draft(schedule="R0/2020-01-01T00:00:00Z/")}
        await apply(site, jobs, begun=True)
        await trio.testing.wait_all_tasks_blocked()
        once = site.node.job("once")
        assert (once.next_tick, once.is_done, once.counters.success_count) == (None, True, 3)
        assert site.node.job("passed").next_tick is None
        assert set(actions(await apply(site, jobs, begun=True)).values()) == {"unchanged"}


async def test_a_running_job_is_changed_and_deleted_without_losing_its_run():
    async with serving({"hangs": HANGS}) as site:
        await apply(site, {"a": draft(command="hangs"), "b": draft(command="hangs")})
        run = await site.start("a")
        await site.start("b")
        await apply(site, {"a": draft(command="hangs", name="new")}, prune=True)
        assert [r.id for r in site.node.job("a").runs] == [run]
        assert site.node.scheduler.folds.jobs.get(JobId("b")) is None


async def test_edits_of_the_same_jobs_at_once_are_all_whole():
    async with serving() as site:
        names = [f"j{i}" for i in range(20)]
        await apply(site, {name: draft(name="0") for name in names})

        async def edit(version: str) -> None:
            await apply(site, {name: draft(name=version) for name in names})

        async with trio.open_nursery() as nursery:
            for version in ("1", "2", "3", "4"):
                nursery.start_soon(edit, version)
        assert len({site.node.job(name).spec.name for name in names}) == 1


async def test_a_bug_in_one_jobs_rules_changes_no_job():
    async with serving() as site:
        await apply(site, {"a": draft(), "b": draft()})
        registry = site.node.scheduler._parts.registry
        broken = JobSpec(name="x", command="succeeds", retries=-1)
        now = site.node.scheduler.clock.now()
        commands = [
            c.UpdateJob(job=JobId("a"), at=now, spec=JobSpec(name="x", command="succeeds"), begun=True),
            c.UpdateJob(job=JobId("b"), at=now, spec=broken),
        ]
        with pytest.raises(Exception, match="not between"):
            await registry._together(commands, "")
        assert site.node.job("a").spec.name == "a job"


async def test_a_long_chain_is_checked_in_one_walk():
    async with serving() as site:
        jobs = {f"j{i:05}": draft(parent_jobs=[f"j{i + 1:05}"], schedule="") for i in range(3_000)}
        plan = await apply(site, {**jobs, "j03000": draft()}, dry_run=True)
        assert plan["counts"]["create"] == 3_001

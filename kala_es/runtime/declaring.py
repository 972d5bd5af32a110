"""Plans what makes jobs as declared: one step a job, the commands for those that change, and all that is refused."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

import trio

from kala_es import limits
from kala_es.domain import commands as c
from kala_es.domain.declared import (
    Declaration,
    Outlook,
    Refused,
    Step,
    command_for,
    no_longer_declared,
    raised,
    step_for,
)
from kala_es.domain.errors import Conflict, Invalid, Overloaded
from kala_es.domain.ids import JobId
from kala_es.domain.job import is_paused_so
from kala_es.domain.model import Job, JobDraft, JobSpec
from kala_es.domain.values import replace
from kala_es.runtime.job_actor import Site

_SLICE = 200
"""So many jobs are looked at before others get their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The steps, in the order of the declaration and then those deleted; and the commands that take them."""

    steps: list[Step]
    commands: list[c.Command]


async def plan_declared(site: Site, declaration: Declaration, refused: Sequence[Refused]) -> Planned:
    """Plan by the state of now. Raises Overloaded when there would be too many jobs."""
    jobs = site.folds.jobs
    gone = no_longer_declared(declaration, jobs.by_id)
    outlook = Outlook(_wanted(site, declaration), gone, (jobs.by_id, jobs.graph))
    faults: dict[JobId, Refused] = {}
    for fault in (*declaration.refused, *refused, *outlook.faults()):
        faults.setdefault(fault.job, fault)
    planned = Planned(steps=[_refusal(f) for f in declaration.refused], commands=[])
    for i, draft in enumerate(declaration.jobs):
        _plan_one(site, (declaration, draft, outlook), planned=planned, faults=faults)
        if i % _SLICE == _SLICE - 1:
            await trio.lowlevel.checkpoint()
    _plan_deletions(site, gone, planned=planned, faults=faults)
    _check_size(site, planned)
    return planned


def _wanted(site: Site, declaration: Declaration) -> dict[JobId, JobSpec]:
    """The definitions that are to be. A job that is there stays as it is unless it is to be replaced."""
    return {
        draft.id: draft.spec
        for draft in declaration.jobs
        if draft.id is not None and (declaration.on_conflict == "replace" or _living(site, draft.id) is None)
    }


def _plan_one(
    site: Site, asked: tuple[Declaration, JobDraft, Outlook], *, planned: Planned, faults: dict[JobId, Refused]
) -> None:
    declaration, draft, outlook = asked
    assert draft.id is not None
    job = _living(site, draft.id)
    children = site.folds.jobs.graph.children(draft.id), outlook.children(draft.id)
    step = step_for(draft, job, children)
    if job is not None and declaration.on_conflict != "replace":
        planned.steps.append(_conflict(declaration, job))
        return
    if step.action == "unchanged" and job is not None and _differs_otherwise(declaration, draft, job):
        step = replace(step, action="change")
    if draft.id in faults:
        planned.steps.append(_refusal(faults[draft.id]))
        return
    try:
        if step.action != "unchanged":
            command = command_for(draft, job, (declaration, site.clock.now()))
            site.decide(job, command)
            planned.commands.append(command)
        planned.steps.append(step)
    except Invalid as error:
        planned.steps.append(_refusal(Refused(job=draft.id, field=error.field, reason=error.reason)))


def _differs_otherwise(declaration: Declaration, draft: JobDraft, job: Job) -> bool:
    """Whether more than its definition is to be another: its pause, or its counters."""
    if draft.pause is not None and not is_paused_so(job, draft.pause):
        return True
    return declaration.raises_counters and raised(job.counters, draft.counters) != job.counters


def _conflict(declaration: Declaration, job: Job) -> Step:
    """What becomes of a job that is there, and that is not to be replaced. Raises Conflict."""
    if declaration.on_conflict == "skip":
        return Step(job=job.id, action="unchanged")
    reason = f"there is a job {job.id!r} already"
    if not declaration.dry_run:
        raise Conflict(reason)
    return _refusal(Refused(job=job.id, field="id", reason=reason))


def _plan_deletions(site: Site, gone: Collection[JobId], *, planned: Planned, faults: dict[JobId, Refused]) -> None:
    for each in gone:
        job = site.folds.jobs.by_id[each]
        before = JobDraft(id=each, spec=job.spec, disabled=job.disabled)
        refused = faults.get(each)
        planned.steps.append(_refusal(refused) if refused else Step(job=each, action="delete", before=before))
        planned.commands.append(c.DeleteJob(job=each, at=site.clock.now()))


def parents_first(commands: Sequence[c.Command]) -> list[c.Command]:
    """The commands, each after those for its job's parents: a child without a parent would go with it."""
    by_job = {command.job: command for command in commands}
    sorter: TopologicalSorter[JobId] = TopologicalSorter()
    for command in commands:
        parents = command.spec.parents or () if isinstance(command, c.CreateJob | c.UpdateJob) else ()
        sorter.add(command.job, *parents)
    changes = [by_job.pop(job) for job in sorter.static_order() if job in by_job]
    deletions = [command for command in changes if isinstance(command, c.DeleteJob)]
    return [command for command in changes if not isinstance(command, c.DeleteJob)] + deletions


def _living(site: Site, job: JobId) -> Job | None:
    state = site.folds.jobs.by_id.get(job)
    return None if state is None or state.deleted else state


def _refusal(fault: Refused) -> Step:
    return Step(job=fault.job, action="refused", refused=fault)


def _check_size(site: Site, planned: Planned) -> None:
    if len(planned.commands) > limits.MAX_BULK_JOBS:
        raise Overloaded(f"more than {limits.MAX_BULK_JOBS} jobs would change at once")
    actions = [step.action for step in planned.steps]
    if site.folds.stats.jobs + actions.count("create") - actions.count("delete") > limits.MAX_JOBS:
        raise Overloaded(f"there would be more than {limits.MAX_JOBS} jobs")


def refuse_any(steps: Sequence[Step]) -> None:
    """Raise Invalid for the first job that is refused, naming it and its field."""
    faults = [step.refused for step in steps if step.refused is not None]
    if faults:
        more = f" (and {len(faults) - 1} more are refused)" if len(faults) > 1 else ""
        raise Invalid(f"jobs.{faults[0].job}.{faults[0].field}".rstrip("."), faults[0].reason + more)

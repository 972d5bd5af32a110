"""Many jobs declared at once: what is to be done so that they are as declared, and what forbids it.

1. A job that is as declared is left alone: no command, no event.
2. What ties jobs together is judged by the state that the whole declaration leads to, so jobs may come in any order.
3. Only jobs that are kept in step from the same place (`managed_by`) are deleted because they are declared no more.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from kala_es.domain import commands as c
from kala_es.domain.errors import Invalid, Overtaken
from kala_es.domain.graph import Graph, edges
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.model import Counters, Job, JobDraft, JobSpec
from kala_es.domain.values import Value, replace

Action = Literal["create", "change", "delete", "unchanged", "refused"]
OnConflict = Literal["fail", "skip", "replace"]
Known = tuple[Mapping[JobId, Job], Graph]


class Refused(Value, frozen=True):
    """A job that cannot be as declared: which field is wrong ("" for the whole), and why."""

    job: JobId
    field: str
    reason: str


class Declaration(Value, frozen=True):
    """Jobs as they are to be. Those `refused` could not be read.

    With `prune`, jobs of the same `managed_by` that are not among them are deleted. With `begun`, the jobs were planned
    elsewhere: of their ticks those that have passed are not answered here, and none starts because it is new.
    `on_conflict` says what becomes of a job that is there already; with `raises_counters` its counters become those
    that are given, where these are higher.
    """

    jobs: tuple[JobDraft, ...]
    refused: tuple[Refused, ...] = ()
    managed_by: str = ""
    prune: bool = False
    begun: bool = False
    dry_run: bool = False
    on_conflict: OnConflict = "replace"
    raises_counters: bool = False


class Step(Value, frozen=True):
    """What becomes of one job. `before` and `after` are its definitions, in the form in which they compare."""

    job: JobId
    action: Action
    before: JobDraft | None = None
    after: JobDraft | None = None
    refused: Refused | None = None


def command_for(draft: JobDraft, job: Job | None, asked: tuple[Declaration, Instant]) -> c.CreateJob | c.UpdateJob:
    """What makes the job as declared. Raises Invalid when it would start merely because it was declared."""
    declaration, at = asked
    assert draft.id is not None
    if job is not None:
        if (
            declaration.begun
            and (job.spec.schedule or job.spec.parents)
            and not (draft.spec.schedule or draft.spec.parents)
        ):
            raise Invalid("schedule", "it has none any more, so it would start at once; edit it here")
        return c.UpdateJob(
            job=draft.id,
            at=at,
            spec=draft.spec,
            disabled=draft.disabled,
            begun=True,
            pause=draft.pause,
            counters=raised(job.counters, draft.counters) if declaration.raises_counters else None,
        )
    return c.CreateJob(
        job=draft.id,
        at=at,
        spec=draft.spec,
        disabled=draft.disabled,
        counters=draft.counters,
        answered=at if declaration.begun else Instant(at - 1),
        pause=draft.pause,
    )


def meant_for(
    command: c.CreateJob | c.UpdateJob, tags: tuple[str, ...] | None, *, unknown: bool = False
) -> c.CreateJob | c.UpdateJob:
    """The command, if the job still has a definition of one of these tags (None: any); or, if `unknown`, if there is
    still no such job."""
    if isinstance(command, c.CreateJob):
        if tags is not None:
            raise Overtaken("the job was deleted meanwhile")
        return replace(command, unknown=unknown)
    if unknown:
        raise Overtaken("there is a job of this id again")
    return replace(command, instead_of=tags)


def raised(counters: Counters, others: Counters) -> Counters:
    """Of each count the higher, of each time the later."""
    pairs = {name: (getattr(counters, name), getattr(others, name)) for name in Counters.__struct_fields__}
    highest: dict[str, Any] = {
        name: max((x for x in pair if x is not None), default=None) for name, pair in pairs.items()
    }
    return Counters(**highest)


def step_for(draft: JobDraft, job: Job | None, children: tuple[Collection[JobId], Collection[JobId]]) -> Step:
    """What is to be done about a job that is wanted; `children` are those that it has, and those that it is to have."""
    assert draft.id is not None
    after = JobDraft(id=draft.id, spec=comparable(draft.spec, children[1]), disabled=draft.disabled)
    if job is None or job.deleted:
        return Step(job=draft.id, action="create", after=after)
    before = JobDraft(id=draft.id, spec=comparable(job.spec, children[0]), disabled=job.disabled)
    return Step(job=draft.id, action="unchanged" if before == after else "change", before=before, after=after)


def comparable(spec: JobSpec, children: Collection[JobId]) -> JobSpec:
    """The definition without what makes no difference: dependents that are children anyway, and empty lists."""
    named = tuple(job for job in spec.dependents or () if job not in children)
    remote = replace(
        spec.remote, headers=spec.remote.headers or None, expected_codes=spec.remote.expected_codes or None
    )
    pairs = {name: tuple(sorted(getattr(spec, name))) for name in ("env", "labels", "tags")}
    return replace(spec, dependents=named or None, parents=spec.parents or None, remote=remote, **pairs)


def no_longer_declared(declaration: Declaration, jobs: Mapping[JobId, Job]) -> list[JobId]:
    """The jobs to delete, in the order in which they came."""
    if not declaration.prune:
        return []
    named = {draft.id for draft in declaration.jobs} | {refused.job for refused in declaration.refused}
    return [
        job.id
        for job in jobs.values()
        if job.spec.managed_by == declaration.managed_by and job.id not in named and not job.deleted
    ]


class Outlook:
    """The jobs and their ties as they are to be: those `wanted`, without those `gone`, beside all others."""

    def __init__(self, wanted: Mapping[JobId, JobSpec], gone: Collection[JobId], known: Known) -> None:
        self._wanted = wanted
        self._gone = frozenset(gone)
        self._jobs, self._graph = known
        self._new_children: dict[JobId, list[JobId]] = {}
        for job, spec in wanted.items():
            for parent in spec.parents or ():
                self._new_children.setdefault(parent, []).append(job)

    def children(self, job: JobId) -> tuple[JobId, ...]:
        """The jobs that are to have `job` as a parent."""
        return (*self._others(job), *self._new_children.get(job, ()))

    def _others(self, job: JobId) -> list[JobId]:
        """Its children that nobody declared."""
        return [c for c in self._graph.children(job) if c not in self._wanted and c not in self._gone]

    def _exists(self, job: JobId) -> bool:
        state = self._jobs.get(job)
        return job in self._wanted or (state is not None and not state.deleted and job not in self._gone)

    def faults(self) -> Iterator[Refused]:
        """What forbids it: unknown parents, ties to itself, cycles, and children that would go with a parent."""
        for job in self._gone:
            for child in self._others(job):
                yield Refused(
                    job=job, field="", reason=f"it would be deleted, but is a parent of {child!r}, which is not"
                )
        for job, spec in self._wanted.items():
            yield from self._own_faults(job, spec)
        for cycle in _cycles(self._wanted, self._following):
            yield self._closing(cycle)

    def _own_faults(self, job: JobId, spec: JobSpec) -> Iterator[Refused]:
        for parent in spec.parents or ():
            if not self._exists(parent):
                yield Refused(job=job, field="parent_jobs", reason=f"there is no job {parent!r}")
        if spec.bounds.ephemeral and self.children(job):
            reason = "it is deleted when it succeeds, so its children would never run"
            yield Refused(job=job, field="ephemeral", reason=reason)

    def _following(self, job: JobId) -> Iterable[JobId]:
        state = self._jobs.get(job)
        spec = self._wanted.get(job) or (state.spec if state is not None and job not in self._gone else None)
        return (*(edges(spec) if spec else ()), *self.children(job))

    def _closing(self, cycle: Sequence[JobId]) -> Refused:
        """A cycle is the fault of the first declared job in it."""
        place = next(i for i, job in enumerate(cycle) if job in self._wanted)
        job, after = cycle[place], cycle[(place + 1) % len(cycle)]
        spec = self._wanted[job]
        field = "dependent_jobs" if after in (spec.dependents or ()) else "parent_jobs"
        field = "on_failure_job" if after == spec.on_failure_job else field
        return Refused(job=job, field=field, reason=f"the job {job!r} would start itself again, through {after!r}")


def _cycles(starts: Iterable[JobId], following: Callable[[JobId], Iterable[JobId]]) -> Iterator[list[JobId]]:
    """Cycles that can be reached, each job looked at once: as many as break all of them."""
    done: set[JobId] = set()
    for start in starts:
        path: dict[JobId, Iterator[JobId]] = {} if start in done else {start: iter(following(start))}
        while path:
            here = next(reversed(path))
            after = next(path[here], None)
            if after is None:
                del path[here]
                done.add(here)
            elif after in path:
                around = list(path)
                yield around[around.index(after) :]
            elif after not in done:
                path[after] = iter(following(after))

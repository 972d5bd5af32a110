"""Which job's end starts which other job: parents, dependents and failure handlers, without cycles.

A child's parents may not be unknown; a failure handler and a named dependent may be, as they may come later.
"""

from collections.abc import Iterable, Mapping

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import JobId
from kala_es.domain.model import Job, JobSpec


def edges(spec: JobSpec) -> tuple[JobId, ...]:
    """The jobs that this definition names as started by its job's end."""
    handler = (spec.on_failure_job,) if spec.on_failure_job else ()
    return (*(spec.dependents or ()), *handler)


def has_edges(spec: JobSpec) -> bool:
    """Whether the definition ties its job to others."""
    return bool(spec.parents or edges(spec))


class Graph:
    """The children of each job, in the order in which they came; a fold of definitions."""

    def __init__(self) -> None:
        self._children: dict[JobId, dict[JobId, None]] = {}
        self._named: dict[JobId, dict[JobId, None]] = {}

    def change(self, job: JobId, old: JobSpec | None, new: JobSpec | None) -> None:
        """Follow a job's definition; None when there is none before or after."""
        before, after = (old.parents or () if old else ()), (new.parents or () if new else ())
        if before != after:
            _relink(self._children, job, (before, after))
        named = (edges(old) if old else ()), (edges(new) if new else ())
        if named[0] != named[1]:
            _relink(self._named, job, named)

    def children(self, job: JobId) -> tuple[JobId, ...]:
        """The jobs that name `job` as a parent, first come first."""
        return tuple(self._children.get(job, ()))

    def named_by(self, job: JobId) -> tuple[JobId, ...]:
        """The jobs that name `job` as a dependent or as their failure handler, first come first."""
        return tuple(self._named.get(job, ()))

    def family(self, job: JobId) -> set[JobId]:
        """The job, its children, theirs, and so on."""
        found, waiting = {job}, [job]
        while waiting:
            fresh = set(self.children(waiting.pop())) - found
            found |= fresh
            waiting += fresh
        return found

    def dump(self) -> list[dict[str, list[str]]]:
        """The graph as plain values."""
        return [{job: list(others) for job, others in index.items()} for index in (self._children, self._named)]

    def load(self, plain: list[dict[str, list[str]]]) -> None:
        """The reverse of `dump`."""
        self._children, self._named = (
            {JobId(job): dict.fromkeys(JobId(o) for o in others) for job, others in index.items()} for index in plain
        )


def _relink(index: dict[JobId, dict[JobId, None]], job: JobId, change: tuple[Iterable[JobId], Iterable[JobId]]) -> None:
    before, after = change
    kept = set(after)
    for other in before:
        if other not in kept and other in index:
            index[other].pop(job, None)
            if not index[other]:
                del index[other]
    for other in after:
        index.setdefault(other, {})[job] = None


def dependents(job: Job, graph: Graph) -> tuple[JobId, ...]:
    """The jobs that run after `job` succeeded: those it names, then its children, first come first."""
    named, children = job.spec.dependents, graph.children(job.id)
    return tuple(dict.fromkeys((*named, *children))) if named else children


def check_links(job: JobId, spec: JobSpec, known: tuple[Mapping[JobId, Job], Graph]) -> None:
    """Raise Invalid when a parent is unknown or the definition would close a cycle."""
    jobs, _ = known
    for parent in spec.parents or ():
        if parent == job:
            raise Invalid("parent_jobs", f"the job {job!r} cannot be its own parent")
        if parent not in jobs or jobs[parent].deleted:
            raise Invalid("parent_jobs", f"there is no job {parent!r}")
        if jobs[parent].spec.bounds.ephemeral:
            raise Invalid("parent_jobs", f"the job {parent!r} is ephemeral: it is deleted when it succeeds")
    if job == spec.on_failure_job:
        raise Invalid("on_failure_job", f"the job {job!r} cannot be its own failure handler")
    if job in (spec.dependents or ()):
        raise Invalid("dependent_jobs", f"the job {job!r} cannot depend on itself")
    if spec.bounds.ephemeral and known[1].children(job):
        raise Invalid("ephemeral", "it is deleted when it succeeds, so its children would never run")
    _refuse_cycle(job, spec, known)


def _refuse_cycle(job: JobId, spec: JobSpec, known: tuple[Mapping[JobId, Job], Graph]) -> None:
    """Walk all that would follow the job's end; meeting the job or one of its parents closes a cycle.

    What the graph says of the job's own parents is what the definition replaces.
    """
    jobs, graph = known
    parents = set(spec.parents or ())
    field = "parent_jobs" if parents else "dependent_jobs" if spec.dependents else "on_failure_job"
    waiting = [*edges(spec), *graph.children(job)]
    seen = set(waiting)
    while waiting:
        here = waiting.pop()
        if here == job or here in parents:
            raise Invalid(field, f"the job {job!r} would start itself again, through {here!r}")
        state = jobs.get(here)
        following = (*(c for c in graph.children(here) if c != job), *(edges(state.spec) if state else ()))
        for other in following:
            if other not in seen:
                seen.add(other)
                waiting.append(other)

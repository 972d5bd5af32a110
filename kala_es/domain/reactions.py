"""Facts across jobs: what one run's end makes others do. A process manager, folded from the log.

A root run (a tick's, a manual one) and all that its end causes form a tree. A tree is carried out depth first,
one run at a time, dependents in the order in which they came:
    success     its dependents are next, in front of those that already wait
    failure     its failure handler is next; its own dependents do not run
    skipped     its failure handler is next when it was disabled (as NextKala does); nothing follows otherwise
A child of several parents is due when each has ended at least once since it was last due, and the newest end of
each was a success; `dependency_policy: any` makes it due after each success.

A step whose job has to wait for the end of another run (its overlap is `queue` or `replace`) stays due, and is asked
for again at each such end.

The state says which command is outstanding (`Tree.current` not yet started), so a restart repeats exactly that:
its run id is derived from its cause, and the child's actor recognises a repetition.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kala_es.domain import events as e
from kala_es.domain.commands import ForgetParent, StartRun
from kala_es.domain.graph import Graph, dependents
from kala_es.domain.ids import Instant, JobId, RunId, run_after
from kala_es.domain.model import Cause, Job, JobSpec
from kala_es.domain.starts import lets_wait
from kala_es.domain.values import Value, replace


class Step(Value, frozen=True):
    """A run of a tree: due, or under way."""

    job: JobId
    run: RunId
    cause: Cause
    after: RunId | None


class Tree(Value, frozen=True):
    """A root run's unfinished business. `started` tells whether `current` is in flight or still to be asked for."""

    current: Step | None
    started: bool
    waiting: tuple[Step, ...] = ()


@dataclass(slots=True)
class Trees:
    """The fold: open trees by root run, and what each child of several parents has seen of them."""

    open: dict[RunId, Tree] = field(default_factory=dict)
    joins: dict[JobId, dict[JobId, bool]] = field(default_factory=dict)


Known = tuple[Mapping[JobId, Job], Graph]
"""The jobs and their graph as they are when the event has been folded."""


Reaction = StartRun | ForgetParent


def react(trees: Trees, event: e.Event, known: Known) -> tuple[Reaction, ...]:
    """Fold one event, and name the commands that it makes due."""
    match event:
        case e.RunStarted():
            return _started(trees, event)
        case e.RunFinished():
            return (*_advance(trees, event, _after_end(trees, event, known)), *_waiting(trees, event, known))
        case e.RunSkipped():
            refused = event.reason == "disabled" and event.tick is None
            return _advance(trees, event, _handler(event, known) if refused else ())
        case e.JobDeleted():
            return (*_forget(trees, event), *_orphans(event, known))
        case e.JobCreated() | e.JobUpdated():
            trees.joins.pop(event.job, None)  # its parents may be others now: a new round
            waiting = _waiting(trees, event, known) if isinstance(event, e.JobUpdated) else ()
            return (*_lost_parents(event.job, event.spec, (known, event.at)), *waiting)
        case _:
            return ()


def outstanding(trees: Trees, known: Known, at: Instant) -> Iterator[Reaction]:
    """The commands that were due when the log ended and are not answered in it: to be repeated at start-up."""
    for root, tree in trees.open.items():
        yield from _ask(root, tree, at)
    for job in known[0].values():
        if not job.deleted:
            yield from _lost_parents(job.id, job.spec, (known, at))


def is_due(trees: Trees, command: StartRun) -> bool:
    """Whether a run is still to be started. One that another's end causes may be asked for again, by a restart or after
    a bug, when it has been started, and has ended, meanwhile."""
    if command.after is None:
        return True
    tree = trees.open.get(command.root)
    return tree is not None and tree.current is not None and tree.current.run == command.run and not tree.started


def _lost_parents(job: JobId, spec: JobSpec, now: tuple[Known, Instant]) -> Iterator[ForgetParent]:
    """A parent may be deleted while its child is being made."""
    (jobs, _), at = now
    for parent in spec.parents or ():
        if parent not in jobs or jobs[parent].deleted:
            yield ForgetParent(job=job, at=at, parent=parent)


def _ask(root: RunId, tree: Tree, at: Instant) -> tuple[StartRun, ...]:
    step = tree.current
    if step is None or tree.started:
        return ()
    return (StartRun(job=step.job, at=at, run=step.run, cause=step.cause, root=root, after=step.after),)


def _waiting(trees: Trees, event: e.RunFinished | e.JobUpdated, known: Known) -> tuple[StartRun, ...]:
    """The job's steps that may have waited for this, by its overlap (starts.py). To ask once more does no harm."""
    job = known[0].get(event.job)
    if job is None or (not lets_wait(job) and isinstance(event, e.RunFinished)):
        return ()
    due = [root for root, tree in trees.open.items() if tree.current is not None and tree.current.job == event.job]
    return tuple(ask for root in due for ask in _ask(root, trees.open[root], event.at))


def _orphans(event: e.JobDeleted, known: Known) -> tuple[ForgetParent, ...]:
    _, graph = known
    return tuple(ForgetParent(job=c, at=event.at, parent=event.job) for c in graph.children(event.job))


def _started(trees: Trees, event: e.RunStarted) -> tuple[Reaction, ...]:
    tree = trees.open.get(event.root)
    step = Step(job=event.job, run=event.run, cause=event.cause, after=event.after)
    trees.open[event.root] = Tree(current=step, started=True, waiting=tree.waiting if tree else ())
    return ()


def _advance(trees: Trees, end: e.RunFinished | e.RunSkipped, steps: tuple[Step, ...]) -> tuple[Reaction, ...]:
    """A run of the tree is over, and `steps` follow it."""
    tree = trees.open.get(end.root)
    waiting = (*steps, *(tree.waiting if tree else ()))
    if tree is not None and tree.current is not None and tree.current.run != end.run:
        trees.open[end.root] = replace(tree, waiting=waiting)
        return ()
    return _next(trees, end.root, (waiting, end.at))


def _next(trees: Trees, root: RunId, due: tuple[tuple[Step, ...], Instant]) -> tuple[Reaction, ...]:
    waiting, at = due
    if not waiting:
        trees.open.pop(root, None)
        return ()
    tree = trees.open[root] = Tree(current=waiting[0], started=False, waiting=waiting[1:])
    return _ask(root, tree, at)


def _after_end(trees: Trees, event: e.RunFinished, known: Known) -> tuple[Step, ...]:
    jobs, graph = known
    job = jobs.get(event.job)
    succeeded = event.outcome == "succeeded"
    if job is None or job.deleted:
        return ()
    due = [
        Step(job=child, run=run_after(event.run, child, "parent"), cause="parent", after=event.run)
        for child in dependents(job, graph)
        if _is_there(jobs, child) and _is_due(trees, jobs[child], (job.id, succeeded))
    ]
    return tuple(due) if succeeded else (*due, *_handler(event, known))


def _is_there(jobs: Mapping[JobId, Job], job: JobId) -> bool:
    """A deleted job whose run is in flight is there no more."""
    return job in jobs and not jobs[job].deleted


def _is_due(trees: Trees, child: Job, end: tuple[JobId, bool]) -> bool:
    """Note a parent's end; tell whether it makes the child due."""
    parent, succeeded = end
    parents = child.spec.parents or ()
    if child.spec.dependency_policy == "any" or len(parents) < 2 or parent not in parents:
        return succeeded
    seen = trees.joins.setdefault(child.id, {})
    seen[parent] = succeeded
    if not all(seen.get(p) for p in parents):
        return False
    del trees.joins[child.id]
    return True


def _handler(event: e.RunFinished | e.RunSkipped, known: Known) -> tuple[Step, ...]:
    jobs, _ = known
    job = jobs.get(event.job)
    handler = job.spec.on_failure_job if job else JobId("")
    if not handler or not _is_there(jobs, handler):
        return ()
    run = run_after(event.run, handler, "on-failure")
    return (Step(job=handler, run=run, cause="on-failure", after=event.run),)


def _forget(trees: Trees, event: e.JobDeleted) -> tuple[Reaction, ...]:
    """A deleted job's steps never start; those in flight end by themselves."""
    trees.joins.pop(event.job, None)
    for seen in trees.joins.values():
        seen.pop(event.job, None)
    reactions: list[Reaction] = []
    for root, tree in list(trees.open.items()):
        waiting = tuple(s for s in tree.waiting if s.job != event.job)
        if tree.current is not None and not tree.started and tree.current.job == event.job:
            reactions += _next(trees, root, (waiting, event.at))
        elif len(waiting) != len(tree.waiting):
            trees.open[root] = replace(tree, waiting=waiting)
    return tuple(reactions)

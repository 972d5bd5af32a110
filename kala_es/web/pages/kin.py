"""A job's place among others: which jobs' ends start it, which its end starts, and theirs, as a drawing in columns.

1. An edge points from the job whose end starts the other one, and always to the right: what starts the job is on its
   left, what it starts on its right, each in the column after the last of those that it comes after.
2. Cycles are refused (domain/graph.py). Should an old log have one, a job is drawn once, where it was met first.
3. So many jobs are drawn as MAX_GRAPH_JOBS says, the nearest first, and so many edges as MAX_GRAPH_EDGES
   says; `more` says that there are others.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Literal

from kala_es import limits
from kala_es.domain.graph import dependents
from kala_es.domain.ids import JobId
from kala_es.projections.jobs import Jobs
from kala_es.web.pages.words import json_text, short, weight

Tie = Literal["success", "failure"]

LISTED: Final = 50
"""Jobs that start a job, or that it starts, which are named on its page; the others are counted."""
GOING: Final = 100
"""The same of those that go when it is deleted..."""
GOING_BYTES: Final = 50_000
"""...and what the names of all of these take of a page at most."""
WIDTH: Final = 200
HEIGHT: Final = 46
_BETWEEN: Final = 64
_BELOW: Final = 14
_MARGIN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`start`'s success or failure starts `end`."""

    start: JobId
    end: JobId
    tie: Tie


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where a job is drawn: its upper left corner."""

    job: JobId
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """The boxes, and a path for each edge."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[Edge, str], ...]
    width: int
    height: int
    more: bool


def starts(jobs: Jobs, job: JobId) -> tuple[Edge, ...]:
    """The edges to the jobs that this one's end starts."""
    state = jobs.get(job)
    if state is None:
        return ()
    found = [Edge(start=job, end=each, tie="success") for each in dependents(state, jobs.graph)]
    if state.spec.on_failure_job:
        found.append(Edge(start=job, end=state.spec.on_failure_job, tie="failure"))
    return tuple(found)


def started_by(jobs: Jobs, job: JobId) -> tuple[Edge, ...]:
    """The edges from the jobs whose end starts this one."""
    state = jobs.get(job)
    parents = (state.spec.parents or ()) if state else ()
    known = dict.fromkeys((*parents, *jobs.graph.named_by(job)))
    return tuple(edge for each in known for edge in starts(jobs, each) if edge.end == job)


def draw(jobs: Jobs, job: JobId) -> Drawing:
    """The job and those that are tied to it, as far as there is room."""
    left, more_left = _reached(job, lambda each: [edge.start for edge in started_by(jobs, each)])
    right, more_right = _reached(job, lambda each: [edge.end for edge in starts(jobs, each)])
    shown = {**left, **right}
    edges = [edge for each in shown for edge in starts(jobs, each) if edge.end in shown]
    columns = _columns(job, (left, right), edges)
    boxes = {box.job: box for box in _placed(columns)}
    return Drawing(
        boxes=tuple(boxes.values()),
        edges=tuple((edge, _path(boxes[edge.start], boxes[edge.end])) for edge in edges[: limits.MAX_GRAPH_EDGES]),
        width=max(box.x for box in boxes.values()) + WIDTH + _MARGIN,
        height=max(box.y for box in boxes.values()) + HEIGHT + _MARGIN,
        more=more_left or more_right or len(edges) > limits.MAX_GRAPH_EDGES,
    )


def _reached(job: JobId, following: Callable[[JobId], Iterable[JobId]]) -> tuple[dict[JobId, None], bool]:
    """The job and all that is reached from it, the nearest first; and whether there was no room for some."""
    found: dict[JobId, None] = {job: None}
    here = [job]
    while here:
        following_here = [each for known in here for each in following(known)]
        here = [each for each in dict.fromkeys(following_here) if each not in found]
        room = limits.MAX_GRAPH_JOBS // 2 - len(found)
        if len(here) > room:
            return found | dict.fromkeys(here[:room]), True
        found |= dict.fromkeys(here)
    return found, False


def _columns(job: JobId, sides: tuple[dict[JobId, None], dict[JobId, None]], edges: Iterable[Edge]) -> dict[JobId, int]:
    """A column for each job: 0 for the one in question, less on the left, more on the right."""
    left, right = sides
    columns: dict[JobId, int] = {}
    for side, sign in ((left, -1), (right, 1)):
        ways = [(e.start, e.end) if sign > 0 else (e.end, e.start) for e in edges if e.start in side and e.end in side]
        for each, distance in _farthest(job, side, ways).items():
            columns.setdefault(each, sign * distance)
    return columns


def _farthest(job: JobId, side: dict[JobId, None], ways: list[tuple[JobId, JobId]]) -> dict[JobId, int]:
    """How many steps each job is away by its longest way; as many rounds as there are jobs will do."""
    distance = {each: 0 if each == job else 1 for each in side}
    for _ in side:
        longer = {end: distance[start] + 1 for start, end in ways if distance[end] <= distance[start] and end != job}
        if not longer:
            break
        distance |= longer
    return distance


def _placed(columns: dict[JobId, int]) -> Iterable[Box]:
    """The boxes, each column in the middle of the height."""
    first = min(columns.values())
    by_column: dict[int, list[JobId]] = {}
    for job, column in columns.items():
        by_column.setdefault(column - first, []).append(job)
    tallest = max(map(len, by_column.values()))
    order = sorted(set(by_column))
    for place, column in enumerate(order):
        jobs = by_column[column]
        above = (tallest - len(jobs)) * (HEIGHT + _BELOW) // 2
        for row, job in enumerate(jobs):
            y = _MARGIN + above + row * (HEIGHT + _BELOW)
            yield Box(job=job, x=_MARGIN + place * (WIDTH + _BETWEEN), y=y)


def _path(start: Box, end: Box) -> str:
    """From the right side of one box to the left side of another."""
    x, y = start.x + WIDTH, start.y + HEIGHT // 2
    to_x, to_y = end.x - 7, end.y + HEIGHT // 2
    bend = max((to_x - x) // 2, _BETWEEN // 3)
    return f"M{x} {y}C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"


def doomed(jobs: Jobs, job: JobId) -> tuple[JobId, ...]:
    """The jobs that go when this one is deleted: children whose parents all go. The job itself is not among them."""
    gone = {job: None}
    waiting = [job]
    while waiting:
        for child in jobs.graph.children(waiting.pop()):
            state = jobs.get(child)
            if child not in gone and state is not None and all(each in gone for each in state.spec.parents or ()):
                gone[child] = None
                waiting.append(child)
    return tuple(each for each in gone if each != job)


def going_with(jobs: Jobs, listed: Iterable[JobId]) -> dict[JobId, dict[str, Any]]:
    """For a script, who goes with each of some jobs when it is deleted: how many they are, and the first of them, as
    far as there is room; and how many stay without a parent that goes. Jobs that matter to no other are left out."""
    told: dict[JobId, dict[str, Any]] = {}
    room = GOING_BYTES
    for job in listed:
        found = doomed(jobs, job)
        named = [{"id": each, "name": _name(jobs, each)} for each in found[:GOING]]
        weights = accumulate(weight(json_text(each)) for each in named)
        fitting = [(each, so_far) for each, so_far in zip(named, weights, strict=True) if so_far <= room]
        room -= fitting[-1][1] if fitting else 0
        gone = {job, *found}
        losing = {child for each in gone for child in jobs.graph.children(each)} - gone
        if found or losing:
            told[job] = {"count": len(found), "jobs": [each for each, _ in fitting], "losing": len(losing)}
    return told


def _name(jobs: Jobs, job: JobId) -> str:
    state = jobs.get(job)
    return short(state.spec.name if state else job)

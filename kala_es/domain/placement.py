"""Which jobs a node may run: those all of whose tags it has.

1. `tags` of a job may bound the number of nodes, `web:2`; with one node that makes no difference.
2. What would start a run of another job is a run that is skipped, with the reason. A start by hand is refused, unless
   it is forced.
"""

import re
from collections.abc import Callable
from typing import Final

from kala_es.domain import events as e
from kala_es.domain.commands import Command, StartRun
from kala_es.domain.errors import Conflict
from kala_es.domain.labels import Labels, has_all
from kala_es.domain.model import Job, JobSpec
from kala_es.domain.starts import skip

Decide = Callable[[Job | None, Command], tuple[e.JobEvent, ...]]
_AT_MOST: Final = re.compile(r"(.*):[0-9]+", re.DOTALL)


def fits(spec: JobSpec, tags: Labels) -> bool:
    """Whether a node with these tags may run the job."""
    return not spec.tags or has_all(tags, ((key, _value(value)) for key, value in spec.tags))


def _value(text: str) -> str:
    match = _AT_MOST.fullmatch(text)
    return match[1] if match else text


def placed(decide: Decide, tags: Labels) -> Decide:
    """Decide as a node with these tags does."""

    def decided(job: Job | None, command: Command) -> tuple[e.JobEvent, ...]:
        forced = isinstance(command, StartRun) and command.force
        if job is None or forced or fits(job.spec, tags):
            return decide(job, command)
        events = decide(job, command)
        if isinstance(command, StartRun) and command.cause == "manual" and events:
            wanted = ", ".join(f"{key}={value}" for key, value in job.spec.tags)
            raise Conflict(f"this node has not all tags of the job {job.id!r}: {wanted}")
        return tuple(_skipped(job, event) if isinstance(event, e.RunStarted) else event for event in events)

    return decided


def _skipped(job: Job, event: e.RunStarted) -> e.RunSkipped:
    asked = StartRun(job=event.job, at=event.at, run=event.run, cause=event.cause, root=event.root, after=event.after)
    return skip(job, asked, "no node has its tags", tick=event.tick)

"""The jobs of an archive, as they were at its end: definitions, whether they are disabled, and their pauses; no runs.

As a program, `python -m kala_es.replay.jobs_of`, it reads the archive from its standard input and writes them to its
standard output, as CBOR. An archive that is refused is told by a sentence on standard error, and 5.
"""

import sys
from typing import Any, Final

import cbor2

from kala_es import archive, limits
from kala_es.domain.changes import CHANGES, ChangeEvent
from kala_es.domain.ids import JobId
from kala_es.domain.model import Job, JobDraft, JobSpec
from kala_es.domain.tick_policy import Pause
from kala_es.domain.values import from_plain, to_plain
from kala_es.event_log import LogError, Record
from kala_es.projections.jobs import Jobs
from kala_es.replay.archived import events_in

REFUSED_EXIT: Final = 5
"""Python ends with 1 where it fails for its own reasons."""


def jobs_of(file: archive.Source) -> list[Job]:
    """The jobs, in order of id. Raises ArchiveRefused, LogError."""
    found = _Found()
    for part, _ in archive.check(file):
        if isinstance(part, archive.Header) and part.after:
            raise LogError(f"The archive goes on after position {part.after}: it does not say which jobs there were.")
        if isinstance(part, archive.Block):
            found.fold(part)
    return list(found.jobs.after(""))


class _Found:
    """The jobs as far as an archive is read. What their definitions take is known, about, and has a limit."""

    def __init__(self) -> None:
        self.jobs = Jobs()
        self._sizes: dict[JobId, int] = {}
        self._size = 0

    def fold(self, block: archive.Block) -> None:
        """Read on. Raises LogError."""
        for record, event in events_in(block):
            if isinstance(event, CHANGES):
                self._change(record, event)

    def _change(self, record: Record, event: ChangeEvent) -> None:
        self.jobs.apply(event)
        before = self._sizes.pop(event.job, 0)
        if event.job in self.jobs.by_id:
            self._sizes[event.job] = max(before, len(record.body))
        self._size += self._sizes.get(event.job, 0) - before
        if self._size > limits.MAX_IMPORT_BYTES:
            raise LogError(f"At position {record.position} the jobs take more than {limits.MAX_IMPORT_BYTES} bytes.")


def dump(jobs: list[Job]) -> bytes:
    """As a program gives them. Raises LogError when they are too many, or too large, for one request."""
    if len(jobs) > limits.MAX_BULK_JOBS:
        raise LogError(
            f"There are {len(jobs)} jobs in the archive; at most {limits.MAX_BULK_JOBS} are taken in at once."
        )
    content = cbor2.dumps(
        [[job.id, to_plain(job.spec), job.disabled, job.pause and to_plain(job.pause)] for job in jobs]
    )
    if len(content) > limits.MAX_BULK_BODY_BYTES:
        most = limits.MAX_BULK_BODY_BYTES
        raise LogError(f"The jobs in the archive take {len(content)} bytes; at most {most} are taken in at once.")
    return content


def load(content: bytes) -> tuple[JobDraft, ...]:
    """What `dump` gave, as drafts."""
    return tuple(map(_draft, cbor2.loads(content)))


def _draft(plain: tuple[str, dict[str, Any], bool, dict[str, Any] | None]) -> JobDraft:
    job, spec, disabled, pause = plain
    paused = None if pause is None else from_plain(Pause, pause)
    return JobDraft(id=JobId(job), spec=from_plain(JobSpec, spec), disabled=disabled, pause=paused)


def main() -> int:
    """Read an archive, write its jobs; the exit code."""
    try:
        content = dump(jobs_of(sys.stdin.buffer))
    except (archive.ArchiveRefused, LogError) as error:
        print(error, file=sys.stderr)
        return REFUSED_EXIT
    sys.stdout.buffer.write(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())

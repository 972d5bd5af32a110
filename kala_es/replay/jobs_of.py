"""The jobs of an archive, as they were at its end: definitions, whether they are disabled, and their pauses; no runs.

As a program, `python -m kala_es.replay.jobs_of`, it reads the archive from its standard input and writes them to its
standard output, as CBOR. It fails with a sentence on standard error, and 1.
"""

import sys
from typing import Any

import cbor2

from kala_es import archive
from kala_es.domain.changes import CHANGE_NAMES, CHANGES
from kala_es.domain.ids import JobId
from kala_es.domain.model import Job, JobDraft, JobSpec
from kala_es.domain.tick_policy import Pause
from kala_es.domain.values import from_plain, to_plain
from kala_es.event_log import LogError, Record
from kala_es.projections.jobs import Jobs
from kala_es.replay.fold_check import decoded


def jobs_of(file: archive.Source) -> list[Job]:
    """The jobs, in order of id. Raises ArchiveRefused, LogError."""
    jobs = Jobs()
    for part, _ in archive.check(file):
        if isinstance(part, archive.Header) and part.after:
            raise LogError(f"The archive goes on after position {part.after}: it does not say which jobs there were.")
        if isinstance(part, archive.Block):
            _fold(jobs, part)
    return list(jobs.after(""))


def _fold(jobs: Jobs, block: archive.Block) -> None:
    position = block.first
    for item in block.items:
        if isinstance(item, bytes):
            row = cbor2.loads(item)
            event = decoded(Record(position, *row)) if row[1] in CHANGE_NAMES else None
            if isinstance(event, CHANGES):
                jobs.apply(event)
        position += 1 if isinstance(item, bytes) else item[0]


def dump(jobs: list[Job]) -> bytes:
    """As a program gives them."""
    return cbor2.dumps([[job.id, to_plain(job.spec), job.disabled, job.pause and to_plain(job.pause)] for job in jobs])


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
        jobs = jobs_of(sys.stdin.buffer)
    except (archive.ArchiveRefused, LogError) as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.buffer.write(dump(jobs))
    return 0


if __name__ == "__main__":
    sys.exit(main())

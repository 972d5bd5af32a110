"""What was made of an archive that becomes the log, as an answer says it."""

from typing import Protocol

from kala_es.dialects.go_json import dumps


class MadeView(Protocol):
    """A log that was made of an archive."""

    @property
    def position(self) -> int:
        """Its last position."""

    @property
    def digest(self) -> bytes:
        """Its digest there."""

    @property
    def records(self) -> int:
        """How many records it has."""

    @property
    def erased(self) -> int:
        """How many positions have none."""

    @property
    def output(self) -> bool:
        """Whether no output of runs was left out."""

    @property
    def jobs(self) -> int:
        """How many jobs there are."""


def log_json(made: MadeView, *, dry_run: bool) -> bytes:
    """What became of the log, or would."""
    log = {
        "position": made.position,
        "digest": made.digest.hex(),
        "records": made.records,
        "erased": made.erased,
        "output": made.output,
        "jobs": made.jobs,
    }
    return dumps({"dry_run": dry_run, "log": log})

"""What comes from another scheduler: its jobs as declarations, and what of them could not be carried over."""

from dataclasses import dataclass, field
from typing import Any

from kala_es.dialects.go_json import MAX_INTEGER
from kala_es.domain.errors import Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What is to be said of a job's field, "" for the whole job."""

    job: str
    field: str
    reason: str


@dataclass(slots=True)
class Coming:
    """Jobs by id in the form that is applied, `metadata` with their counters included; notes say what is different
    from now on, `refused` which jobs cannot be taken."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[Remark] = field(default_factory=list)
    refused: list[Remark] = field(default_factory=list)

    def note(self, job: str, key: str, reason: str) -> None:
        """Say something of a job that is taken."""
        self.notes.append(Remark(job=job, field=key, reason=reason))

    def refuse(self, job: str, error: Invalid) -> None:
        """Say why a job is not taken."""
        self.refused.append(Remark(job=job, field=error.field, reason=error.reason))


def text_of(job: dict[str, Any], key: str) -> str:
    """A text of a job, "" if it is not given. Raises Invalid."""
    value = job.get(key)
    if value is not None and type(value) is not str:
        raise Invalid(key, "must be text")
    return value or ""


def count_of(job: dict[str, Any], key: str) -> int:
    """A count of a job, 0 if it is not given. Raises Invalid."""
    value = job.get(key)
    if value is not None and (type(value) is not int or not 0 <= value <= MAX_INTEGER):
        raise Invalid(key, "must be a whole number, 0 or more")
    return value or 0


def texts_of(job: dict[str, Any], key: str) -> dict[str, str]:
    """A map of texts of a job, empty if it is not given. Raises Invalid."""
    value = job.get(key) or {}
    if type(value) is not dict or any(type(item) is not str for item in value.values()):
        raise Invalid(key, "must be a map of texts")
    return value

"""What a job's definition is known by, so that a client can say which one it means to replace; and ids nobody can use.

A tag stands for the definition and whether it is disabled, not for what the job does meanwhile. It is the same as long
as these are, whoever asks; another version of the server may have another one for it, and then refuses once too often.
"""

from collections.abc import Collection
from hashlib import blake2b
from typing import Final

from kala_es.domain.errors import Invalid, Overtaken
from kala_es.domain.ids import JobId
from kala_es.domain.model import Job, JobDraft, JobSpec
from kala_es.domain.values import pack

UNNAMEABLE: Final = frozenset({".", ".."})
"""Ids that no address can mean: clients take them for this folder and the one above, however they are quoted."""


def tag_of(spec: JobSpec, *, disabled: bool) -> str:
    """The tag."""
    return blake2b(pack(JobDraft(spec=spec, disabled=disabled)), digest_size=16).hexdigest()


def check_unchanged(job: Job, tags: Collection[str]) -> None:
    """Raise Overtaken unless one of the tags is that of the job's present definition."""
    if tag_of(job.spec, disabled=job.disabled) not in tags:
        raise Overtaken("the job was changed meanwhile; it has another definition than the one to be replaced")


def check_id(job: JobId) -> None:
    """Raise Invalid when a job of this id could not be addressed."""
    if job in UNNAMEABLE:
        raise Invalid("id", f"{job!r} cannot be a job's id: in an address it means something else")

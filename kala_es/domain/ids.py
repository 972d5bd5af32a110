"""Names of things, and ids that are derived from their cause so that a repeated command is recognised."""

from hashlib import sha1
from typing import Final, NewType
from uuid import UUID

JobId = NewType("JobId", str)
RunId = NewType("RunId", str)
Instant = NewType("Instant", int)
"""A moment: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted."""
Micros = NewType("Micros", int)
"""A length of time in microseconds."""

SECOND = Micros(1_000_000)
_RUNS: Final = UUID("6f1e1f0a-52f5-4c36-9c6e-3a2f1f0e5a01").bytes


def run_for_tick(job: JobId, planned: Instant, tick: Instant) -> RunId:
    """The run that answers a tick of the job's schedule that was set at `planned`."""
    return RunId(_derived(f"tick {planned} {tick} {job}"))


def run_made_up(job: JobId, planned: Instant, tick: Instant) -> RunId:
    """The run that makes up such a tick, which was skipped at its time."""
    return RunId(_derived(f"made up {planned} {tick} {job}"))


def run_after(run: RunId, job: JobId, cause: str) -> RunId:
    """The run of `job` that `run`'s end causes."""
    return RunId(_derived(f"{cause} {run} {job}"))


def run_for_key(job: JobId, key: str) -> RunId:
    """The run that a request with this idempotency key asks for."""
    return RunId(_derived(f"key {len(key)} {key} {job}"))


def run_imported(job: JobId, source: str, execution: str) -> RunId:
    """The run of a job of ours that `source` knows by this id."""
    return RunId(_derived(f"imported {len(source)} {source} {len(execution)} {execution} {job}"))


def job_for_key(key: str, index: int = 0) -> JobId:
    """The job that a request with this idempotency key creates."""
    return JobId(_derived(f"job {index} {key}"))


def _derived(name: str) -> str:
    """The text of `uuid.uuid5`, in a third of its time: every run has one."""
    digest = bytearray(sha1(_RUNS + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50  # version 5
    digest[8] = digest[8] & 0x3F | 0x80  # RFC 9562's variant
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

"""Names of things, and ids that are derived from their cause so that a repeated command is recognised."""

from typing import NewType
from uuid import UUID, uuid5

JobId = NewType("JobId", str)
RunId = NewType("RunId", str)
Instant = NewType("Instant", int)
"""A moment: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted."""
Micros = NewType("Micros", int)
"""A length of time in microseconds."""

SECOND = Micros(1_000_000)
_RUNS = UUID("6f1e1f0a-52f5-4c36-9c6e-3a2f1f0e5a01")


def run_for_tick(job: JobId, planned: Instant, tick: Instant) -> RunId:
    """The run that answers a tick of the job's schedule that was set at `planned`."""
    return RunId(str(uuid5(_RUNS, f"tick {planned} {tick} {job}")))


def run_made_up(job: JobId, planned: Instant, tick: Instant) -> RunId:
    """The run that makes up such a tick, which was skipped at its time."""
    return RunId(str(uuid5(_RUNS, f"made up {planned} {tick} {job}")))


def run_after(run: RunId, job: JobId, cause: str) -> RunId:
    """The run of `job` that `run`'s end causes."""
    return RunId(str(uuid5(_RUNS, f"{cause} {run} {job}")))


def run_for_key(job: JobId, key: str) -> RunId:
    """The run that a request with this idempotency key asks for."""
    return RunId(str(uuid5(_RUNS, f"key {len(key)} {key} {job}")))


def job_for_key(key: str, index: int = 0) -> JobId:
    """The job that a request with this idempotency key creates."""
    return JobId(str(uuid5(_RUNS, f"job {index} {key}")))

"""Runs that a job had elsewhere, before it was imported: what they must be, and the facts that they become.

They are over, and only history has them: no counter, tick, dependent or notice follows from one here.
"""

from collections.abc import Iterator

from kala_es import limits
from kala_es.domain.errors import Invalid
from kala_es.domain.events import OutputChunk, RunImported
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import Outcome
from kala_es.domain.values import Value


class ImportedRun(Value, frozen=True):
    """A run that is to be imported. `execution` is its id there; `output` what it printed, both channels as they came.

    `id` is derived from the two and the job (ids.run_imported), so that it is the same each time.
    """

    id: RunId
    execution: str
    started: Instant
    ended: Instant
    outcome: Outcome
    attempts: int = 1
    exit_code: int | None = None
    reason: str = ""
    output: bytes = b""


class ImportedFrom(Value, frozen=True):
    """Where an imported run was, and its id there."""

    source: str
    execution: str


class RefusedRun(Value, frozen=True):
    """A run that cannot be imported: which field is wrong ("" for the whole), and why."""

    execution: str
    field: str
    reason: str


class RunImport(Value, frozen=True):
    """A request to import runs of a job. Those `refused` could not be read."""

    job: JobId
    source: str
    runs: tuple[ImportedRun, ...]
    refused: tuple[RefusedRun, ...] = ()
    dry_run: bool = False


class ImportReport(Value, frozen=True):
    """What became of them: those `taken`, by their ids there; how many are known here, or were and are forgotten."""

    taken: tuple[str, ...] = ()
    known: int = 0
    refused: tuple[RefusedRun, ...] = ()


def judge(asked: RunImport, at: Instant) -> tuple[tuple[ImportedRun, ...], tuple[RefusedRun, ...]]:
    """The runs that can be taken at `at`, and all that are refused."""
    sound: list[ImportedRun] = []
    refused = [*asked.refused]
    for run in asked.runs:
        try:
            check(run, at)
            sound.append(run)
        except Invalid as error:
            refused.append(RefusedRun(execution=run.execution, field=error.field, reason=error.reason))
    return tuple(sound), tuple(refused)


def check(run: ImportedRun, at: Instant) -> None:
    """Raise Invalid unless it can have been, and be over at `at`."""
    if not 0 < len(run.execution) <= limits.MAX_NAME_CHARS:
        raise Invalid("id", f"must have 1 to {limits.MAX_NAME_CHARS} characters")
    if run.started < 0:
        raise Invalid("ran_at", "lies before 1970")
    if run.ended < run.started:
        raise Invalid("ended_at", "lies before ran_at")
    if run.ended > at:
        raise Invalid("ended_at", "lies ahead")
    if not 0 < run.attempts <= limits.MAX_RETRIES + 1:
        raise Invalid("number_of_retries", f"not between 0 and {limits.MAX_RETRIES}")
    if len(run.reason) > limits.MAX_REASON_CHARS:
        raise Invalid("reason", f"longer than {limits.MAX_REASON_CHARS} characters")
    if len(run.output) > limits.MAX_IMPORTED_OUTPUT_BYTES:
        raise Invalid("output", f"more than {limits.MAX_IMPORTED_OUTPUT_BYTES} bytes")


def fact_of(run: ImportedRun, job: JobId, *, at: Instant, source: str) -> RunImported:
    """That the run was."""
    return RunImported(
        job=job,
        at=at,
        run=run.id,
        source=source,
        execution=run.execution,
        started=run.started,
        ended=run.ended,
        outcome=run.outcome,
        attempts=run.attempts,
        chunks=-(-len(run.output) // limits.CHUNK_BYTES),
        exit_code=run.exit_code,
        reason=run.reason,
    )


def output_of(run: ImportedRun, job: JobId, *, at: Instant) -> Iterator[OutputChunk]:
    """What it printed; it stands right before the fact, so that nobody sees the run without."""
    for sequence, start in enumerate(range(0, len(run.output), limits.CHUNK_BYTES), 1):
        yield OutputChunk(
            job=job,
            at=at,
            run=run.id,
            attempt=run.attempts,
            sequence=sequence,
            channel="stdout",
            offset=start,
            content=run.output[start : start + limits.CHUNK_BYTES],
        )

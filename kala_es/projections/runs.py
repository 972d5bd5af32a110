"""The catalogue of runs: every run's summary, on disk, so that memory does not grow with history.

Keys: `r` run id -> summary; `j` job digest, start, run digest -> run id, in the order of starts.
A run that ended is one row; a run in flight is kept in memory too, for it changes.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.imported_runs import ImportedFrom
from kala_es.domain.model import Cause, JobKind, Outcome
from kala_es.domain.tick_policy import Covered
from kala_es.domain.trimming import Redaction, TrimmedRun
from kala_es.domain.values import Value, pack, replace, unpack
from kala_es.fold_store import FoldStore
from kala_es.projections.recorded import Changes, Recorded

_ROW: Final = b"r"
_BY_JOB: Final = b"j"


class RunSummary(Value, frozen=True):
    """A run, as anyone may read it.

    `position` is that of its start (or, of an imported one, that of its first record), `ordered` that of what began its
    present attempt, `end_position` that of its end;
    `outcome` is None while it is in flight;
    `reported` is what a client said of it; `attempts` counts those begun, the next one
    begins at `retry_at`; the sizes are bytes of output over all.
    `output_digest` is BLAKE2b of the output of a run that was trimmed.
    """

    id: RunId
    job: JobId
    cause: Cause
    root: RunId
    started: Instant
    position: int
    tick: Instant | None = None
    after: RunId | None = None
    kind: JobKind = "local"
    principal: str = ""
    attempts: int = 1
    ended: Instant | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    reported: str | None = None
    ordered: int = 0
    end_position: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    retry_at: Instant | None = None
    stdout_dropped: int = 0
    stderr_dropped: int = 0
    covers: Covered | None = None
    output_digest: bytes | None = None
    redacted: Redaction | None = None
    imported: ImportedFrom | None = None

    @property
    def trimmed(self) -> bool:
        """Whether its output is kept no longer."""
        return self.output_digest is not None


class Runs:
    """The fold. `apply` collects its changes to the store in `changes`; the projector writes them."""

    def __init__(self, store: FoldStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._live: dict[RunId, RunSummary] = {}
        self._changed: dict[RunId, RunSummary] = {}

    def apply(self, recorded: Recorded, sizes: tuple[int, int]) -> RunSummary | None:
        """Fold one event; the run after it, if there is one. `sizes`: the run's bytes of stdout and stderr so far."""
        event, at = recorded.event, recorded.position
        match event:
            case e.RunStarted():
                return self._start(event, recorded)
            case e.RunFinished():
                ended = self._change(event.run, lambda r: _finished(r, recorded.position, event=event, sizes=sizes))
                self._live.pop(event.run, None)
                return ended
            case e.AttemptFailed():
                return self._change(event.run, lambda r: _attempt_failed(r, event, at))
            case e.AttemptStarted():
                return self._change(event.run, lambda r: replace(r, attempts=event.attempt, retry_at=None, ordered=at))
            case e.RunImported():
                return self._import(event, recorded, sizes)
            case e.StatusReported():
                return self._change(event.run, lambda r: replace(r, reported=event.status))
            case _:
                return None

    def _start(self, event: e.RunStarted, recorded: Recorded) -> RunSummary:
        run = RunSummary(
            id=event.run,
            job=event.job,
            cause=event.cause,
            root=event.root,
            started=event.at,
            position=recorded.position,
            ordered=recorded.position,
            tick=event.tick,
            after=event.after,
            kind=event.kind,
            principal=recorded.principal,
            covers=event.covers,
        )
        self._live[run.id] = run
        return self._add(run)

    def _import(self, event: e.RunImported, recorded: Recorded, sizes: tuple[int, int]) -> RunSummary:
        return self._add(
            RunSummary(
                id=event.run,
                job=event.job,
                cause="imported",
                root=event.run,
                started=event.started,
                position=recorded.position - event.chunks,
                ordered=recorded.position - event.chunks,
                principal=recorded.principal,
                attempts=event.attempts,
                ended=event.ended,
                outcome=event.outcome,
                exit_code=event.exit_code,
                reason=event.reason,
                end_position=recorded.position,
                stdout_bytes=sizes[0],
                stderr_bytes=sizes[1],
                imported=ImportedFrom(source=event.source, execution=event.execution),
            )
        )

    def _add(self, run: RunSummary) -> RunSummary:
        """A run that is new."""
        self._changes[_job_key(run)] = run.id.encode()
        self._changed[run.id] = run
        return run

    def _change(self, run: RunId, change: Callable[[RunSummary], RunSummary]) -> RunSummary | None:
        summary = self.get(run)
        if summary is None:
            return None
        self._changed[run] = summary = change(summary)
        if summary.outcome is None:
            self._live[run] = summary
        return summary

    def trim(self, trimmed: TrimmedRun) -> None:
        """A run has lost its output."""
        sizes = {"stdout_bytes": trimmed.stdout_bytes, "stderr_bytes": trimmed.stderr_bytes}
        self._change(trimmed.run, lambda r: replace(r, **sizes, output_digest=trimmed.digest))

    def redact(self, run: RunId, redaction: Redaction) -> None:
        """Note why a run has lost its output."""
        self._change(run, lambda r: replace(r, redacted=redaction))

    def forget(self, run: RunId) -> None:
        """There is no such run any more."""
        summary = self.get(run)
        if summary is not None:
            self._live.pop(run, None)
            self._changed.pop(run, None)
            self._changes[_ROW + run.encode()] = None
            self._changes[_job_key(summary)] = None

    def save(self) -> None:
        """Hand over what a batch has changed: each run once, as it is after it."""
        for run in self._changed.values():
            self._changes[_ROW + run.id.encode()] = pack(run)
        self._changed.clear()

    def get(self, run: RunId) -> RunSummary | None:
        """A run's summary, or None."""
        found = self._live.get(run) or self._changed.get(run)
        if found is not None:
            return found
        key = _ROW + run.encode()[: limits.MAX_ID_CHARS]
        row = self._changes[key] if key in self._changes else self._store.get(key)
        return None if row is None else _load(row)

    def of_job(
        self, job: JobId, *, after: RunSummary | None = None, limit: int, newest_first: bool = False
    ) -> Iterator[RunSummary]:
        """At most `limit` runs of a job, oldest first or newest first, those that follow `after`."""
        start = _BY_JOB + digest_of(job)
        stop = start + b"\xff" * 9
        if after and newest_first:
            stop = _job_key(after)
        elif after:
            start = _job_key(after) + b"\0"
        for _, run in self._store.scan(start, stop, limit=limit, reverse=newest_first):
            summary = self.get(RunId(run.decode()))
            if summary is not None and summary.job == job:
                yield summary


def _attempt_failed(run: RunSummary, event: e.AttemptFailed, at: int) -> RunSummary:
    run = _with_dropped(run, event)
    if not event.retrying:
        return run
    if event.retry_at is not None:
        return replace(run, attempts=event.attempt, retry_at=event.retry_at)
    return replace(run, attempts=event.attempt + 1, ordered=at)


def _with_dropped(run: RunSummary, event: e.AttemptFailed | e.RunFinished) -> RunSummary:
    if not event.stdout_dropped and not event.stderr_dropped:
        return run
    return replace(
        run,
        stdout_dropped=run.stdout_dropped + event.stdout_dropped,
        stderr_dropped=run.stderr_dropped + event.stderr_dropped,
    )


def _finished(run: RunSummary, at: int, *, event: e.RunFinished, sizes: tuple[int, int]) -> RunSummary:
    if event.outcome == "succeeded":  # otherwise its last attempt has said it already
        run = _with_dropped(run, event)
    return replace(
        run,
        attempts=event.attempts,
        ended=event.at,
        end_position=at,
        outcome=event.outcome,
        exit_code=event.exit_code,
        signal=event.signal,
        reason=event.reason,
        retry_at=None,
        stdout_bytes=sizes[0],
        stderr_bytes=sizes[1],
    )


def _load(row: bytes) -> RunSummary:
    return unpack(RunSummary, row)


def digest_of(name: str) -> bytes:
    """What stands for a job, or a run, in keys: of the same length, whatever its id is."""
    return _kept_digest(name) if len(name) <= limits.MAX_ID_CHARS else _digest(name)


def _digest(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=16).digest()


_kept_digest: Final = lru_cache(maxsize=16_384)(_digest)
"""A job has many runs, and a run a start and an end."""


def _job_key(run: RunSummary) -> bytes:
    return _BY_JOB + place_of(run)


def place_of(run: RunSummary) -> bytes:
    """A run's place among all: by job, then in the order of starts."""
    return b"%b%b%b" % (digest_of(run.job), run.started.to_bytes(8, "big"), digest_of(run.id))

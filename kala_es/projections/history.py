"""What is kept of each job's past: its runs that have ended, with their output or without, and how many are forgotten.

Keys: `u` job digest, start, run digest -> run id, of ended runs that have their output; `x` the same, of trimmed ones;
`y` job digest -> the job's figures; `y` alone -> the sums. Every change here follows an event, whatever the policy is.
"""

from collections.abc import Callable, Iterator
from typing import Final

from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.trimming import RunsForgotten
from kala_es.domain.values import Value, pack, replace, unpack
from kala_es.fold_store import FoldStore
from kala_es.projections.recorded import Changes, scanned
from kala_es.projections.runs import RunSummary, digest_of, place_of

_KEPT: Final = b"u"
_TRIMMED: Final = b"x"
_FIGURES: Final = b"y"
_PAGE: Final = 64


class Past(Value, frozen=True):
    """A job's figures. `kept` ended runs have their output, `kept_bytes` in all; of forgotten ones there is only this:
    how many, the bytes of their output, the start of the newest, and the position of the event that said so last.

    The history was last `cleared` at that position; of the runs that had ended by then, so many still have their output
    (`clearing`), and so many are trimmed and not forgotten yet (`forgetting`)."""

    job: JobId
    kept: int = 0
    kept_bytes: int = 0
    trimmed: int = 0
    forgotten: int = 0
    forgotten_bytes: int = 0
    first: Instant | None = None
    last: Instant | None = None
    noted: int = 0
    cleared: int = 0
    clearing: int = 0
    forgetting: int = 0

    def is_cleared(self, run: RunSummary) -> bool:
        """Whether the run had ended when the history was cleared."""
        return 0 < run.end_position < self.cleared


class Sums(Value, frozen=True):
    """Over all jobs: ended runs whose summaries there are, and those that are forgotten."""

    runs: int = 0
    forgotten: int = 0


class History:
    """The fold."""

    def __init__(self, store: FoldStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._changed: dict[JobId, Past] = {}
        self._sums: Sums | None = None

    def ended(self, run: RunSummary) -> None:
        """A run is over."""
        past = self.of(run.job)
        self._changes[_KEPT + place_of(run)] = run.id.encode()
        self._put(replace(past, kept=past.kept + 1, kept_bytes=past.kept_bytes + _size(run)), runs=1)

    def trimmed(self, run: RunSummary) -> None:
        """A run that is over lost its output; `run` is as it was before."""
        past = self.of(run.job)
        self._changes[_KEPT + place_of(run)] = None
        self._changes[_TRIMMED + place_of(run)] = run.id.encode()
        kept, size, due = past.kept - 1, past.kept_bytes - _size(run), past.is_cleared(run)
        past = replace(past, clearing=past.clearing - due, forgetting=past.forgetting + due)
        self._put(replace(past, kept=kept, kept_bytes=size, trimmed=past.trimmed + 1))

    def clear(self, job: JobId, position: int) -> None:
        """All runs that are over are to be forgotten."""
        past = self.of(job)
        self._put(replace(past, cleared=position, clearing=past.kept, forgetting=past.trimmed))

    def forgotten(
        self, event: RunsForgotten, position: int, known: Callable[[RunId], RunSummary | None]
    ) -> list[RunId]:
        """Trimmed runs are forgotten; which ones those are. `known` has their summaries."""
        stop = digest_of(event.job) + event.started.to_bytes(8, "big") + digest_of(event.run) + b"\0"
        gone: list[RunId] = []
        while rows := self._scan(_TRIMMED + digest_of(event.job), _TRIMMED + stop, _PAGE):
            for key, run in rows:
                self._changes[key] = None
                gone.append(RunId(run.decode()))
        past = self.of(event.job)
        due = sum(summary is not None and past.is_cleared(summary) for summary in map(known, gone))
        past = replace(
            past,
            forgetting=past.forgetting - due,
            trimmed=past.trimmed - len(gone),
            forgotten=event.count,
            forgotten_bytes=event.output_bytes,
            first=event.first,
            last=event.last,
            noted=position,
        )
        self._put(past, runs=-len(gone), forgotten=event.count - self.of(event.job).forgotten)
        return gone

    def _put(self, past: Past, *, runs: int = 0, forgotten: int = 0) -> None:
        sums = self.sums
        self._sums = Sums(runs=sums.runs + runs, forgotten=sums.forgotten + forgotten)
        self._changed[past.job] = past

    def save(self) -> None:
        """Hand over what a batch has changed."""
        for job, past in self._changed.items():
            self._changes[_FIGURES + digest_of(job)] = pack(past)
        if self._changed:
            self._changes[_FIGURES] = pack(self.sums)
        self._changed.clear()

    def forget_stored(self) -> None:
        """The store is empty again."""
        self._changed.clear()
        self._sums = None

    @property
    def sums(self) -> Sums:
        """Those of all jobs."""
        if self._sums is None:
            row = self._get(_FIGURES)
            self._sums = unpack(Sums, row) if row else Sums()
        return self._sums

    def of(self, job: JobId) -> Past:
        """A job's figures."""
        changed = self._changed.get(job)
        if changed is not None:
            return changed
        row = self._get(_FIGURES + digest_of(job))
        return unpack(Past, row) if row else Past(job=job)

    def jobs(self) -> Iterator[Past]:
        """The figures of every job that has any, in no particular order."""
        after = _FIGURES
        while rows := self._scan(after + b"\0", b"z", _PAGE):
            after = rows[-1][0]
            yield from (unpack(Past, row) for _, row in rows)

    def kept(self, job: JobId) -> Iterator[RunId]:
        """The job's ended runs that have their output, oldest start first."""
        return self._runs(_KEPT + digest_of(job))

    def without_output(self, job: JobId) -> Iterator[RunId]:
        """The job's trimmed runs, oldest start first."""
        return self._runs(_TRIMMED + digest_of(job))

    def _runs(self, prefix: bytes) -> Iterator[RunId]:
        after = prefix
        while rows := self._scan(after, prefix + b"\xff" * 9, _PAGE):
            after = rows[-1][0] + b"\0"
            yield from (RunId(run.decode()) for _, run in rows)

    def _get(self, key: bytes) -> bytes | None:
        return self._changes[key] if key in self._changes else self._store.get(key)

    def _scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return scanned(self._store, self._changes, start=start, stop=stop, limit=limit)


def _size(run: RunSummary) -> int:
    return run.stdout_bytes + run.stderr_bytes

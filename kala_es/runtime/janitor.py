"""The janitor: trims runs that are kept no longer, forgets old trimmed ones, and has what is left of them erased.

1. Say, then erase: output is erased when the event that says so is durable, facts when a base is (base.py, sweep.py).
2. Never trimmed: a run in flight, the newest ended run of a job that there is, a run whose tree is open.
3. One task does everything, in that order, at JANITOR_SHARE of the time: it never runs beside a commit, and a commit
   waits for one small step of it at most.
4. A history that was cleared goes whole: each run that had ended by then is trimmed and forgotten, the newest too.
5. It is woken by ends of runs, edits, and the moments at which runs become too old. What it does follows from the folds
   alone, so whatever cut it off, it goes on; only output that was not erased yet by then is left to the next sweep.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter

import trio

from kala_es import codec, limits
from kala_es.clock import Clock
from kala_es.domain import events as e
from kala_es.domain.errors import Unavailable
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.retention import Kept, kept_of
from kala_es.domain.trimming import RunsForgotten, RunsTrimmed, TrimmedRun
from kala_es.event_log import EventLog, LogIsFull
from kala_es.projections.folds import Folds
from kala_es.projections.history import Past
from kala_es.projections.recorded import Recorded
from kala_es.projections.runs import RunSummary
from kala_es.runtime.base import take_base
from kala_es.runtime.log_writer import LogWriter
from kala_es.runtime.pace import Pace
from kala_es.runtime.sweep import Rubbish
from kala_es.runtime.timetable import Timetable

_FULL_SECONDS = 5.0
_SWEEP_PAGE = 64
_MOST_CHUNKS = 20_000
"""Chunks whose positions are held at a time, or those of one run."""
_READ_PAGE = 32
"""With full chunks half a megabyte."""
_LOOK_EVERY = 100
_CHANGES = (e.JobCreated, e.JobUpdated, e.JobDeleted, e.RunImported, e.HistoryCleared)


@dataclass(slots=True)
class _Round:
    """Runs that are trimmed together, and where their output stands: position -> run.

    A job has a `share` of them, so that they are of one time: then they stand together in the log, and little is read
    and written for them. `unfinished` jobs have more.
    """

    share: int
    runs: list[RunSummary] = field(default_factory=list)
    chunks: dict[int, RunId] = field(default_factory=dict)
    unfinished: dict[JobId, None] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return len(self.runs) >= limits.TRIM_RUNS or len(self.chunks) >= _MOST_CHUNKS


class Janitor:
    """`note` takes every durable batch once it is folded; `run` does the work."""

    def __init__(self, folds: Folds, *, clock: Clock, log: EventLog, writer: LogWriter, kept: Kept) -> None:
        self._folds = folds
        self._clock = clock
        self._log = log
        self._writer = writer
        self._kept = kept
        self._due: dict[JobId, None] = {}
        self._blocked: set[JobId] = set()
        self._clearing: set[JobId] = set()
        """Jobs with runs that are to be forgotten because their history was cleared."""
        self._askers: dict[JobId, trio.Event] = {}
        self._asked = trio.Event()
        self._news = trio.Event()
        self._ages = Timetable(clock, self._mark)
        self._pace = Pace()

    def note(self, batch: Sequence[Recorded]) -> None:
        """See whose runs there may be too many of."""
        for recorded in batch:
            event = recorded.event
            if isinstance(event, e.HistoryCleared):
                self._clearing.add(event.job)
            if isinstance(event, e.RunFinished):
                for job in (event.job, *self._blocked):
                    self._mark(job)
                self._blocked.clear()
            elif isinstance(event, _CHANGES):
                self._mark(event.job)

    def _mark(self, job: JobId) -> None:
        if job in self._clearing or not self._kept_of(job).all:
            self._due[job] = None
            self._news.set()

    def _kept_of(self, job: JobId) -> Kept:
        state = self._folds.jobs.get(job)
        return self._kept if state is None else kept_of(state.spec.retention, self._kept)

    async def run(self) -> None:
        """Work until cancelled, or until the node stops writing."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ages.run)
            try:
                await self._mark_all()
                while True:
                    await self._news.wait()
                    with trio.move_on_after(limits.TRIM_PAUSE_SECONDS):
                        await self._asked.wait()
                    self._news, self._asked = trio.Event(), trio.Event()
                    await self._tidy()
            except Unavailable:
                nursery.cancel_scope.cancel()

    async def cleared(self, job: JobId) -> None:
        """Until the runs of a history that was cleared are forgotten, or this takes too long to wait for. A run whose
        tree is open is not waited for."""
        if self._is_to_clear(job):
            self._mark(job)
            self._asked.set()
            with trio.move_on_after(limits.CLEAR_PATIENCE_SECONDS):
                await self._askers.setdefault(job, trio.Event()).wait()

    def _is_to_clear(self, job: JobId) -> bool:
        past = self._folds.history.of(job)
        return past.clearing + past.forgetting > 0

    async def _mark_all(self) -> None:
        """What there was to do when the node stopped, and what its settings say since."""
        for number, past in enumerate(self._folds.history.jobs()):
            if past.clearing or past.forgetting:
                self._clearing.add(past.job)
            self._mark(past.job)
            if number % _LOOK_EVERY == 0:
                await trio.lowlevel.checkpoint()

    async def _tidy(self) -> None:
        """Trim and forget what is due now. What becomes due meanwhile waits, so that it is many runs too."""
        self._pace.begin()
        due, self._due = self._due, {}
        while due:
            current, looked_at = _Round(share=max(1, limits.TRIM_RUNS // len(due))), dict[JobId, None]()
            while due and not current.is_full:
                job = next(iter(due))
                del due[job]
                await self._choose(job, current)
                looked_at[job] = None
            due.update(current.unfinished)
            await self._trim(current)
            await self._forget(list(looked_at))
            self._tell(looked_at.keys() - current.unfinished.keys())
            if self._is_base_due():
                self._pace.begin()  # a sweep is long, and nobody waits for it
                await self._sweep()
                self._pace.begin()

    def _tell(self, jobs: Iterable[JobId]) -> None:
        """Nothing more is to be done for these jobs now."""
        for job in jobs:
            if not self._is_to_clear(job):
                self._clearing.discard(job)
            if (asker := self._askers.pop(job, None)) is not None:
                asker.set()

    # Trimming

    async def _choose(self, job: JobId, current: _Round) -> None:
        """Put the runs of a job that are kept no longer into the round."""
        if await self._choose_cleared(job, current):
            current.unfinished[job] = None
        else:
            await self._choose_old(job, current)

    async def _choose_cleared(self, job: JobId, current: _Round) -> int:
        """Put those into it that had ended when the job's history was cleared; how many that are."""
        past, taken = self._folds.history.of(job), 0
        left = past.clearing
        for run_id in self._folds.history.kept(job) if left else ():
            run = self._folds.runs.get(run_id)
            if not left or run is None or current.is_full:
                break
            if past.is_cleared(run):
                left -= 1
                taken += await self._take(run, current)
            await self._pace.pause()
        return taken

    async def _choose_old(self, job: JobId, current: _Round) -> None:
        """Put those into it that the job's retention does not keep, as many as are its share."""
        kept, past, now = self._kept_of(job), self._folds.history.of(job), self._clock.now()
        spared = 0 if self._folds.jobs.get(job) is None else 1
        runs = past.kept if kept.runs is not None else 0
        size = past.kept_bytes if kept.output_bytes is not None else 0
        left, taken = past.kept, 0
        self._ages.plan(job, None)
        for run_id in self._folds.history.kept(job):
            run = self._folds.runs.get(run_id)
            if left <= spared or run is None or run.ended is None:
                return
            too_old = Instant(run.ended + kept.micros) if kept.micros is not None else None
            over = runs > (kept.runs or 0) or size > (kept.output_bytes or 0)
            if not over and (too_old is None or too_old > now):
                self._ages.plan(job, too_old)
                return
            if current.is_full or taken == current.share:
                current.unfinished[job] = None
                return
            left -= 1
            runs, size = runs - 1, size - run.stdout_bytes - run.stderr_bytes
            taken += await self._take(run, current)
            await self._pace.pause()

    async def _take(self, run: RunSummary, current: _Round) -> bool:
        """Put a run into it. False: its tree is open, and what follows there may still ask for it."""
        if run.root in self._folds.trees.open:
            self._blocked.add(run.job)
            return False
        current.runs.append(run)
        if run.stdout_bytes or run.stderr_bytes:
            for number, piece in enumerate(self._folds.output.pieces(run.id)):
                current.chunks[piece.position] = run.id
                if number % _LOOK_EVERY == _LOOK_EVERY - 1:
                    await self._pace.pause()
        return True

    async def _trim(self, current: _Round) -> None:
        """Say that the runs are trimmed, with what their output was; then erase it."""
        digests, chunks = await self._digests(current), Counter(current.chunks.values())
        for start in range(0, len(current.runs), limits.TRIM_COMMIT_RUNS):
            some = current.runs[start : start + limits.TRIM_COMMIT_RUNS]
            now = self._clock.now()
            await self._pace.wait_for(
                self._writer.append(
                    [
                        RunsTrimmed(
                            job=job,
                            at=now,
                            runs=tuple(_trimmed(run, digests.get(run.id), chunks[run.id]) for run in runs),
                        )
                        for job, runs in groupby(some, attrgetter("job"))
                    ]
                )
            )
            await self._pace.pause()
        await self._erase(sorted(current.chunks))

    async def _digests(self, current: _Round) -> dict[RunId, bytes]:
        """What the output of each run was. Read in the log's order, whatever the runs': mostly they are neighbours."""
        digests = {run: blake2b(digest_size=32) for run in current.chunks.values()}
        read = 0
        for position in sorted(current.chunks):
            if position <= read:
                continue
            page = await self._pace.wait_for(self._log.read(position - 1, limit=_READ_PAGE))
            read = page[-1].position
            for record in page:
                if record.position in current.chunks:
                    chunk = codec.decode(record)
                    assert isinstance(chunk, e.OutputChunk)
                    digests[chunk.run].update(chunk.content)
            await self._pace.pause()
        return {run: digest.digest() for run, digest in digests.items()}

    async def _erase(self, positions: Sequence[int]) -> None:
        """Have records erased, so many at a time. That is work: commits wait for it. A full disk is waited for."""
        for start in range(0, len(positions), limits.TRIM_RECORDS):
            await self._pace.pause()
            while True:
                try:
                    await self._log.trim(positions[start : start + limits.TRIM_RECORDS])
                    break
                except LogIsFull:
                    await self._pace.wait_for(self._clock.sleep(_FULL_SECONDS))

    # Forgetting

    async def _forget(self, jobs: Sequence[JobId]) -> None:
        for job in jobs:
            while (note := self._note_of_forgotten(job)) is not None:
                await self._pace.wait_for(self._writer.append([note]))
                await self._pace.pause()
            await self._pace.pause()

    def _note_of_forgotten(self, job: JobId) -> RunsForgotten | None:
        """The event that forgets the oldest trimmed runs: those of a history that was cleared, and others when there
        are a fiftieth more than are remembered."""
        past = self._folds.history.of(job)
        gone = self._to_forget(job, past)
        if not gone:
            return None
        newest = gone[-1]
        return RunsForgotten(
            job=job,
            at=self._clock.now(),
            run=newest.id,
            started=newest.started,
            count=past.forgotten + len(gone),
            output_bytes=past.forgotten_bytes + sum(run.stdout_bytes + run.stderr_bytes for run in gone),
            first=gone[0].started if past.first is None else past.first,
            last=newest.started,
        )

    def _to_forget(self, job: JobId, past: Past) -> list[RunSummary]:
        many, cleared = past.trimmed - limits.TRIMMED_RUNS_REMEMBERED, past.forgetting
        if many * 50 < limits.TRIMMED_RUNS_REMEMBERED:
            many = 0
        gone: list[RunSummary] = []
        for run in self._folds.history.without_output(job):
            summary = self._folds.runs.get(run)
            is_enough = len(gone) >= many and not cleared
            if is_enough or len(gone) == limits.FORGET_RUNS or summary is None:
                break
            gone.append(summary)
            cleared -= past.is_cleared(summary)
        return gone

    # Bases

    def _is_base_due(self) -> bool:
        sums, base = self._folds.history.sums, self._folds.base
        fresh = sums.forgotten - (base.forgotten if base else 0)
        return fresh >= max(limits.BASE_RUNS, sums.runs)

    async def _sweep(self) -> None:
        """Take a base, and erase all that is not needed beside it."""
        taken = await self._pace.wait_for(take_base(self._folds, self._writer, self._clock.now))
        base = self._folds.base
        assert base is not None
        what = Rubbish(self._folds, base.base, taken)
        found: list[int] = []
        position: int | None = 0
        while position is not None:
            page = await self._pace.wait_for(self._log.read(position, limit=_SWEEP_PAGE))
            more, position = what.among(page)
            found += more
            if len(found) >= limits.TRIM_RECORDS or position is None:
                await self._erase(found)
                found = []
            await self._pace.pause()


def _trimmed(run: RunSummary, digest: bytes | None, chunks: int) -> TrimmedRun:
    digest = digest or blake2b(digest_size=32).digest()
    sizes = {"stdout_bytes": run.stdout_bytes, "stderr_bytes": run.stderr_bytes}
    return TrimmedRun(run=run.id, digest=digest, **sizes, chunks=chunks)

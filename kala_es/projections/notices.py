"""The catalogue of notices: each with what became of it, on disk.

Keys: `n` notice id -> summary; `v` position -> notice id; `w` job digest, position -> notice id.
"""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final, Literal

from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.notify import NoticeId
from kala_es.domain.values import Value, pack, replace, unpack
from kala_es.fold_store import FoldStore
from kala_es.projections.recorded import Changes, Recorded, scanned

_ROW: Final = b"n"
_BY_POSITION: Final = b"v"
_BY_JOB: Final = b"w"
_PAGE: Final = 100
NoticeState = Literal["waiting", "delivered", "given-up"]


class NoticeSummary(Value, frozen=True):
    """A notice, as anyone may read it. `position` is that of its `NoticeDue`; the rest is of the last attempt."""

    position: int
    due: e.NoticeDue
    state: NoticeState = "waiting"
    attempts: int = 0
    attempted: Instant | None = None
    next_at: Instant | None = None
    status: int | None = None
    reason: str = ""


class Notices:
    """The fold. `apply` collects its changes to the store in `changes`; the projector writes them."""

    def __init__(self, store: FoldStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        match event:
            case e.NoticeDue() if self.get(event.notice) is None:
                self._changes[_ROW + event.notice.encode()] = pack(
                    NoticeSummary(position=recorded.position, due=event, next_at=event.at)
                )
                for key in (_BY_POSITION, _job_prefix(event.job)):
                    self._changes[key + recorded.position.to_bytes(8, "big")] = event.notice.encode()
            case e.NoticeAttempted():
                summary = self.get(event.notice)
                if summary is not None:
                    self._changes[_ROW + event.notice.encode()] = pack(_attempted(summary, event))

    def forget(self, job: JobId, before: Instant, is_there: Callable[[RunId], bool]) -> None:
        """Let go of a job's notices from before a moment, but for those that wait, and those of runs that are there."""
        start, stop = _job_prefix(job), _job_prefix(job) + b"\xff" * 9
        while rows := scanned(self._store, self._changes, start=start, stop=stop, limit=_PAGE):
            start = rows[-1][0] + b"\0"
            for key, notice in rows:
                summary = self.get(NoticeId(notice.decode()))
                if summary is None or summary.due.at >= before:
                    return
                run = summary.due.about.run
                if summary.state != "waiting" and (run is None or not is_there(run)):
                    for gone in (key, _BY_POSITION + key[-8:], _ROW + notice):
                        self._changes[gone] = None

    def get(self, notice: NoticeId) -> NoticeSummary | None:
        """A notice, or None."""
        key = _ROW + notice.encode()[:64]
        row = self._changes[key] if key in self._changes else self._store.get(key)
        return None if row is None else unpack(NoticeSummary, row)

    def after(self, position: int, *, job: JobId | None, limit: int) -> Iterator[NoticeSummary]:
        """At most `limit` notices after a position, of one job if named, oldest first."""
        prefix = _BY_POSITION if job is None else _job_prefix(job)
        start = prefix + (position + 1).to_bytes(8, "big")
        for _, notice in self._store.scan(start, prefix + b"\xff" * 9, limit=limit):
            summary = self.get(NoticeId(notice.decode()))
            if summary is not None:
                yield summary


def _attempted(summary: NoticeSummary, event: e.NoticeAttempted) -> NoticeSummary:
    state: NoticeState = "given-up" if event.next_at is None else "waiting"
    return replace(
        summary,
        state="delivered" if event.delivered else state,
        attempts=event.attempt,
        attempted=event.at if event.attempt else None,
        next_at=event.next_at,
        status=event.status,
        reason=event.reason,
    )


def _job_prefix(job: JobId) -> bytes:
    return _BY_JOB + blake2b(job.encode(), digest_size=16).digest()

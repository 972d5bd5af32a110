"""What changed in the jobs between two moments, field by field, with who did it and when."""

from collections.abc import Iterator
from typing import Any

from kala_es import codec
from kala_es.dialects import kala_declared
from kala_es.dialects.go_json import instant_text
from kala_es.domain.changes import CHANGE_NAMES, CHANGES
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.model import Job, JobDraft
from kala_es.event_log import Record
from kala_es.projections.folds import Folds
from kala_es.replay.moments import Replay
from kala_es.replay.telling import Tell, nobody


def difference(replay: Replay, until: int, *, tell: Tell = nobody) -> Iterator[dict[str, Any]]:
    """Take a replay to a later position; an object for each job that is not as it was, by its id."""
    before = dict(replay.folds.jobs.by_id)
    by: dict[str, list[dict[str, Any]]] = {}
    for record in replay.go_on(until):
        tell(record.position, until)
        if record.type in CHANGE_NAMES:
            event = codec.decode(record)
            assert isinstance(event, CHANGES)
            by.setdefault(event.job, []).append(_step(record))
    return _changed(before, replay.folds, by)


def _step(record: Record) -> dict[str, Any]:
    time = instant_text(Instant(record.time))
    return {"position": record.position, "time": time, "principal": record.principal, "type": record.type}


def _changed(before: dict[JobId, Job], after: Folds, by: dict[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    for job in sorted(by):
        was, now = _draft(before.get(JobId(job))), _draft(after.jobs.get(JobId(job)))
        fields = kala_declared.fields_json(was, now)
        if was is None and now is None:
            change = "created and deleted"
        elif was is None:
            change = "created"
        else:
            change = "deleted" if now is None else "changed"
        yield {"id": job, "change": change, "fields": fields, "by": by[job]}


def _draft(job: Job | None) -> JobDraft | None:
    return None if job is None or job.deleted else JobDraft(id=job.id, spec=job.spec, disabled=job.disabled)

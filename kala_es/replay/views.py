"""What `show` shows: jobs, a run, the counters and the runs in flight at a moment, in the API's own JSON."""

import json
from collections.abc import Iterator
from typing import Any, Final

from kala_es import codec, limits
from kala_es.dialects import kala
from kala_es.dialects.go_json import instant_text
from kala_es.domain.events import OutputChunk
from kala_es.domain.graph import dependents
from kala_es.domain.ids import JobId, RunId
from kala_es.domain.model import Job
from kala_es.event_log import Record
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections.folds import Folds, stored_position
from kala_es.projections.recorded import Recorded
from kala_es.projections.runs import Runs, RunSummary
from kala_es.replay.moments import NotKnown, first_tick, pages
from kala_es.replay.streams import Indexed, Streams
from kala_es.replay.telling import Tell, nobody

_ALL: Final = (1 << 63) - 1
_OUTPUT_BYTES: Final = 1 << 20
_LOOK_PAGE: Final = 100


def jobs(folds: Folds) -> dict[str, Any]:
    """All jobs, as `GET /job/` has them."""
    return {"jobs": {job.id: _job(folds, job) for job in folds.jobs.after("")}}


def job(folds: Folds, job_id: str) -> dict[str, Any]:
    """One job, as `GET /job/{id}/` has it. Raises NotKnown."""
    found = folds.jobs.get(JobId(job_id))
    if found is None:
        raise NotKnown(f"there is no job {job_id!r} at that moment")
    return {"job": _job(folds, found)}


def _job(folds: Folds, found: Job) -> Any:
    return json.loads(kala.job_json(found, dependents(found, folds.jobs.graph)))


def stats(folds: Folds) -> dict[str, Any]:
    """The counters, as `GET /stats/` has them; `created` is the latest event's time."""
    text = kala.stats_json(folds.stats, next_run_at=first_tick(folds), created=folds.latest)
    said: dict[str, Any] = json.loads(text)
    return said


def busy(folds: Folds) -> dict[str, Any]:
    """The runs in flight, oldest first."""
    runs = [
        {"run": run.id, "job": job, "started": instant_text(run.started), "attempt": run.attempt, "status": run.status}
        for job, run in folds.busy
    ]
    return {"busy": runs}


def run(source: Indexed, run_id: str, until: int, *, tell: Tell = nobody) -> dict[str, Any]:
    """A run as it was known at a position, with the first part of its output. Raises NotKnown.

    A run that the folds know is read by the log's index; for any other one the whole log is looked through.
    """
    catalogue = Folds(MemoryFoldStore())
    catalogue.position = _ALL
    output, wanted = bytearray(), run_id.encode()
    for record in _records(source, RunId(run_id), until):
        tell(record.position, until)
        if wanted in record.body:
            _note(catalogue, record, (RunId(run_id), output))
    found = catalogue.runs.get(RunId(run_id))
    if found is None:
        raise NotKnown(f"there is no run {run_id!r} at that moment")
    return _run(found, bytes(output), left_out=not output and _lacks(source, found, until))


def _records(source: Indexed, run_id: RunId, until: int) -> Iterator[Record]:
    """What may tell of a run, up to a position."""
    folded = (source.folds and stored_position(source.folds.get)) or 0
    found = Runs(source.folds, {}).get(run_id) if source.folds is not None and folded else None
    first = min(folded, source.indexed, until) if found else 0
    if found is not None:
        yield from _of_run(source, found, first)
    for page in pages(source, first, until):
        yield from page


def _of_run(source: Indexed, found: RunSummary, until: int) -> Iterator[Record]:
    """The same, by the index, up to a position up to which the run is folded."""
    is_over = bool(found.end_position) and found.reported is None
    streams = Streams(source)
    end = min(found.end_position, until) if is_over else until
    streams.add(codec.job_stream(found.job), after=found.position - 1, until=end)
    streams.add(codec.run_stream(found.id), after=found.position, until=until)
    if found.trimmed:
        for stream in (codec.HISTORY_STREAM, codec.REDACTIONS_STREAM):
            streams.add(stream, after=found.position, until=until)
    yield from streams


def _note(catalogue: Folds, record: Record, about: tuple[RunId, bytearray]) -> None:
    """Fold a record that names the run; those that are of other runs too do no harm here."""
    event, (run_id, output) = codec.decode(record), about
    catalogue.apply([Recorded(record.position, event, record.principal)])
    if isinstance(event, OutputChunk) and event.run == run_id and len(output) < _OUTPUT_BYTES:
        output += event.content


def _lacks(source: Indexed, found: RunSummary, until: int) -> bool:
    """Whether records are missing, while the run was in flight, that the log was made without. Where runs overlap these
    may be another one's. Of very many it is taken for granted, as a server does (runtime/log_reader.py)."""
    position, last = found.position, min(found.end_position or until, until, source.left_out)
    most = min(last, position + limits.MAX_LOOKED_AT_FOR_OUTPUT)
    while position < most:
        page = source.read_now(position, limit=min(_LOOK_PAGE, most - position))
        if not page or page[-1].position != position + len(page):
            return True
        position = page[-1].position
    return position < last


def _run(found: RunSummary, output: bytes, *, left_out: bool) -> dict[str, Any]:
    is_cut = len(output) >= _OUTPUT_BYTES
    text = output[:_OUTPUT_BYTES].decode("utf-8", "replace")
    return {"run": json.loads(kala.run_json(found, text, remote=False, truncated=is_cut, left_out=left_out))}

"""Runs of elsewhere, as a request brings them for a job, and the answer that says what became of each.

A run has the keys that it has in the API, with its id there. What it printed is text; all else that a run has is of
runs that were carried out here.
"""

from typing import Any, Final, get_args

from kala_es import limits
from kala_es.dialects import go_json
from kala_es.dialects.go_json import Malformed, dumps, struct
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant, JobId, run_imported
from kala_es.domain.imported_runs import ImportedRun, ImportReport, RefusedRun, RunImport
from kala_es.domain.model import Outcome

_REQUEST: Final = struct(
    ("source", "source", go_json.text),
    ("executions", "executions", lambda value, _: value),
    ("dry_run", "dry_run", go_json.flag),
)


def _moment(value: Any, field: str) -> Instant:
    moment = go_json.time(value, field)
    if moment is None:
        raise Malformed(field, "must be a time")
    return moment


def _outcome(value: Any, field: str) -> str:
    outcome = go_json.text(value, field)
    if outcome not in get_args(Outcome):
        raise Invalid(field, f"must be one of {', '.join(get_args(Outcome))}")
    return outcome


_EXECUTION: Final = struct(
    ("id", "execution", go_json.text),
    ("ran_at", "started", _moment),
    ("ended_at", "ended", _moment),
    ("outcome", "outcome", _outcome),
    ("number_of_retries", "attempts", lambda value, field: go_json.unsigned(value, field) + 1),
    ("exit_code", "exit_code", go_json.integer),
    ("reason", "reason", go_json.text),
    ("output", "output", lambda value, field: go_json.text(value, field).encode()),
)
_NEEDED: Final = (("execution", "id"), ("started", "ran_at"), ("ended", "ended_at"), ("outcome", "outcome"))


def parse_import(job: JobId, body: bytes) -> RunImport:
    """The request to import runs of a job. What is wrong about one is noted; Invalid is about the whole."""
    read = go_json.fields(go_json.loads(body), _REQUEST)
    source, executions = read.get("source", ""), read.get("executions")
    if not 0 < len(source) <= limits.MAX_ID_CHARS:
        raise Invalid("source", f"must have 1 to {limits.MAX_ID_CHARS} characters")
    if type(executions) is not list:
        raise Malformed("executions", "must be an array")
    if len(executions) > limits.MAX_IMPORTED_RUNS:
        raise Invalid("executions", f"more than {limits.MAX_IMPORTED_RUNS} runs")
    runs: list[ImportedRun] = []
    refused: list[RefusedRun] = []
    for i, value in enumerate(executions):
        try:
            runs.append(_run(job, source, value))
        except Invalid as error:
            refused.append(RefusedRun(execution=_name(value, i), field=error.field, reason=error.reason))
    dry_run = read.get("dry_run", False)
    return RunImport(job=job, source=source, runs=tuple(runs), refused=tuple(refused), dry_run=dry_run)


def _run(job: JobId, source: str, value: Any) -> ImportedRun:
    read = go_json.fields(value, _EXECUTION)
    for attribute, key in _NEEDED:
        if attribute not in read:
            raise Malformed(key, "must be given")
    return ImportedRun(id=run_imported(job, source, read["execution"]), **read)


def _name(value: Any, index: int) -> str:
    """What to call a run that cannot be read."""
    name = value.get("id") if type(value) is dict else None
    return name if type(name) is str and name else f"[{index}]"


def report_json(report: ImportReport, *, dry_run: bool) -> bytes:
    """What became of the runs, or would."""
    refused = [{"id": r.execution, "field": r.field, "reason": r.reason} for r in report.refused]
    return dumps({"dry_run": dry_run, "taken": report.taken, "known": report.known, "refused": refused})

"""Runs of a NextKala server, as `GET /api/v1/job/{id}/executions/` gives them, or its table `job_runs`.

- That list is of all jobs, whatever the id says.
- A local job's run is there when it is over. A remote one's stays `Started`, without an end, until the other side has
  told how it ended, and may then have any word for a status.
- Only successful runs have output.
"""

from collections.abc import Iterable
from typing import Any, Final

from kala_es.dialects import go_json
from kala_es.dialects.coming import count_of, text_of
from kala_es.dialects.coming_runs import ComingRuns, moment_of, name_of, output_of
from kala_es.dialects.go_json import LATEST, Malformed, instant_text
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant

NOBODYS: Final = ""
"""Under this are executions that name no job."""
_OUTCOMES: Final = {"Success": "succeeded", "Failed": "failed"}
_NOT_OVER: Final = ("Started", "Running")


def listed(body: bytes) -> dict[str, list[Any]]:
    """The executions of a list by job. Raises Invalid."""
    answer = go_json.loads(body)
    executions = answer.get("job_stats") or [] if type(answer) is dict else None
    if type(executions) is not list:
        raise Malformed("job_stats", "NextKala's list of executions is an object with the key job_stats: an array")
    by_job: dict[str, list[Any]] = {}
    for execution in executions or ():
        job = execution.get("job_id") if type(execution) is dict else None
        by_job.setdefault(job if type(job) is str else NOBODYS, []).append(execution)
    return by_job


def refuse_nobodys(coming: ComingRuns, executions: Iterable[Any]) -> None:
    """Say of executions that name no job that they are not taken, beside the job whose list they came with."""
    for i, execution in enumerate(executions):
        coming.refuse(name_of(execution, "id", i), Invalid("job_id", "must be the id of a job"))


def translate(job: str, executions: Iterable[Any]) -> ComingRuns:
    """The runs of a job, out of its executions."""
    coming = ComingRuns(job=job)
    for i, execution in enumerate(executions):
        try:
            if type(execution) is not dict:
                raise go_json.mismatch(execution, "", "an object")
            status = text_of(execution, "status")
            if status in _NOT_OVER:
                coming.running += 1
            else:
                coming.runs.append(_run(execution, status))
        except Invalid as error:
            coming.refuse(name_of(execution, "id", i), error)
    return coming


def _run(execution: dict[str, Any], status: str) -> dict[str, Any]:
    started, nanoseconds = moment_of(execution, "ran_at"), count_of(execution, "execution_duration")
    if not text_of(execution, "id"):
        raise Invalid("id", "it has none")
    if started is None:
        raise Invalid("ran_at", "it has none")
    ended = started + nanoseconds // 1_000
    if ended > LATEST:
        raise Invalid("execution_duration", "it ends after the year 9999")
    if status not in _OUTCOMES:
        raise Invalid("status", f"{status!r} does not say how it ended")
    return {
        "id": execution["id"],
        "ran_at": instant_text(started),
        "ended_at": instant_text(Instant(ended)),
        "outcome": _OUTCOMES[status],
        "number_of_retries": count_of(execution, "number_of_retries"),
        "output": output_of(execution),
    }

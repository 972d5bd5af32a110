"""Runs of a Dkron server, as `GET /v1/jobs/{job}/executions` gives them: its executions are attempts.

- What a trigger started has one `group`, on each node attempts that follow each other: those are a run.
- One that never finishes there (it was killed, or its server was) is running for ever.
- Older versions find executions by the beginning of a name: those of other jobs are left out.
- What all attempts printed is told of the last one; it is the last 256,000 bytes of each.
"""

from collections.abc import Iterable
from typing import Any

from kala_es import limits
from kala_es.dialects import go_json
from kala_es.dialects.coming import count_of, text_of
from kala_es.dialects.coming_runs import ComingRuns, moment_of, name_of, output_of
from kala_es.dialects.go_json import Malformed, instant_text
from kala_es.domain.errors import Invalid


def listed(body: bytes) -> list[Any]:
    """The executions of a list. Raises Invalid."""
    executions = go_json.loads(body)
    if executions is not None and type(executions) is not list:
        raise Malformed("", "Dkron's list of executions is an array")
    return executions or []


def translate(job: str, executions: Iterable[Any]) -> ComingRuns:
    """The runs of a job, out of its executions."""
    coming = ComingRuns(job=job)
    groups: dict[str, list[dict[str, Any]]] = {}
    for i, execution in enumerate(executions):
        try:
            if type(execution) is not dict:
                raise go_json.mismatch(execution, "", "an object")
            if text_of(execution, "job_name") == job:
                name = f"{count_of(execution, 'group')}-{text_of(execution, 'node_name')}"
                groups.setdefault(name, []).append(execution)
        except Invalid as error:
            coming.refuse(name_of(execution, "group", i), error)
    for name, attempts in groups.items():
        try:
            run = _run(name, attempts)
        except Invalid as error:
            coming.refuse(name, error)
            continue
        if run is None:
            coming.running += 1
        else:
            coming.runs.append(run)
    return coming


def _run(name: str, attempts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The run of these attempts; None when one of them is not over."""
    attempts = sorted(attempts, key=lambda attempt: count_of(attempt, "attempt"))
    started = [moment_of(attempt, "started_at") for attempt in attempts]
    ended = [moment_of(attempt, "finished_at") for attempt in attempts]
    outputs = [output_of(attempt) for attempt in attempts]
    if type(attempts[-1].get("success")) is not bool:
        raise Invalid("success", "must be true or false")
    begun, over = [x for x in started if x is not None], [x for x in ended if x is not None]
    if len(begun) < len(attempts):
        raise Invalid("started_at", "it has none")
    if len(over) < len(attempts):
        return None
    output = "".join(outputs)
    if len(output.encode()) > limits.MAX_IMPORTED_OUTPUT_BYTES:
        raise Invalid("output", f"more than {limits.MAX_IMPORTED_OUTPUT_BYTES} bytes")
    return {
        "id": name,
        "ran_at": instant_text(min(begun)),
        "ended_at": instant_text(max(over)),
        "outcome": "succeeded" if attempts[-1]["success"] else "failed",
        "number_of_retries": max(count_of(attempts[-1], "attempt"), len(attempts)) - 1,
        "output": output,
    }

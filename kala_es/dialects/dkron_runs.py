"""Dkron's executions: an attempt of a run each. What it calls a group is a run.

- Attempts of one run share its `group`: the nanosecond at which the run began, too large for JavaScript's numbers.
  `id` names the attempt, as text.
- While it runs `finished_at` is Go's zero time and `success` is false. `output` is left out when there is none.
"""

from dataclasses import dataclass
from typing import Any

from kala_es.dialects import go_json
from kala_es.dialects.go_json import instant_text
from kala_es.domain.errors import NotFound
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """An attempt as it is shown. `outcome` None while it runs; `size` is how many bytes it has printed.

    `trimmed`: they are kept no longer.
    """

    job: JobId
    run: RunId
    attempt: int
    group: Instant
    started: Instant
    ended: Instant | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None
    reason: str = ""
    output: bytes = b""
    size: int = 0
    trimmed: bool = False


def execution_id(run: RunId, attempt: int) -> str:
    """What an attempt is called."""
    return f"{run}-{attempt}"


def parse_id(text: str) -> tuple[RunId, int]:
    """The run and the number of its attempt. Raises NotFound."""
    run, dash, number = text.rpartition("-")
    if not (dash and run and number.isascii() and number.isdecimal() and len(number) < 10):
        raise NotFound(f"there is no execution {text[:80]!r}")
    return RunId(run), int(number)


def execution_fields(execution: Execution, node: str, *, cut: bool = False) -> dict[str, Any]:
    """Its JSON object; with `cut` it says whether its output is whole."""
    output = execution.output.decode("utf-8", "replace")
    fields: dict[str, Any] = {
        "id": execution_id(execution.run, execution.attempt),
        "job_name": execution.job,
        "started_at": instant_text(execution.started),
        "finished_at": instant_text(execution.ended) if execution.ended is not None else go_json.NEVER,
        "success": execution.outcome == "succeeded",
    }
    if output:
        fields["output"] = output
    if execution.trimmed:
        fields["output_trimmed"] = True
    if cut:
        fields["output_truncated"] = len(execution.output) < execution.size
    return fields | {
        "node_name": node,
        "group": execution.group * 1000,
        "attempt": execution.attempt,
        "outcome": execution.outcome,
        "exit_code": execution.exit_code,
        "reason": execution.reason,
        "output_bytes": execution.size,
    }

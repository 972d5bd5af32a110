"""What comes of the runs of another scheduler's job: those that are over, as they are sent on, and what of others."""

from dataclasses import dataclass, field
from typing import Any

from kala_es import limits
from kala_es.dialects import go_json
from kala_es.dialects.coming import Remark, text_of
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant


@dataclass(slots=True)
class ComingRuns:
    """Runs of a job in the form that is imported (kala_imported.py). Those `running` there are not over and left out;
    those `refused` cannot be read."""

    job: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    running: int = 0
    refused: list[Remark] = field(default_factory=list)

    def refuse(self, execution: str, error: Invalid) -> None:
        """Say why a run is not taken."""
        key = f"executions.{execution}.{error.field}".rstrip(".")
        self.refused.append(Remark(job=self.job, field=key, reason=error.reason))


def name_of(execution: Any, key: str, index: int) -> str:
    """What to call an execution that may be anything."""
    name = execution.get(key) if type(execution) is dict else None
    return str(name) if type(name) in (str, int) and name else f"[{index}]"


def moment_of(execution: dict[str, Any], key: str) -> Instant | None:
    """A time of an execution, None for never. Raises Invalid."""
    return go_json.time(text_of(execution, key) or go_json.NEVER, key)


def output_of(execution: dict[str, Any]) -> str:
    """What an execution printed. Raises Invalid."""
    output = text_of(execution, "output")
    if len(output.encode()) > limits.MAX_IMPORTED_OUTPUT_BYTES:
        raise Invalid("output", f"more than {limits.MAX_IMPORTED_OUTPUT_BYTES} bytes")
    return output

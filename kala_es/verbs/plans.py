"""A server's plan for declared jobs, as lines: what is created, changed field by field, deleted and refused."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

APPLY: Final = "/api/v1/job/apply/"
_DONE: Final = {"create": "created", "change": "changed", "delete": "deleted", "refused": "refused"}


def lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """A line for each job that does not stay as it is, or is refused, and one for each of its fields that differs."""
    for step in plan["plan"]:
        if step["action"] == "refused":
            yield f"refused {step['id']}: {step['field']}: {step['reason']}".replace(": : ", ": ")
        if step["action"] in ("create", "change", "delete"):
            yield f"{step['action']} {step['id']}"
        for key, (before, after) in step.get("fields", {}).items():
            old = "" if before is None else f"{_shown(before)} -> "
            yield f"    {key}: {old}{'(default)' if after is None else _shown(after)}"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def summary(plan: Mapping[str, Any]) -> str:
    """How many jobs, by what became of them."""
    counts = plan["counts"]
    to_be = "to be " if plan["dry_run"] else ""
    said = [f"{counts[action]} {to_be}{done}" for action, done in _DONE.items() if counts[action]]
    return ", ".join([*said, f"{counts['unchanged']} unchanged"])


def changes(plan: Mapping[str, Any]) -> bool:
    """Whether the plan does anything."""
    return any(plan["counts"][action] for action in ("create", "change", "delete"))

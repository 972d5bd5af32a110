"""How the keys are read that say on which terms attempts are carried out. Written, they are as they are kept."""

import math
from collections.abc import Mapping
from typing import Any, Final, get_args

from kala_es.dialects import go_json
from kala_es.dialects.go_json import Reader
from kala_es.domain.errors import Invalid
from kala_es.domain.terms import OutputPolicy, parse_size


def _size(value: Any, field: str) -> int:
    """Bytes as a number, or text with a unit."""
    return parse_size(value, field) if type(value) is str else go_json.unsigned(value, field)


def _number(value: Any, field: str) -> float:
    if type(value) in (int, float):
        return float(value) if abs(value) < 1e18 else math.inf
    raise go_json.mismatch(value, field, "a number")


def _policy(value: Any, field: str) -> str | None:
    text = go_json.text(value, field)
    if text and text not in get_args(OutputPolicy):
        raise Invalid(field, 'must be "truncate-head", "truncate-tail" or "kill"')
    return text or None


READERS: Final[Mapping[str, Reader]] = {
    "retry_delay": go_json.text,
    "retry_backoff": _number,
    "retry_max_delay": go_json.text,
    "retry_jitter": _number,
    "user": go_json.text,
    "group": go_json.text,
    "umask": go_json.text,
    "nice": go_json.integer,
    "memory_limit": _size,
    "cpu_limit": go_json.unsigned,
    "open_files_limit": go_json.unsigned,
    "success_codes": go_json.integers,
    "max_output": _size,
    "on_max_output": _policy,
}

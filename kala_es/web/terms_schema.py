"""The JSON schemas of the keys that say on which terms a job's attempts are carried out."""

from typing import Any, Final, get_args

from kala_es import limits
from kala_es.domain.terms import OutputPolicy

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_DURATION: Final[dict[str, Any]] = {"type": "string", "description": "An ISO 8601 duration."}
_COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
_SIZE: Final[dict[str, Any]] = {"type": ["integer", "string"], "minimum": 0, "description": "Bytes, or such as 256M."}

TERMS: Final[dict[str, Any]] = {
    "retry_delay": {**_DURATION, "description": "An ISO 8601 duration between an attempt's end and its retry."},
    "retry_backoff": {"type": "number", "minimum": 1, "maximum": limits.MAX_RETRY_BACKOFF},
    "retry_max_delay": _DURATION,
    "retry_jitter": {"type": "number", "minimum": 0, "maximum": 1},
    "user": {**_TEXT, "description": "A user's name or number."},
    "group": {**_TEXT, "description": "A group's name or number."},
    "umask": {**_TEXT, "pattern": "^0?[0-7]{1,3}$"},
    "nice": {"type": "integer", "minimum": -20, "maximum": 19},
    "memory_limit": _SIZE,
    "cpu_limit": {**_COUNT, "description": "Seconds of CPU time."},
    "open_files_limit": _COUNT,
    "success_codes": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
    "max_output": _SIZE,
    "on_max_output": {"type": "string", "enum": [*get_args(OutputPolicy)]},
}

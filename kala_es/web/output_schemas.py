"""The JSON schema of output by lines."""

from typing import Any, Final

_COUNT: Final = {"type": "integer", "minimum": 0}
_PIECE: Final = {
    "type": "object",
    "properties": {
        "channel": {"enum": ["stdout", "stderr"]},
        "attempt": _COUNT,
        "dropped": {**_COUNT, "description": "Bytes that were left out right before it."},
        "text": {"type": "string"},
        "base64": {"type": "string", "description": "The exact bytes, when they are not UTF-8."},
    },
    "required": ["channel", "attempt", "text"],
}
_LINES: Final[dict[str, Any]] = {
    "first": _COUNT,
    "next": {**_COUNT, "description": "The first line that is not here."},
    "lines": {**_COUNT, "description": "All that there are; what follows the last line feed is one."},
    "bytes": _COUNT,
    "position": {**_COUNT, "description": "Of the last chunk that is counted: a stream goes on after it."},
    "skipped": {**_COUNT, "description": "Bytes of the first line that are left out before the pieces."},
    "cut": {"type": "boolean", "description": "Whether the last line goes on after the pieces."},
    "pieces": {"type": "array", "items": _PIECE},
}
OUTPUT_SCHEMAS: Final[dict[str, Any]] = {
    "OutputLines": {"type": "object", "properties": _LINES, "required": [*_LINES]},
}

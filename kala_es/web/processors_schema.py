"""The JSON schema of a job's processors: ours take the keys that they publish, those of packages whatever they take."""

from pathlib import Path
from typing import Any, Final

from kala_es import limits
from kala_es.notifiers.webhook import WebhookNotifier
from kala_es.processor import schema_of
from kala_es.processors.installed import our_own

_OURS: Final = our_own(Path(), WebhookNotifier(), {}, anywhere=True)

PROCESSORS: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Who is handed the output, in this order: name to config (docs/processors.md).",
    "maxProperties": limits.MAX_PROCESSORS,
    "properties": {name: {**schema_of(processor), "type": ["object", "null"]} for name, processor in _OURS.items()},
    "additionalProperties": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
}

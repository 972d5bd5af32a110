"""The keys of a job that are ours, beside NextKala's: how each is read, and what is written of it.

A key is written only when its value says something: when it is not the default. A group is a value of its own within
the definition (`JobSpec.<group>`); in JSON its keys stand among the others, flat.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kala_es.dialects import go_json, kala_terms, kala_ticks, notices
from kala_es.dialects.go_json import Reader
from kala_es.domain.bounds import Bounds
from kala_es.domain.errors import Invalid
from kala_es.domain.imported_runs import ImportedFrom
from kala_es.domain.model import JobSpec
from kala_es.domain.named_work import NamedWork
from kala_es.domain.notify import Notify
from kala_es.domain.processing import Processors
from kala_es.domain.retention import Retention
from kala_es.domain.terms import AttemptTerms
from kala_es.domain.tick_policy import TickPolicy
from kala_es.domain.trimming import Redaction
from kala_es.domain.values import Value


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `group` "" means that the definition itself has the attribute; `write` makes JSON of the value."""

    name: str
    attribute: str
    read: Reader
    group: str = ""
    write: Callable[[Any], Any] = lambda value: value

    @property
    def path(self) -> str:
        """What the reader of a whole job calls it."""
        return f"{self.group}.{self.attribute}" if self.group else self.attribute


def _policy(value: Any, field: str) -> str:
    policy = go_json.text(value, field)
    if policy not in ("", "all", "any"):
        raise Invalid(field, 'must be "all" or "any"')
    return "any" if policy == "any" else "all"  # the literals: see domain/values.py


def _processors_json(processors: Processors) -> dict[str, Any]:
    return {name: dict(config) for name, config in processors}


_REASON: Final = go_json.struct(("reason", "reason", go_json.text))


def parse_reason(body: bytes) -> str:
    """The reason that a request gives. Raises Invalid."""
    return str(go_json.fields(go_json.loads(body), _REASON).get("reason", ""))


class PastView(Protocol):
    """What became of a run since it was over, and where it was before."""

    @property
    def redacted(self) -> Redaction | None:
        """Why it has lost its output."""

    @property
    def imported(self) -> ImportedFrom | None:
        """From where it came."""


def past_fields(run: PastView) -> dict[str, Any]:
    """The same, as the run shows it."""
    redacted, imported = run.redacted, run.imported
    at = redacted and go_json.instant_text(redacted.at)
    return {
        "redacted": redacted and {"at": at, "reason": redacted.reason, "by": redacted.by},
        "imported": imported and {"source": imported.source, "id": imported.execution},
    }


KEYS: Final = (
    Key("timezone", "timezone", go_json.text),
    Key("shell", "shell", go_json.flag),
    Key("env", "env", go_json.text_map, write=dict),
    Key("cwd", "cwd", go_json.text),
    Key("stdin", "stdin", go_json.text),
    Key("timeout", "timeout", go_json.text),
    Key("dependency_policy", "dependency_policy", _policy),
    *(Key(name, name, read, "ticks") for name, read in kala_ticks.READERS),
    *(Key(name, name, read, "terms") for name, read in kala_terms.READERS.items()),
    Key("notify", "targets", notices.read_targets, group="notify", write=notices.write_targets),
    Key("expected_duration", "expected_duration", go_json.text, group="notify"),
    Key("keep_runs", "runs", go_json.integer, group="retention"),
    Key("keep_for", "duration", go_json.text, group="retention"),
    Key("keep_output_bytes", "output_bytes", go_json.integer, group="retention"),
    Key("managed_by", "managed_by", go_json.text),
    Key("labels", "labels", go_json.text_map, write=dict),
    Key("node_tags", "tags", go_json.text_map, write=dict),
    Key("starts_at", "starts_at", go_json.time, group="bounds", write=go_json.instant_text),
    Key("expires_at", "expires_at", go_json.time, group="bounds", write=go_json.instant_text),
    Key("ephemeral", "ephemeral", go_json.flag, group="bounds"),
    Key("executor", "executor", go_json.text, group="named"),
    Key("executor_config", "config", go_json.text_map, group="named", write=dict),
    Key("processors", "processors", go_json.text_maps, write=_processors_json),
)
_GROUPS: Final[Mapping[str, type[Value]]] = {
    "ticks": TickPolicy,
    "terms": AttemptTerms,
    "notify": Notify,
    "retention": Retention,
    "bounds": Bounds,
    "named": NamedWork,
}
_DEFAULTS: Final = JobSpec(name="")


def gather(read: dict[str, Any]) -> None:
    """Put what was read of each group into a value of the group's kind."""
    for group, kind in _GROUPS.items():
        found = {key.attribute: read.pop(key.path) for key in KEYS if key.group == group and key.path in read}
        if found:
            read[group] = kind(**found)


def additions(spec: JobSpec) -> Iterator[tuple[str, Any]]:
    """Our keys of a definition, those that say something."""
    for key in KEYS:
        holder, default = (getattr(x, key.group) if key.group else x for x in (spec, _DEFAULTS))
        value = getattr(holder, key.attribute)
        if value != getattr(default, key.attribute):
            yield key.name, key.write(value)

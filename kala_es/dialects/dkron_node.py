"""This node in Dkron's words: the only member of its cluster, and so its leader."""

from dataclasses import dataclass
from typing import Any, Final

from kala_es.domain.labels import Labels

_PROTOCOLS: Final = {
    "ProtocolMin": 1,
    "ProtocolMax": 5,
    "ProtocolCur": 2,
    "DelegateMin": 2,
    "DelegateMax": 5,
    "DelegateCur": 4,
}
_ALIVE: Final = 1
_FIGURES: Final = (
    "coordinate_resets",
    "event_queue",
    "failed",
    "health_score",
    "intent_queue",
    "left",
    "query_queue",
)
"""All of them are 0 for one node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What this node is called, where it listens, and its tags."""

    node: str
    version: str
    host: str
    port: int
    tags: Labels = ()


def usual_tags(version: str) -> dict[str, str]:
    """The tags that every Dkron server has; jobs may ask for them."""
    return {"dc": "dc1", "expect": "1", "region": "global", "role": "dkron", "server": "true", "version": version}


def tags_of(here: Here) -> dict[str, str]:
    """All that Dkron says of a node."""
    where = {"port": str(here.port), "rpc_addr": f"{here.host}:{here.port}"}
    return dict(sorted((dict(here.tags) | where).items()))


def index_fields(here: Here) -> dict[str, Any]:
    """The answer of `/v1`: all values of `serf` are texts there."""
    serf = dict.fromkeys(_FIGURES, "0")
    serf |= {"encrypted": "false", "event_time": "1", "member_time": "1", "members": "1", "query_time": "1"}
    return {
        "agent": {"name": here.node, "version": here.version},
        "serf": dict(sorted(serf.items())),
        "tags": tags_of(here),
    }


def executor_fields(name: str, schema: dict[str, Any] | str) -> dict[str, Any]:
    """An executor: the JSON schema of its config, or why there is none."""
    return (
        {"name": name, "schema": None, "error": schema} if isinstance(schema, str) else {"name": name, "schema": schema}
    )


def member_fields(here: Here) -> dict[str, Any]:
    """A member. `id` and `statusText` came with version 3; there the former is another one in each answer."""
    return {
        "Name": here.node,
        "Addr": here.host,
        "Port": here.port,
        "Tags": tags_of(here),
        "Status": _ALIVE,
        **_PROTOCOLS,
        "id": here.node,
        "statusText": "alive",
    }

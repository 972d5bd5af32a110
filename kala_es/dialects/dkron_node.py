"""This node in Dkron's words: the only member of its cluster, and so its leader."""

from dataclasses import dataclass
from typing import Any, Final

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
    """What this node is called, and where it listens."""

    node: str
    version: str
    host: str
    port: int


def tags_of(here: Here) -> dict[str, str]:
    """What Dkron says of a node that is a server by itself."""
    return {
        "dc": "dc1",
        "expect": "1",
        "port": str(here.port),
        "region": "global",
        "role": "dkron",
        "rpc_addr": f"{here.host}:{here.port}",
        "server": "true",
        "version": here.version,
    }


def index_fields(here: Here) -> dict[str, Any]:
    """The answer of `/v1`: all values of `serf` are texts there."""
    serf = dict.fromkeys(_FIGURES, "0")
    serf |= {"encrypted": "false", "event_time": "1", "member_time": "1", "members": "1", "query_time": "1"}
    return {
        "agent": {"name": here.node, "version": here.version},
        "serf": dict(sorted(serf.items())),
        "tags": tags_of(here),
    }


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

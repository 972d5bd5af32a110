"""Who may speak to this server at all: what a foreign web page makes a browser send is refused before anything else.

1. Host is an IP address, localhost or an allowed name: a name that was pointed here (DNS rebinding) is refused.
2. Origin, when there is one, is this server's own or an allowed one; "null" is neither.
3. What a browser calls cross-site may only read, and, unless its Origin is allowed, only to show it: a link may lead
   here, an image or a frame of a foreign page may not.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from kala_es.web.edge import Edge
from kala_es.web.exchange import Response, refuse

_HOST: Final = re.compile(r"(\[[^\[\]]*\]|[^\[\]:@/,]*)(?::([0-9]*))?")


def check(method: str, headers: Mapping[str, str], edge: Edge) -> Response | None:
    """The refusal, or None."""
    host = headers.get("host", "").strip().lower()
    if not _is_allowed_host(host, edge.allowed_hosts):
        return refuse(403, f"the Host {host!r} is neither an IP address nor localhost nor an allowed host name")
    origin = headers.get("origin")
    if origin is not None and not _is_own_origin(origin, host) and origin.lower() not in edge.allowed_origins:
        return refuse(403, f"the Origin {origin!r} is neither that of this server nor an allowed one")
    if _word(headers, "sec-fetch-site") != "cross-site":
        return None
    if method != "GET":
        return refuse(403, "a cross-site request may only read (Sec-Fetch-Site: cross-site)")
    if origin is None and _word(headers, "sec-fetch-dest") not in ("", "document"):
        return refuse(403, "a page of another site may only link here (Sec-Fetch-Dest)")
    return None


def _word(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").strip().lower()


def _is_allowed_host(host: str, allowed: tuple[str, ...]) -> bool:
    if host in allowed:
        return bool(host)
    name, _ = _split(host)
    return name == "localhost" or (bool(name) and name in allowed) or _is_ip(name)


def _split(host: str) -> tuple[str, str]:
    """The name and the port of a Host header, an IPv6 address in its brackets; "" and "" for what is none."""
    match = _HOST.fullmatch(host)
    return (match[1], match[2] or "") if match else ("", "")


def _is_ip(name: str) -> bool:
    bare = name.strip("[]")
    try:
        return ip_address(bare).version == (4 if bare == name else 6)
    except ValueError:
        return False


def _is_own_origin(origin: str, host: str) -> bool:
    scheme, _, authority = origin.strip().lower().partition("://")
    usual = {"http": "80", "https": "443"}.get(scheme)
    name, port = _split(authority)
    if usual is None or not name:
        return False
    own_name, own_port = _split(host)
    return (name, port or usual) == (own_name, own_port or usual)

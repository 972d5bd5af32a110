"""Who may speak to this server at all: what a foreign web page makes a browser send is refused before anything else.

1. Host is an IP address, localhost or an allowed name: a name that was pointed here (DNS rebinding) is refused.
2. Origin, when there is one, is this server's own or an allowed one; "null" is neither.
3. A request that a browser calls cross-site may only read.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from kala_es.web.edge import Edge
from kala_es.web.exchange import Response, refuse


def check(method: str, headers: Mapping[str, str], edge: Edge) -> Response | None:
    """The refusal, or None."""
    host = headers.get("host", "").strip().lower()
    if not _is_allowed_host(host, edge.allowed_hosts):
        return refuse(403, f"the Host {host!r} is neither an IP address nor localhost nor an allowed host name")
    origin = headers.get("origin")
    if origin is not None and not _is_own_origin(origin, host) and origin.lower() not in edge.allowed_origins:
        return refuse(403, f"the Origin {origin!r} is neither that of this server nor an allowed one")
    if method != "GET" and headers.get("sec-fetch-site", "").strip().lower() == "cross-site":
        return refuse(403, "a cross-site request may only read (Sec-Fetch-Site: cross-site)")
    return None


def _is_allowed_host(host: str, allowed: tuple[str, ...]) -> bool:
    if host in allowed:
        return bool(host)
    name, port = _split(host)
    if port and not port.isdecimal():
        return False
    return name == "localhost" or name in allowed or _is_ip(name)


def _split(host: str) -> tuple[str, str]:
    """The name and the port of a Host header; an IPv6 address stands in brackets."""
    if host.startswith("["):
        name, _, port = host.partition("]")
        return name + "]", port.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _is_ip(name: str) -> bool:
    if name.startswith("[") != name.endswith("]"):
        return False
    try:
        version = ip_address(name.strip("[]")).version
    except ValueError:
        return False
    return version == (6 if name.startswith("[") else 4)


def _is_own_origin(origin: str, host: str) -> bool:
    scheme, _, authority = origin.strip().lower().partition("://")
    if scheme not in ("http", "https") or urlsplit(f"//{authority}").netloc != authority:
        return False
    usual = "80" if scheme == "http" else "443"
    return _with_port(authority, usual) == _with_port(host, usual)


def _with_port(host: str, usual: str) -> tuple[str, str]:
    name, port = _split(host)
    return name, port or usual

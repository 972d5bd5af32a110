"""Ports that a processor's config names."""

from typing import Final

_LAST: Final = 65_535


def refuse_port(text: str) -> str:
    """Why digits are no port; "" if they are one."""
    return "" if 0 < int(text) <= _LAST else f"a port is a number from 1 to {_LAST}"

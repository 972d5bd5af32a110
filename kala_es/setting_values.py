"""How the value of a setting is read: from a text, or from what a TOML file has.

One that does not fit is a ValueError that says what it is not. What may be secret is a SettingError, which does not
repeat it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

_UNITS: Final[Mapping[str, float]] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

OnStop = Literal["wait", "leave", "cancel"]
"""What a stop does to runs in flight."""
JobDb = Literal["lmdb", "postgres"]
"""What the event log is kept in."""


class SettingError(Exception):
    """A setting's value does not fit; the sentence names both."""


def read_port(value: Any) -> int:
    """A port as NextKala writes it too: `8000`, `:8000`. 0 picks a free one."""
    text = str(value).removeprefix(":")
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError("not a port between 0 and 65535")
    return int(text)


def read_seconds(value: Any) -> float:
    """A duration: seconds, or with a unit (`30`, `30s`, `5m`, `3h`, `1d`)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
    if match is None:
        raise ValueError("not a duration like 30, 30s, 5m or 3h")
    return float(match[1]) * _UNITS[match[2]]


def read_number(value: Any) -> int:
    """A whole number, 0 or more."""
    if not re.fullmatch(r"\d{1,15}", str(value), re.ASCII):
        raise ValueError("not a whole number")
    return int(value)


def read_bytes(value: Any) -> int:
    """A number of bytes, or with a unit (`100000`, `64K`, `10M`, `2G`)."""
    match = re.fullmatch(r"(\d{1,15})([KMGT]?)", str(value).strip(), re.ASCII)
    if match is None:
        raise ValueError("not a number of bytes like 100000, 64K, 10M or 2G")
    return int(match[1]) << 10 * " KMGT".index(match[2] or " ")


def read_flag(value: Any) -> bool:
    """A yes or no."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in known:
        raise ValueError("neither true nor false")
    return known[str(value).lower()]


def read_not(value: Any) -> bool:
    """The opposite of a yes or no, for settings that forbid."""
    return not read_flag(value)


def read_hosts(value: Any) -> tuple[str, ...]:
    """Host names, separated by commas, or a list of them."""
    names = value if isinstance(value, list | tuple) else str(value).split(",")
    return tuple(name.strip().lower() for name in map(str, names) if name.strip())


def read_tags(value: Any) -> tuple[tuple[str, str], ...]:
    """Pairs `key=value`, separated by commas, or a list of them."""
    pairs = value if isinstance(value, list | tuple) else str(value).split(",")
    found = dict(str(pair).strip().partition("=")[::2] for pair in pairs if str(pair).strip())
    if not all(key and text for key, text in found.items()):
        raise ValueError("not tags like role=web,dc=dc1")
    return tuple(found.items())


def read_text(value: Any) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def read_url(value: Any) -> str:
    """An http or https URL; the empty text for none."""
    if not re.fullmatch(r"(https?://[^\s/?#]+\S*)?", read_text(value)):
        raise ValueError("not an http or https URL")
    return str(value)


def read_path(value: Any) -> Path:
    """A file or directory."""
    if isinstance(value, Path):
        return value
    if not read_text(value):
        raise ValueError("not a path")
    return Path(value)


def read_on_stop(value: Any) -> str:
    """What a stop does to runs."""
    if value not in get_args(OnStop):
        raise ValueError(f"none of {', '.join(get_args(OnStop))}")
    return str(value)


def read_some_path(value: Any) -> Path | None:
    """A file or directory; None for the empty text."""
    return None if value in ("", None) else read_path(value)


def read_secret(value: Any, *, name: str) -> str:
    """A text that nothing repeats. Raises SettingError."""
    if not isinstance(value, str):
        raise SettingError(f"{name} is not a text")
    return value


def read_database(value: Any, *, name: str) -> str:
    """The URL of a PostgreSQL database, which may hold a password: nothing repeats it. Raises SettingError."""
    if not re.match(r"postgres(ql)?://|\Z", read_secret(value, name=name)):
        raise SettingError(f"{name} is not a URL that begins with postgresql://")
    return str(value)


def read_jobdb(value: Any) -> str:
    """What the log is kept in."""
    if value not in get_args(JobDb):
        raise ValueError(f"none of {', '.join(get_args(JobDb))}")
    return str(value)


def read_minutes(value: Any) -> float:
    """A number of minutes; -1 for ever."""
    match = re.fullmatch(r"-1|\d+(\.\d+)?", str(value))
    if match is None:
        raise ValueError("neither -1 nor a number of minutes")
    return float(match[0])

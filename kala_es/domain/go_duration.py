"""Durations in Go's form, as Dkron's schedules and jobs have them: `1h30m`, `1.5s`, `-10ms`, `0`.

They are read as Go's `time.ParseDuration` reads them: a sign, then numbers with a unit, each of which may have a
fraction, and may come again. The longest is that of Go's, 292 years.
"""

import re
from typing import Final

_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|ms|s|m|h)")
_MICRO_SIGNS: Final = re.compile("[\u00b5\u03bc]s")
_NANOS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_MOST_NANOS: Final = 2**63 - 1
_MOST_CHARS: Final = 1_000


def read_go_duration(text: str) -> int:
    """Nanoseconds. Raises ValueError, whose sentence goes on after "the duration"."""
    body = _MICRO_SIGNS.sub("us", text[1:] if text[:1] in ("-", "+") else text)
    nanos = 0 if body == "0" else _sum(body[:_MOST_CHARS])
    if nanos is None:
        raise ValueError(f"{text[:40]!r} is not like 1h30m10s; its units are h, m, s and ms")
    if nanos > _MOST_NANOS or len(body) > _MOST_CHARS:
        raise ValueError(f"{text[:40]!r} is longer than 292 years")
    return -nanos if text.startswith("-") else nanos


def _sum(body: str) -> int | None:
    nanos, at = 0, 0
    while part := _PART.match(body, at):
        whole, fraction, unit = part.groups(default="")
        if not whole + fraction:
            return None
        nanos += int(whole or 0) * _NANOS[unit] + int(fraction or 0) * _NANOS[unit] // 10 ** len(fraction)
        at = part.end()
    return nanos if at and at == len(body) else None

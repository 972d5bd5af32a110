"""How values are written on a page: moments, lengths of time, sizes, and the addresses of things."""

import json
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from kala_es.dialects.go_json import instant_text
from kala_es.domain.ids import SECOND, Instant

ROOT: Final = "/webui/"
API: Final = "/api/v1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_SIZES: Final = ("KiB", "MiB", "GiB", "TiB")


def job_address(job: str, rest: str = "") -> str:
    """A job's page, or what is under it."""
    return f"{ROOT}jobs/{quote(job, safe='')}/{rest}"


def run_address(run: str) -> str:
    """A run's page."""
    return f"{ROOT}runs/{quote(run, safe='')}/"


def job_api(job: str) -> str:
    """A job in the API."""
    return f"{API}/job/{quote(job, safe='')}/"


def delete_api(job: str) -> str:
    """Where a job is deleted. `DELETE /job/all/` deletes every job, so one of that id is deleted in Dkron's API, which
    refuses one that has children."""
    return f"/v1/jobs/{job}" if job == "all" else job_api(job)


def start_api(job: str) -> str:
    """Where a run of a job is asked for."""
    return f"{API}/job/start/{quote(job, safe='')}/"


def run_api(job: str, run: str, rest: str = "") -> str:
    """A run in the API, or what is under it."""
    return f"{job_api(job)}executions/{quote(run, safe='')}/{rest}"


def iso(instant: Instant) -> str:
    """A moment for programs: RFC 3339, UTC."""
    return instant_text(instant)


def utc(instant: Instant) -> str:
    """A moment for people: to the second, with its zone."""
    return f"{_EPOCH + timedelta(seconds=instant // SECOND):%Y-%m-%d %H:%M:%S} UTC"


def wall(instant: Instant, zone: str) -> str:
    """The same on the clocks of a zone, with the zone's name for that time; at the end of all time in UTC."""
    moment = _EPOCH + timedelta(seconds=instant // SECOND)
    try:
        return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %Z}"
    except OverflowError:
        return utc(instant)


def lasting(micros: int) -> str:
    """A length of time in its two largest units: `850 ms`, `4.2 s`, `3 m 05 s`, `2 h 10 m`, `4 d 03 h`."""
    seconds = max(micros, 0) / SECOND
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} m {whole % _MINUTE:02} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} m"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR:02} h"


def short(text: str, most: int = 80) -> str:
    """What a list has room for: a page of fifty rows stays small, whatever its jobs are called."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def weight(text: str) -> int:
    """What a text takes in a page, in bytes: escaped."""
    return len(escape(text).encode("utf-8", "replace"))


def size(count: int) -> str:
    """Bytes: `912 B`, `1.4 KiB`."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in _SIZES:
        value /= 1024
        if value < 1024 or unit == _SIZES[-1]:
            break
    return f"{value:.1f} {unit}"


def json_text(value: Any) -> str:
    """A value for a script, as the text of a `data-` attribute."""
    return json.dumps(value, separators=(",", ":"))


def number(count: int) -> str:
    """A count with thin gaps between its thousands."""
    return f"{count:,}".replace(",", "\u202f")

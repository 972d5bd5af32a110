"""Jobs of a Dkron server: its list, as `GET /v1/jobs` gives it, version 2 to 4.

What a job does and when is carried over, or the job is refused with the reason; what is about Dkron's own ways (nodes,
processors, metadata) is noted.

- `@every` has a phase there, which `next` tells; here it is part of the schedule, so the same list gives the same job.
- `@daily` and its like are at UTC here; there they are at the server's own zone, whatever the job's.
- Cron texts are handed on as they are: whether they can be followed is the server's to say. A job's name there is its
  id here, so a plain `~` stays at the same time.
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from kala_es.dialects import go_json
from kala_es.dialects.coming import Coming, count_of, said, text_of, texts_of
from kala_es.dialects.go_json import Malformed, instant_text
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant

_ANCHOR: Final = Instant(1_577_836_800 * SECOND)
"""2020-01-01T00:00:00Z, from which the phase of an interval is counted."""
_NAMED: Final[Mapping[str, str]] = {
    "@minutely": "R/2020-01-01T00:00:00Z/PT1M",
    "@hourly": "R/2020-01-01T00:00:00Z/PT1H",
    "@daily": "R/2020-01-01T00:00:00Z/P1D",
    "@midnight": "R/2020-01-01T00:00:00Z/P1D",
    "@weekly": "R/2020-01-05T00:00:00Z/P1W",
    "@monthly": "R/2020-01-01T00:00:00Z/P1M",
    "@yearly": "R/2020-01-01T00:00:00Z/P1Y",
    "@annually": "R/2020-01-01T00:00:00Z/P1Y",
}
_UNITS: Final = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1, "µs": 1, "ns": 0.001}
_PIECE: Final = re.compile(r"([0-9]*\.?[0-9]+)(h|ms|m|s|us|µs|ns)")
_CHOICE_OF_ITS_OWN: Final = re.compile(r"~[^\s,]|[^\s,]~")
_MEMORY: Final = re.compile(r"([0-9]+)\s*([KMG]?)B?", re.IGNORECASE)
_NOT_CARRIED: Final = {
    "tags": "they choose nodes; there is one here",
    "metadata": "has no counterpart",
    "processors": "have no counterpart; output is kept whole here",
}


def translate(body: bytes, now: Instant) -> Coming:
    """The jobs of a list. Raises Invalid when it is no list of Dkron's."""
    listed = go_json.loads(body)
    if type(listed) is not list:
        raise Malformed("", "Dkron's list of jobs is an array")
    coming = Coming()
    for i, job in enumerate(listed):
        name = job.get("name") if type(job) is dict else None
        if type(name) is not str or not name:
            coming.refuse(f"[{i}]", Invalid("name", "must be text"))
            continue
        try:
            coming.jobs[name] = _job(coming, name, job)
        except Invalid as error:
            coming.refuse(name, error)
    return coming


def _job(coming: Coming, name: str, job: dict[str, Any]) -> dict[str, Any]:
    _refuse_ends(job)
    parent = text_of(job, "parent_job")
    schedule = "" if parent else _schedule(coming, name, job)
    mail = text_of(job, "owner_email")
    if text_of(job, "concurrency") not in ("", "allow", "forbid"):
        raise Invalid("concurrency", "must be allow or forbid")
    taken = {
        "name": text_of(job, "displayname") or name,
        **_work(coming, name, job),
        **said(
            [
                ("owner", text_of(job, "owner")),
                ("disabled", job.get("disabled")),
                ("parent_jobs", [parent] if parent else []),
                ("schedule", schedule),
                ("timezone", "" if parent or not schedule or schedule.startswith("R") else text_of(job, "timezone")),
                ("retries", count_of(job, "retries")),
                ("overlap", "skip" if job.get("concurrency") == "forbid" else ""),
                ("notify", [{"to": f"mailto:{mail}"}] if mail else []),
            ]
        ),
        "metadata": _counters(job),
    }
    for key, reason in _NOT_CARRIED.items():
        if job.get(key):
            coming.note(name, key, f"{reason}; not carried over")
    return taken


def _refuse_ends(job: dict[str, Any]) -> None:
    """A job that would go on where it ends there, or begin before, is not the same job."""
    if job.get("ephemeral") and not text_of(job, "schedule").startswith("@at"):
        raise Invalid("ephemeral", "it ends there with its first success; nothing here does")
    for key in ("expires_at", "starts_at"):
        if text_of(job, key) not in ("", go_json.NEVER):
            raise Invalid(key, "has no counterpart; make the job by hand with a start, and R<n> for its end")


def _counters(job: dict[str, Any]) -> dict[str, Any]:
    """Counts are of attempts there; a run that succeeded is one whose attempt did."""
    good, bad = count_of(job, "success_count"), count_of(job, "error_count")
    times = {key: go_json.time(text_of(job, key) or go_json.NEVER, key) for key in ("last_success", "last_error")}
    last = max((moment for moment in times.values() if moment is not None), default=None)
    return {
        "success_count": good,
        "error_count": bad,
        "number_of_finished_runs": good + bad,
        "last_attempted_run": instant_text(last),
        **{key: instant_text(moment) for key, moment in times.items()},
    }


# Schedules


def _schedule(coming: Coming, name: str, job: dict[str, Any]) -> str:
    text = text_of(job, "schedule").strip()
    word, _, rest = text.partition(" ")
    if text in _NAMED:
        coming.note(name, "schedule", f"{text} is at UTC here")
        return _NAMED[text]
    if word == "@every":
        return _every(job, rest.strip())
    if word == "@at":
        moment = go_json.time(rest.strip(), "schedule")
        return f"R0/{instant_text(moment)}/"
    if text == "@manually":
        coming.note(name, "schedule", "@manually is no schedule here: it starts by hand only")
        return ""
    if not text or text.startswith("@"):
        raise Invalid("schedule", f"{text!r} has no counterpart")
    if _CHOICE_OF_ITS_OWN.search(text):
        coming.note(name, "schedule", "there ~ is one number wherever it stands; here a~b lies between, ~/15 spreads")
    if not text_of(job, "timezone"):
        coming.note(name, "schedule", "is at UTC here; there it was at the server's own zone")
    return text


def _every(job: dict[str, Any], text: str) -> str:
    """Whole seconds, one at least, as there."""
    seconds = max(round(_micros(text, "schedule") / SECOND), 1)
    following = go_json.time(text_of(job, "next") or go_json.NEVER, "next")
    phase = (following - _ANCHOR) % (seconds * SECOND) if following is not None else 0
    return f"R/{instant_text(Instant(_ANCHOR + phase - phase % SECOND))}/PT{seconds}S"


def _micros(text: str, field: str) -> int:
    """A duration of Go's: 1h30m, 1.5s. Raises Invalid."""
    pieces = _PIECE.findall(text.removeprefix("+"))
    if not pieces or "".join(map("".join, pieces)) != text.removeprefix("+"):
        raise Invalid(field, f"{text!r} is no duration like 1h30m")
    return round(sum(float(number) * _UNITS[unit] for number, unit in pieces))


# What it does


def _work(coming: Coming, name: str, job: dict[str, Any]) -> dict[str, Any]:
    executor = text_of(job, "executor")
    if executor not in _EXECUTORS:
        reason = f"{executor!r} has no counterpart" if executor else "it has none, and never ran"
        raise Invalid("executor", reason)
    read, known = _EXECUTORS[executor]
    config = texts_of(job, "executor_config")
    for key in sorted(set(config) - known):
        coming.note(name, f"executor_config.{key}", "has no counterpart; not carried over")
    return read(coming, name, config)


def _shell(coming: Coming, name: str, config: dict[str, str]) -> dict[str, Any]:
    user, _, group = config.get("su", "").partition(":")
    pairs = [pair.partition("=") for pair in config.get("env", "").split(",") if pair]
    seconds = _micros(config["timeout"], "executor_config.timeout") / SECOND if config.get("timeout") else 0
    return {
        "command": config.get("command", ""),
        **said(
            [
                ("shell", config.get("shell", "").lower() in ("true", "1", "t")),
                ("env", {key: value for key, _, value in pairs}),
                ("cwd", config.get("cwd")),
                ("stdin", _payload(config.get("payload", ""))),
                ("timeout", f"PT{seconds:g}S" if seconds else ""),
                ("user", user),
                ("group", group),
                ("memory_limit", _memory(config.get("mem_limit", ""))),
            ]
        ),
    }


def _payload(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        raise Invalid("executor_config.payload", "must be base64 of UTF-8 text") from None


def _memory(text: str) -> str:
    match = _MEMORY.fullmatch(text.strip())
    if text and not match:
        raise Invalid("executor_config.mem_limit", f"{text!r} is no size like 256MB")
    return match[1] + match[2].upper() if match else ""


def _http(coming: Coming, name: str, config: dict[str, str]) -> dict[str, Any]:
    if not config.get("expectCode"):
        coming.note(name, "executor_config.expectCode", "without it any answer is a success there; here only 200 is")
    remote = {
        "url": config.get("url", ""),
        "method": config.get("method", ""),
        **said(
            [
                ("body", config.get("body")),
                ("headers", _headers(config.get("headers", ""))),
                ("timeout", _whole(config.get("timeout", ""), "timeout")),
                ("expected_response_codes", _codes(config.get("expectCode", ""))),
            ]
        ),
    }
    return {"type": 1, "remote_properties": remote}


def _headers(text: str) -> dict[str, list[str]]:
    """A JSON array of lines, `Name: value`."""
    field = "executor_config.headers"
    lines = go_json.loads(text.encode()) if text else []
    if type(lines) is not list or any(type(line) is not str or ":" not in line for line in lines):
        raise Invalid(field, "must be a JSON array of `Name: value`")
    headers: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = line.partition(":")
        headers.setdefault(key.strip(), []).append(value.strip())
    return headers


def _codes(text: str) -> list[int]:
    return [_whole(code.strip(), "expectCode") for code in text.split(",") if code.strip()]


def _whole(text: str, key: str) -> int:
    if text and not text.isdecimal():
        raise Invalid(f"executor_config.{key}", f"{text!r} is no whole number")
    return int(text or 0)


_Read = Callable[[Coming, str, dict[str, str]], dict[str, Any]]
_EXECUTORS: Final[Mapping[str, tuple[_Read, frozenset[str]]]] = {
    "shell": (_shell, frozenset({"command", "shell", "env", "cwd", "payload", "timeout", "su", "mem_limit"})),
    "http": (_http, frozenset({"url", "method", "body", "headers", "timeout", "expectCode"})),
}

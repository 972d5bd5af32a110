"""Jobs of a Dkron server: its list, as `GET /v1/jobs` gives it, version 2 to 4.

They are read as `/v1` reads them (dkron.py), and then declared. What an executor or a processor there ignores is left
behind, with a note.

- `@every` has a phase there, which `next` tells; here it becomes part of the schedule, so that it goes on where it was.
- A wall clock without a `timezone` is UTC's here; there it is the server's own, for `@daily` and its like in any case.
- Cron texts are handed on as they are: whether they can be followed is the server's to say. A job's name there is its
  id here, so a plain `~` stays at the same time.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from kala_es.dialects import dkron, go_json
from kala_es.dialects.coming import Coming, text_of, texts_of
from kala_es.dialects.dkron_work import EXECUTORS, keys_of
from kala_es.dialects.go_json import Malformed, instant_text
from kala_es.dialects.kala_declared import declaration_of
from kala_es.domain.cron import ZONE_PREFIXES
from kala_es.domain.errors import Invalid
from kala_es.domain.go_duration import read_go_duration
from kala_es.domain.ids import SECOND, Instant

_ANCHOR: Final = Instant(1_577_836_800 * SECOND)
"""2020-01-01T00:00:00Z, from which the phase of an interval is counted."""
_CHOICE_OF_ITS_OWN: Final = re.compile(r"~[^\s,]|[^\s,]~")
_NANOS_A_SECOND: Final = 10**9
_EVERY: Final = re.compile(r"@every\s+(.*)", re.DOTALL)
_NOTES: Final[Mapping[str, str]] = {
    "tags": "only a server that has them carries the job out; name them by --tag",
}
_PROCESSORS: Final[Mapping[str, frozenset[str]]] = {
    "log": frozenset({"forward"}),
    "files": frozenset({"forward", "log_dir"}),
    "syslog": frozenset({"forward"}),
    "fluent": frozenset({"forward"}),
}


def translate(body: bytes, now: Instant) -> Coming:
    """The jobs of a list. Raises Invalid when it is no list of Dkron's."""
    listed = go_json.loads(body)
    if type(listed) is not list:
        raise Malformed("", "Dkron's list of jobs is an array")
    coming = Coming()
    for name, places in _named(coming, listed).items():
        try:
            if len(places) > 1:
                raise Invalid("name", f"several jobs of the list have it: {', '.join(f'[{i}]' for i in places)}")
            coming.jobs[name] = _job(coming, name, listed[places[0]])
        except Invalid as error:
            coming.refuse(name, error)
    return coming


def _named(coming: Coming, listed: list[Any]) -> dict[str, list[int]]:
    """Where in the list each name is. A server has it once; a list that was put together by hand may have it again."""
    found: dict[str, list[int]] = {}
    for i, job in enumerate(listed):
        name = job.get("name") if type(job) is dict else None
        if type(name) is str and name:
            found.setdefault(name, []).append(i)
        else:
            coming.refuse(f"[{i}]", Invalid("name", "must be text"))
    return found


def _job(coming: Coming, name: str, job: dict[str, Any]) -> dict[str, Any]:
    given = {**job, **_schedule(coming, name, job)}
    given["executor_config"] = _known(coming, name, given)
    given["processors"] = _processors(coming, name, given)
    read = dkron.read_fields(given)
    declared = declaration_of(dkron.draft_of(read, {}))
    for key, reason in _NOTES.items():
        if job.get(key):
            coming.note(name, key, reason)
    return declared


def _known(coming: Coming, name: str, job: dict[str, Any]) -> dict[str, str]:
    """What the executor knows of its map."""
    executor, config = text_of(job, "executor"), texts_of(job, "executor_config")
    if executor not in EXECUTORS:
        return config
    keys = keys_of(executor)
    for key in sorted(set(config) - keys):
        coming.note(name, f"executor_config.{key}", "has no counterpart; not carried over")
    if executor == "http" and not config.get("expectCode"):
        note = "without it any answer is a success there; here one of 500 and more is none"
        coming.note(name, "executor_config.expectCode", note)
    return {key: value for key, value in config.items() if key in keys}


def _processors(coming: Coming, name: str, job: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Those that there are here, with what they know of their maps."""
    given = job.get("processors") or {}
    if type(given) is not dict:
        raise Invalid("processors", "must be a map")
    taken: dict[str, dict[str, str]] = {}
    for processor in given:
        known = _PROCESSORS.get(processor)
        if known is None:
            coming.note(name, f"processors.{processor}", "has no counterpart; not carried over")
            continue
        config = texts_of(given, processor)
        taken[processor] = {key: config[key] for key in config if key in known}
        for key in sorted(set(config) - known):
            coming.note(name, f"processors.{processor}.{key}", "has no counterpart; not carried over")
    return taken


def _schedule(coming: Coming, name: str, job: dict[str, Any]) -> dict[str, str]:
    """The schedule and its zone, as they are to be here."""
    text = text_of(job, "schedule").strip()
    zone = text_of(job, "timezone")
    if text_of(job, "parent_job") or not text:
        return {"schedule": text, "timezone": ""}
    every = _EVERY.fullmatch(text)
    if every is not None:
        return {"schedule": _with_phase(job, every[1].strip()), "timezone": ""}
    if text.startswith(("@at", "@manually", *ZONE_PREFIXES)):
        return {"schedule": text, "timezone": ""}
    if text.startswith("@"):
        coming.note(name, "schedule", f"{text} is at UTC here; there it was at the server's own zone")
        return {"schedule": text, "timezone": ""}
    if _CHOICE_OF_ITS_OWN.search(text):
        coming.note(name, "schedule", "there ~ is one number wherever it stands; here a~b lies between, ~/15 spreads")
    if not zone:
        coming.note(name, "schedule", "is at UTC here; there it was at the server's own zone")
    return {"schedule": text, "timezone": zone}


def _with_phase(job: dict[str, Any], text: str) -> str:
    """Whole seconds, one at least, as there."""
    try:
        seconds = max(read_go_duration(text) // _NANOS_A_SECOND, 1)
    except ValueError as error:
        raise Invalid("schedule", f"the duration {error}") from None
    following = go_json.time(text_of(job, "next") or go_json.NEVER, "next")
    phase = (following - _ANCHOR) % (seconds * SECOND) if following is not None else 0
    return f"R/{instant_text(Instant(_ANCHOR + phase - phase % SECOND))}/PT{seconds}S"

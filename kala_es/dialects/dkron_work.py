"""What a job carries out, in Dkron's words: an executor's name and its map of texts, and our definition of the work.

- `EXECUTORS` has ours, each with its keys. Any other name is that of an executor which a package brings: whether one
  does, and takes the map, is found out where the job is admitted.
- Without `expectCode` any answer below 500 is a success.
- A key that the executor does not have is refused: there it would be ignored, and the job would not do what was meant.
- In `env`, `A=1,B=2`, a piece without `=` goes on with the value before it, so a value may hold commas.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from kala_es.dialects import go_json
from kala_es.dialects.dkron_options import HTTP, SHELL
from kala_es.dialects.go_json import Malformed, dumps
from kala_es.domain.errors import Invalid
from kala_es.domain.go_duration import read_go_duration
from kala_es.domain.ids import SECOND
from kala_es.domain.iso8601 import parse_duration
from kala_es.domain.model import NO_CALL, JobSpec, RemoteCall
from kala_es.domain.named_work import NO_NAMED, NamedWork
from kala_es.domain.terms import parse_size
from kala_es.domain.values import replace
from kala_es.options import Option

Config = Mapping[str, str]
_WITHIN: Final = "executor_config"
_USUAL: Final = (200,)
"""What a job of NextKala's expects that says nothing."""
_SECONDS_CHARS: Final = 9
_NO_PROCESS: Final[Mapping[str, Any]] = {
    "command": "",
    "shell": False,
    "env": (),
    "cwd": "",
    "stdin": "",
    "timeout": "",
}
_NANOS_A_SECOND: Final = 10**9


def read_work(spec: JobSpec, executor: str, config: Config) -> JobSpec:
    """The definition with the work that an executor is to do. Raises Invalid with Dkron's key."""
    if not executor:
        raise Invalid("executor", f"a job needs one: {', '.join(EXECUTORS)}, or one that a package brings")
    if executor not in EXECUTORS:
        work = NamedWork(executor=executor, config=tuple(config.items()))
        kept = {**_NO_PROCESS, "timeout": spec.timeout if spec.kind == "named" else ""}  # it has no word for it
        return replace(spec, kind="named", named=work, remote=NO_CALL, **kept)
    keys, read = keys_of(executor), EXECUTORS[executor].read
    for key in config:
        if key not in keys:
            raise Invalid(f"{_WITHIN}.{key}", f"{executor} has no such key, only {', '.join(sorted(keys))}")
    return read(replace(spec, named=NO_NAMED), config)


def keys_of(executor: str) -> frozenset[str]:
    """The keys that one of our executors has."""
    return frozenset(option.key for option in EXECUTORS[executor].options)


def executor_of(spec: JobSpec) -> tuple[str, dict[str, str]]:
    """The executor's name and its map: the reverse of `read_work`."""
    if spec.kind == "named":
        return spec.named.executor, dict(spec.named.config)
    name = "http" if spec.kind == "remote" else "shell"
    return name, {key: value for key, value in EXECUTORS[name].write(spec).items() if value}


def _read_shell(spec: JobSpec, config: Config) -> JobSpec:
    user, _, group = config.get("su", "").partition(":")
    terms = replace(spec.terms, user=user, group=group, memory_limit=_memory(config.get("mem_limit", "")))
    return replace(
        spec,
        kind="local",
        remote=NO_CALL,
        command=config.get("command", ""),
        shell=_flag(config.get("shell", ""), "shell"),
        env=_env(config.get("env", "")),
        cwd=config.get("cwd", ""),
        stdin=_payload(config.get("payload", "")),
        timeout=_iso(config.get("timeout", ""), "timeout"),
        terms=terms,
    )


def _write_shell(spec: JobSpec) -> dict[str, str]:
    terms = spec.terms
    return {
        "command": spec.command,
        "shell": "true" if spec.shell else "",
        "env": ",".join(f"{key}={value}" for key, value in spec.env),
        "cwd": spec.cwd,
        "su": f"{terms.user}:{terms.group}" if terms.group else terms.user,
        "payload": base64.b64encode(spec.stdin.encode()).decode(),
        "timeout": f"{Decimal(parse_duration(spec.timeout, 'timeout')) / SECOND:f}s" if spec.timeout else "",
        "mem_limit": str(terms.memory_limit or ""),
    }


def _read_http(spec: JobSpec, config: Config) -> JobSpec:
    if config.get("timeout", "").strip("0123456789") or len(config.get("timeout", "")) > _SECONDS_CHARS:
        raise Invalid(f"{_WITHIN}.timeout", "must be a number of seconds")
    codes = _codes(config.get("expectCode", ""))
    call = RemoteCall(
        url=config.get("url", ""),
        method=config.get("method", "").upper(),
        body=config.get("body", ""),
        headers=_headers(config.get("headers", "")),
        timeout=int(config.get("timeout") or 0),
        expected_codes=codes,
        lenient=codes is None,
        expected_body=config.get("expectBody", ""),
        debug=_flag(config.get("debug", ""), "debug"),
        verify_tls=not _flag(config.get("tlsNoVerifyPeer", ""), "tlsNoVerifyPeer"),
        client_certificate_file=config.get("tlsCertificateFile", ""),
        client_key_file=config.get("tlsCertificateKeyFile", ""),
        ca_file=config.get("tlsRootCAsFile", ""),
    )
    return replace(spec, kind="remote", remote=call, **_NO_PROCESS)


def _write_http(spec: JobSpec) -> dict[str, str]:
    call = spec.remote
    lines = [f"{name}: {value}" for name, values in call.headers or () for value in values]
    return {
        "url": call.url,
        "method": call.method or "GET",
        "headers": dumps(lines).decode() if lines else "",
        "body": call.body,
        "timeout": str(call.timeout or ""),
        "expectCode": ",".join(map(str, call.expected_codes or (() if call.lenient else _USUAL))),
        "expectBody": call.expected_body,
        "debug": "true" if call.debug else "",
        "tlsNoVerifyPeer": "" if call.verify_tls else "true",
        "tlsCertificateFile": call.client_certificate_file,
        "tlsCertificateKeyFile": call.client_key_file,
        "tlsRootCAsFile": call.ca_file,
    }


def _flag(text: str, key: str) -> bool:
    """Go's ParseBool; what it cannot read is false there."""
    words = {"1": True, "t": True, "true": True, "": False, "0": False, "f": False, "false": False}
    if text.lower() not in words:
        raise Invalid(f"{_WITHIN}.{key}", f"{text[:40]!r} is neither true nor false")
    return words[text.lower()]


def _env(text: str) -> tuple[tuple[str, str], ...]:
    pairs: dict[str, str] = {}
    last = ""
    for piece in text.split(",") if text else ():
        key, equals, value = piece.partition("=")
        if equals:
            last = key.strip()
            pairs[last] = value
        elif last:
            pairs[last] += f",{piece}"
        else:
            raise Invalid(f"{_WITHIN}.env", f"{piece[:40]!r} is no NAME=value")
    return tuple(pairs.items())


def _payload(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        raise Invalid(f"{_WITHIN}.payload", "must be base64 of UTF-8 text") from None


def _memory(text: str) -> int:
    return parse_size(text.strip().upper().replace("IB", "iB"), f"{_WITHIN}.mem_limit") if text else 0


def _iso(text: str, key: str) -> str:
    """A duration of Go's as ISO 8601 has it. A negative one is none here."""
    if not text:
        return ""
    try:
        nanos = read_go_duration(text)
    except ValueError as error:
        raise Invalid(f"{_WITHIN}.{key}", f"the duration {error}") from None
    if nanos < 0:
        raise Invalid(f"{_WITHIN}.{key}", f"the duration {text[:40]!r} is negative")
    return f"PT{Decimal(nanos) / _NANOS_A_SECOND:f}S"


def _headers(text: str) -> tuple[tuple[str, tuple[str, ...]], ...] | None:
    """A JSON array of lines, `Name: value`; a value is all that follows the first colon."""
    try:
        lines: Any = go_json.loads(text.encode()) if text else []
    except Malformed as error:
        raise Invalid(f"{_WITHIN}.headers", error.reason.replace("the body", "it")) from None
    if type(lines) is not list or any(type(line) is not str or ":" not in line for line in lines):
        raise Invalid(f"{_WITHIN}.headers", "must be a JSON array of `Name: value`")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip(), []).append(value.strip())
    return tuple((name, tuple(values)) for name, values in headers.items()) or None


def _codes(text: str) -> tuple[int, ...] | None:
    codes = [code.strip() for code in text.split(",") if code.strip()]
    if any(not (code.isascii() and code.isdecimal() and len(code) == 3 and code[0] != "0") for code in codes):
        raise Invalid(f"{_WITHIN}.expectCode", f"{text[:40]!r} is no list of status codes like 200,206")
    return tuple(map(int, codes)) or None


@dataclass(frozen=True, slots=True)
class OurExecutor:
    """One of ours: what it publishes of its map, how that is read, and how it is written."""

    options: tuple[Option, ...]
    read: Callable[[JobSpec, Config], JobSpec]
    write: Callable[[JobSpec], dict[str, str]]


EXECUTORS: Final[Mapping[str, OurExecutor]] = {
    "shell": OurExecutor(SHELL, _read_shell, _write_shell),
    "http": OurExecutor(HTTP, _read_http, _write_http),
}

"""The keys of `remote_properties`: NextKala's, which are always there, and ours, which are when they say something."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kala_es.dialects import go_json
from kala_es.dialects.go_json import Reader, struct
from kala_es.domain.model import NO_CALL, RemoteCall

_OURS: Final[Mapping[str, Reader]] = {
    "lenient": go_json.flag,
    "expected_body": go_json.text,
    "verify_tls": go_json.flag,
    "ca_file": go_json.text,
    "client_certificate_file": go_json.text,
    "client_key_file": go_json.text,
    "debug": go_json.flag,
}
REMOTE: Final = struct(
    ("url", "url", go_json.text),
    ("method", "method", go_json.text),
    ("body", "body", go_json.text),
    ("headers", "headers", go_json.texts_map),
    ("timeout", "timeout", go_json.integer),
    ("expected_response_codes", "expected_codes", go_json.integers),
    *((key, key, read) for key, read in _OURS.items()),
)


def read_call(value: Any, field: str) -> RemoteCall:
    """The request that an object describes. Raises Invalid."""
    return RemoteCall(**go_json.fields(value, REMOTE, field))


def call_fields(call: RemoteCall) -> dict[str, Any]:
    """The original's keys of a request."""
    return {
        "url": call.url,
        "method": call.method,
        "body": call.body,
        "headers": None if call.headers is None else dict(call.headers),
        "timeout": call.timeout,
        "expected_response_codes": call.expected_codes,
    }


def additions(call: RemoteCall) -> Iterator[tuple[str, Any]]:
    """Our keys of a request, those that say something."""
    for key in _OURS:
        value = getattr(call, key)
        if value != getattr(NO_CALL, key):
            yield key, value

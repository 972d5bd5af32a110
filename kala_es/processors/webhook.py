"""`webhook`: a POST for each part, its lines as JSON. Any 2xx is "taken".

`Idempotency-Key` is made of the run, the attempt and the offset: the same for what begins at the same byte.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import trio

from kala_es.notifier import Message, Notifier
from kala_es.processor import Option, Part, ProcessorError
from kala_es.processors.lines import lines_of

_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e]*)")


class WebhookProcessor:
    """The adapter. `notifier` sends a text to a URL."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    @property
    def options(self) -> Sequence[Option]:
        """To whom, and with what."""
        return (
            Option(key="url", about="where the POSTs go", pattern=r"https?://\S+", required=True, refuse=_refuse_url),
            Option(key="headers", about='a JSON array of `"NAME: VALUE"`', refuse=_refuse_headers),
        )

    async def process(self, part: Part, config: Mapping[str, str]) -> None:
        """POST it."""
        key = f"{part.run}-{part.attempt}-{part.offset}" + ("-end" if part.end else "")
        body = await trio.to_thread.run_sync(_body, part)  # of many lines it takes long
        headers = _headers(config.get("headers", "[]"))
        sent = await self._notifier.send(Message(id=key, to=config["url"], subject="", body=body, headers=headers))
        if sent.outcome != "delivered":
            raise ProcessorError(f"{config['url']}: {sent.reason}")

    def stands_for(self, part: Part, config: Mapping[str, str]) -> str:
        """Where it went."""
        return f"Output sent to {config['url']}"


def _body(part: Part) -> str:
    said: dict[str, Any] = {
        "job_id": part.job,
        "name": part.name,
        "run_id": part.run,
        "attempt": part.attempt,
        "offset": part.offset,
        "lines": [{"channel": line.channel, "at": line.at, "text": line.text} for line in lines_of(part.pieces)],
    }
    if part.end is not None:
        end = part.end
        said["end"] = {
            "at": end.at,
            "outcome": end.outcome,
            "over": end.over,
            "exit_code": end.exit_code,
            "signal": end.signal,
            "reason": end.reason,
            "dropped_bytes": end.dropped,
        }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _refuse_url(text: str) -> str:
    try:
        url = urlsplit(text)
        fits = bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError as error:
        return str(error)
    return "" if fits else "not an http or https URL"


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    """The headers that a config names. Raises ValueError."""
    given = json.loads(text or "[]")
    lines = given if type(given) is list else [given]
    matches = [_HEADER.fullmatch(line) if type(line) is str else None for line in lines]
    if lines is not given or None in matches:
        raise ValueError('not a JSON array of "NAME: VALUE"')
    return tuple((match[1], match[2]) for match in matches if match)


def _refuse_headers(text: str) -> str:
    try:
        _headers(text)
    except (ValueError, RecursionError) as error:
        return str(error)
    return ""

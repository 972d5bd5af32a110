"""`syslog`: a message for each line of output, and one for each attempt's end.

1. To the system's own log (`/dev/log`, in the form of RFC 3164 that it takes), or to `address` (HOST:PORT) by UDP, in
   the form of RFC 5424. Nobody acknowledges a datagram, so one that is lost on the way is lost.
2. What a job printed on stderr has the severity `err`, the rest `info`. A line that is too long is cut into several
   messages.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import trio

from kala_es import limits
from kala_es.processor import Option, Part, ProcessorError
from kala_es.processors.lines import Line, lines_of, said_of
from kala_es.processors.ports import refuse_port

_FACILITIES: Final = {
    **{name: number for number, name in enumerate(("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news"))},
    **{"uucp": 8, "cron": 9, "authpriv": 10, "ftp": 11},
    **{f"local{number}": 16 + number for number in range(8)},
}
_ADDRESS: Final = "HOST:PORT of a server (UDP); the system's own log without"
_ERR, _NOTICE, _INFO = 3, 5, 6
_MONTHS: Final = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class SyslogProcessor:
    """The adapter. `path` is the socket of the system's own log."""

    def __init__(self, path: str = "/dev/log") -> None:
        self._path = path

    @property
    def options(self) -> Sequence[Option]:
        """To whom, and as whose."""
        return (
            Option(key="address", about=_ADDRESS, pattern=r".+:\d{1,5}", refuse=_refuse_address),
            Option(key="tag", about="the program's name in messages; `kala_es` without", pattern=r"[!-9;-Z^-~]{1,32}"),
            Option(key="facility", about="`cron` without", pattern="|".join(_FACILITIES)),
        )

    async def process(self, part: Part, config: Mapping[str, str]) -> None:
        """Send its messages, one after another."""
        address = config.get("address", "")
        try:
            with await _connected(address, self._path) as connection:
                for message in _messages(part, config):
                    await connection.send(message)
        except (OSError, UnicodeError) as error:
            raise ProcessorError(f"{address or self._path}: {getattr(error, 'strerror', None) or error}") from error

    def stands_for(self, part: Part, config: Mapping[str, str]) -> str:
        """As Dkron says it."""
        return "Output in syslog"


def _refuse_address(text: str) -> str:
    return refuse_port(text.rpartition(":")[2])


async def _connected(address: str, path: str) -> trio.socket.SocketType:
    if not address:
        connection = trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        target: str | tuple[object, ...] = path
    else:
        host, _, port = address.rpartition(":")
        found = await trio.socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        family, kind, protocol, _, target = found[0]
        connection = trio.socket.socket(family, kind, protocol)
    try:
        await connection.connect(target)
    except BaseException:
        connection.close()
        raise
    return connection


def _messages(part: Part, config: Mapping[str, str]) -> Iterator[bytes]:
    for line in lines_of(part.pieces):
        for text in _cut(line.text):
            severity = _ERR if line.channel == "stderr" else _INFO
            yield _message(part, config, Line(line.channel, line.at, text), severity=severity)
    if part.end is not None:
        text = said_of(part.end, part.attempt)
        severity = _NOTICE if part.end.outcome == "succeeded" else _ERR
        yield _message(part, config, Line("end", part.end.at, text), severity=severity)


def _message(part: Part, config: Mapping[str, str], line: Line, *, severity: int) -> bytes:
    priority = _FACILITIES[config.get("facility", "cron")] * 8 + severity
    tag, text = config.get("tag", "kala_es"), f"{part.job}: {line.text}"
    if config.get("address"):
        moment = datetime.fromtimestamp(line.at / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return f"<{priority}>1 {moment} {socket.gethostname() or '-'} {tag} {part.run} {line.channel} - {text}".encode()
    local = datetime.fromtimestamp(line.at / 1e6)
    moment = f"{_MONTHS[local.month - 1]} {local.day:2} {local:%H:%M:%S}"
    return f"<{priority}>{moment} {tag}[{part.run}]: {text}".encode()


def _cut(text: str) -> Iterator[str]:
    """The text in messages that are not too long; no character is cut."""
    content = text.encode("utf-8", "replace")
    while len(content) > limits.SYSLOG_LINE_BYTES:
        end = limits.SYSLOG_LINE_BYTES
        while content[end] & 0xC0 == 0x80:
            end -= 1
        yield content[:end].decode()
        content = content[end:]
    yield content.decode()

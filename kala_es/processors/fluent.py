"""`fluent`: an event for each line of output, and one for each attempt's end, to Fluentd or Fluent Bit.

1. The forward protocol, by the client that Fluent's own people keep; it is imported, and blocks, on a thread.
2. Each part has a connection of its own: what the client could not send it would keep, and it is the log's to keep it.
3. The protocol's plain form acknowledges nothing: taken is what the other side's system took.
4. Host, port and tag are in the job, or in Dkron's variables FLUENTBIT_HOST, FLUENTBIT_PORT and FLUENTBIT_TAG.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from kala_es.processor import Option, Part, ProcessorError
from kala_es.processors.lines import lines_of
from kala_es.processors.ports import refuse_port
from kala_es.processors.threads import Threads

_SECONDS = 10.0


class FluentProcessor:
    """The adapter. `environment` has Dkron's variables, if any."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._host = environment.get("FLUENTBIT_HOST") or "127.0.0.1"
        self._port = environment.get("FLUENTBIT_PORT") or "24224"
        self._tag = environment.get("FLUENTBIT_TAG") or "kala_es"
        self._threads = Threads()

    @property
    def options(self) -> Sequence[Option]:
        """To whom, and under which tag."""
        return (
            Option(key="host", about="a name, an IPv4 address or `unix:///PATH`; `127.0.0.1` without", pattern=r"\S+"),
            Option(key="port", about="`24224` without", pattern=r"\d{1,5}", refuse=refuse_port),
            Option(key="tag", about="of the events; `kala_es` without", pattern=r"[A-Za-z0-9._-]{1,200}"),
        )

    async def process(self, part: Part, config: Mapping[str, str]) -> None:
        """Send its events, on a thread."""
        receiver = (config.get("host"), config.get("port"), config.get("tag"))
        await self._threads.run(receiver, partial(self._send, part, config))

    def stands_for(self, part: Part, config: Mapping[str, str]) -> str:
        """As Dkron says it."""
        return "Output sent to Fluent"

    def _send(self, part: Part, config: Mapping[str, str]) -> None:
        from fluent.sender import EventTime, FluentSender

        host, port = config.get("host", self._host), config.get("port", self._port)
        try:
            sender = FluentSender(config.get("tag", self._tag), host=host, port=int(port), timeout=_SECONDS)
        except ValueError as error:
            raise ProcessorError(f"FLUENTBIT_PORT: {error}") from error
        try:
            for at, event in _events(part):
                if not sender.emit_with_time(None, EventTime(at / 1e6), event):
                    raise ProcessorError(f"{host}:{port}: {sender.last_error}")
        finally:
            sender.pendings = None  # it would try to send them once more
            sender.close()


def _events(part: Part) -> Iterator[tuple[int, dict[str, Any]]]:
    whose = {"job": part.job, "job_name": part.name, "run": part.run, "attempt": part.attempt}
    for line in lines_of(part.pieces):
        yield line.at, {**whose, "channel": line.channel, "message": line.text}
    if part.end is not None:
        end = part.end
        yield end.at, {**whose, "outcome": end.outcome, "exit_code": end.exit_code, "reason": end.reason}

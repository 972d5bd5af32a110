"""The processors by name: our own, then those that installed packages bring (entry points `kala_es.processors`).

An entry point names something that is called without arguments and gives a processor. It is loaded when a job first
names it. Our own names cannot be taken.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import trio

from kala_es.notifier import Notifier
from kala_es.packages import NotInstalled, load
from kala_es.processor import Processor, ProcessorError
from kala_es.processors.files import FilesProcessor
from kala_es.processors.fluent import FluentProcessor
from kala_es.processors.log import LogProcessor
from kala_es.processors.syslog import SyslogProcessor
from kala_es.processors.webhook import WebhookProcessor
from kala_es.settings import Settings

GROUP: Final = "kala_es.processors"


def our_own(
    log_dir: Path, webhook: Notifier, environment: Mapping[str, str], *, anywhere: bool
) -> dict[str, Processor]:
    """The processors of this project."""
    return {
        "log": LogProcessor(),
        "files": FilesProcessor(log_dir, anywhere=anywhere),
        "syslog": SyslogProcessor(),
        "fluent": FluentProcessor(environment),
        "webhook": WebhookProcessor(webhook),
    }


def installed(settings: Settings, webhook: Notifier) -> "Installed":
    """Those that a server with these settings has. Who has no local jobs trusts clients with no path of his machine."""
    files = (settings.log_dir or settings.data / "logs").absolute()
    return Installed(our_own(files, webhook, os.environ, anywhere=settings.local_jobs))


class Installed:
    """What there is; each is made once."""

    def __init__(self, own: Mapping[str, Processor], group: str = GROUP) -> None:
        self._found = dict(own)
        self._group = group

    async def find(self, name: str) -> Processor:
        """The processor of this name, loaded on a thread. Raises ProcessorError."""
        if name not in self._found:
            self._found[name] = await trio.to_thread.run_sync(self._load, name)
        return self._found[name]

    def _load(self, name: str) -> Processor:
        try:
            processor: Processor | None = load(self._group, name, what="the processor")
        except NotInstalled as error:
            raise ProcessorError(str(error)) from error
        if processor is None:
            raise ProcessorError(f"there is no processor {name!r}; here are {', '.join(sorted(self._found))}")
        return processor

"""A processor for kala_es: appends output to a file, in capital letters."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from kala_es.processor import Option, Part, ProcessorError
from kala_es.processors.threads import Threads


class ShoutProcessor:
    """It is made once, without arguments, when a job first names it."""

    def __init__(self) -> None:
        self._threads = Threads()

    @property
    def options(self) -> Sequence[Option]:
        """What a job may say: its config is checked against this when it is created."""
        return (Option(key="path", about="the file", pattern="/.+", required=True),)

    async def process(self, part: Part, config: Mapping[str, str]) -> None:
        """Take a part. Writing blocks, so each file has a thread; what cannot be written comes again."""
        text = part.content.decode("utf-8", "replace").upper()
        if part.end is not None:
            text += f"THE JOB {part.name.upper()} HAS {part.end.outcome.upper()}!\n"
        try:
            await self._threads.run(config["path"], partial(_append, Path(config["path"]), text))
        except OSError as error:
            raise ProcessorError(str(error)) from error

    def stands_for(self, part: Part, config: Mapping[str, str]) -> str:
        """What those behind it in the list are told with `forward` "false"."""
        return f"Output shouted into {config['path']}"


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)

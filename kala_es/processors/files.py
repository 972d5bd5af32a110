"""`files`: writes the output of each attempt to a file of its own, in a directory of its job.

1. A part is written at its offset, so bytes that are handed over again overwrite themselves: nothing comes twice.
2. Names are made of what they stand for, with everything but letters, digits, `_`, `-` and inner dots encoded: no id
   leads out of the directory. They sort by the start of their run.
3. With `file_bytes` an attempt's output goes on in another file when one is full. With `keep_files` and `max_bytes` the
   oldest files of the job are removed at an attempt's end, and when another file is begun; never the newest.
4. The log needs its disk more: below DISK_RESERVE_BYTES nothing is written. Files are not synced; the log is.
5. A directory whose disk hangs holds up no other: each `log_dir` has a thread of its own.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import quote

from kala_es import limits
from kala_es.processor import Option, Part, ProcessorError
from kala_es.processors.threads import Threads

_NAME_CHARS: Final = 120
_COUNT: Final = r"[1-9]\d{0,8}"
_SIZE: Final = r"[1-9]\d{0,14}[KMGT]?"
_OURS: Final = re.compile(r"\d{8}T\d{6}\.\d{6}Z-.+\.log")


class FilesProcessor:
    """The adapter. What a job's `log_dir` says is within `directory`; `anywhere`: or an absolute path."""

    def __init__(self, directory: Path, *, anywhere: bool = True) -> None:
        self._root = directory
        self._anywhere = anywhere
        self._threads = Threads()

    @property
    def options(self) -> Sequence[Option]:
        """Where, and how much."""
        return (
            Option(key="log_dir", about="a directory within the server's, or an absolute path", refuse=self._refuse),
            Option(key="keep_files", about="so many files of the job are kept, the newest", pattern=_COUNT),
            Option(key="max_bytes", about="so many bytes of them are kept (`64K`, `10M`)", pattern=_SIZE),
            Option(key="file_bytes", about="an attempt's next file begins after so many bytes", pattern=_SIZE),
        )

    def _refuse(self, text: str) -> str:
        path = Path(text)
        if "\0" in text or ".." in path.parts:
            return "contains `..` or a NUL character"
        if path.is_absolute() and not self._anywhere:
            return "an absolute path needs a server that runs local jobs"
        return ""

    async def process(self, part: Part, config: Mapping[str, str]) -> None:
        """Write it, on a thread."""
        try:
            await self._threads.run(config.get("log_dir", ""), partial(self._write, part, config))
        except OSError as error:
            raise ProcessorError(f"{error.filename or self._root}: {error.strerror or error}") from error

    def stands_for(self, part: Part, config: Mapping[str, str]) -> str:
        """The path, as Dkron says it; of several files the first."""
        return str(self._directory(part, config) / _name(part, 0))

    def _directory(self, part: Part, config: Mapping[str, str]) -> Path:
        return self._root / config.get("log_dir", "") / safe(part.job)

    def _write(self, part: Part, config: Mapping[str, str]) -> None:
        directory = self._directory(part, config)
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        if shutil.disk_usage(directory).free < limits.DISK_RESERVE_BYTES + len(part.content):
            raise ProcessorError(f"{directory}: its disk has no room but what the log needs")
        begun = False
        for number, start, content in _pieces(part, _bytes(config.get("file_bytes"))):
            begun |= _put(directory / _name(part, number), start, content)
        if begun or part.end is not None:
            _tidy(directory, config)


def safe(text: str) -> str:
    """A file name that stands for any text, and for no other."""
    name = quote(text, safe="").replace("~", "%7E")
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    if len(name) <= _NAME_CHARS:
        return name or "%"
    return f"{name[:_NAME_CHARS]}~{blake2b(text.encode(), digest_size=8).hexdigest()}"


def _name(part: Part, number: int) -> str:
    moment = datetime.fromtimestamp(part.started / 1e6, UTC)
    following = f".{number:06}" if number else ""
    return f"{moment:%Y%m%dT%H%M%S.%f}Z-{safe(part.run)}-{part.attempt:06}{following}.log"


def _pieces(part: Part, size: int | None) -> Iterator[tuple[int, int, bytes]]:
    """What goes into which file, from which byte on. An attempt without output has an empty one."""
    content, offset = part.content, part.offset
    if part.first and not content:
        yield 0, 0, b""
    while content:
        number, start = divmod(offset, size) if size else (0, offset)
        room = len(content) if size is None else size - start
        yield number, start, content[:room]
        offset, content = offset + room, content[room:]


def _put(path: Path, start: int, content: bytes) -> bool:
    """Write at a byte, or at the end if the file has not so many (any more); whether it is a new one."""
    begun = not path.exists()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        start = min(start, os.fstat(file).st_size)
        while content:
            written = os.pwrite(file, content, start)
            start, content = start + written, content[written:]
    finally:
        os.close(file)
    return begun


def _tidy(directory: Path, config: Mapping[str, str]) -> None:
    """Remove the oldest files that are too many, or too much."""
    keep, room = config.get("keep_files"), _bytes(config.get("max_bytes"))
    if keep is None and room is None:
        return
    with os.scandir(directory) as entries:
        files = {entry.name: entry.stat().st_size for entry in entries if _OURS.fullmatch(entry.name)}
    total = 0
    for number, name in enumerate(sorted(files, key=lambda name: name.removesuffix(".log"), reverse=True)):
        total += files[name]
        if number and ((keep is not None and number >= int(keep)) or (room is not None and total > room)):
            (directory / name).unlink(missing_ok=True)


def _bytes(text: str | None) -> int | None:
    """A number of bytes, with a unit of 1024s or without."""
    if not text:
        return None
    unit = " KMGT".find(text[-1])
    return int(text) if unit < 0 else int(text[:-1]) << 10 * unit

"""The crash images of a data directory: what may be on the disk when the machine stops between two syncs.

A child appends to our log under strace, which notes every write and sync. Replayed, that gives the disk of each moment:
bytes that are durable, and writes since the last sync of their file, any part of which a crash may keep. Rules:

1. Any of the writes since the last sync may have reached the disk, in any order.
2. A sector (512 bytes) is old or new as a whole; anything longer may be torn at a sector.
3. A write through a descriptor with O_DSYNC is durable when it returns, and makes no other write so.
4. A file may have its new length before its new bytes, which then read as zeros.
5. A file's name is there from its first write on; that it got another may be lost until its directory is synced.
6. `lock` and `lock.mdb` are made anew at each open, and are left out.

The machine's boot is renamed in what was written, so that each image is that of another boot.
"""

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kala_es.event_logs.check import boot_id
from tests.programs import needs

ROOT: Final = Path(__file__).parents[2]
LOG: Final = "log/data.mdb"
OPENED: Final = "opened"
FILES: Final = (LOG, "log/begun.mdb", "log", OPENED, "folds/data.mdb", "folds/boot")
"""What is replayed."""
OTHER_BOOT: Final = "00000000-0000-4000-8000-000000000000"
PAGE: Final = 4096
SECTOR: Final = 512
_FIRST_STEPS: Final = 18
"""While a new log is begun; the machine crashes then in so large a part of the images of all files."""
_EARLY: Final = 0.3


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that went to a file."""

    path: str
    offset: int
    data: bytes

    def cut(self, unit: int) -> "Iterator[Write]":
        """The same bytes in pieces that end where a multiple of `unit` does."""
        start = 0
        while start < len(self.data):
            end = start + unit - (self.offset + start) % unit
            yield Write(self.path, self.offset + start, self.data[start:end])
            start = end


@dataclass(frozen=True, slots=True)
class Sync:
    """A file's writes became durable; with `only`, that one did."""

    path: str
    only: Write | None = None


@dataclass(frozen=True, slots=True)
class Rename:
    """A file got another name, in the same directory."""

    path: str
    new: str


@dataclass(frozen=True, slots=True)
class Told:
    """The appender was told that the log is durable up to here."""

    position: int


Step = Write | Sync | Rename | Told


def capture(directory: Path, seed: int) -> list[Step]:
    """Let a child append the workload of this seed to a new log in `directory`; what it wrote, synced and told."""
    trace = directory.with_suffix(".trace")
    calls = "trace=openat,write,writev,pwrite64,pwritev,lseek,ftruncate,fsync,fdatasync,msync,/^rename"
    strace = needs("strace", "strace")
    command = [strace, "-f", "-y", "-xx", "-s", "16777216", "-e", calls, "-e", "signal=none", "-o", str(trace)]
    child = [sys.executable, "-m", "tests.system.crash_workload", str(directory), str(seed)]
    subprocess.run([*command, *child], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return captured(directory)


def captured(directory: Path) -> list[Step]:
    """The same, of a workload that was captured before."""
    with directory.with_suffix(".trace").open(encoding="ascii") as lines:
        return list(_Trace(directory).steps(whole_lines(lines)))


def whole_lines(lines: Iterator[str]) -> Iterator[str]:
    """A trace's calls, each in one line: strace splits one that another thread's call has interrupted."""
    begun: dict[str, str] = {}
    for line in lines:
        thread, _, call = line.rstrip("\n").partition(" ")
        call = call.lstrip()
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>").rstrip()
        elif call.startswith("<... "):
            yield begun.pop(thread) + call.partition("resumed>")[2]
        else:
            yield call


class _Trace:
    """Reads strace's lines. A path or text is in hexadecimal (-xx), a descriptor is followed by its path (-y)."""

    _CALL: Final = re.compile(r"(\w+)\((\w+)<([^>]*)>(?:, (.*))?\) += (\d+)")
    _TOLD: Final = re.compile(rb"told (\d+)\n")
    _TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')

    def __init__(self, directory: Path) -> None:
        self._prefix = f"{directory}/"
        self._at_once: set[str] = set()
        self._ends: dict[str, int] = {}
        self._boot = boot_id().encode()

    def steps(self, lines: Iterator[str]) -> Iterator[Step]:
        """What the calls did to the files that count."""
        for line in lines:
            if line.startswith("rename"):
                old, new = map(self._name, self._TEXT.findall(line))
                yield Rename(old, new)
            found = self._CALL.match(line)
            if found is None:
                continue
            call, descriptor, path, rest, result = found.groups()
            if call == "openat":
                self._opened(result, rest)
            elif call == "write" and descriptor == "1" and (told := self._TOLD.fullmatch(self._bytes(rest))):
                yield Told(int(told[1]))
            elif (name := self._name(path)) in FILES:
                yield from self._step(name, call, (descriptor, rest, int(result)))

    def _name(self, path: str) -> str:
        plain = bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path
        return plain.removeprefix(self._prefix)

    def _opened(self, descriptor: str, rest: str) -> None:
        if "O_DSYNC" in rest or "O_SYNC" in rest:
            self._at_once.add(descriptor)
        else:
            self._at_once.discard(descriptor)

    def _step(self, name: str, call: str, what: tuple[str, str, int]) -> Iterator[Step]:
        descriptor, rest, result = what
        match call:
            case "fdatasync" | "fsync":
                yield Sync(name)
            case "lseek":
                self._ends[descriptor] = result
            case "pwrite64" | "pwritev":
                yield from self._written(
                    Write(name, int(rest.rpartition(", ")[2]), self._bytes(rest)[:result]), descriptor
                )
            case "write" | "writev":
                offset = self._ends.get(descriptor, 0)
                self._ends[descriptor] = offset + result
                yield from self._written(Write(name, offset, self._bytes(rest)[:result]), descriptor)
            case _:
                raise AssertionError(f"{call} on {name} is no call that the replay knows")

    def _written(self, write: Write, descriptor: str) -> Iterator[Step]:
        yield write
        if descriptor in self._at_once:
            yield Sync(write.path, write)

    def _bytes(self, rest: str) -> bytes:
        written = b"".join(bytes.fromhex(text.replace("\\x", "")) for text in self._TEXT.findall(rest))
        return written.replace(self._boot, OTHER_BOOT.encode())


class Disk:
    """The durable bytes of each file, and the writes since its last sync."""

    def __init__(self) -> None:
        self.durable: dict[str, bytes] = {}
        self.pending: dict[str, list[Write]] = {}
        self.renames: list[Rename] = []
        self.told = 0

    def take(self, step: Step) -> None:
        """Go on by one step."""
        match step:
            case Told(position):
                self.told = position
            case Write(path):
                self.pending.setdefault(path, []).append(step)
            case Rename(path, new):
                if path in self.durable:
                    self.durable[new] = self.durable.pop(path)
                if path in self.pending:
                    self.pending[new] = self.pending.pop(path)
                self.renames.append(step)
            case Sync(path, None):
                self._keep(path, self.pending.pop(path, []))
                self.renames = [rename for rename in self.renames if os.path.dirname(rename.path) != path]
            case Sync(path, Write() as only):
                self.pending[path].remove(only)
                self._keep(path, [only])

    def _keep(self, path: str, writes: Sequence[Write]) -> None:
        if writes:
            self.durable[path] = content(self.durable.get(path, b""), writes)


def content(base: bytes, kept: Sequence[Write], *, length: int = 0) -> bytes:
    """A file's bytes: what was durable, and the writes that were kept. It is as long as `length` at least."""
    size = max(len(base), length, *(write.offset + len(write.data) for write in kept), 0)
    made = bytearray(size)
    made[: len(base)] = base
    for write in kept:
        made[write.offset : write.offset + len(write.data)] = write.data
    return bytes(made)


@dataclass(frozen=True, slots=True)
class Moment:
    """The log's file just before a sync returns: its durable bytes, the others page by page, and what was told."""

    base: bytes
    pages: tuple[Write, ...]
    told: int


def moments(steps: Sequence[Step]) -> list[Moment]:
    """The moments at which the log's file has writes to lose, those before anything was told left out."""
    found: list[Moment] = []
    disk = Disk()
    for step in steps:
        pending = disk.pending.get(LOG)
        if isinstance(step, Sync) and step.path == LOG and pending and OPENED in disk.durable:
            pages = tuple(page for write in pending for page in write.cut(PAGE))
            found.append(Moment(disk.durable.get(LOG, b""), pages, disk.told))
        disk.take(step)
    return found


@dataclass(frozen=True, slots=True)
class Image:
    """What a crash made of a moment: the writes that it kept. `longer`: the file has its new length all the same."""

    moment: Moment
    kept: tuple[Write, ...]
    longer: bool = False

    def content(self) -> bytes:
        """The file's bytes."""
        ends = [page.offset + len(page.data) for page in self.moment.pages] if self.longer else []
        return content(self.moment.base, self.kept, length=max(ends, default=0))


def every_image(moment: Moment) -> Iterator[Image]:
    """Each prefix, suffix and single drop of its pages, and each page torn at each of its sectors, from both ends."""
    pages = moment.pages
    for at, page in enumerate(pages):
        before, after = pages[:at], pages[at + 1 :]
        yield Image(moment, before)
        yield Image(moment, before + after)
        yield Image(moment, after, longer=True)
        sectors = tuple(page.cut(SECTOR))
        for cut in range(1, len(sectors)):
            yield Image(moment, before + sectors[:cut])
            yield Image(moment, before + sectors[cut:] + after, longer=True)
    yield Image(moment, pages)


def random_image(moment: Moment, chance: random.Random) -> Image:
    """Any of its sectors, few or many of them."""
    part = chance.random()
    sectors = (sector for page in moment.pages for sector in page.cut(SECTOR))
    return Image(moment, tuple(sector for sector in sectors if chance.random() < part), chance.random() < 0.5)


def images(steps: Sequence[Step], seed: int, count: int) -> Iterator[Image]:
    """So many images, always the same for a seed: of the systematic ones all or a choice, the rest random."""
    chance = random.Random(seed)
    found = moments(steps)
    systematic = sum(sum(1 for _ in every_image(moment)) for moment in found)
    chosen = set(chance.sample(range(systematic), min(systematic, count)))
    every = (image for moment in found for image in every_image(moment))
    yield from (image for number, image in enumerate(every) if number in chosen)
    for _ in range(count - len(chosen)):
        yield random_image(chance.choice(found), chance)


def directory_image(steps: Sequence[Step], chance: random.Random) -> tuple[Mapping[str, bytes], int]:
    """All files after a crash at a random step, each by itself, and what had been told."""
    disk = Disk()
    early = chance.random() < _EARLY
    for step in steps[: chance.randrange(_FIRST_STEPS if early else len(steps) + 1)]:
        disk.take(step)
    files = dict(disk.durable)
    for path, writes in disk.pending.items():
        part = chance.choice((0.0, 1.0, chance.random()))
        kept = [sector for write in writes for sector in write.cut(SECTOR) if chance.random() < part]
        if kept or path in files or chance.random() < 0.5:
            files[path] = content(files.get(path, b""), kept)
    for rename in disk.renames:
        if rename.new in files and chance.random() < 0.5:
            files[rename.path] = files.pop(rename.new)
    return files, disk.told

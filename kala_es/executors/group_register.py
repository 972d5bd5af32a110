"""Which process groups are alive, in a file that outlives the process that started them.

The file is mapped, so a note costs no system call and is there after a kill -9 (not after a crash of the machine, when
the groups are gone too). It has a fixed size: a head with the machine's boot, then slots of pid and moment of start.
A group is ended by whoever finds the file only if that is surely the one that was noted: on the same boot, its leader
started at that moment; or, when the leader is gone, members of its session that carry a run's id in their environment.
"""

import mmap
import os
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from kala_es import limits

_HEAD: Final = struct.Struct("8s40s")
_MAGIC: Final = b"kalagrp1"
_SLOT: Final = struct.Struct("=QQ")
_START: Final = 64
_SIZE: Final = _START + limits.MAX_GROUPS * _SLOT.size
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_NOTED_LATE: Final = 2 * _TICKS
"""A start is noted when it is over; on a busy machine that may be so much later."""
_MARK: Final = b"KALA_RUN_ID="


class GroupRegister:
    """The register of the groups that this process starts."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            os.truncate(file.fileno(), _SIZE)
            self._slots = mmap.mmap(file.fileno(), _SIZE)
        _HEAD.pack_into(self._slots, 0, _MAGIC, _boot())
        self._free: list[int] = []
        self._next = 0

    @property
    def is_full(self) -> bool:
        """Whether no further group can be noted."""
        return not self._free and self._next >= limits.MAX_GROUPS

    def add(self, pid: int) -> int:
        """Note a group that has just been started; its slot."""
        if self._free:
            slot = self._free.pop()
        else:
            slot, self._next = self._next, self._next + 1
        _SLOT.pack_into(self._slots, _START + slot * _SLOT.size, pid, _now())
        return slot

    def remove(self, slot: int) -> None:
        """The group is over."""
        _SLOT.pack_into(self._slots, _START + slot * _SLOT.size, 0, 0)
        self._free.append(slot)


def end_left(path: Path) -> int:
    """Kill what a register says was left running, and empty it; how many groups that were."""
    count, headless = 0, set[int]()
    for pid, noted in _left(path):
        started = _started(pid)
        if started is None:
            headless.add(pid)
        elif noted - _NOTED_LATE <= started <= noted + 1:
            count += 1
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
    for pid in _members(headless):
        count += 1
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    with suppress(FileNotFoundError):
        path.unlink()
    return count


def _left(path: Path) -> Iterator[tuple[int, int]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    if len(content) != _SIZE or _HEAD.unpack_from(content) != (_MAGIC, _boot().ljust(40, b"\0")):
        return
    for pid, noted in _SLOT.iter_unpack(content[_START:]):
        if pid:
            yield pid, noted


def _members(sessions: set[int]) -> Iterator[int]:
    """The processes of these sessions that carry a run's id."""
    for name in os.listdir("/proc") if sessions else ():
        if name.isdecimal():
            fields = _stat(int(name))
            if fields is not None and int(fields[3]) in sessions and _MARK in _environment(int(name)):
                yield int(name)


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _started(pid: int) -> int | None:
    """When a process started, in ticks since the boot; None when there is none, or only what is to be collected."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in (b"Z", b"X") else int(fields[19])


def _stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/PID/stat from the state on: state, parent, group, session, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) * _TICKS // 1_000_000_000


def _boot() -> bytes:
    return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()

"""Faults from outside for a running server: calls that fail or take long (strace), limits, a small disk (tmpfs)."""

import resource
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.programs import lacks, needs
from tests.servers import eventually


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for parent in found:
        with suppress(OSError):  # it has ended
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found


@contextmanager
def inject(pid: int, *faults: str, path: Path | None = None) -> Iterator[None]:
    """Let calls of a process and its descendants fail, as strace's `-e inject=` says; of one file only, if named."""
    command = [needs("strace", "strace"), "-f", "-o", "/dev/null", *(["-P", str(path)] if path else [])]
    calls = ",".join(fault.partition(":")[0] for fault in faults)
    command += ["-e", f"trace={calls}", *(word for fault in faults for word in ("-e", f"inject={fault}"))]
    processes = family(pid)
    for process in processes:
        command += ["-p", str(process)]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: tracer.poll() is not None or all(_traced_by(process, tracer.pid) for process in processes))
        if tracer.poll() is not None:
            lacks("the right to trace")
        yield
    finally:
        tracer.send_signal(signal.SIGTERM)
        tracer.wait()


def _traced_by(pid: int, tracer: int) -> bool:
    states = (thread.read_text() for thread in Path(f"/proc/{pid}/task").glob("*/status"))
    return all(f"\nTracerPid:\t{tracer}\n" in state for state in states)


@contextmanager
def limited(pid: int, kind: int, value: int) -> Iterator[None]:
    """Let a process and its descendants have so much of a resource."""
    before = [(process, resource.prlimit(process, kind)) for process in family(pid)]
    for process, (_, hard) in before:
        resource.prlimit(process, kind, (value, hard))
    try:
        yield
    finally:
        for process, limits in before:
            if Path(f"/proc/{process}").exists():
                resource.prlimit(process, kind, limits)


@contextmanager
def disk(directory: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes on `directory`, in memory. Skips the test where nobody may mount one."""
    directory.mkdir()
    mount: Sequence[str] = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory))
    if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield directory
    finally:
        subprocess.run(("umount", "--lazy", str(directory)), check=True)

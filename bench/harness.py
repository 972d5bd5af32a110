"""What the benchmarks share: a server process, plain HTTP, percentiles, a process's memory and time."""

import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

JOB = "/api/v1/job/"
UNDER = "BENCH_UNDER"
"""This variable has words to put before a server's command line, of a program that becomes the server."""
FAR = "R/2099-01-01T00:00:00Z/P1D"


@dataclass
class Server:
    """A `kala-es serve` process on a free port."""

    data: Path
    log: str = ""
    """The URL of a database for its log."""
    url: str = ""
    process: "subprocess.Popen[str] | None" = None
    ready_seconds: float = field(default=0.0)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    @property
    def agent_pid(self) -> int:
        """The process that carries out its attempts, which may be older than it."""
        return int((self.data / "agent.lock").read_text())

    def start(self) -> None:
        """Start, and wait for the line that says where it listens."""
        began = time.perf_counter()
        under = os.environ.get(UNDER, "").split()
        place = ["--data", str(self.data), *(["--log", self.log] if self.log else [])]
        command = [*under, sys.executable, "-m", "kala_es", "serve", "--port", "0", *place]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "listening on " in line, line
        self.url = line.split()[-1]
        self.ready_seconds = time.perf_counter() - began

    def stop(self, number: int = signal.SIGTERM) -> float:
        """End it; how long that took, in seconds."""
        assert self.process is not None
        began = time.perf_counter()
        self.process.send_signal(number)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return time.perf_counter() - began

    def connect(self) -> http.client.HTTPConnection:
        """A connection, kept alive by its user."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)


@contextmanager
def server(log: str = "") -> Iterator[Server]:
    """A server on an empty directory, its log perhaps in an empty database."""
    with tempfile.TemporaryDirectory() as directory:
        running = Server(Path(directory) / "data", log)
        running.start()
        try:
            yield running
        finally:
            if running.process is not None and running.process.poll() is None:
                running.stop(signal.SIGKILL)


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """One request and its whole answer."""
    connection.request(method, path, body=body)
    response = connection.getresponse()
    return response.status, response.read()


def job(number: int, schedule: str = FAR, command: str = "true") -> dict[str, Any]:
    """A job's body, like those of the recorded figures."""
    return {"name": f"bench-{number}", "command": command, "owner": "bench@example.org", "schedule": schedule}


def fill(target: Server, count: int, **fields: Any) -> float:
    """Create jobs by the bulk route; jobs a second."""
    connection = target.connect()
    bodies = [
        b"\n".join(json.dumps(job(i, **fields)).encode() for i in range(n, min(n + 15_000, count)))
        for n in range(0, count, 15_000)
    ]
    began = time.perf_counter()
    for body in bodies:
        status, answer = ask(connection, "POST", f"{JOB}bulk/", body)
        assert status == 201, answer
    return count / (time.perf_counter() - began)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 to 1) of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(part * (len(ordered) - 1)))]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def resident_mib(pid: int) -> float:
    """A process's resident memory that is its own (files that it maps are the system's to take back), MiB."""
    kib = 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(("RssAnon:", "RssShmem:")):
            kib += int(line.split()[1])
    return kib / 1024


def resident_all_mib(pid: int) -> float:
    """A process's resident memory with the files that it maps, MiB."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def instant(moment: float) -> str:
    """Seconds since the epoch as RFC 3339."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

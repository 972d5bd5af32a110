"""Many readers of one chatty run: what each receives, and how long after it was printed. One JSON line.

python -m bench.sse_fanout [http://127.0.0.1:8000] --readers 200 --lines 200 --interval 0.05
"""

import argparse
import json
import selectors
import socket
import statistics
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass, field

from bench.harness import server

PRINT = (
    "import sys,time\n"
    "time.sleep({settle})\n"
    "for i in range({lines}):\n"
    "    print(time.time_ns(), 'x'*{width}, flush=True)\n"
    "    time.sleep({interval})\n"
)
READ_BYTES = 1 << 20


@dataclass
class Reader:
    """One client of the stream. `output` is what it was told of stdout."""

    socket: socket.socket
    raw: bytes = b""
    events: bytes = b""
    head: bool = True
    output: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    ended: bool = False

    def take(self, received: bytes, now: float) -> None:
        """Take what has come."""
        self.raw += received
        if self.head:
            head, separator, rest = self.raw.partition(b"\r\n\r\n")
            if not separator:
                return
            assert b" 200 " in head.split(b"\r\n")[0], head
            self.head, self.raw = False, rest
        self._unchunk()
        *whole, self.events = self.events.split(b"\n\n")
        for event in whole:
            self._tell(event, now)

    def _unchunk(self) -> None:
        while True:
            size, separator, rest = self.raw.partition(b"\r\n")
            length = int(size, 16) if separator else 0
            if not separator or len(rest) < length + 2:
                return
            self.events += rest[:length]
            self.raw = rest[length + 2 :]
            if not length:
                return

    def _tell(self, event: bytes, now: float) -> None:
        lines = dict(line.split(b": ", 1) for line in event.split(b"\n") if line and line[:1] != b":")
        if lines.get(b"event") == b"output":
            text = json.loads(lines[b"data"])["text"]
            self.output.append(text)
            self.latencies += [(now - int(line.split()[0])) / 1e6 for line in text.splitlines() if line[:1].isdigit()]
        elif lines.get(b"event") == b"end":
            self.ended = True


def start(base: str, options: argparse.Namespace) -> str:
    """Create the job and start it; the path of its run."""
    script = PRINT.format(settle=options.settle, lines=options.lines, width=options.width, interval=options.interval)
    job = {"name": "fanout", "command": options.python + ' -c "$SCRIPT"', "shell": True, "env": {"SCRIPT": script}}
    body = json.dumps({**job, "schedule": "R/2099-01-01T00:00:00Z/P1D"}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{base}/api/v1/job/", data=body)) as answer:
        identity = json.load(answer)["id"]
    request = urllib.request.Request(
        f"{base}/api/v1/job/start/{identity}/", method="POST", headers={"Prefer": "respond-async"}
    )
    with urllib.request.urlopen(request) as answer:
        return str(answer.headers["Location"])


def connect(base: str, path: str, count: int) -> list[Reader]:
    """Readers of the run, connected."""
    url = urllib.parse.urlparse(base)
    readers = []
    for _ in range(count):
        connection = socket.create_connection((url.hostname or "127.0.0.1", url.port or 80))
        connection.sendall(f"GET {path}stream/ HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
        connection.setblocking(False)
        readers.append(Reader(connection))
    return readers


def read_all(readers: list[Reader], seconds: float) -> None:
    """Read until all have seen the end."""
    waiting = selectors.DefaultSelector()
    for reader in readers:
        waiting.register(reader.socket, selectors.EVENT_READ, reader)
    deadline = time.monotonic() + seconds
    while waiting.get_map() and time.monotonic() < deadline:
        for key, _ in waiting.select(1):
            reader = key.data
            received = reader.socket.recv(READ_BYTES)
            if received:
                reader.take(received, time.time_ns())
            if reader.ended or not received:
                waiting.unregister(reader.socket)
                reader.socket.close()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", nargs="?", help="a server; without it one is started")
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--width", type=int, default=80)
    parser.add_argument("--interval", type=float, default=0.05)
    parser.add_argument("--settle", type=float, default=2.0)
    parser.add_argument("--python", default="python3")
    options = parser.parse_args()
    if options.base:
        print(json.dumps(measure(options.base, options)))
        return
    with server() as target:
        print(json.dumps(measure(target.url, options)))


def measure(base: str, options: argparse.Namespace) -> dict[str, float | str]:
    """How many readers got every byte, and how late."""
    path = start(base, options)
    readers = connect(base, path, options.readers)
    read_all(readers, options.settle + options.lines * options.interval * 3 + 30)
    with urllib.request.urlopen(f"{base}{path}output/?channel=stdout") as answer:
        written = answer.read().decode()
    latencies = sorted(latency for reader in readers for latency in reader.latencies)
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "bench": "sse_fanout",
        "readers": len(readers),
        "bytes": len(written),
        "complete": sum("".join(reader.output) == written and reader.ended for reader in readers),
        "latency_p50_ms": round(cuts[49], 1),
        "latency_p99_ms": round(cuts[98], 1),
        "latency_max_ms": round(latencies[-1], 1),
    }


if __name__ == "__main__":
    main()

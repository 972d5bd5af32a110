"""Durable creates over HTTP: POST /api/v1/job/ on N kept-alive connections. One JSON line each."""

import argparse
import json
import socket
import threading
import time
from typing import BinaryIO

from bench.harness import JOB, cpu_seconds, job, percentile, server


def read_answer(stream: BinaryIO) -> int:
    """Read one answer whole; its status."""
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    stream.read(length)
    return status


def create(port: int, number: int, until: float, waits: list[float]) -> None:
    """Create jobs on one connection until it is time."""
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as stream:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        count = 0
        while time.perf_counter() < until:
            body = json.dumps(job(number * 10_000_000 + count)).encode()
            count += 1
            head = f"POST {JOB} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
            began = time.perf_counter()
            connection.sendall(head.encode() + body)
            assert read_answer(stream) == 201
            waits.append(1e3 * (time.perf_counter() - began))


def measure(connections: int, seconds: float, log: str) -> dict[str, float]:
    """Creates a second and their waits in milliseconds, on a fresh server."""
    with server(log) as target:
        waits: list[float] = []
        began, used = time.perf_counter(), cpu_seconds(target.pid)
        threads = [
            threading.Thread(target=create, args=(target.port, i, began + seconds, waits)) for i in range(connections)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - began
        return {
            "per_second": len(waits) / elapsed,
            "p50_ms": percentile(waits, 0.5),
            "p99_ms": percentile(waits, 0.99),
            "server_cpu_us": 1e6 * (cpu_seconds(target.pid) - used) / len(waits),
        }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--log", default="", help="an empty PostgreSQL database for the log; see stores.py")
    arguments = parser.parse_args()
    figures = measure(arguments.connections, arguments.seconds, arguments.log)
    named = {"bench": "creates", "connections": arguments.connections}
    print(json.dumps(named | {k: round(v, 2) for k, v in figures.items()}))


if __name__ == "__main__":
    main()

"""What the web UI costs: its pages over many jobs and runs, and many open dashboards. One JSON line each.

`pages`: the first content of each page, its milliseconds (with the server's CPU beside it) and its KiB; and, as
`moment`, once the jobs as they were twelve hours ago, which the log is read for.
`open`: the CPU of a server at so many runs a second, in percent of a core, with dashboards open, beyond that without.
"""

import argparse
import json
import random
import selectors
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from bench.believable import fill
from bench.harness import JOB, Server, ask, cpu_seconds, instant, median, server
from kala_es.domain.events import AttemptFailed, Event, JobCreated, RunFinished, RunStarted
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.model import JobSpec, Outcome

_DAY = 24 * 3600 * SECOND
_ASKED = 5
_AGO_SECONDS = 12 * 3600
_SETTLE_SECONDS = 5.0
_READ_BYTES = 1 << 20
_JOB = JobId("job-7")
_RUN = RunId("run-7")


def history(jobs: int, runs: int) -> Iterator[Event]:
    """Daily jobs at all minutes, and the runs of the last day, one in twenty of which failed."""
    now = time.time_ns() // 1000
    began, rng = Instant(now - _DAY), random.Random(5)
    for i in range(jobs):
        schedule = f"{i % 60} {i // 60 % 24} * * *"
        spec = JobSpec(name=f"bench job {i}", command="true", owner=f"team-{i % 9}@example.com", schedule=schedule)
        yield JobCreated(job=JobId(f"job-{i}"), at=began, spec=spec, answered=Instant(now))
    for i in range(runs):
        job, run = JobId(f"job-{i % jobs}"), RunId(f"run-{i}")
        at = Instant(began + 1 + i * (_DAY - 10 * SECOND) // runs)
        failed = rng.random() < 0.05
        yield RunStarted(job=job, at=at, run=run, cause="manual", root=run)
        yield from _end(job, run, at=Instant(at + 40_000), failed=failed)


def _end(job: JobId, run: RunId, *, at: Instant, failed: bool) -> Iterator[Event]:
    outcome: Outcome = "failed" if failed else "succeeded"
    code = int(failed)
    if failed:
        yield AttemptFailed(job=job, at=at, run=run, attempt=1, outcome=outcome, retrying=False, exit_code=code)
    yield RunFinished(job=job, at=at, run=run, outcome=outcome, attempts=1, root=run, exit_code=code)


def pages() -> dict[str, str]:
    """Each page's name and address."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return {
        "overview": "/webui/",
        "jobs": "/webui/jobs/",
        "jobs_last_page": "/webui/jobs/?sort=-last&page=1000000",
        "jobs_searched": "/webui/jobs/?q=4711",
        "jobs_failing": "/webui/jobs/?state=failing&sort=next",
        "job": f"/webui/jobs/{_JOB}/",
        "job_edit": f"/webui/jobs/{_JOB}/edit",
        "run": f"/webui/runs/{_RUN}/",
        "calendar_week": f"/webui/calendar/?view=week&date={today}",
        "calendar_day": f"/webui/calendar/?view=day&date={today}",
        "events": "/webui/events/",
        "past": "/webui/at/",
        "past_unread": f"/webui/at/?at={instant(time.time() - _AGO_SECONDS)}",
        "settings": "/webui/settings/",
    }


@contextmanager
def filled(jobs: int, runs: int) -> Iterator[Server]:
    """A server with such a past."""
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        data.mkdir()
        trio.run(fill, data, history(jobs, runs))
        target = Server(data)
        target.start()
        try:
            yield target
        finally:
            target.stop()


def measure_pages(jobs: int, runs: int) -> dict[str, float]:
    """Milliseconds, of wall clock and of the server's CPU, and KiB, by page."""
    figures: dict[str, float] = {}
    with filled(jobs, runs) as target:
        connection = target.connect()
        ask(connection, "GET", "/webui/")
        for name, path in pages().items():
            took, used = [], cpu_seconds(target.pid)
            for _ in range(_ASKED):
                began = time.perf_counter()
                status, body = ask(connection, "GET", path)
                took.append(1e3 * (time.perf_counter() - began))
                assert status == 200, (path, body[:200])
            figures[f"{name}_ms"] = median(took)
            figures[f"{name}_cpu_ms"] = 1e3 * (cpu_seconds(target.pid) - used) / _ASKED
            figures[f"{name}_kib"] = len(body) / 1024
        began = time.perf_counter()
        status, body = ask(connection, "GET", f"/webui/at/?wait=true&at={instant(time.time() - _AGO_SECONDS)}")
        assert status == 200, body[:200]
        figures["moment_ms"] = 1e3 * (time.perf_counter() - began)
    for unit, most in (("ms", "slowest_ms"), ("kib", "largest_kib")):
        figures[most] = max(figures[f"{name}_{unit}"] for name in pages())
    return figures


@dataclass
class Dashboard:
    """An open page's stream, read and thrown away."""

    socket: socket.socket
    received: int = 0
    frames: int = 0


def opened(target: Server, stack: ExitStack) -> Dashboard:
    """One more."""
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", target.port)))
    connection.sendall(b"GET /webui/pulse HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n")
    return Dashboard(connection)


def watch(dashboards: Sequence[Dashboard], seconds: float) -> None:
    """Read what comes, for so long."""
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for dashboard in dashboards:
            selector.register(dashboard.socket, selectors.EVENT_READ, dashboard)
        while (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                part = key.data.socket.recv(_READ_BYTES)
                assert part, "a stream has ended"
                key.data.received += len(part)
                key.data.frames += part.count(b"event: beat")


def measure_open(count: int, rate: int, seconds: float) -> dict[str, float]:
    """The CPU without dashboards, with them, and what each received."""
    with server() as target:
        due, last = time.time() + 1, 2 * int(seconds + _SETTLE_SECONDS) + 60
        bodies = [
            {"name": f"d{i}", "command": "true", "schedule": f"R{last}/{instant(due + i / rate)}/PT1S"}
            for i in range(rate)
        ]
        body = b"\n".join(json.dumps(b).encode() for b in bodies)
        status, answer = ask(target.connect(), "POST", f"{JOB}bulk/", body)
        assert status == 201, answer
        ask(target.connect(), "GET", "/webui/")
        time.sleep(_SETTLE_SECONDS)
        began = cpu_seconds(target.pid)
        time.sleep(seconds)
        alone = cpu_seconds(target.pid) - began
        with ExitStack() as stack:
            dashboards = [opened(target, stack) for _ in range(count)]
            watch(dashboards, _SETTLE_SECONDS)
            before, began = [d.received for d in dashboards], cpu_seconds(target.pid)
            watch(dashboards, seconds)
            used = cpu_seconds(target.pid) - began
            received = [d.received - b for d, b in zip(dashboards, before, strict=True)]
        target.stop()
    return {
        "alone_percent": 100 * alone / seconds,
        "with_percent": 100 * used / seconds,
        "cost_percent": 100 * (used - alone) / seconds,
        "kib_per_second_each": median(received) / 1024 / seconds,
        "fewest_frames": min(d.frames for d in dashboards),
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("pages", "open"))
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--dashboards", type=int, default=50)
    parser.add_argument("--rate", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    if arguments.what == "pages":
        figures = measure_pages(arguments.jobs, arguments.runs)
        named = {"what": "pages", "jobs": arguments.jobs, "runs": arguments.runs}
    else:
        figures = measure_open(arguments.dashboards, arguments.rate, arguments.seconds)
        named = {"what": "open", "dashboards": arguments.dashboards, "rate": arguments.rate}
    print(json.dumps({"bench": "dashboards", **named, **{k: round(v, 2) for k, v in figures.items()}}))


if __name__ == "__main__":
    main()

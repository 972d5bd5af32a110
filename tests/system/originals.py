"""Servers that answer as the originals did: a list of jobs, and the executions of each."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
Execution = dict[str, Any]
HELLO: Execution = {
    "job_name": "j1",
    "started_at": "2026-11-21T07:09:40.530659144Z",
    "finished_at": "2026-11-21T07:09:40.534952759Z",
    "success": True,
    "output": "hello\n",
    "node_name": "n1",
    "group": 1795244980528037588,
    "attempt": 1,
}
"""An execution of a Dkron's, as the transcript has it."""


@dataclass
class Original:
    """What a server has, and what it was asked for. `answer` gives a path's body; None is a 404 without one."""

    answer: Callable[[str], bytes | None]
    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def served(answer: Callable[[str], bytes | None]) -> Iterator[Original]:
    """The server, on a free port. It answers what is posted like what is asked for."""
    original = Original(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            original.asked.append(self.path)
            body = original.answer(unquote(self.path))
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        original.url = f"http://127.0.0.1:{http.server_port}"
        try:
            yield original
        finally:
            http.shutdown()
            thread.join()


def nextkala(jobs: bytes, executions: Sequence[Execution], *, of_all: bool = True) -> Callable[[str], bytes | None]:
    """A NextKala, whose list of executions is of all jobs; one that is mended lists those of the job."""
    known = json.loads(jobs)["jobs"]

    def answer(path: str) -> bytes | None:
        if path == "/api/v1/job/":
            return jobs
        job = path.removeprefix("/api/v1/job/").removesuffix("/executions/")
        if job not in known:
            return None
        found = [each for each in executions if of_all or each["job_id"] == job]
        return json.dumps({"job_stats": found}).encode()

    return answer


def dkron(jobs: bytes, executions: Sequence[Execution]) -> Callable[[str], bytes | None]:
    """A Dkron, which finds executions by the beginning of the job's name."""
    known = {job["name"] for job in json.loads(jobs)}

    def answer(path: str) -> bytes | None:
        if path == "/v1/jobs":
            return jobs
        job = path.removeprefix("/v1/jobs/").removesuffix("/executions")
        found = [each for each in executions if each["job_name"].startswith(job)]
        return json.dumps(found).encode() if job in known else None

    return answer


def recorded_executions() -> list[Execution]:
    """Every execution that the real NextKala listed, as it was listed last."""
    lines = (CONTRACT / "kala-exchanges.jsonl").read_text().splitlines()
    bodies = [body for line in lines if (body := json.loads(line).get("body") or "").startswith('{"job_stats"')]
    return list({each["id"]: each for body in bodies for each in json.loads(body)["job_stats"]}.values())

"""One data directory and the servers that live on it, one after another."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers import Server

JOB = "/api/v1/job/"
FAR = "R/2099-01-01T00:00:00Z/P1D"


class Lives:
    """A server that can be killed and started again on what it left behind."""

    def __init__(self, directory: Path, *args: str) -> None:
        self.directory = directory
        self.args = args
        self.server = Server.start(directory, *args)

    @property
    def data(self) -> Path:
        """Where the log is."""
        return self.directory / "data"

    def again(self) -> None:
        """The next life."""
        self.server = Server.start(self.directory, *self.args)

    def kill_and_restart(self) -> None:
        """kill -9, and the next life."""
        self.server.kill9()
        self.again()

    def call(self, method: str, path: str, value: object = None) -> tuple[int, Any]:
        """A request with a JSON body or none; its status and what its JSON says."""
        body = None if value is None else json.dumps(value).encode()
        answer = self.server.request(method, path, body)
        return answer.status, answer.json if answer.body.strip() else None

    def make(self, **fields: object) -> str:
        """A job; its id."""
        status, answer = self.call("POST", JOB, {"name": "t", "command": "true", "schedule": FAR, **fields})
        assert status == 201, answer
        return str(answer["id"])

    def job(self, job: str) -> Any:
        """A job that exists."""
        status, answer = self.call("GET", f"{JOB}{job}/")
        assert status == 200, answer
        return answer["job"]

    def runs(self, job: str) -> list[Any]:
        """Its runs, oldest first."""
        status, answer = self.call("GET", f"{JOB}{job}/executions/")
        assert status == 200, answer
        return list(answer["job_stats"])

    def run_now(self, job: str) -> None:
        """Start it and wait for the end of all that follows."""
        assert self.call("POST", f"{JOB}start/{job}/")[0] == 204

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)

"""One data directory and the servers that live on it, one after another."""

import json
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tests.databases import schema_of, shared
from tests.servers import Server, eventually

JOB = "/api/v1/job/"
KEPT = ("lmdb", "postgres")
"""What a log may be kept in."""
FAR = "R/2099-01-01T00:00:00Z/P1D"


def keeping(kind: str, directory: Path) -> tuple[str, ...]:
    """A server's arguments by which its log is kept in this; in PostgreSQL it has a database of its own."""
    return ("--log", shared().create(name=schema_of(directory))) if kind == "postgres" else ("--jobdb", kind)


class Lives:
    """A server that can be killed and started again on what it left behind. Only its first life may start cold."""

    def __init__(self, directory: Path, *args: str, cold: bool = False) -> None:
        self.directory = directory
        self.args = args
        self.server = Server.start(directory, *args, cold=cold)

    @property
    def data(self) -> Path:
        """Its data directory."""
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

    def start(self, command: str, **fields: object) -> str:
        """A job whose run is under way; its id."""
        job = self.make(command=command, shell=True, **fields)
        asked = self.server.request("POST", f"{JOB}start/{job}/", headers={"Prefer": "respond-async"})
        assert asked.status == 202, asked.body
        eventually(lambda: self.runs(job))
        return job

    def printed(self, job: str) -> str:
        """What its first run has written, once that is something."""
        return eventually(lambda: str(self.runs(job)[0]["output"]) or None)

    def ended(self, job: str, count: int = 1) -> list[Any]:
        """Its runs, once so many have ended."""

        def enough() -> list[Any] | None:
            runs = [run for run in self.runs(job) if run["outcome"]]
            return runs if len(runs) >= count else None

        return eventually(enough)

    @property
    def place(self) -> tuple[str, str]:
        """What a verb is to be told to find the log."""
        return ("--log", self.server.log) if self.server.log else ("--data", str(self.data))

    def stored(self) -> bytes:
        """What the log has, as bytes: a text in it can be looked for."""
        if self.server.log:
            name = self.server.log.rpartition("/")[2]
            return shared().execute("SELECT encode(value, 'escape') FROM kala_es.log", name).encode()
        return b"".join(path.read_bytes() for path in (self.data / "log").iterdir())

    def lent(self, directory: Path) -> Self:
        """The same server for another test, whose own files are in `directory`: no job is there, and nothing runs.

        What was is still in the log: whoever counts all that ever was, or ends the server, needs one of his own."""
        self._clear()
        other = copy(self)
        other.directory = directory
        return other

    def _clear(self) -> None:
        """End what runs, and delete all jobs."""
        for job in self.call("GET", JOB)[1]["jobs"]:
            path = f"{JOB}{quote(job, safe='')}/executions/"
            for run in self.call("GET", path)[1]["job_stats"]:
                if not run["outcome"]:
                    self.call("DELETE", f"{path}{run['id']}/")
        assert self.call("DELETE", f"{JOB}all/")[0] == 204
        eventually(lambda: self.call("GET", "/v1/busy")[1] == [])

    def stored_size(self) -> int:
        """What the log takes, in bytes."""
        if self.server.log:
            name = self.server.log.rpartition("/")[2]
            return int(shared().execute("SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits", name))
        return (self.data / "log" / "data.mdb").stat().st_size

    @property
    def agent(self) -> int:
        """The pid of the agent."""
        return int((self.data / "agent.lock").read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)

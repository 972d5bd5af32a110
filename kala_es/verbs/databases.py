"""The jobs and runs of a NextKala server that keeps them in PostgreSQL, read by `psql`: nothing is written there.

The program comes with every PostgreSQL and knows all that a URL may say, so no driver is needed for two queries. A
password in the URL is in no argument and no message.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

from kala_es import limits
from kala_es.verbs.asking import Failed, bounded

SCHEMES: Final = ("postgresql://", "postgres://")
_JOBS: Final = "SELECT json_build_object('jobs', coalesce(json_object_agg(id, job), '{}'::json)) FROM jobs"
_RUNS: Final = "SELECT json_build_array(job_id, run) FROM job_runs ORDER BY job_id, id"
_ROWS_AT_ONCE: Final = 100
"""So many runs psql holds at a time."""
_CONNECT_SECONDS: Final = 10


def nextkala_jobs(url: str) -> tuple[str, bytes]:
    """The URL as it may be shown, and the list as that server's API gives it, from its table `jobs(id, job)`.

    Raises Failed, also for more than `MAX_BULK_BODY_BYTES`.
    """
    with _asked(url, _JOBS) as answer:
        content = answer.read_at_most(limits.MAX_BULK_BODY_BYTES)
    return answer.shown, content


@dataclass(frozen=True, slots=True)
class Row:
    """A run of a job, as it stands in the table; `size` in bytes."""

    job: str
    run: Any
    size: int


def nextkala_runs(url: str) -> Iterator[Row]:
    """The rows of its table `job_runs(id, job_id, run)`, those of a job together.

    Raises Failed, also for a row of more than `MAX_BULK_BODY_BYTES`.
    """
    with _asked(url, _RUNS) as answer:
        while (row := answer.read_line(limits.MAX_BULK_BODY_BYTES)).endswith(b"\n"):
            job, run = json.loads(row)
            yield Row(job, run, len(row))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What psql says, and the URL as it may be shown."""

    shown: str
    pipe: IO[bytes]

    def read_at_most(self, size: int) -> bytes:
        return bounded(self.pipe.read(size + 1), self.shown)

    def read_line(self, size: int) -> bytes:
        return bounded(self.pipe.readline(size + 1), self.shown)


@contextmanager
def _asked(url: str, query: str) -> Iterator[_Answer]:
    """The answer to a query, as it comes. psql is ended when it is not read to its end."""
    shown, password = _without_password(url)
    options = ["--no-psqlrc", "--no-password", "-qAt", "-v", "ON_ERROR_STOP=1", "-v", f"FETCH_COUNT={_ROWS_AT_ONCE}"]
    command = ["psql", *options, "-c", query, shown]
    with tempfile.TemporaryFile() as complaints:
        try:
            psql = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, env=_environment(password)
            )
        except OSError as error:
            raise Failed(f"{shown}: psql, which reads it, cannot be started: {error.strerror}") from None
        with psql:
            assert psql.stdout is not None
            try:
                yield _Answer(shown, psql.stdout)
            except BaseException:
                psql.kill()
                raise
        if psql.returncode:
            complaints.seek(0)
            raise Failed(f"{shown}: {complaints.read(limits.MAX_REASON_CHARS).decode(errors='replace').strip()}")


def _without_password(url: str) -> tuple[str, str | None]:
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError as error:
        raise Failed(f"the URL of the database: {error}") from None
    if password is None:
        return url, None
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}@{host}").geturl(), unquote(password)


def _environment(password: str | None) -> dict[str, str]:
    options = f"-c default_transaction_read_only=on -c statement_timeout={limits.VERB_ANSWER_SECONDS * 1_000}"
    environment = {**os.environ, "PGOPTIONS": options, "PGCONNECT_TIMEOUT": str(_CONNECT_SECONDS)}
    return environment if password is None else {**environment, "PGPASSWORD": password}

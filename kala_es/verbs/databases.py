"""The jobs and runs of a NextKala server that keeps them in PostgreSQL, read by `psql`: nothing is written there.

The program comes with every PostgreSQL and knows all that a URL may say: no driver is needed for two queries. What is
secret in a URL goes to it by its environment, or in a file of ours: it is in no argument, and nothing prints it.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final
from urllib.parse import unquote

from kala_es import limits
from kala_es.dialects import go_json
from kala_es.domain.errors import Invalid
from kala_es.event_logs.postgres_place import without_secrets
from kala_es.setting_values import SettingError
from kala_es.verbs.asking import Failed, bounded

_JOBS: Final = "SELECT json_build_object('jobs', coalesce(json_object_agg(id, job), '{}'::json)) FROM jobs"
_RUNS: Final = "SELECT json_build_array(job_id, run) FROM job_runs ORDER BY job_id, id"
_ROWS_AT_ONCE: Final = 100
"""So many runs psql holds at a time."""
_CONNECT_SECONDS: Final = 10
_SECRETS: Final = {"password": re.compile("\0"), "sslpassword": re.compile(r"[\0\r\n]|\s$")}
"""Passwords in a query, and what psql cannot be given in one."""
_SERVICE: Final = "kala_es"


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
            try:
                job, run = go_json.loads(row)
            except Invalid as error:
                raise Failed(f"{answer.shown}: job_runs: {error.reason}") from None
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
    try:
        shown, found = without_secrets(url)
    except SettingError as error:
        raise Failed(str(error)) from None
    secrets = {name: _plain(name, value) for name, value in found.items()}
    options = ["--no-psqlrc", "--no-password", "-qAt", "-v", "ON_ERROR_STOP=1", "-v", f"FETCH_COUNT={_ROWS_AT_ONCE}"]
    command = ["psql", *options, "-c", query, shown]
    with tempfile.TemporaryFile() as complaints, _environment(shown, secrets) as environment:
        try:
            psql = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, env=environment
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


def _plain(name: str, value: str) -> str:
    plain = unquote(value, errors="surrogateescape")
    if _SECRETS[name].search(plain):
        raise Failed(f"the URL of the database: {name}: holds a character that psql cannot be given")
    return plain


@contextmanager
def _environment(shown: str, secrets: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """psql's own. No variable takes the password of a client's key, so that is in a file as long as it is needed."""
    options = f"-c default_transaction_read_only=on -c statement_timeout={limits.VERB_ANSWER_SECONDS * 1_000}"
    environment = {**os.environ, "PGOPTIONS": options, "PGCONNECT_TIMEOUT": str(_CONNECT_SECONDS)}
    if "password" in secrets:
        environment["PGPASSWORD"] = secrets["password"]
    if "sslpassword" not in secrets:
        yield environment
        return
    if "PGSERVICE" in environment or re.search("[?&]service=", shown):
        raise Failed(f"{shown}: a sslpassword beside a service: write it into the service")
    with tempfile.NamedTemporaryFile(prefix="kala-es-") as file:
        file.write(os.fsencode(f"[{_SERVICE}]\nsslpassword={secrets['sslpassword']}\n"))
        file.flush()
        yield {**environment, "PGSERVICEFILE": file.name, "PGSERVICE": _SERVICE}

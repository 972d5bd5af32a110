"""The jobs of a NextKala server that keeps them in PostgreSQL, read by `psql`: nothing is written there.

The program comes with every PostgreSQL and knows all that a URL may say, so no driver is needed for one query.
"""

import os
import subprocess
import tempfile
from typing import Final
from urllib.parse import unquote, urlsplit

from kala_es import limits
from kala_es.verbs.asking import Failed, bounded

SCHEMES: Final = ("postgresql://", "postgres://")
_LIST: Final = "SELECT json_build_object('jobs', coalesce(json_object_agg(id, job), '{}'::json)) FROM jobs"
_CONNECT_SECONDS: Final = 10


def nextkala_jobs(url: str) -> tuple[str, bytes]:
    """The URL as it may be shown, and the list as that server's API gives it, from its table `jobs(id, job)`.

    Raises Failed, also for more than `MAX_BULK_BODY_BYTES`. A password in the URL is in no argument and no message.
    """
    shown, password = _without_password(url)
    command = ["psql", "--no-psqlrc", "--no-password", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", _LIST, shown]
    with tempfile.TemporaryFile() as complaints:
        try:
            psql = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, env=_environment(password)
            )
        except OSError as error:
            raise Failed(f"{shown}: psql, which reads it, cannot be started: {error.strerror}") from None
        with psql:
            assert psql.stdout is not None
            content = psql.stdout.read(limits.MAX_BULK_BODY_BYTES + 1)
            if len(content) > limits.MAX_BULK_BODY_BYTES:
                psql.kill()
        bounded(content, shown)
        if psql.returncode:
            complaints.seek(0)
            raise Failed(f"{shown}: {complaints.read(limits.MAX_REASON_CHARS).decode(errors='replace').strip()}")
    return shown, content


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

"""A PostgreSQL server of a test's own, on loopback, as long as the test needs it."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.programs import needs
from tests.receivers import free_port

_PACKAGE = "postgresql"
_PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Postgres:
    """A server that runs, with one user that has a password."""

    port: int
    password: str = "se cret/@"

    def url(self, password: str = "se%20cret%2F%40") -> str:
        """The database's URL."""
        return f"postgresql://kala:{password}@127.0.0.1:{self.port}/postgres"

    def execute(self, sql: str) -> str:
        """What psql says to this."""
        command = [
            needs("psql", _PACKAGE),
            "-X",
            "-qAt",
            "-v",
            "ON_ERROR_STOP=1",
            f"postgresql://kala@127.0.0.1:{self.port}/postgres",
        ]
        environment = {**os.environ, "PGPASSWORD": self.password}
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start it, and wait until it answers. It refuses to be root's, so then it is nobody's."""
    initdb, program = needs("initdb", _PACKAGE), needs("postgres", _PACKAGE)
    directory = Path(tempfile.mkdtemp(prefix="kala-postgres-"))
    user = None
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = nobody.pw_uid
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    server = Postgres(free_port())
    secret = directory / "secret"
    secret.write_text(server.password)
    secret.chmod(0o644)
    data = str(directory / "data")
    try:
        subprocess.run(
            [
                initdb,
                "-D",
                data,
                "-U",
                "kala",
                "-A",
                "scram-sha-256",
                "--pwfile",
                str(secret),
                "--no-sync",
                "-E",
                "UTF8",
            ],
            user=user,
            check=True,
            capture_output=True,
        )
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
        flags = [flag for setting in settings for flag in ("-c", setting)]
        with open(directory / "log", "wb") as log:
            running = subprocess.Popen([program, "-D", data, "-p", str(server.port), *flags], user=user, stderr=log)
        try:
            _await(server, running)
            yield server
        finally:
            running.terminate()
            running.wait(_PATIENCE_SECONDS)
    finally:
        shutil.rmtree(directory)


def _await(server: Postgres, running: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        assert running.poll() is None, "PostgreSQL has ended"
        try:
            server.execute("SELECT 1")
        except AssertionError:
            assert time.monotonic() < until, "PostgreSQL does not answer"
            time.sleep(0.1)
        else:
            return

"""A PostgreSQL server of a test's own, on loopback, as long as the test needs it; and one that tests share."""

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from kala_es.event_logs.postgres_place import Database, database_at
from tests.programs import needs
from tests.receivers import free_port

_PACKAGE: Final = "postgresql"
_PATIENCE_SECONDS: Final = 30
PASSWORD: Final = "se cret/@"


@dataclass
class Postgres:
    """A server with one user, who may do everything and has a password. `directory` has its data and its log."""

    port: int
    directory: Path
    user: int | None
    password: str = PASSWORD
    process: "subprocess.Popen[bytes] | None" = None

    def url(
        self, password: str = "se%20cret%2F%40", *, port: int = 0, name: str = "postgres", user: str = "kala"
    ) -> str:
        """A database's URL."""
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{name}"

    def database(self, schema: str = "kala_es", **where: object) -> Database:
        """A log's place."""
        found = database_at(self.url(**where))  # type: ignore[arg-type]
        return Database(shown=found.shown, secrets=found.secrets, schema=schema)

    def execute(self, sql: str, name: str = "postgres") -> str:
        """What psql says to this."""
        command = [
            needs("psql", _PACKAGE),
            "-X",
            "-qAt",
            "-v",
            "ON_ERROR_STOP=1",
            f"postgresql://kala@127.0.0.1:{self.port}/{name}",
        ]
        environment = {**os.environ, "PGPASSWORD": self.password}
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def create(self, *, name: str, settings: str = "") -> str:
        """Another database; its URL."""
        self.execute(f'CREATE DATABASE "{name}" {settings}')
        return self.url(name=name)

    def kept(self, name: str) -> str:
        """A database that is made if it is not there; its URL."""
        if self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            return self.url(name=name)
        return self.create(name=name)

    @property
    def said(self) -> str:
        """What it has written into its log."""
        return (self.directory / "log").read_text(errors="replace")

    def start(self, settings: Sequence[str] = ()) -> None:
        """Start it, and wait until it answers."""
        usual = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "log_statement=none")
        flags = [flag for setting in (*usual, *settings) for flag in ("-c", setting)]
        command = [needs("postgres", _PACKAGE), "-D", str(self.directory / "data"), "-p", str(self.port), *flags]
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(command, user=self.user, stderr=log)
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            assert self.process.poll() is None, f"PostgreSQL has ended: {self.said[-500:]}"
            try:
                self.execute("SELECT 1")
            except AssertionError:
                assert time.monotonic() < until, "PostgreSQL does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self, how: int = signal.SIGINT) -> None:
        """End it: SIGINT cuts connections, SIGQUIT leaves it to repair itself at the next start."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(_PATIENCE_SECONDS)

    def kill9(self) -> None:
        """End it, with no chance to do anything. What it has forked ends by itself then."""
        self.stop(signal.SIGKILL)
        until = time.monotonic() + _PATIENCE_SECONDS
        while self._has_children():
            assert time.monotonic() < until, "processes of PostgreSQL go on"
            time.sleep(0.02)

    def _has_children(self) -> bool:
        """They hold its shared memory for a moment; meanwhile it cannot be started."""
        mark = str(self.directory / "data").encode()
        for process in Path("/proc").iterdir():
            if process.name.isdecimal():
                try:
                    if (process / "cwd").readlink() == Path(os.fsdecode(mark)):
                        return True
                except OSError:
                    continue
        return False


@contextmanager
def postgres(*settings: str) -> Iterator[Postgres]:
    """Start one, and wait until it answers. It refuses to be root's, so then it is nobody's."""
    directory = Path(tempfile.mkdtemp(prefix="kala-postgres-"))
    user = None
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = nobody.pw_uid
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    server = Postgres(free_port(), directory, user)
    secret = directory / "secret"
    secret.write_text(server.password)
    secret.chmod(0o644)
    try:
        options = ("-U", "kala", "-A", "scram-sha-256", "--pwfile", str(secret), "--no-sync", "-E", "UTF8")
        command = [needs("initdb", _PACKAGE), "-D", str(directory / "data"), *options]
        subprocess.run(command, user=user, check=True, capture_output=True)
        server.start(settings)
        try:
            yield server
        finally:
            if server.process is not None and server.process.poll() is None:
                server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@cache
def shared() -> Postgres:
    """One server for all tests of a process that do not harm it; each takes a schema of its own."""
    context = postgres()
    server = context.__enter__()
    atexit.register(context.__exit__, None, None, None)
    return server


def schema_of(directory: Path) -> str:
    """A schema for what a test keeps in a directory."""
    return f"t{blake2b(os.fsencode(directory), digest_size=12).hexdigest()}"

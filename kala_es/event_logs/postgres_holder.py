"""Who holds a log in PostgreSQL: the connection that writes it, opened again when it was lost. No async, no policy.

A connection that was lost took the hold with it. Whoever comes back takes it again, and looks where the log ends: only
then is known what became of the last commit, and whether somebody else was there meanwhile.

What is found there may be on this server only: a session that is cut off while it waits for a synchronous standby
leaves a commit that can be read. So whoever takes the log begins with a commit of its own, which is answered when all
before it are as durable.
"""

import threading
import time
from collections import deque
from typing import Any, Final

import psycopg
from psycopg import errors

from kala_es import log_tree
from kala_es.event_log import LogAway, LogDamaged, LogError, LogInUse
from kala_es.event_logs.postgres_place import Database
from kala_es.event_logs.postgres_schema import HOLDER, ID, LEFT_OUT, check_version, migrate
from kala_es.event_logs.postgres_session import (
    HELD,
    Connection,
    Session,
    connect,
    hang_up,
    hold,
    is_lost,
    refusal,
    sentence,
    session_of,
)
from kala_es.event_logs.postgres_tables import LOCK_PATIENCE, Commit, Tables, note, noted
from kala_es.event_logs.postgres_values import last_tree
from kala_es.limits import DATABASE_HOLD_SECONDS, PARTITION_POSITIONS

_LOOK_SECONDS: Final = 0.05
_SESSIONS: Final = 16
"""So many sessions are known as ours again, the last ones."""
_CAN_WRITE: Final = f"""
SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
    EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND {HELD})
"""


class Holder:
    """Made by `take`; `let_go` ends it. `log_id` tells the log from others."""

    def __init__(self, database: Database, connection: Connection, *, part: int) -> None:
        self._database = database
        self._part = part
        self._connection = connection
        self._ours: deque[Session] = deque([session_of(connection)], maxlen=_SESSIONS)
        self._tables = Tables(connection, part=part)
        self.log_id = noted(connection, ID) or b""
        self.left_out = int.from_bytes(noted(connection, LEFT_OUT) or b"", "big")

    def end(self) -> log_tree.Span:
        """Where the log ends, and its digests there. Raises LogDamaged, psycopg.Error."""
        tree = last_tree(self._connection)
        if tree is None:
            raise LogDamaged(f"The log in {self._database} is damaged: its last row has no digests.")
        return tree

    def back(self) -> log_tree.Span:
        """Hold the log again, if it was lost; where it ends. Raises LogInUse, LogError, LogAway, psycopg.Error."""
        if is_lost(self._connection):
            self._connection.close()
            self._connection = connect(self._database)
            try:
                self._hold_again()
            except BaseException:
                self._connection.close()
                raise
        else:
            self.watch()
        return self.end()

    def _hold_again(self) -> None:
        """The session is noted before it may hold the log: also what is cut off here is ours."""
        fresh = self._connection
        self._ours.append(session_of(fresh))
        hold(fresh, self._database, ours=self._ours)
        if not check_version(fresh, self._database) or noted(fresh, ID) != self.log_id:
            raise LogError(f"The log in {self._database} is gone: what is there now is another one, or none.")
        self.watch()
        _claim(fresh)
        self._tables = Tables(fresh, part=self._part)

    def put(self, commit: Commit) -> None:
        """Make records durable. Raises NotTheEnd, psycopg.Error."""
        self._tables.put(commit)

    def trim(self, rest: "deque[int]") -> list[tuple[int, str]]:
        """Erase some of these records. Raises psycopg.Error."""
        return self._tables.trim(rest)

    def watch(self) -> None:
        """Find out whether the server is there, and takes what it is told. Raises LogAway, LogError, psycopg.Error."""
        row: Any = self._connection.execute(_CAN_WRITE, [self._database.schema]).fetchone()
        is_replica, is_read_only, is_held = row
        if is_replica:
            raise LogAway("the server is a read-only replica at present")
        if is_read_only:
            raise LogAway("the server is read-only at present (default_transaction_read_only)")
        if not is_held:
            raise LogError("its lock is gone, as behind a pooler that shares sessions between transactions")

    def size(self) -> int | None:
        """What the log takes in the database; in bytes. None: it cannot be told while a part is written anew."""
        try:
            with self._connection.transaction():
                self._connection.execute(f"SET LOCAL lock_timeout TO '{LOCK_PATIENCE}'")
                return self._tables.size()
        except errors.LockNotAvailable:
            return None

    def hang_up(self) -> None:
        """Cut the connection, whatever it waits for on another thread."""
        hang_up(self._connection)

    def let_go(self) -> None:
        """Close the connection, and with it the hold."""
        self._connection.close()


def take(database: Database, *, part: int) -> Holder:
    """Connect, hold the log, and bring its tables up to date. Raises LogInUse, LogIsNewer, LogError, psycopg.Error."""
    connection = connect(database)
    try:
        _hold(connection, database)
        migrate(connection, database)
        _claim(connection)
        return Holder(database, connection, part=part)
    except BaseException:
        connection.close()
        raise


def _claim(connection: Connection) -> None:
    """Make a commit. Raises LogAway, psycopg.Error."""
    name = connection.info.parameter_status("application_name") or ""
    try:
        note(connection, HOLDER, name.encode())
    except errors.DiskFull as error:
        raise LogAway(sentence(error)) from error


def _hold(connection: Connection, database: Database) -> None:
    """Hold the log, as soon as the session of a server that was killed is gone. Raises LogInUse, psycopg.Error."""
    until = time.monotonic() + DATABASE_HOLD_SECONDS
    while True:
        try:
            return hold(connection, database)
        except LogInUse:
            if time.monotonic() > until:
                raise
            time.sleep(_LOOK_SECONDS)


def compact_held(database: Database) -> tuple[int, int]:
    """Hold a log that no server holds, and compact it. Raises LogInUse, LogError."""
    try:
        with connect(database) as connection:
            if not check_version(connection, database):
                raise LogError(f"There is no log in {database}.")
            hold(connection, database)
            return compact(database, part=PARTITION_POSITIONS)
    except psycopg.Error as error:
        raise refusal(error, database, doing="made smaller") from error


def compact(database: Database, *, part: int, given_up: threading.Event | None = None) -> tuple[int, int]:
    """Write each part of the tables anew, on a connection of its own; their size before and after, in bytes.

    The caller holds the log. Raises psycopg.Error, and LogError when it is given up while somebody reads the log.
    """
    with connect(database, patient=True) as connection:
        return Tables(connection, part=part).compact(given_up)

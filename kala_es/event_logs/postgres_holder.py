"""Who holds a log in PostgreSQL: the connection that writes it, opened again when it was lost. No async, no policy.

A connection that was lost took the hold with it. Whoever comes back takes it again, and looks where the log ends: only
then is known what became of the last commit, and whether somebody else was there meanwhile.
"""

import time
from collections import deque
from typing import Final

import psycopg

from kala_es import log_tree
from kala_es.event_log import LogAway, LogDamaged, LogError, LogInUse
from kala_es.event_logs.postgres_place import Database
from kala_es.event_logs.postgres_schema import ID, LEFT_OUT, check_version, migrate
from kala_es.event_logs.postgres_session import Connection, connect, hold, is_lost, refusal
from kala_es.event_logs.postgres_tables import Commit, Tables, noted
from kala_es.event_logs.postgres_values import last_tree
from kala_es.limits import DATABASE_HOLD_SECONDS, PARTITION_POSITIONS

_LOOK_SECONDS: Final = 0.05
_CAN_WRITE: Final = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"


class Holder:
    """Made by `take`; `let_go` ends it. `log_id` tells the log from others."""

    def __init__(self, database: Database, connection: Connection, *, part: int) -> None:
        self._database = database
        self._part = part
        self._connection = connection
        self._process = connection.info.backend_pid
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
            fresh = connect(self._database)
            try:
                hold(fresh, self._database, before=self._process)
                if not check_version(fresh, self._database) or noted(fresh, ID) != self.log_id:
                    raise LogError(f"The log in {self._database} is gone: what is there now is another one, or none.")
                tables = Tables(fresh, part=self._part)
            except BaseException:
                fresh.close()
                raise
            self._connection, self._tables = fresh, tables
            self._process = fresh.info.backend_pid
        self.watch()
        return self.end()

    def put(self, commit: Commit) -> None:
        """Make records durable. Raises NotTheEnd, psycopg.Error."""
        self._tables.put(commit)

    def trim(self, rest: "deque[int]") -> list[tuple[int, str]]:
        """Erase some of these records. Raises psycopg.Error."""
        return self._tables.trim(rest)

    def watch(self) -> None:
        """Find out whether the server is there, and takes what it is told. Raises LogAway, psycopg.Error."""
        row = self._connection.execute(_CAN_WRITE).fetchone()
        if row is not None and row[0]:
            raise LogAway("the server is a read-only replica at present")
        if row is not None and row[1]:
            raise LogAway("the server is read-only at present (default_transaction_read_only)")

    def size(self) -> int:
        """What the log takes in the database; in bytes."""
        return self._tables.size()

    def let_go(self) -> None:
        """Close the connection, and with it the hold."""
        self._connection.close()


def take(database: Database, *, part: int) -> Holder:
    """Connect, hold the log, and bring its tables up to date. Raises LogInUse, LogIsNewer, LogError, psycopg.Error."""
    connection = connect(database)
    try:
        _hold(connection, database)
        migrate(connection, database)
        return Holder(database, connection, part=part)
    except BaseException:
        connection.close()
        raise


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


def compact(database: Database, *, part: int) -> tuple[int, int]:
    """Write each part of the tables anew, on a connection of its own; their size before and after, in bytes.

    The caller holds the log. Raises psycopg.Error.
    """
    with connect(database, patient=True) as connection:
        return Tables(connection, part=part).compact()

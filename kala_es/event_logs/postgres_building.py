"""Makes a log in PostgreSQL of values that are there already: those of another log, or of an archive.

All of it is one transaction: it is there whole and durable, or not at all. A log that is there is gone on with; what it
has already is passed over. The log is held meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from kala_es import log_tree
from kala_es.event_logs.postgres_place import Database
from kala_es.event_logs.postgres_schema import ID, LEFT_OUT, migrate
from kala_es.event_logs.postgres_session import Connection, connect, hold, refusal
from kala_es.event_logs.postgres_tables import Tables, note
from kala_es.event_logs.postgres_values import last_row
from kala_es.limits import PARTITION_POSITIONS

_TOGETHER_BYTES: Final = 4 * 1024 * 1024
"""So much is sent in one statement."""
_PUT: Final = "INSERT INTO log (first, last, value) SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[])"
_TREE: Final = "UPDATE log SET tree = %b WHERE first = (SELECT max(first) FROM log)"


class PostgresBuilding:
    """A log in the making. Made by `build`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tables = Tables(connection, part=PARTITION_POSITIONS)
        row = last_row(connection)
        self.head = 0 if row is None else row[1]
        """Where the log ends that is there."""
        self._firsts: list[int] = []
        self._values: list[bytes] = []
        self._size = 0

    def put(self, first: int, value: bytes) -> None:
        """Add a value (batch.py) whose first record has this position; they follow each other. Raises psycopg.Error."""
        if first <= self.head:
            return
        if self._size >= _TOGETHER_BYTES:
            self._write(first - 1)
        self._firsts.append(first)
        self._values.append(value)
        self._size += len(value)

    def _write(self, last: int) -> None:
        if not self._firsts:
            return
        for first in self._firsts:
            self._tables.make_part(first)
        lasts = [first - 1 for first in self._firsts[1:]] + [last]
        self._connection.execute(_PUT, [self._firsts, lasts, self._values])
        self._firsts, self._values, self._size = [], [], 0

    def finish(self, log_id: bytes, tree: log_tree.Span, *, left_out: int = 0) -> None:
        """Note the digests of all its records. Up to `left_out` some are missing without a reason."""
        self._write(tree.end)
        self._connection.execute(_TREE, [tree.digests])
        note(self._connection, ID, log_id)
        note(self._connection, LEFT_OUT, left_out.to_bytes(8, "big") if left_out else None)


@contextmanager
def build(database: Database) -> Iterator[PostgresBuilding]:
    """A log in the making, in a database that no server uses. On leaving it is there.

    Raises LogInUse, LogIsFull, LogError; then, and on any other exception, what is there is left as it is.
    """
    try:
        with connect(database, patient=True) as connection:
            hold(connection, database)
            with connection.transaction():
                migrate(connection, database)
                yield PostgresBuilding(connection)
    except psycopg.Error as error:
        raise refusal(error, database, doing="made") from error

"""A log in PostgreSQL read by another process than its server's, which may run meanwhile. Nothing is written.

`PostgresReader` reads what is durable by now, `PostgresMoment` all of what was when it was opened.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

import psycopg
from psycopg import IsolationLevel, errors

from kala_es import log_tree
from kala_es.event_log import LogError, Record
from kala_es.event_logs.postgres_place import Database
from kala_es.event_logs.postgres_schema import ID, LEFT_OUT, check_version
from kala_es.event_logs.postgres_session import Connection, connect, is_lost, refusal
from kala_es.event_logs.postgres_tables import noted
from kala_es.event_logs.postgres_values import Values, last_row, last_tree, values_from
from kala_es.event_logs.stream_index import StreamIndex, looked_through
from kala_es.fold_store import FoldStore

_LISTEN: Final = "SELECT format('LISTEN %I', current_schema())"


class PostgresReader:
    """Raises LogError, LogDamaged, LogIsNewer.

    `folds`, if they are of this log, help to find the records of a stream; without them all are looked through. After a
    LogAway it may be asked again: it goes on with the same log as soon as that is back.
    """

    def __init__(self, database: Database, folds: FoldStore | None = None) -> None:
        self._database = database
        self._values = Values(_opened(database))
        with _named(database):
            log_id, left_out = noted(self._connection, ID), noted(self._connection, LEFT_OUT)
        self.log_id = log_id or b""
        """What tells the log from others."""
        self.left_out = int.from_bytes(left_out or b"", "big")
        """Up to here records may be missing that the log was made without; 0: none are."""
        self.folds, self._index = None, None
        self._listens = False
        if folds is not None and StreamIndex.fits(folds, self.log_id, self.head):
            self.folds, self._index = folds, StreamIndex(folds, self.log_id, self.head)

    @property
    def head(self) -> int:
        """The last position that is durable by now."""
        with self._asking():
            row = last_row(self._connection)
        return 0 if row is None else row[1]

    @property
    def indexed(self) -> int:
        """The position up to which `of_stream` finds a stream's records; 0 without folds."""
        return 0 if self._index is None else self._index.position

    def read_now(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The next records after position `after`, at most `limit`; of one stream if named. Empty at the end."""
        found: list[Record] = []
        with self._asking():
            while len(found) < limit:
                page, last = self._page(after, limit - len(found), stream)
                found += page
                if last == after:
                    break
                after = last
        return found

    def of_stream(self, stream: str, after: int, *, limit: int) -> list[Record]:
        """The next records of a stream after `after` and up to `indexed`, at most `limit`. Empty at the end."""
        found: list[Record] = []
        with self._asking():
            while len(found) < limit and after < self.indexed:
                page, after = self._page(after, limit - len(found), stream)
                found += page
        return found

    def _page(self, after: int, limit: int, stream: str | None) -> tuple[list[Record], int]:
        if stream is None:
            return self._values.page(after, limit)
        if self._index is not None:
            return self._index.page(self._values, stream, after=after, limit=limit)
        return looked_through(stream, self._values.page(after, limit), limit)

    def wait(self, seconds: float) -> None:
        """Until the server says that there is more, or so long. A replica says nothing."""
        with self._asking():
            if not self._listens:
                try:
                    self._listen()
                except errors.ReadOnlySqlTransaction:
                    time.sleep(seconds)
                return  # what was recorded before nobody tells us
            for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """On a connection that was not lost, as far as we know."""
        with _named(self._database):
            if is_lost(self._connection):
                self._connect_again()
            yield

    def _connect_again(self) -> None:
        """Go on with the log, if it is the same and has all that was read of it. Raises LogError."""
        fresh = Values(_opened(self._database))
        try:
            if noted(fresh.connection, ID) != self.log_id:
                raise LogError(f"The log in {self._database} is another one by now.")
            if not fresh.went_on_from(*self._values.read_last()):
                raise LogError(f"The log in {self._database} was put back to an earlier state.")
        except BaseException:
            fresh.connection.close()
            raise
        self._values, self._listens = fresh, False

    @property
    def _connection(self) -> Connection:
        return self._values.connection

    def _listen(self) -> None:
        listen = self._connection.execute(_LISTEN).fetchone()
        assert listen is not None
        self._connection.execute(listen[0])
        self._listens = True

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PostgresMoment:
    """All values of a log at one moment. Made by `open_values`."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection
        with _named(database):
            self.log_id = noted(connection, ID) or b""

    def last(self) -> tuple[int, bytes] | None:
        """The last value, with the position of its first record; None in an empty log."""
        with _named(self._database):
            row = last_row(self._connection)
        return None if row is None else (row[0], row[2])

    def pairs(self, position: int) -> Iterator[tuple[int, bytes]]:
        """The value that holds a position, and those that follow; the last, if that lies beyond."""
        before = 0
        while True:
            with _named(self._database):
                page = values_from(self._connection, position)
            if not page or page[-1][0] <= before:
                return
            for first, last, value in page:
                yield first, value
                before, position = first, last + 1

    def noted(self) -> log_tree.Span | None:
        """The digests that a server would go on from. Raises LogDamaged."""
        with _named(self._database):
            return last_tree(self._connection)

    def left_out(self) -> int:
        """Up to here records may be missing that the log was made without; 0: none are."""
        with _named(self._database):
            return int.from_bytes(noted(self._connection, LEFT_OUT) or b"", "big")


@contextmanager
def open_values(database: Database) -> Iterator[PostgresMoment]:
    """The values of a log as they are now. Raises LogError, LogDamaged, LogIsNewer."""
    connection = _opened(database)
    connection.isolation_level, connection.read_only = IsolationLevel.REPEATABLE_READ, True
    with connection, connection.transaction():
        yield PostgresMoment(database, connection)


def has_log(database: Database) -> bool:
    """Whether there is a log in a database. Raises LogIsNewer, LogError."""
    with _named(database), connect(database) as connection:
        return check_version(connection, database)


def _opened(database: Database) -> Connection:
    with _named(database):
        connection = connect(database, patient=True)
        try:
            if check_version(connection, database):
                return connection
        except BaseException:
            connection.close()
            raise
    connection.close()
    raise LogError(f"There is no log in {database}.")


@contextmanager
def _named(database: Database) -> Iterator[None]:
    """Faults of the database, as the port has them."""
    try:
        yield
    except psycopg.Error as error:
        raise refusal(error, database, doing="read") from error

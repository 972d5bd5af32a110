"""Asks a log in PostgreSQL about its records: on a connection of its own, used by one thread at a time.

Whoever can wait asks until there is an answer. The event loop cannot, so what it asks at once is answered soon, or
refused: a server that is away is not asked, and one that says nothing is waited for no longer than for a connection.
"""

import time
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import psycopg
import trio

from kala_es.event_log import LogAway
from kala_es.event_logs.postgres_patience import Patience
from kala_es.event_logs.postgres_place import Database
from kala_es.event_logs.postgres_session import Connection, answered_within, connect, hang_up, is_lost, refusal
from kala_es.event_logs.postgres_values import Values
from kala_es.limits import DATABASE_CONNECT_SECONDS

Result = TypeVar("Result")


class Asking:
    """Made on an open connection; `close` closes it, or the one that took its place."""

    def __init__(self, database: Database, connection: Connection, given_up: trio.Event, *, silent: float) -> None:
        self._database = database
        self._values = Values(connection)
        self._in_use = Lock()
        """Held by whoever uses the connection."""
        self._patience = Patience(database, given_up, doing="read", silent=silent)

    async def until_answered(self, question: Callable[[Values], Result]) -> Result:
        """The answer, as soon as the server gives one. Raises LogError."""
        return await self._patience.until_answered(lambda again: self._ask(question))

    def now(self, question: Callable[[Values], Result], *, away: str | None = None) -> Result:
        """The answer, on the calling thread; `away` is why the server is known to give none. Raises LogError."""
        away = away or self._patience.reason
        if away is not None:
            raise LogAway(f"The log in {self._database} cannot be read: {away}.")
        try:
            return self._ask_now(question)
        except psycopg.Error as error:
            raise refusal(error, self._database, doing="read") from error

    def _ask_now(self, question: Callable[[Values], Result]) -> Result:
        """That a connection was lost while nobody asked is known only now: then it is asked once more."""
        began = time.monotonic()
        try:
            return self._ask_soon(question)
        except psycopg.Error:
            if not is_lost(self._values.connection) or time.monotonic() - began >= DATABASE_CONNECT_SECONDS:
                raise
        return self._ask_soon(question)

    def _ask_soon(self, question: Callable[[Values], Result]) -> Result:
        with answered_within(self._values.connection, DATABASE_CONNECT_SECONDS):
            return self._ask(question)

    def _ask(self, question: Callable[[Values], Result]) -> Result:
        with self._in_use:
            if is_lost(self._values.connection):
                self._values.connection = connect(self._database)
            return question(self._values)

    def stop(self) -> None:
        """Whoever waits for an answer, it may be for long, gets an error."""
        if self._in_use.locked():
            hang_up(self._values.connection)

    def close(self) -> None:
        """Ask no more."""
        self.stop()
        with self._in_use:
            self._values.connection.close()

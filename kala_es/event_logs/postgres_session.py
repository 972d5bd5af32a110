"""A connection to a log's database: how it is opened, what it is set to, who holds the log, and what its faults mean.

1. A fault is passing (the server restarts, the network is cut, a statement takes too long, it is a replica at present),
   or there is no room, or it is for good.
2. The log is held by a lock of a session (pg_advisory_lock): it goes with the connection, and with the server.
3. `synchronous_commit` is never off: what was committed is durable.
4. Either side notices when the other one's machine is gone: so do we, and so does the server, which lets go of the log.
"""

import os
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any, Final

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

from kala_es.event_log import LogAway, LogDamaged, LogError, LogInUse, LogIsFull
from kala_es.event_logs.postgres_place import Database
from kala_es.limits import DATABASE_CONNECT_SECONDS, DATABASE_SILENT_SECONDS, DATABASE_STATEMENT_SECONDS

Connection = psycopg.Connection[Any]
Fault = psycopg.Error
Session = tuple[int, str]
"""A session of the server, by its process and when that began: a number is given to others later."""
_USUAL: Final = {
    "connect_timeout": str(DATABASE_CONNECT_SECONDS),
    "tcp_user_timeout": str(DATABASE_SILENT_SECONDS * 1000),
    "keepalives_idle": str(DATABASE_SILENT_SECONDS),
    "keepalives_interval": "2",
    "keepalives_count": "3",
}
"""Unless the URL says otherwise: a server that is not there any more is noticed."""
_SET: Final = sql.SQL(
    "SET search_path TO {schema}; SET lock_timeout TO 0; SET client_min_messages TO warning; "
    "SET tcp_keepalives_idle TO {silent}; SET tcp_keepalives_interval TO 2; SET tcp_keepalives_count TO 3; "
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN "
    "('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout'); "
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
"""A setting that the server's version does not know is left out."""
_TIMEOUT: Final = sql.SQL("SET statement_timeout TO {timeout}; ")
_SESSION: Final = (
    "SELECT pid, extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
)
_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
HELD: Final = """
locktype = 'advisory' AND granted AND objsubid = 1
AND (classid::bigint << 32 | objid::bigint) = hashtextextended(%s, 0)
"""
"""Of a row of pg_locks: that it is somebody's hold on the log in a schema."""
_HOLDER: Final = (
    """
SELECT
    pid, extract(epoch FROM backend_start)::text, application_name,
    coalesce(host(client_addr), 'this machine'), date_trunc('seconds', backend_start)::text
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE pg_locks.database = pg_stat_activity.datid AND """
    + HELD
)
_OWN_BUSY: Final = "SELECT pg_terminate_backend(%s)"
_PASSING: Final = (
    errors.QueryCanceled,
    errors.LockNotAvailable,
    errors.ReadOnlySqlTransaction,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.TooManyConnections,
    errors.OutOfMemory,
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.IdleInTransactionSessionTimeout,
    errors.IdleSessionTimeout,
    errors.TransactionTimeout,
)
_DAMAGE: Final = (errors.DataCorrupted, errors.IndexCorrupted)


def connect(database: Database, *, patient: bool = False) -> Connection:
    """Open a connection, and set it. `patient`: a statement may take for ever. Raises psycopg.Error, LogError.

    Text comes as UTF-8 also from a database that has another encoding, or none (SQL_ASCII).
    """
    given = conninfo_to_dict(database.shown)
    usual: dict[str, Any] = {name: value for name, value in _USUAL.items() if name not in given}
    name = f"kala_es {socket.gethostname()[:40]} {os.getpid()}"
    ours = {**usual, **database.read_secrets(), "client_encoding": "UTF8"}
    connection = psycopg.connect(database.shown, autocommit=True, **{"application_name": name, **ours})
    try:
        text = _SET.format(schema=sql.Identifier(database.schema), silent=DATABASE_SILENT_SECONDS)
        if patient or "statement_timeout" not in str(given.get("options", "")):
            text = _TIMEOUT.format(timeout=0 if patient else DATABASE_STATEMENT_SECONDS * 1000) + text
        with answered_within(connection, DATABASE_CONNECT_SECONDS):
            connection.execute(text)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def answered_within(connection: Connection, seconds: float) -> Iterator[None]:
    """Wait no longer for what is asked meanwhile: it is an error then."""
    timer = Timer(seconds, hang_up, [connection])
    timer.daemon = True
    with suppress(RuntimeError):  # the system has no thread to spare: then it is waited for
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def hang_up(connection: Connection) -> None:
    """Cut a connection, while another thread waits for an answer there: that gets an error."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


def session_of(connection: Connection) -> Session:
    """The server's side of a connection. Raises psycopg.Error."""
    pid, began = connection.execute(_SESSION).fetchone() or (0, "")
    return pid, began


def hold(connection: Connection, database: Database, *, ours: Collection[Session] = ()) -> None:
    """Take the log, for as long as the connection lasts. Raises LogInUse, psycopg.Error.

    `ours`: the server's side of connections of ours that were lost; one that still holds the log is ended.
    """
    if _is_held(connection, database):
        return
    holder = connection.execute(_HOLDER, [database.schema]).fetchone()
    if holder is None and _is_held(connection, database):  # it was let go meanwhile
        return
    if holder is None or holder[1] is None:  # nobody that we may see
        raise LogInUse(f"The log in {database} is in use by another server.")
    pid, began, name, address, since = holder
    if (pid, began) in ours:
        connection.execute(_OWN_BUSY, [pid])
        raise LogAway("the server has not noticed yet that the connection was lost")
    raise LogInUse(f"The log in {database} is in use by another server: {name!r} at {address}, since {since}.")


def _is_held(connection: Connection, database: Database) -> bool:
    row = connection.execute(_LOCK, [database.schema]).fetchone()
    return row is not None and bool(row[0])


def is_lost(connection: Connection) -> bool:
    """Whether nothing more comes of a connection."""
    return connection.closed or connection.broken


def is_passing(error: Fault) -> bool:
    """Whether the same may succeed later, perhaps by another connection."""
    if isinstance(error, errors.DiskFull):
        return False
    if isinstance(error, _PASSING) or (error.sqlstate or "").startswith("08"):
        return True
    return isinstance(error, psycopg.OperationalError) and error.sqlstate is None  # libpq's own: there is no connection


def sentence(error: Exception) -> str:
    """What a fault says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]).rstrip(".") or type(error).__name__


def refusal(error: Fault, database: Database, *, doing: str) -> LogError:
    """A fault as the port has it; `doing` is what could not be done: "read", "opened"."""
    if isinstance(error, errors.DiskFull):
        return LogIsFull(f"There is no room for the log in {database}: {sentence(error)}.")
    if isinstance(error, _DAMAGE):
        return LogDamaged(f"The log in {database} is damaged: {sentence(error)}.")
    kind = LogAway if is_passing(error) else LogError
    return kind(f"The log in {database} cannot be {doing}: {sentence(error)}.")

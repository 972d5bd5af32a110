"""The tables of a log in PostgreSQL, and how they came to be: each migration once, in order, never changed again.

`log` has the values that batch.py describes: a row's key is the position of its first record, `last` that of its last,
and `tree` has the digests of the whole log up to there (log_tree.py), where they are known. It is parted by position:
what is erased for good goes with its partition. `meta` has what is known of the log as a whole.
"""

from typing import Final
from uuid import uuid4

from psycopg import errors, sql

from kala_es.event_log import LogError, LogIsNewer
from kala_es.event_logs.postgres_place import Database
from kala_es.event_logs.postgres_session import Connection

MIGRATIONS: Final = (
    """
    CREATE TABLE meta (key text PRIMARY KEY, value bytea NOT NULL);
    CREATE TABLE log (
        first bigint NOT NULL,
        last bigint NOT NULL,
        value bytea NOT NULL,
        tree bytea,
        CONSTRAINT log_order CHECK (first > 0 AND last >= first),
        PRIMARY KEY (first)
    ) PARTITION BY RANGE (first);
    ALTER TABLE log ALTER value SET STORAGE EXTERNAL;
    """,
)
"""A migration that was released is read for ever; a change is a new one."""
LEFT_OUT: Final = "left out"
"""In `meta`: up to this position (8 bytes) an imported or restored log has holes for which it has no reason."""
ID: Final = "id"
HOLDER: Final = "holder"
"""In `meta`: who took the log last."""
_NOTES: Final = "CREATE TABLE IF NOT EXISTS migrations (version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
_MAY_USE: Final = """
SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')
FROM pg_namespace WHERE nspname = %s
"""
_IS_REPLICA: Final = "SELECT pg_is_in_recovery()"


def version(connection: Connection) -> int:
    """Up to which migration the tables are; 0: there are none."""
    found = connection.execute("SELECT to_regclass(quote_ident(current_schema()) || '.migrations')").fetchone()
    if found is None or found[0] is None:
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()
    assert row is not None
    return int(row[0])


def check_version(connection: Connection, database: Database) -> bool:
    """Whether there is a log. Raises LogIsNewer."""
    found = version(connection)
    if found > len(MIGRATIONS):
        raise LogIsNewer(
            f"The log in {database} has schema version {found}; this version reads up to {len(MIGRATIONS)}."
        )
    if 0 < found < len(MIGRATIONS):
        raise LogError(f"The log in {database} has schema version {found}: start a server of this version on it first.")
    return found > 0


def migrate(connection: Connection, database: Database) -> None:
    """Bring the tables up to date, or make them. The log is held. Raises LogIsNewer, LogError, psycopg.Error."""
    replica = connection.execute(_IS_REPLICA).fetchone()
    if replica is not None and replica[0]:
        raise LogError(
            f"The log in {database} cannot be written: this server is a read-only replica; name the primary."
        )
    with connection.transaction():
        _make_schema(connection, database)
        connection.execute(_NOTES)
        done = version(connection)
        if done > len(MIGRATIONS):
            check_version(connection, database)
        for number, text in enumerate(MIGRATIONS[done:], done + 1):
            connection.execute(text)
            connection.execute("INSERT INTO migrations (version) VALUES (%s)", [number])
        connection.execute("INSERT INTO meta VALUES (%s, %s) ON CONFLICT DO NOTHING", [ID, uuid4().bytes])


def _make_schema(connection: Connection, database: Database) -> None:
    row = connection.execute(_MAY_USE, [database.schema]).fetchone()
    if row is not None and row[0]:
        return
    if row is not None:
        raise LogError(
            f"The log in {database} cannot be written: its user may not make tables in the schema {database.schema}; "
            f"have an administrator say ALTER SCHEMA {database.schema} OWNER TO that user."
        )
    try:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(database.schema)))
    except errors.InsufficientPrivilege as error:
        raise LogError(
            f"The log in {database} cannot be begun: its user may make no schema there; have an administrator say "
            f"CREATE SCHEMA {database.schema} AUTHORIZATION that user."
        ) from error

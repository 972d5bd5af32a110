"""Writes the tables of a log in PostgreSQL: with no async and no policy.

1. An append says after which position it comes; the key is a position. So two writers cannot both be right, whatever
   locks say: the statement of one of them inserts nothing, or breaks the key.
2. A commit is one statement, which wakes who listens (NOTIFY).
3. Erasing writes a row again; one of which nothing is left is joined with its neighbours that are nothing but a hole.
   A part of the table in which no row is left is dropped.
4. A part is attached before it is written to, when the one before it begins. A session that asks while one is attached
   may know nothing of it until something else happens to the table (PostgreSQL reads the list of parts and the news
   that it changed one after the other): by the time that a part has rows, something else has happened.
"""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from psycopg import errors, sql

from kala_es import log_tree
from kala_es.event_log import LogError
from kala_es.event_logs.batch import Hole, encode_batch, encode_hole, erase, only_hole
from kala_es.event_logs.postgres_session import Connection
from kala_es.event_logs.postgres_values import Row, covering
from kala_es.limits import PARTITION_POSITIONS, TRIM_BYTES

_PUT: Final = """
WITH put AS (
    INSERT INTO log (first, last, value, tree)
    SELECT first, last, value, tree
    FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[]) AS fresh (first, last, value, tree)
    WHERE %b::bigint = coalesce((SELECT last FROM log ORDER BY first DESC LIMIT 1), 0)
    RETURNING last
)
SELECT count(*), pg_notify(current_schema(), max(last)::text) FROM put
"""
_AGAIN: Final = """
UPDATE log SET last = fresh.last, value = fresh.value, tree = fresh.tree
FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[]) AS fresh (first, last, value, tree)
WHERE log.first = fresh.first
"""
_PARTS: Final = """
SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'log'::regclass ORDER BY oid
"""
_SIZE: Final = """
SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint FROM pg_inherits WHERE inhparent = 'log'::regclass
"""
LOCK_PATIENCE: Final = "200ms"
"""Who wants a part for himself waits no longer for those who read the log: appends would wait behind him."""
_AGAIN_SECONDS: Final = 1.0
"""After that he asks again."""
_POSITIONS_AT_ONCE: Final = 32


class LogMoved(LogError):
    """The log has records that this server has not written, or lacks some that it has."""


class NotTheEnd(LogError):
    """The log does not end where an append was to go on: it may be that the append has happened already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Records on their way: they come after a position, as rows; `tree` has the digests of the log after them."""

    after: int
    rows: Sequence[Row]
    tree: log_tree.Span


def commit_of(tree: log_tree.Span, parts: Sequence[Sequence[bytes]]) -> Commit:
    """Records, given as rows (log_tree.py), after a log with these digests; each part becomes a value."""
    after, grown = tree.end, tree.copy()
    rows: list[Row] = []
    for part in parts:
        first = grown.end + 1
        grown.add_leaves(log_tree.leaves(part))
        rows.append((first, grown.end, encode_batch(part, grown.root()), grown.digests))
    return Commit(after=after, rows=rows, tree=grown)


class Tables:
    """The tables, on a connection that holds the log."""

    def __init__(self, connection: Connection, *, part: int = PARTITION_POSITIONS) -> None:
        self._connection = connection
        self._part = part
        self._parts = {row[0] for row in connection.execute(_PARTS)}

    def put(self, commit: Commit) -> None:
        """Make records durable, all or none of them. Raises NotTheEnd, psycopg.Error."""
        for first, *_ in commit.rows:
            self.make_part(first)
        self.make_part(commit.rows[-1][0] + self._part)
        columns = [list(column) for column in zip(*commit.rows, strict=True)]
        done = self._connection.execute(_PUT, [*columns, commit.after], prepare=True).fetchone()
        if done is None or done[0] != len(commit.rows):
            raise NotTheEnd(f"the log does not end at position {commit.after}")

    def make_part(self, first: int) -> None:
        """Make the part of the table that a position belongs to, if it is not there. Readers do not wait for it."""
        begin = (first - 1) // self._part * self._part + 1
        name = _part_name(begin)
        if name in self._parts:
            return
        with self._connection.transaction():
            part, until = sql.Identifier(name), sql.Literal(begin + self._part)
            self._connection.execute(sql.SQL("CREATE TABLE {} (LIKE log INCLUDING ALL)").format(part))
            attach = sql.SQL("ALTER TABLE log ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})")
            self._connection.execute(attach.format(part, sql.Literal(begin), until))
        self._parts.add(name)

    def trim(self, rest: "deque[int]") -> list[tuple[int, str]]:
        """Erase the first of the positions in `rest`, as many as one transaction holds, and take them out of it.

        Gives the positions and streams of what was there. When it raises nothing is erased, or all of that is.
        """
        wanted, size = deque(rest), 0
        erased: list[tuple[int, str]] = []
        fresh: dict[int, Row] = {}
        with self._connection.transaction():
            for first, last, value, tree in covering(self._connection, list(islice(wanted, _POSITIONS_AT_ONCE))):
                if size >= TRIM_BYTES:
                    break
                size += len(value)
                left, gone = erase(first, value, wanted)
                erased += gone
                if left is not None:
                    fresh[first] = (first, last, left, tree)
            removed = self._write_again(fresh)
        for _ in range(len(rest) - len(wanted)):
            rest.popleft()
        self._drop_empty(removed)
        return erased

    def _write_again(self, fresh: dict[int, Row]) -> list[int]:
        """Write rows again, joined with others where they are nothing but holes; the keys that are gone by that."""
        hollow = {first: row for first, row in fresh.items() if only_hole(first, row[2])}
        beside = {at for first, last, *_ in hollow.values() for at in (first - 1, last + 1) if at}
        for row in covering(self._connection, sorted(beside)):
            if row[0] not in fresh and only_hole(row[0], row[2]):
                hollow[row[0]] = row
        removed: list[int] = []
        for group in _neighbours(hollow.values()):
            joined, *others = _joined(group), *group[1:]
            for row in others:
                fresh.pop(row[0], None)
                removed.append(row[0])
            if others:
                fresh[joined[0]] = joined
        if removed:
            self._connection.execute("DELETE FROM log WHERE first = ANY(%b::bigint[])", [removed])
        if fresh:
            self._connection.execute(_AGAIN, [list(column) for column in zip(*fresh.values(), strict=True)])
        return removed

    def _drop_empty(self, firsts: Iterable[int]) -> None:
        """Drop the parts to which these keys belonged, where no row is left and nobody reads."""
        for begin in sorted({(first - 1) // self._part * self._part + 1 for first in firsts}):
            self.drop_if_empty(_part_name(begin))

    def drop_if_empty(self, name: str) -> bool:
        """Drop a part of the table if no row is left in it. Not while somebody reads the log."""
        if name not in self._parts or name in self._newest():
            return False
        part = sql.Identifier(name)
        found = self._connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(part)).fetchone()
        if found is None or found[0]:
            return False
        try:
            with self._connection.transaction():
                self._connection.execute(f"SET LOCAL lock_timeout TO '{LOCK_PATIENCE}'")
                self._connection.execute(sql.SQL("DROP TABLE {}").format(part))
        except errors.LockNotAvailable:
            return False
        self._parts.discard(name)
        return True

    def _newest(self) -> list[str]:
        """The one that is written to, and the one after it."""
        return sorted(self._parts, key=_begin_of)[-2:]

    def compact(self, given_up: threading.Event | None = None) -> tuple[int, int]:
        """Write each part anew, without what is free in it; the size of all in bytes before and after.

        Each as soon as nobody reads it. The connection is not to be used for anything else. Raises LogError when it is
        given up while somebody reads.
        """
        given_up = given_up or threading.Event()
        before = self.size()
        self._connection.execute(f"SET lock_timeout TO '{LOCK_PATIENCE}'")
        for name in sorted(self._parts, key=_begin_of):
            while not (self.drop_if_empty(name) or self._write_anew(name)):
                if given_up.wait(_AGAIN_SECONDS):
                    raise LogError("The log is not made smaller: somebody reads it, and the server stops.")
        self._connection.execute("SET lock_timeout TO 0")
        return before, self.size()

    def _write_anew(self, name: str) -> bool:
        """Give back what is free in a part. Not while somebody reads the log."""
        try:
            self._connection.execute(sql.SQL("VACUUM (FULL) {}").format(sql.Identifier(name)))
        except errors.LockNotAvailable:
            return False
        return True

    def size(self) -> int:
        """What the log takes in the database, with its indices; in bytes."""
        row: Any = self._connection.execute(_SIZE).fetchone()
        return int(row[0])


def note(connection: Connection, key: str, value: bytes | None) -> None:
    """Set a row of `meta`, or remove it."""
    if value is None:
        connection.execute("DELETE FROM meta WHERE key = %s", [key])
        return
    put = "INSERT INTO meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    connection.execute(put, [key, value])


def noted(connection: Connection, key: str) -> bytes | None:
    """A row of `meta`."""
    row = connection.execute("SELECT value FROM meta WHERE key = %s", [key], binary=True).fetchone()
    return None if row is None else bytes(row[0])


def _neighbours(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows in order, those that follow each other together."""
    groups: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: row[0]):
        if groups and groups[-1][-1][1] + 1 == row[0]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _joined(group: Sequence[Row]) -> Row:
    """One hole instead of several that follow each other."""
    holes: list[Hole] = []
    digest = b""
    for first, _, value, _ in group:
        found = only_hole(first, value)
        assert found is not None
        holes.append(found[0])
        digest = found[1]
    first, last, tree = group[0][0], group[-1][1], group[-1][3]
    return first, last, encode_hole(*holes, digest=digest), tree


def _part_name(begin: int) -> str:
    return f"log_{begin}"


def _begin_of(name: str) -> int:
    return int(name.removeprefix("log_"))

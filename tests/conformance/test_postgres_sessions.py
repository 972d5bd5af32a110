"""The log in PostgreSQL and what may befall its sessions: whose they are, silence, a standby, rights."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from kala_es.domain.errors import Conflict
from kala_es.event_log import LogAway, LogError, LogInUse, NewRecord
from kala_es.event_logs import lmdb, postgres
from kala_es.event_logs.postgres_holder import Holder, take
from kala_es.event_logs.postgres_place import Database
from kala_es.event_logs.postgres_reader import PostgresReader, open_values
from kala_es.event_logs.postgres_session import connect, hold, session_of
from kala_es.event_logs.postgres_tables import commit_of
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.limits import DATABASE_CONNECT_SECONDS
from kala_es.log_tree import row
from kala_es.runtime.takeover import put_in_database
from tests.conformance.test_postgres_log import ask, new, opened, until
from tests.databases import PASSWORD, schema_of, shared
from tests.databases import postgres as server_of_its_own
from tests.wires import Wire, wire

pytestmark = pytest.mark.slow
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON meta DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.key = 'id') EXECUTE FUNCTION slow()
"""
"""Whoever gives the log another id waits at the commit."""
COMMITS = "SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep'"
WAITS = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM meta%'"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return shared().database(schema_of(tmp_path))


@pytest.fixture
def wired(database: Database) -> Iterator[tuple[Wire, Database]]:
    """A database at the end of a wire."""
    with wire(shared().port) as line:
        yield line, replace(database, shown=database.shown.replace(f":{shared().port}/", f":{line.port}/"))


# Whose a session is


async def test_a_session_that_was_lost_on_the_way_back_is_known_too(wired: tuple[Wire, Database]) -> None:
    """The server does not notice, since it waits for a lock, so that it holds the log."""
    line, database = wired
    near = shared().database(database.schema)
    async with opened(database) as log:
        await log.append([new()])
        with connect(near) as other, other.transaction():
            other.execute("LOCK TABLE meta IN ACCESS EXCLUSIVE MODE")
            async with trio.open_nursery() as nursery:
                line.cut()
                nursery.start_soon(log.append, [new(1)])
                await until(lambda: bool(ask(near, WAITS)))
                lost = ask(near, WAITS)
                line.cut()
                await until(lambda: ask(near, WAITS) not in (lost, []))
                other.execute("ROLLBACK")
        assert log.head == 2


async def test_a_number_that_was_ours_may_be_anothers_session_by_now(database: Database) -> None:
    async with opened(database) as log:
        await log.append([new()])
    with connect(database) as first, connect(database) as second:
        hold(first, database)
        number, began = session_of(first)
        with pytest.raises(LogInUse):
            hold(second, database, ours=[(number, f"{began}1")])
        assert first.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(LogAway, match="not noticed yet"):
            hold(second, database, ours=[(number, began)])
        await until(lambda: is_held(second, database))


def is_held(connection: object, database: Database) -> bool:
    try:
        hold(connection, database)  # type: ignore[arg-type]
    except LogInUse:
        return False
    return True


async def test_a_lock_that_is_gone_is_noticed(database: Database) -> None:
    take(database, part=16).let_go()
    with connect(database) as connection:
        await until(lambda: is_held(connection, database))  # the server takes a moment to let go
        holder = Holder(database, connection, part=16)
        holder.watch()
        connection.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(LogError, match="its lock is gone, as behind a pooler"):
            holder.watch()


async def test_a_holder_of_whom_the_user_may_see_nothing_is_another_server(tmp_path: Path) -> None:
    server, schema = shared(), schema_of(tmp_path)
    server.execute(f"CREATE ROLE {schema} LOGIN PASSWORD 'weak'")
    database = server.database(schema)
    async with opened(database):
        stranger = connect(server.database(schema, user=schema, password="weak"))
        with stranger, pytest.raises(LogInUse, match=r"is in use by another server\.$"):
            hold(stranger, database)


# What is lost while nobody asks, and who does not answer


async def test_a_connection_that_was_lost_long_ago_is_made_anew_at_once(wired: tuple[Wire, Database]) -> None:
    line, database = wired
    async with opened(database) as log:
        await log.append([new()])
        line.cut()
        assert [record.position for record in log.read_now(0, limit=9)] == [1]
        line.refuse = True
        line.cut()
        with pytest.raises(LogAway):
            log.read_now(0, limit=9, stream="job:0")


async def test_a_server_that_does_not_answer_is_away_and_a_stop_does_not_wait_for_it(
    wired: tuple[Wire, Database],
) -> None:
    line, database = wired
    log = postgres.open_log(database, MemoryFoldStore(), part=16, silent=0.3)
    async with trio.open_nursery() as nursery:
        line.hush = True

        async def append() -> None:
            with pytest.raises(LogError, match=r"takes no more records: .* cannot be written"):
                await log.append([new()])

        nursery.start_soon(append)
        await until(lambda: log.away is not None)
        assert log.away == "the server has not answered for some time"
        assert log.refusing is None, "a short absence is waited for"
        with trio.fail_after(20):
            log.give_up()
            await log.close()


async def test_the_loop_does_not_wait_long_for_a_server_that_does_not_answer(wired: tuple[Wire, Database]) -> None:
    line, database = wired
    async with opened(database) as log:
        await log.append([new()])
        line.hush = True
        began = time.monotonic()
        with pytest.raises(LogAway, match="cannot be read"):
            log.read_now(0, limit=1)
        assert time.monotonic() - began < 2 * DATABASE_CONNECT_SECONDS
        line.hush = False
        assert [record.position for record in await log.read(0, limit=1)] == [1]


async def test_one_that_answers_nothing_to_who_connects_is_given_up(database: Database) -> None:
    """As one whose process is frozen while its system takes connections."""
    with wire(shared().port) as line:
        far = replace(database, shown=database.shown.replace(f":{shared().port}/", f":{line.port}/"))
        far = replace(far, shown=f"{far.shown}?connect_timeout=2")
        line.hush = True
        with pytest.raises(LogAway):
            postgres.open_log(far, MemoryFoldStore())


async def test_a_password_file_may_be_gone_for_a_moment(wired: tuple[Wire, Database], tmp_path: Path) -> None:
    line, database = wired
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    async with opened(replace(database, secrets={}, password_file=secret)) as log, trio.open_nursery() as nursery:
        await log.append([new()])
        secret.unlink()
        line.cut()
        nursery.start_soon(log.append, [new(1)])
        await until(lambda: "password of the log's database cannot be read" in (log.away or ""))
        secret.write_text(PASSWORD)
        await until(lambda: log.head == 2)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("idle_session_timeout", "0"), ("idle_in_transaction_session_timeout", "0"), ("tcp_keepalives_idle", "10")],
)
async def test_what_a_role_is_set_to_does_not_end_our_sessions(database: Database, setting: str, value: str) -> None:
    strict = replace(database, shown=f"{database.shown}?options=-c%20{setting}%3D7000")
    assert ask(strict, f"SHOW {setting}") == [(value,)]


# What is durable


@pytest.mark.slow
async def test_what_a_synchronous_standby_lacks_is_not_acknowledged_when_it_is_found() -> None:
    """The session that committed is ended while it waits for the standby: all can read what it wrote by then."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with server_of_its_own() as server:
        log = postgres.open_log(server.database(), MemoryFoldStore(), silent=0.3)
        await log.append([new()])
        ends: list[int] = []

        async def append() -> None:
            ends.append(await log.append([new(1)]))

        async with trio.open_nursery() as nursery:
            server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            server.execute("SELECT pg_reload_conf()")
            await until(lambda: server.execute("SHOW synchronous_standby_names") == "nobody\n")
            nursery.start_soon(append)
            await until(lambda: log.away == "the server has not answered for some time")
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            await until(lambda: server.execute("SELECT count(*) FROM kala_es.log") == "2\n")
            await until(lambda: server.execute(waits) == "1\n")
            assert ends == []
            server.execute("ALTER SYSTEM RESET synchronous_standby_names")
            server.execute("SELECT pg_reload_conf()")
        assert ends == [2]
        await log.close()


# Who reads for long, and who writes parts anew


async def test_who_reads_for_long_holds_up_who_compacts_and_nobody_else(database: Database) -> None:
    async with opened(database, part=4) as log, trio.open_nursery() as nursery:
        for number in range(6):
            await log.append([new(number)])
        with open_values(database) as moment:
            assert len(list(moment.pairs(1))) == 6
            nursery.start_soon(log.compact)
            with trio.fail_after(20):
                await until(lambda: bool(ask(database, "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'VACUUM%'")))
                for number in range(30):
                    await log.append([new(number)])
                    await trio.sleep(0.02)
            assert nursery.child_tasks


async def test_who_compacts_waits_no_longer_for_who_reads_when_the_server_stops(database: Database) -> None:
    async with opened(database, part=4) as log, trio.open_nursery() as nursery:
        await log.append([new()])
        with open_values(database) as moment:
            assert moment.last() is not None

            async def compact() -> None:
                with pytest.raises(LogError, match="somebody reads it, and the server stops"):
                    await log.compact()

            nursery.start_soon(compact)
            await until(lambda: bool(ask(database, "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'VACUUM%'")))
            log.hurry()
            with trio.fail_after(5):
                await until(lambda: not nursery.child_tasks)


async def test_the_size_is_not_waited_for_while_a_part_is_written_anew(database: Database) -> None:
    holder = take(database, part=4)
    holder.put(commit_of(holder.end(), [[row(new())]]))
    size = holder.size()
    assert size is not None
    with connect(database) as other, other.transaction():
        other.execute("LOCK TABLE log_1 IN ACCESS EXCLUSIVE MODE")
        assert holder.size() is None
    assert holder.size() == size
    holder.let_go()


# What the database is like


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_database_of_any_encoding_is_opened_again(tmp_path: Path, encoding: str) -> None:
    name = schema_of(tmp_path)
    shared().create(name=name, settings=f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    database = shared().database("kala_es", name=name)
    for end in (3, 6):
        async with opened(database, part=2) as log:
            for number in range(end - 3, end):
                await log.append([strange(number)])
            assert log.head == end
            assert [record.stream for record in await log.read(0, limit=9)] == ["jöb\0☃"] * end
            with pytest.raises(LogInUse, match=r"another server: 'kala_es \S+ \d+' at"):
                postgres.open_log(database, MemoryFoldStore())
    with PostgresReader(database) as reader:
        reader.wait(0.0)
        assert reader.head == 6


def strange(number: int) -> NewRecord:
    return NewRecord("jöb\0☃", "RunStarted", 1, 1_700_000_000_000_000 + number, "älice\0", b"\0\xff")


async def test_a_schema_in_which_the_user_may_make_nothing_is_named(tmp_path: Path) -> None:
    server, schema = shared(), schema_of(tmp_path)
    server.execute(f"CREATE ROLE {schema} LOGIN PASSWORD 'weak'; CREATE SCHEMA {schema}")
    for rights in ("", f"GRANT USAGE ON SCHEMA {schema} TO {schema}"):
        server.execute(rights)
        with pytest.raises(LogError, match=f"ALTER SCHEMA {schema} OWNER TO that user"):
            postgres.open_log(server.database(schema, user=schema, password="weak"), MemoryFoldStore())


# An archive becomes the log


async def test_a_log_whose_making_was_not_answered_is_looked_for(tmp_path: Path, wired: tuple[Wire, Database]) -> None:
    line, database = wired
    near, made = shared().database(database.schema), tmp_path / "incoming" / "made"
    made.mkdir(parents=True)
    async with opened(near):
        with connect(near) as connection:
            connection.execute(SLOW)
    file = lmdb.open_log(made, MemoryFoldStore())
    await file.append([new(), new(1)])
    await file.close()
    async with trio.open_nursery() as nursery:
        put = partial(put_in_database, made, tmp_path / "folds", database)
        nursery.start_soon(trio.to_thread.run_sync, put)
        await until(lambda: bool(ask(near, COMMITS)))
        line.hush = True
        await until(lambda: bool(ask(near, "SELECT 1 FROM log")))
        line.hush = False
        line.cut()
    async with opened(near, part=1_000_000) as log:
        assert [record.time % 10 for record in await log.read(0, limit=9)] == [0, 1]
    (tmp_path / "other").mkdir()
    await lmdb.open_log(tmp_path / "other", MemoryFoldStore()).close()
    with pytest.raises(Conflict, match="no longer empty, it is at position 2"):
        put_in_database(tmp_path / "other", tmp_path / "folds", database)

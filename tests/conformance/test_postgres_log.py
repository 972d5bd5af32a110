"""The log in PostgreSQL beyond the port: who holds it, what becomes of a commit whose answer is lost, parts, faults."""

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from kala_es.event_log import LogAway, LogDamaged, LogError, LogInUse, LogIsNewer, NewRecord
from kala_es.event_logs import lmdb, postgres
from kala_es.event_logs.postgres import PostgresEventLog
from kala_es.event_logs.postgres_place import Database
from kala_es.event_logs.postgres_reader import PostgresReader, open_values
from kala_es.event_logs.postgres_session import connect
from kala_es.event_logs.stream_index import StreamIndex
from kala_es.fold_store import FoldStore
from kala_es.fold_stores.memory import MemoryFoldStore
from tests.databases import PASSWORD, schema_of, shared
from tests.receivers import free_port
from tests.wires import Wire, wire

pytestmark = pytest.mark.slow
READ_ONLY = "-c%20default_transaction_read_only%3Don"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return shared().database(schema_of(tmp_path))


@pytest.fixture
def wired(database: Database) -> Iterator[tuple[Wire, Database]]:
    """A database at the end of a wire."""
    with wire(shared().port) as line:
        yield line, replace(database, shown=database.shown.replace(f":{shared().port}/", f":{line.port}/"))


def new(number: int = 0, *, size: int = 10) -> NewRecord:
    return NewRecord(f"job:{number % 3}", "RunStarted", 1, 1_700_000_000_000_000 + number, "alice", bytes(size))


@asynccontextmanager
async def opened(database: Database, folds: FoldStore | None = None, part: int = 16) -> AsyncIterator[PostgresEventLog]:
    """The log, watched as a node does it."""
    log = postgres.open_log(database, MemoryFoldStore() if folds is None else folds, part=part)
    try:
        yield log
    finally:
        await log.close()


async def until(is_so: Callable[[], bool]) -> None:
    """Look again and again."""
    with trio.fail_after(30):
        while not is_so():  # noqa: ASYNC110
            await trio.sleep(0.01)


def ask(database: Database, question: str) -> list[tuple[object, ...]]:
    """What the server says, asked by somebody else."""
    with connect(database) as connection:
        return connection.execute(question).fetchall()


def end_sessions(database: Database) -> None:
    """Of all who are connected to the log's database, but not who asks."""
    name = "application_name LIKE 'kala_es %' AND pid <> pg_backend_pid()"
    pids = (
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = (hashtextextended('{}', 0) & 4294967295)::oid"
    )
    ask(
        database,
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {name} AND pid IN ({pids})".format(
            database.schema
        ),
    )


# Who holds it


async def test_a_second_server_is_refused_until_the_first_has_let_go(database: Database) -> None:
    async with opened(database) as log:
        await log.append([new()])
        with pytest.raises(LogInUse, match=r"is in use by another server: 'kala_es \S+ \d+' at 127\.0\.0\.1, since 20"):
            postgres.open_log(database, MemoryFoldStore())
    async with opened(database) as log:
        assert log.head == 1


async def test_whoever_lost_the_log_to_another_writes_no_more(database: Database) -> None:
    async with opened(database) as first:
        await first.append([new()])
        end_sessions(database)
        async with opened(database) as second:
            with pytest.raises(LogError, match=r"takes no more records: .* in use by another server"):
                await first.append([new(1)])
            assert await second.append([new(2)]) == 2
        with pytest.raises(LogError, match="takes no more records"):
            await first.append([new(3)])
        assert (await first.read(0, limit=9))[0].position == 1


async def test_a_log_that_went_on_without_its_server_is_noticed_also_when_nobody_appends(database: Database) -> None:
    async with opened(database) as first:
        await first.append([new()])
        end_sessions(database)
        async with opened(database) as second:
            await second.append([new(2)])
        with (
            trio.fail_after(30),
            pytest.raises(LogError, match="ends at position 2, and not where this server left it"),
        ):
            await first.keep_watch()


async def test_the_key_alone_keeps_two_writers_apart(database: Database) -> None:
    """Two that both believe that the log ends at 1, and no lock between them."""
    async with opened(database) as log:
        await log.append([new()])
        ask(database, "INSERT INTO log SELECT 2, 3, value, tree FROM log RETURNING 1")
        with pytest.raises(LogError, match=r"ends at position|damaged"):
            await log.append([new(1)])
        assert ask(database, "SELECT count(*) FROM log") == [(2,)]


# What becomes of a commit


async def test_a_commit_whose_answer_is_lost_is_recognised_and_not_repeated(wired: tuple[Wire, Database]) -> None:
    line, database = wired
    async with opened(database) as log:
        await log.append([new()])
        ends: list[int] = []

        async def append() -> None:
            ends.append(await log.append([new(1), new(2)]))

        async with trio.open_nursery() as nursery:
            line.hush, line.refuse = True, True
            nursery.start_soon(append)
            await until(lambda: len(ask(shared().database(database.schema), "SELECT 1 FROM log")) == 2)
            line.cut()
            await until(lambda: log.away is not None)
            assert ends == []
            line.hush, line.refuse = False, False
        assert ends == [3]
        assert [record.time % 10 for record in await log.read(0, limit=9)] == [0, 1, 2]
        assert log.away is None
        assert await log.append([new(3)]) == 4


async def test_a_commit_that_never_came_is_said_again(wired: tuple[Wire, Database]) -> None:
    line, database = wired
    async with opened(database) as log:
        await log.append([new()])
        line.cut()
        assert await log.append([new(1)]) == 2
        line.cut()
        assert [record.position for record in await log.read(0, limit=9)] == [1, 2]
        await log.trim([1])
        line.cut()
        await log.trim([1])
        assert [record.position for record in await log.read(0, limit=9)] == [2]


async def test_the_loop_goes_on_while_the_server_does_not_answer(wired: tuple[Wire, Database]) -> None:
    line, database = wired
    async with opened(database) as log, trio.open_nursery() as nursery:
        line.hush = True
        nursery.start_soon(log.append, [new()])
        for _ in range(50):
            await trio.sleep(0.01)
        assert log.head == 0
        line.hush = False
        line.cut()


async def test_a_stop_does_not_wait_for_a_server_that_is_away(wired: tuple[Wire, Database]) -> None:
    line, database = wired
    async with opened(database) as log, trio.open_nursery() as nursery:
        line.refuse = True
        line.cut()

        async def append() -> None:
            with pytest.raises(LogError, match=r"takes no more records: .* cannot be written"):
                await log.append([new()])

        async def read() -> None:
            with pytest.raises(LogAway):
                await log.read(0, limit=1)

        nursery.start_soon(append)
        await until(lambda: log.away is not None)
        assert log.refusing is None, "a short absence is waited for"
        log.give_up()


async def test_twenty_milliseconds_away_it_works_the_same(database: Database) -> None:
    with wire(shared().port, delay=0.01) as line:
        far = replace(database, shown=database.shown.replace(f":{shared().port}/", f":{line.port}/"))
        async with opened(far) as log:
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(log.append, [new(number)] * 5)
            assert [record.position for record in await log.read(0, limit=999)] == list(range(1, 101))
            before = line.sent
            for position in range(1, 33):
                assert (await log.read(position, limit=1))[0].position == position + 1
            assert line.sent == before, "what was read ahead is not asked for again"


async def test_a_statement_that_takes_too_long_is_said_again(database: Database) -> None:
    hasty = replace(database, shown=f"{database.shown}?options=-c%20statement_timeout%3D200")
    async with opened(hasty) as log:
        await log.append([new()])
        with connect(database) as other, other.transaction():
            other.execute("LOCK TABLE log IN EXCLUSIVE MODE")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(log.append, [new(1)])
                await until(lambda: "statement timeout" in (log.away or ""))
                other.execute("ROLLBACK")
        assert log.head == 2
        assert log.away is None


# What is there


async def test_the_digests_are_those_of_a_file(database: Database, tmp_path: Path) -> None:
    file = lmdb.open_log(tmp_path, MemoryFoldStore())
    async with opened(database) as log:
        for first in range(0, 60, 7):
            batch = [new(number) for number in range(first, first + 7)]
            await log.append(batch)
            await file.append(batch)
        for erased in ([1, 2, 3, 8, 9, 30], [*range(10, 29)], [4, 5]):
            await log.trim(erased)
            await file.trim(erased)
        assert log.digest == file.digest
        assert await log.read(0, limit=999) == await file.read(0, limit=999)
        with open_values(database) as moment:
            tree = moment.noted()
        assert tree is not None
        assert tree.root() == file.digest
    await file.close()


async def test_parts_come_with_their_positions_and_go_when_nothing_is_left_in_them(database: Database) -> None:
    async with opened(database, part=4) as log:
        for number in range(20):
            await log.append([new(number)])
        parts = "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'log'::regclass"
        assert sorted(ask(database, parts)) == [(f"log_{n}",) for n in (1, 13, 17, 21, 5, 9)]  # the last one is ahead
        await log.trim([*range(2, 10), *range(11, 18)])
        assert sorted(ask(database, parts)) == [(f"log_{n}",) for n in (1, 17, 21, 9)]
        assert [record.position for record in await log.read(0, limit=99)] == [1, 10, 18, 19, 20]
        before = log.digest
        sizes = await log.compact()
        assert sizes[1] <= sizes[0]
        assert await log.append([new(20)]) == 21
    async with opened(database, part=4) as log:
        assert log.head == 21
        assert log.digest != before


async def test_a_new_part_does_not_wait_for_who_reads(database: Database) -> None:
    async with opened(database, part=2) as log:
        await log.append([new()])
        with open_values(database) as moment:
            assert moment.last() is not None
            with trio.fail_after(20):
                for number in range(6):
                    await log.append([new(number)])
                await log.trim([1, 2, 3])
            assert len(list(moment.pairs(1))) == 1
        assert log.head == 7


async def test_folds_of_a_log_that_was_put_back_and_went_on_are_thrown_away(database: Database) -> None:
    folds = MemoryFoldStore()
    async with opened(database, folds) as log:
        for number in range(4):
            await log.append([new(number)])
        folds.write([(b"x", b"of what came later")])
    ask(database, "DELETE FROM log WHERE first > 2 RETURNING 1")
    async with opened(database) as log:
        await log.append([new(9), new(9), new(9)])
    async with opened(database, folds) as log:
        assert folds.get(b"x") is None
        assert [record.position for record in await log.read(0, limit=9, stream="job:0")] == [1, 3, 4, 5]
        folds.write([(b"x", b"of this one")])
    async with opened(database, folds):
        assert folds.get(b"x") == b"of this one"


async def test_who_may_not_begin_a_log_keeps_the_folds_of_another(database: Database) -> None:
    folds = MemoryFoldStore()
    folds.write([(StreamIndex.MARKER, bytes(8) + b"of another log"), (b"x", b"of it")])

    def may_not() -> None:
        raise LogError("no")

    with pytest.raises(LogError, match="no"):
        postgres.open_log(database, folds, may_begin=may_not)
    assert folds.get(b"x") == b"of it"
    async with opened(database, folds) as log:
        assert folds.get(b"x") is None
        await log.append([new()])
    await postgres.open_log(database, folds, may_begin=may_not).close()


async def test_who_listens_is_woken(database: Database) -> None:
    async with opened(database) as log:
        await log.append([new()])
        with PostgresReader(database) as reader:
            reader.wait(0.0)
            waiting = threading.Thread(target=reader.wait, args=(60,))
            waiting.start()
            await log.append([new(1)])
            await trio.to_thread.run_sync(waiting.join, 20)
            assert not waiting.is_alive(), "it slept until it was to look anyway"
            assert reader.head == 2


async def test_who_reads_goes_on_with_the_same_log_and_with_no_other(wired: tuple[Wire, Database]) -> None:
    line, database = wired
    async with opened(database) as log:
        await log.append([new()])
    with PostgresReader(database) as reader:
        for position in (2, 3):
            line.cut()
            with pytest.raises(LogAway, match="cannot be read"):
                reader.wait(60)
            async with opened(database) as log:
                await log.append([new()])
            assert reader.head == position
        line.cut()
        with pytest.raises(LogAway):
            reader.wait(60)
        async with opened(database) as log:
            await log.trim([1, 2])
        assert reader.head == 3
        line.cut()
        with pytest.raises(LogAway):
            reader.wait(60)
        with connect(database) as connection:
            connection.execute(f"DROP SCHEMA {database.schema} CASCADE")
        async with opened(database):
            pass
        with pytest.raises(LogError, match="is another one by now"):
            reader.read_now(0, limit=1)


async def test_who_reads_a_log_that_was_put_back_and_went_on_is_told(wired: tuple[Wire, Database]) -> None:
    line, database = wired
    async with opened(database) as log:
        for number in range(4):
            await log.append([new(number)])
    with PostgresReader(database) as reader:
        assert [record.position for record in reader.read_now(0, limit=9)] == [1, 2, 3, 4]
        line.cut()
        with pytest.raises(LogAway):
            reader.wait(60)
        for ends in (3, 4, 6):
            with connect(database) as connection:
                connection.execute("DELETE FROM log WHERE first > 2")
            async with opened(database) as log:
                for number in range(7, 5 + ends):
                    await log.append([new(number)])
                assert log.head == ends
            with pytest.raises(LogError, match="was put back to an earlier state"):
                reader.read_now(4, limit=9)


async def test_synchronous_commit_is_never_off(database: Database) -> None:
    weak = replace(database, shown=f"{database.shown}?options=-c%20synchronous_commit%3Doff")
    assert ask(weak, "SHOW synchronous_commit") == [("on",)]


# What is refused


async def test_a_newer_schema_is_left_alone(database: Database) -> None:
    async with opened(database) as log:
        await log.append([new()])
    ask(database, "INSERT INTO migrations VALUES (99) RETURNING 1")
    with pytest.raises(LogIsNewer, match="has schema version 99; this version reads up to 1"):
        postgres.open_log(database, MemoryFoldStore())
    with pytest.raises(LogIsNewer):
        PostgresReader(database)


async def test_damage_is_named(database: Database) -> None:
    async with opened(database) as log:
        for number in range(3):
            await log.append([new(number)])
    ask(database, "UPDATE log SET value = overlay(value placing 'x' from 60) WHERE first = 2 RETURNING 1")
    with pytest.raises(LogDamaged, match="position 2 on are damaged"):
        postgres.open_log(database, MemoryFoldStore())
    ask(database, "DELETE FROM log WHERE first = 2 RETURNING 1")
    with pytest.raises(LogDamaged, match="position 1 is followed by 3"):
        postgres.open_log(database, MemoryFoldStore())


@pytest.mark.parametrize("what", ["password", "database", "server", "rights", "read-only"])
async def test_a_database_that_cannot_be_used_is_named_without_its_password(tmp_path: Path, what: str) -> None:
    server, schema = shared(), schema_of(tmp_path)
    if what == "rights":
        server.execute(f"CREATE ROLE {schema} LOGIN PASSWORD 'weak'")
    places = {
        "password": (server.database(schema, password="wr0ng"), "password authentication failed"),
        "database": (server.database(schema, name="nowhere"), 'database "nowhere" does not exist'),
        "server": (server.database(schema, port=free_port()), "refused"),
        "rights": (server.database(schema, user=schema, password="weak"), f"CREATE SCHEMA {schema} AUTHORIZATION"),
        "read-only": (
            replace(
                server.database(schema),
                shown=server.database().shown + "?options=-c%20default_transaction_read_only%3Don",
            ),
            "read-only",
        ),
    }
    database, reason = places[what]
    with pytest.raises(LogError) as refusal:
        postgres.open_log(database, MemoryFoldStore())
    said = f"{refusal.value} {database!r} {database}"
    assert reason in said
    assert not any(secret in said for secret in (PASSWORD, "se%20cret", "wr0ng", "weak"))


async def test_a_user_without_rights_writes_into_a_schema_that_was_made_for_it(tmp_path: Path) -> None:
    server, schema = shared(), schema_of(tmp_path)
    server.execute(f"CREATE ROLE {schema} LOGIN PASSWORD 'weak'; CREATE SCHEMA {schema} AUTHORIZATION {schema}")
    async with opened(server.database(schema, user=schema, password="weak"), part=2) as log:
        for number in range(5):
            await log.append([new(number)])
        await log.trim([1, 2, 3])
        await log.compact()
        assert log.head == 5


async def test_a_server_that_says_nothing_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = shared().database(port=silent.getsockname()[1])
        hasty = replace(database, shown=f"{database.shown}?connect_timeout=2")
        with pytest.raises(LogAway, match="timeout"):
            postgres.open_log(hasty, MemoryFoldStore())


async def test_what_is_not_the_log_of_before_ends_the_writer(database: Database) -> None:
    async with opened(database) as log:
        await log.append([new()])
        shared().execute(f"DROP SCHEMA {database.schema} CASCADE")
        with pytest.raises(LogError, match="takes no more records"):
            await log.append([new(1)])
    with pytest.raises(LogError, match="There is no log in"):
        PostgresReader(database)

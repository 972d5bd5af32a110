"""A log goes from a file into PostgreSQL and back: the same positions, bytes and digests; verbs read it there too."""

from io import BytesIO
from pathlib import Path

import pytest
from msgspec.structs import replace

from kala_es import archive
from kala_es.event_log import LogDamaged, LogError, LogInUse
from kala_es.event_logs import postgres
from kala_es.event_logs.postgres_place import Database, Place
from kala_es.event_logs.postgres_session import connect
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.replay.exporting import export
from kala_es.replay.moments import Moment
from kala_es.replay.telling import nobody
from kala_es.replay.verify import Against, prove_digests, verify
from kala_es.runtime.compaction import compact_stopped
from kala_es.runtime.rebuilding import Unfit, import_into, restore
from tests.databases import schema_of, shared
from tests.replay.logs import contents, fill, new
from tests.replay.test_verify import kept

HOLES = [*range(3, 15), 17, 20, 21, 30]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return shared().database(schema_of(tmp_path))


def exported(place: Place, *, after: int = 0, output: bool = True) -> bytes:
    parts: list[bytes] = []
    export(place, parts.append, after=after, output=output)
    return b"".join(parts)


def timeless(content: bytes) -> bytes:
    """An archive's bytes but for when it was made, and the digests over that."""
    writer, made = archive.Writer(), b""
    for part in archive.read(BytesIO(content)):
        match part:
            case archive.Header():
                made += writer.header(replace(part, at=0))
            case archive.Block():
                made += writer.block(part)
            case archive.End():
                made += writer.end(part)
    return made


def told(content: bytes) -> tuple[bytes, list[archive.Item], tuple[int, bytes]]:
    """Of which log an archive is, its rows and holes, and its end."""
    header, *blocks, end = archive.read(BytesIO(content))
    assert isinstance(header, archive.Header)
    assert isinstance(end, archive.End)
    items = [item for block in blocks if isinstance(block, archive.Block) for item in block.items]
    return header.log, items, (end.position, end.digest)


async def in_database(database: Database) -> tuple[int, bytes, list[object]]:
    """Head, digest and all records."""
    log = postgres.open_log(database, MemoryFoldStore())
    try:
        return log.head, log.digest, [*await log.read(0, limit=1 << 30)]
    finally:
        await log.close()


@pytest.mark.parametrize("size", [20, 40_000])
@pytest.mark.parametrize("erase", [[], HOLES])
async def test_there_and_back_again_it_is_the_same(
    tmp_path: Path, database: Database, erase: list[int], size: int
) -> None:
    source, copy, back = tmp_path / "source", tmp_path / "copy", tmp_path / "back"
    await fill(source, 40, erase=erase, size=size)
    first = exported(source)
    import_into(BytesIO(first), database)
    assert await in_database(database) == await contents(source)
    second = exported(database)
    import_into(BytesIO(first), copy)
    assert timeless(second) == timeless(exported(copy)), "a file that it went through would say something else"
    assert told(second)[2] == told(first)[2]
    import_into(BytesIO(second), back)
    for after in (0, 1, 2, 15, 31, 39):
        there = timeless(exported(database, after=after))
        assert there == timeless(exported(back, after=after))
        if not erase or after >= HOLES[-1]:  # before that, holes of several batches are one by now
            assert there == timeless(exported(source, after=after))
    assert await contents(back) == await contents(source)
    assert prove_digests(database, tell=nobody) == prove_digests(source, tell=nobody)


async def test_archives_chain_there_too(tmp_path: Path, database: Database) -> None:
    source = tmp_path / "source"
    await fill(source, 40, erase=HOLES)
    first = exported(source)
    await fill(source, 25)
    more = exported(source, after=40)
    with pytest.raises(Unfit, match="there is no log"):
        import_into(BytesIO(more), database)
    import_into(BytesIO(first), database)
    import_into(BytesIO(more), database)
    assert await in_database(database) == await contents(source)
    assert told(exported(database, after=40)) == told(more)
    with pytest.raises(Unfit, match="ends at position 65"):
        import_into(BytesIO(more), database)
    log = postgres.open_log(database, MemoryFoldStore())
    await log.append([new(65)])
    with pytest.raises(LogInUse):
        import_into(BytesIO(more), database)
    await log.close()


async def test_an_import_is_there_whole_or_not_at_all(tmp_path: Path, database: Database) -> None:
    await fill(tmp_path / "source", 40, size=40_000)
    content = exported(tmp_path / "source")
    with pytest.raises(archive.ArchiveRefused):
        import_into(BytesIO(content[:-9]), database)
    with pytest.raises(LogError, match="There is no log"):
        prove_digests(database, tell=nobody)
    import_into(BytesIO(exported(tmp_path / "source", output=False)), database)
    assert prove_digests(database, tell=nobody).erased > 0


async def test_a_log_is_restored_into_a_database_and_out_of_it(tmp_path: Path, database: Database) -> None:
    await fill(tmp_path / "source", 40)
    other = shared().database(f"{database.schema}_2")
    restore(tmp_path / "source", database, Moment(position=30))
    with pytest.raises(Unfit, match="is not empty"):
        restore(tmp_path / "source", database, Moment(position=20))
    restore(database, other, Moment(position=20))
    restore(other, tmp_path / "last", Moment(position=10))
    assert (await contents(tmp_path / "last"))[2] == (await contents(tmp_path / "source"))[2][:10]
    assert (await in_database(other))[0] == 20


async def test_a_log_in_a_database_is_proved_with_the_folds_of_a_directory(tmp_path: Path, database: Database) -> None:
    directory = tmp_path / "kept"
    await kept(directory)
    import_into(BytesIO(exported(directory)), database)
    proved, compared = verify(database, folds=directory, tell=nobody)
    assert (proved, compared) == verify(directory, tell=nobody)
    assert compared.folds == 700
    assert verify(database, tell=nobody)[1].folds is None
    seen = Against(proved.digest, proved.position)
    assert verify(database, seen, folds=directory, tell=nobody)[0] == proved
    with pytest.raises(LogError, match="not the log that was seen"):
        verify(database, Against(bytes(32), 10), tell=nobody)
    store = open_folds(directory)
    (key, row), *_ = store.scan(b"r", b"s", limit=1)
    store.write([(key, row + b"x")])
    store.close()
    with pytest.raises(LogError, match="folds at position 700"):
        verify(database, folds=directory, tell=nobody)


async def test_a_change_is_found_where_it_is(tmp_path: Path, database: Database) -> None:
    await fill(tmp_path / "source", 40)
    import_into(BytesIO(exported(tmp_path / "source")), database)
    log = postgres.open_log(database, MemoryFoldStore())
    for number in range(40, 43):
        await log.append([new(number)])
    await log.close()
    with connect(database) as changing:
        changing.execute("UPDATE log SET value = (SELECT value FROM log WHERE first = 41) WHERE first = 42")
    with pytest.raises(LogDamaged, match="positions 42 to 42"):
        prove_digests(database, tell=nobody)


async def test_compacting_needs_a_log_that_nobody_holds(tmp_path: Path, database: Database) -> None:
    with pytest.raises(LogError, match="There is no log"):
        await compact_stopped(database)
    log = postgres.open_log(database, MemoryFoldStore())
    for number in range(40):
        await log.append([new(number, 40_000)])
    await log.trim(range(1, 40))
    with pytest.raises(LogInUse):
        await compact_stopped(database)
    await log.close()
    before, after = await compact_stopped(database)
    assert after < before / 2
    assert (await in_database(database))[0] == 40

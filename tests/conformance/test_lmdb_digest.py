"""The digest of a log in a file: the same however it came about, and not the same when anything is changed."""

import zlib
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import cbor2
import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es import log_tree
from kala_es.event_log import LogDamaged, NewRecord
from kala_es.event_logs.check import check
from kala_es.event_logs.lmdb import LmdbEventLog, open_log
from kala_es.fold_stores.memory import MemoryFoldStore


def new(number: int) -> NewRecord:
    return NewRecord(f"job:{number % 3}", "RunStarted", 1, 1_700_000_000_000_000 + number, "alice", b"%d" % number)


def digest_of(records: Sequence[NewRecord]) -> bytes:
    tree = log_tree.Span()
    for record in records:
        tree.add(log_tree.leaf(log_tree.row(record)))
    return tree.root()


def opened(directory: Path) -> LmdbEventLog:
    return open_log(directory, MemoryFoldStore())


STEPS = st.lists(
    st.one_of(
        st.integers(1, 9),
        st.sets(st.integers(1, 60), min_size=1).map(sorted),
        st.sampled_from(["reopen", "compact"]),
    ),
    max_size=12,
)
"""Append so many, erase those, or begin anew."""


@given(STEPS)
@settings(max_examples=60)
async def test_it_is_that_of_the_records_whatever_is_done(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | list[int] | str]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    log, records = opened(directory), list[NewRecord]()
    for step in steps:
        if isinstance(step, int):
            more = [new(len(records) + number) for number in range(step)]
            records += more
            await log.append(more)
        elif isinstance(step, list):
            await log.trim([position for position in step if position < log.head])
        elif step == "compact":
            await log.compact()
        else:
            await log.close()
            log = opened(directory)
        assert log.digest == digest_of(records)
    await log.close()
    assert check(directory) == len(records)


def test_the_digest_of_nothing(tmp_path: Path) -> None:
    assert opened(tmp_path).digest == blake2b(digest_size=32).digest()


async def filled(directory: Path) -> list[NewRecord]:
    """Six commits of four records."""
    records = [new(number) for number in range(24)]
    log = opened(directory)
    for first in range(0, 24, 4):
        await log.append(records[first : first + 4])
    await log.close()
    return records


def rewrite(directory: Path, values: dict[int, list[object]], **meta: bytes) -> None:
    """Put values, and what `meta` has, into a log's file, with checksums that fit; an empty text removes."""
    with lmdb.open(str(directory / "log"), max_dbs=4, map_size=1 << 24) as env:
        with env.begin(write=True, db=env.open_db(b"records", create=False)) as txn:
            for first, items in values.items():
                body = cbor2.dumps(items)
                txn.put(first.to_bytes(8, "big"), body + zlib.crc32(body).to_bytes(4, "big"))
        with env.begin(write=True, db=env.open_db(b"meta", create=False)) as txn:
            for name, value in meta.items():
                txn.put(name.encode(), value) if value else txn.delete(name.encode())


def items_of(directory: Path) -> dict[int, list[object]]:
    with lmdb.open(str(directory / "log"), max_dbs=4, readonly=True) as env:
        records = env.open_db(b"records", create=False)
        with env.begin(db=records) as txn:
            return {int.from_bytes(key, "big"): cbor2.loads(value[:-4]) for key, value in txn.cursor().iternext()}


def tree_in(directory: Path) -> bytes:
    with lmdb.open(str(directory / "log"), max_dbs=4, readonly=True) as env:
        meta = env.open_db(b"meta", create=False)
        with env.begin(db=meta) as txn:
            return bytes(txn.get(b"tree", b""))


async def test_a_change_with_a_checksum_that_fits_is_found_at_its_commit(tmp_path: Path) -> None:
    await filled(tmp_path)
    items = items_of(tmp_path)[9]
    assert isinstance(items[3], list)
    items[3][4] = "mallory"
    rewrite(tmp_path, {9: items})
    with pytest.raises(LogDamaged, match="at positions 9 to 12, or earlier ones, were changed"):
        check(tmp_path)


async def test_a_change_before_a_hole_is_found_after_it(tmp_path: Path) -> None:
    await filled(tmp_path)
    log = opened(tmp_path)
    await log.trim(range(5, 17))
    await log.close()
    items = items_of(tmp_path)[1]
    assert isinstance(items[2], list)
    items[1], items[2][4] = b"", "mallory"
    rewrite(tmp_path, {1: items})
    with pytest.raises(LogDamaged, match="at positions 5 to 16, or earlier ones, were changed"):
        check(tmp_path)


async def test_digests_that_are_not_those_of_the_records_are_refused(tmp_path: Path) -> None:
    await filled(tmp_path)
    tree = tree_in(tmp_path)
    for other in (tree[:-1], tree[:-1] + b"!", log_tree.Span().digests + bytes(8)):
        rewrite(tmp_path, {}, tree=other)
        with pytest.raises(LogDamaged):
            opened(tmp_path)
        with pytest.raises(LogDamaged):
            check(tmp_path)


def make_old(directory: Path, records: Sequence[NewRecord]) -> None:
    """As an older version left it: no digests; and, in the second commit, two holes."""
    values: dict[int, list[object]] = {}
    for first, items in items_of(directory).items():
        values[first] = [1, *items[2:]]
    second = values[5]
    values[5] = [2, [1, bytes(range(32))], second[2], [2, bytes(32)]]
    rewrite(directory, values, tree=b"", format=b"2")
    assert len(records) == 24


async def test_a_log_from_before_there_were_any_is_carried_over(tmp_path: Path) -> None:
    records = await filled(tmp_path)
    make_old(tmp_path, records)
    assert check(tmp_path) == 24
    log = opened(tmp_path)
    before = log.digest
    assert [record.position for record in await log.read(0, limit=8)] == [1, 2, 3, 4, 6, 9, 10, 11]
    await log.trim([3, 6, 9, 10])
    assert log.digest == before
    await log.append([new(24)])
    await log.close()
    assert check(tmp_path) == 25
    log = opened(tmp_path)
    await log.trim(range(1, 25))
    await log.compact()
    await log.close()
    assert check(tmp_path) == 25

"""A log is proved, or what is wrong is named: digests, records, folds, and the log that was seen before."""

import os
import sys
import zlib
from io import BytesIO
from pathlib import Path

import cbor2
import lmdb
import pytest
import trio

from bench.replay import history
from kala_es import codec
from kala_es.event_log import LogDamaged, LogError, NewRecord
from kala_es.event_logs.check import data_file
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.lmdb import open_folds
from kala_es.projections import snapshot
from kala_es.projections.folds import Folds
from kala_es.replay.exporting import export
from kala_es.replay.fold_check import Compared
from kala_es.replay.telling import nobody
from kala_es.replay.verify import Proved, Unproved, against_of, prove_archive, prove_digests, verify
from kala_es.runtime.recovery import replay
from tests.projections.test_days import without_days
from tests.replay.logs import contents, fill, opened

HOLES = [*range(3, 9), 11, 12]


async def kept(directory: Path, count: int = 700) -> None:
    """A log with folds and a snapshot, as a node leaves them."""
    store = open_folds(directory)
    log = open_log(directory, store)
    events = history(count)
    for first in range(0, len(events), 100):
        await log.append([codec.encode(event) for event in events[first : first + 100]])
    folds = Folds(store)
    await replay(log, folds, head=log.head)
    last = log.read_now(log.head - 1, limit=1)[0]
    snapshot.write(
        directory / "snapshot.cbor", snapshot.sealed(list(snapshot.freeze(folds, snapshot.anchor_of(last.body))))
    )
    await log.append([codec.encode(event) for event in history(count + 300)[len(events) :]])
    await log.close()
    store.close()


async def test_a_log_is_proved_with_its_folds_and_its_snapshot(tmp_path: Path) -> None:
    await kept(tmp_path)
    head, digest, _ = await contents(tmp_path)
    proved, compared = verify(tmp_path, tell=nobody)
    assert proved == Proved(position=head, digest=digest, records=head, erased=0)
    assert compared == Compared(events=head, folds=700, snapshot=700)


async def test_a_snapshot_that_a_start_would_not_use_is_not_compared(tmp_path: Path) -> None:
    await kept(tmp_path)
    path = tmp_path / "snapshot.cbor"
    snapshot.write(path, snapshot.sealed([without_days(path.read_bytes()[:-32])]))
    _, compared = verify(tmp_path, tell=nobody)
    assert (compared.folds, compared.snapshot) == (700, None)


@pytest.mark.parametrize("change", ["fold", "snapshot", "record"])
async def test_what_differs_is_named(tmp_path: Path, change: str) -> None:
    await kept(tmp_path)
    if change == "fold":
        store = open_folds(tmp_path)
        (key, row), *_ = store.scan(b"r", b"s", limit=1)
        store.write([(key, row + b"x")])
        store.close()
    elif change == "record":
        log = opened(tmp_path)
        await log.append([NewRecord("job:x", "JobDisabled", 1, 1, "", b"\xff")])
        await log.close()
    else:
        body = (tmp_path / "snapshot.cbor").read_bytes()[:-32]
        snapshot.write(tmp_path / "snapshot.cbor", snapshot.sealed([body.replace(b"bench", b"bunch")]))
    named = {
        "fold": "folds at position 700 .* b'r",
        "snapshot": "snapshot at position 700",
        "record": "Position 1001 holds a JobDisabled",
    }
    with pytest.raises(LogError, match=named[change]):
        verify(tmp_path, tell=nobody)


_WITHOUT_ROOM = """
import resource, sys
from kala_es.replay.fold_check import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
sys.exit(main(sys.argv[1:2]))
"""


@pytest.mark.parametrize("room", [100, 40_000])
async def test_without_room_for_its_own_folds_it_says_so(tmp_path: Path, room: int) -> None:
    await kept(tmp_path / "log")
    (tmp_path / "small").mkdir()
    command = [sys.executable, "-c", _WITHOUT_ROOM, str(tmp_path / "log"), str(room)]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "small")}
    done = await trio.run_process(command, env=environment, capture_stdout=True, check=False)
    said = done.stdout.decode()
    assert (done.returncode, f"for want of room in {tmp_path / 'small'}" in said) == (1, True), said
    assert list((tmp_path / "small").iterdir()) == []


async def test_a_record_that_was_changed_with_its_checksum_is_named(tmp_path: Path) -> None:
    await fill(tmp_path, 30)
    with lmdb.open(str(data_file(tmp_path).parent), max_dbs=4) as env, env.begin(write=True) as txn:
        records = env.open_db(b"records", txn=txn)
        with txn.cursor(records) as cursor:
            cursor.set_key((10).to_bytes(8, "big"))
            value = cursor.value()[:-4].replace(b"StatusReported", b"StatusReworded")
            cursor.put(cursor.key(), value + zlib.crc32(value).to_bytes(4, "big"))
    with pytest.raises(LogDamaged, match="positions 10 to 18, or earlier ones, were changed"):
        prove_digests(tmp_path, tell=nobody)


@pytest.mark.parametrize("place", ["before", "within the head"])
async def test_a_record_that_stands_beside_the_one_that_is_digested_is_named(tmp_path: Path, place: str) -> None:
    """Readers would have the one, and the digest would be over the other."""
    await fill(tmp_path, 3)
    seen = prove_digests(tmp_path, tell=nobody)
    with lmdb.open(str(data_file(tmp_path).parent), max_dbs=4) as env, env.begin(write=True) as txn:
        records, key = env.open_db(b"records", txn=txn), (1).to_bytes(8, "big")
        _, digest, *rows = cbor2.loads(txn.get(key, b"", db=records)[:-4])
        real = b"".join(map(cbor2.dumps, rows))
        fake = real.replace(b"StatusReported", b"StatusReworded")
        said = b"\x59\x00\x20" + digest if place == "within the head" else cbor2.dumps(digest)
        value = b"\x9f\x03" + said + (fake + b"\xff" if place == "before" else b"") + real + b"\xff"
        txn.put(key, value + zlib.crc32(value).to_bytes(4, "big"), db=records)
    with pytest.raises(LogDamaged, match="from position 1 on are damaged"):
        prove_digests(tmp_path, against_of(f"3:{seen.digest.hex()}"), tell=nobody)


async def test_digests_that_a_server_would_not_go_on_from_are_named(tmp_path: Path) -> None:
    await fill(tmp_path, 30)
    with lmdb.open(str(data_file(tmp_path).parent), max_dbs=4) as env, env.begin(write=True) as txn:
        meta = env.open_db(b"meta", txn=txn)
        tree = txn.get(b"tree", b"", db=meta)
        txn.put(b"tree", tree[:-1] + bytes([tree[-1] ^ 1]), db=meta)
    with pytest.raises(LogDamaged, match="its digests, at position 30, are of another"):
        prove_digests(tmp_path, tell=nobody)
    with pytest.raises(LogDamaged):
        opened(tmp_path)


async def test_a_log_goes_on_from_one_that_was_seen(tmp_path: Path) -> None:
    seen = await fill(tmp_path, 14)
    end = await fill(tmp_path, 20, erase=HOLES)

    def check(against: str) -> Proved:
        return prove_digests(tmp_path, against_of(against), tell=nobody)

    for position, digest in (seen, end):
        assert check(f"{position}:{digest.hex()}").digest == end[1]
        assert check(digest.hex()).digest == end[1]
    with pytest.raises(Unproved, match="At position 14 the digest is"):
        check(f"14:{end[1].hex()}")
    with pytest.raises(Unproved, match="Position 5 is within records that are erased"):
        check(f"5:{end[1].hex()}")
    for never in ("00" * 32, f"99:{'00' * 32}"):
        with pytest.raises(Unproved, match="ends at position 34, never had the digest"):
            check(never)


def test_what_is_no_digest_is_refused() -> None:
    for text in ("", "12", "12:", "x:" + "00" * 32, "00" * 31):
        with pytest.raises(ValueError, match="is neither DIGEST"):
            against_of(text)


async def test_an_archive_is_proved(tmp_path: Path) -> None:
    await kept(tmp_path, 40)
    seen = prove_digests(tmp_path, tell=nobody)
    log = opened(tmp_path)
    await log.append([codec.encode(event) for event in history(100)])
    await log.close()
    parts: list[bytes] = []
    end = export(tmp_path, parts.append, output=False)
    content = b"".join(parts)
    for against in (f"{seen.position}:{seen.digest.hex()}", seen.digest.hex(), end.digest.hex()):
        proved = prove_archive(BytesIO(content), against_of(against))
        assert (proved.position, proved.digest, proved.erased) == (end.position, end.digest, end.erased)
    with pytest.raises(Unproved, match="never had the digest"):
        prove_archive(BytesIO(content), against_of("00" * 32))

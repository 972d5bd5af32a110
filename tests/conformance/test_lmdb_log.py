"""What only a log in a file can do: be killed, refused, filled up, damaged and found again.

Rules: a full disk is a process that may not write large files (RLIMIT_FSIZE), a crash of the machine is the name of
another boot in `opened`, and whatever may die by a signal does so in a child.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lmdb
import pytest
import trio

from kala_es.event_log import LogDamaged, LogError, LogInUse, LogIsFull, LogIsNewer, NewRecord
from kala_es.event_logs.check import was_machine_crash
from kala_es.event_logs.lmdb import LmdbEventLog, open_log
from kala_es.fold_store import FoldsFull
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.memory import MemoryFoldStore

ROOT = Path(__file__).parents[2]
OTHER_BOOT = "00000000-0000-4000-8000-000000000000\n"


def new(stream: str = "job", body: bytes = b"body") -> NewRecord:
    return NewRecord(stream, "RunStarted", 1, 1_700_000_000_000_000, "alice", body)


def run(source: str, *arguments: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + source, *map(str, arguments)], stdout=subprocess.PIPE, cwd=ROOT
    )


def answer(source: str, *arguments: object) -> Any:
    """What a child that ends well has printed, as JSON."""
    child = run(source, *arguments)
    said, _ = child.communicate()
    assert child.returncode == 0
    return json.loads(said)


PRELUDE = """
import json, os, resource, sys
from pathlib import Path
import trio
from kala_es.event_log import LogError, LogIsFull, NewRecord
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.lmdb import open_folds
directory = Path(sys.argv[1])
def new(stream="job", body=b"body"):
    return NewRecord(stream, "RunStarted", 1, 1_700_000_000_000_000, "alice", body)
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
"""


async def fill(directory: Path, appends: int = 30, records: int = 10) -> None:
    """A log of `appends` times `records` records, closed."""
    log = open_log(directory, MemoryFoldStore())
    for number in range(appends):
        await log.append([new(f"job {at % 3}", b"%d/%d " % (number, at) * 20) for at in range(records)])
    await log.close()


async def bodies(log: LmdbEventLog, stream: str | None = None) -> list[bytes]:
    return [record.body for record in await log.read(0, limit=1_000_000, stream=stream)]


# Killed


FOREVER = """
async def main():
    log = open_log(directory, open_folds(directory))
    while True:
        first = log.head + 1
        last = await log.append([new(f"job {n % 7}", b"%d" % n) for n in range(first, first + 3)])
        print(last, flush=True)
trio.run(main)
"""


async def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    dice = random.Random(7)
    for _ in range(5):
        child = run(FOREVER, tmp_path)
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(dice.randint(1, 300))]
        child.kill()
        acknowledged += [int(line) for line in child.stdout.read().splitlines()[:-1]]  # the last may be cut short
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        folds = open_folds(tmp_path)
        log = open_log(tmp_path, folds)
        assert log.head >= acknowledged[-1]
        assert log.head % 3 == 0, "half an append"
        assert await bodies(log) == [b"%d" % n for n in range(1, log.head + 1)]
        assert await bodies(log, "job 3") == [b"%d" % n for n in range(3, log.head + 1, 7)]
        await log.close()
        folds.close()


# Refused


HOLD = """
log = open_log(directory, open_folds(directory))
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_at_once_with_one_sentence(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    with child:
        assert child.stdout is not None
        holder = int(child.stdout.readline())
        with pytest.raises(LogInUse) as caught:
            open_log(tmp_path, MemoryFoldStore())
        assert str(caught.value) == f"The log in {tmp_path} is in use by process {holder}."


async def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryFoldStore())
    with pytest.raises(LogInUse):
        open_log(tmp_path, MemoryFoldStore())
    assert await log.append([new()]) == 1
    await log.close()
    log = open_log(tmp_path, MemoryFoldStore())
    assert log.head == 1
    await log.close()


@pytest.mark.parametrize("opened", ["closed\n", OTHER_BOOT])
async def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path, opened: str) -> None:
    await fill(tmp_path)
    with lmdb.open(str(tmp_path / "log"), max_dbs=4) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True, db=meta) as txn:
            txn.put(b"format", b"4")
    (tmp_path / "opened").write_text(opened)
    before = (tmp_path / "log" / "data.mdb").read_bytes()
    with pytest.raises(LogIsNewer, match="has format 4; this version reads up to 3"):
        open_log(tmp_path, MemoryFoldStore())
    assert (tmp_path / "log" / "data.mdb").read_bytes() == before
    assert (tmp_path / "opened").read_text() == opened


def test_another_lmdb_file_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    with lmdb.open(str(tmp_path / "log")) as env, env.begin(write=True) as txn:
        txn.put(b"key", b"value")
    (tmp_path / "opened").write_text("closed")
    with pytest.raises(LogDamaged, match="something that is not a log"):
        open_log(tmp_path, MemoryFoldStore())


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match=f"The log in {tmp_path}/file/node cannot be opened"):
        open_log(tmp_path / "file" / "node", MemoryFoldStore())


# Full


FULL = """
async def main():
    log = open_log(directory, open_folds(directory))
    body = bytes(int(sys.argv[3]))
    await log.append([new(body=body)])
    limit(log.size_bytes + int(sys.argv[2]))
    refusals = []
    for n in range(3):
        try:
            while True:
                await log.append([new(body=body), new("other", body)])
        except LogIsFull as error:
            refusals.append(str(error))
    full = log.head
    whole = [record.position for record in await log.read(0, limit=1_000_000)] == list(range(1, full + 1))
    limit(resource.RLIM_INFINITY)
    last = await log.append([new("after")])
    await log.close()
    print(json.dumps({"refusals": refusals, "full": full, "whole": whole, "last": last}))
trio.run(main)
"""


@pytest.mark.parametrize("room", [0, 1, 4096, 20_000, 100_000])
@pytest.mark.parametrize("body", [10, 3000, 400_000])
async def test_a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room(
    tmp_path: Path, room: int, body: int
) -> None:
    said = answer(FULL, tmp_path, room, body)
    assert len(said["refusals"]) == 3
    assert all("no room for" in refusal for refusal in said["refusals"])
    assert said["whole"]
    assert said["last"] == said["full"] + 1
    (tmp_path / "opened").write_text(OTHER_BOOT)  # what the failures left is checked as well
    log = open_log(tmp_path, MemoryFoldStore())
    assert log.head == said["last"]
    assert len(await bodies(log, "other")) == said["full"] // 2
    assert await bodies(log, "after") == [b"body"]
    await log.close()


class FoldsThatMayBeFull(MemoryFoldStore):
    full = False

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        if self.full:
            raise FoldsFull("There is no room.")
        super().write(changes)


async def test_an_index_without_room_lags_and_catches_up(tmp_path: Path) -> None:
    folds = FoldsThatMayBeFull()
    log = open_log(tmp_path, folds)
    for number, folds.full in zip(range(12), [False, True, True] * 4, strict=True):
        await log.append([new("a", b"%d" % number), new("b")])
        assert await bodies(log, "a") == [b"%d" % at for at in range(number + 1)]
        assert [record.position for record in await log.read(3, limit=1, stream="b")] == [4] * (number > 0)
    assert log.unindexed == 4
    folds.full = False
    await log.append([new("a", b"12")])
    assert log.unindexed == 0
    assert await bodies(log, "a") == [b"%d" % at for at in range(13)]
    await log.close()


def replace_descriptors(directory: Path, replacement: str, *, sync: bool) -> None:
    """Let what this process has of the log's file be something else: that of the root pages (`sync`), or the others."""
    data = str(directory / "log" / "data.mdb")
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        if os.path.islink(path) and os.readlink(path) == data:
            flags = next(line for line in Path(f"/proc/self/fdinfo/{name}").read_text().splitlines() if "flags" in line)
            if bool(int(flags.split()[1], 8) & os.O_DSYNC) == sync:
                other = os.open(replacement, os.O_RDWR)
                os.dup2(other, int(name))
                os.close(other)


async def test_a_disk_without_room_for_the_pages_refuses(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryFoldStore())
    await log.append([new()])
    replace_descriptors(tmp_path, "/dev/full", sync=False)
    with pytest.raises(LogIsFull, match="No space left on device"):
        await log.append([new()])
    assert await bodies(log) == [b"body"]
    await log.close()


async def test_after_a_failed_write_of_the_root_the_log_takes_no_more(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryFoldStore())
    await log.append([new()])
    replace_descriptors(tmp_path, "/dev/full", sync=True)
    for _ in range(2):
        with pytest.raises(LogError, match="takes no more records, because writing failed") as caught:
            await log.append([new()])
        assert type(caught.value) is LogError
    with pytest.raises(LogError, match="cannot be read"):
        await log.read(0, limit=9)
    await log.close()
    assert was_machine_crash(tmp_path)
    log = open_log(tmp_path, MemoryFoldStore())
    assert (await bodies(log))[:1] == [b"body"]
    await log.close()


async def test_after_another_write_error_reads_go_on(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryFoldStore())
    await log.append([new()])
    read_only = tmp_path / "a pipe"
    os.mkfifo(read_only)
    replace_descriptors(tmp_path, str(read_only), sync=False)
    for _ in range(2):
        with pytest.raises(LogError, match="takes no more records") as caught:
            await log.append([new()])
        assert type(caught.value) is LogError
    assert await bodies(log) == [b"body"]
    await log.close()


NO_THREAD = """
import threading
async def main():
    log = open_log(directory, open_folds(directory))
    threading.stack_size(1 << 47)  # more than there are addresses
    try:
        threading.Thread(target=print).start()
    except RuntimeError as error:
        refusal = str(error)
    appended = [await log.append([new()]), await log.append([new()])]
    await log.trim([1])
    try:
        await log.compact()
    except LogError as error:
        not_copied = str(error).partition("could not be copied: ")[2]
    print(json.dumps([refusal, *appended, not_copied, [r.position for r in log.read_now(0, limit=9)]]))
    await log.close()
trio.run(main)
"""


def test_appending_and_erasing_need_no_thread(tmp_path: Path) -> None:
    refusal = "can't start new thread"
    assert answer(NO_THREAD, tmp_path) == [refusal, 1, 2, f"{refusal}.", [2]]


# Damaged, after a crash of the machine


async def test_a_whole_log_opens_after_a_crash_of_the_machine(tmp_path: Path) -> None:
    await fill(tmp_path)
    assert not was_machine_crash(tmp_path)
    (tmp_path / "opened").write_text(OTHER_BOOT)
    assert was_machine_crash(tmp_path)
    log = open_log(tmp_path, MemoryFoldStore())
    assert log.head == 300
    assert not was_machine_crash(tmp_path)
    await log.close()
    assert (tmp_path / "opened").read_text().strip() == "closed"


async def test_a_directory_that_was_never_closed_is_checked(tmp_path: Path) -> None:
    assert not was_machine_crash(tmp_path)
    await fill(tmp_path, 1)
    (tmp_path / "opened").unlink()
    assert was_machine_crash(tmp_path)
    await fill(tmp_path, 1)


async def test_an_empty_log_opens_after_a_crash_of_the_machine(tmp_path: Path) -> None:
    await fill(tmp_path, 0)
    (tmp_path / "opened").write_text(OTHER_BOOT)
    log = open_log(tmp_path, MemoryFoldStore())
    assert log.head == 0
    await log.close()


def refused_as_damaged(directory: Path) -> str:
    opened = (directory / "opened").read_text()
    for _ in range(2):
        with pytest.raises(LogDamaged) as caught:
            open_log(directory, MemoryFoldStore())
    assert (directory / "opened").read_text() == opened
    return str(caught.value)


@pytest.mark.parametrize("left", [b"", bytes(4096), b"torn" * 3000])
async def test_a_crash_while_the_log_is_begun_leaves_none(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "begun.mdb").write_bytes(left)
    await fill(tmp_path, 1)
    log = open_log(tmp_path, MemoryFoldStore())
    assert log.head == 10
    await log.close()
    assert sorted(os.listdir(tmp_path / "log")) == ["data.mdb", "lock.mdb"]


BEGIN = """
from kala_es.fold_stores.memory import MemoryFoldStore
limit(4096)
try:
    open_log(directory, MemoryFoldStore())
except LogIsFull as error:
    print(json.dumps(str(error)))
"""


async def test_a_log_without_room_to_begin_is_refused_as_full(tmp_path: Path) -> None:
    assert "no room to open" in answer(BEGIN, tmp_path)
    log = open_log(tmp_path, MemoryFoldStore())
    assert log.head == 0
    await log.close()


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
async def test_a_file_that_was_cut_off_is_damaged(tmp_path: Path, part: float) -> None:
    await fill(tmp_path)
    (tmp_path / "opened").write_text(OTHER_BOOT)
    data = tmp_path / "log" / "data.mdb"
    os.truncate(data, int(data.stat().st_size * part) // 4096 * 4096)
    assert "damaged" in refused_as_damaged(tmp_path)


CUT = """
import lmdb
env = lmdb.open(str(directory / "log"), max_dbs=4)
with env.begin(write=True, db=env.open_db(b"records")) as txn, txn.cursor() as cursor:
    assert cursor.last() and cursor.delete()
print("true")
"""


@pytest.mark.parametrize("stream", [None, "job 2"])
async def test_a_file_that_ends_before_its_head_is_damaged(tmp_path: Path, stream: str | None) -> None:
    await fill(tmp_path, appends=3)
    log = open_log(tmp_path, MemoryFoldStore())
    assert answer(CUT, tmp_path)
    assert [record.position for record in await log.read(0, limit=20)] == [*range(1, 21)]
    with pytest.raises(LogDamaged, match="is damaged: "), trio.fail_after(5):
        await log.read(0, limit=100, stream=stream)
    await log.close()


async def test_a_check_that_a_signal_ends_is_a_finding(tmp_path: Path) -> None:
    await fill(tmp_path)
    (tmp_path / "opened").write_text(OTHER_BOOT)
    os.truncate(tmp_path / "log" / "data.mdb", 2 * 4096)
    assert refused_as_damaged(tmp_path) == f"The log in {tmp_path} is damaged: its check died by SIGBUS."


@pytest.mark.parametrize("opened", ["closed", OTHER_BOOT])
async def test_a_log_that_is_gone_is_not_begun_anew(tmp_path: Path, opened: str) -> None:
    await fill(tmp_path)
    (tmp_path / "opened").write_text(opened)
    os.truncate(tmp_path / "log" / "data.mdb", 0)
    assert "is gone" in refused_as_damaged(tmp_path)
    (tmp_path / "log" / "data.mdb").unlink()
    assert "is gone" in refused_as_damaged(tmp_path)


@pytest.mark.slow
async def test_every_page_that_is_overwritten_is_noticed(tmp_path: Path) -> None:
    await fill(tmp_path, 6, 60)
    data = tmp_path / "log" / "data.mdb"
    whole = data.read_bytes()
    noticed = 0
    for page, filling in zip(range(2, len(whole) // 4096), (b"\0", b"\xff", b"kala") * 100, strict=False):
        (tmp_path / "opened").write_text(OTHER_BOOT)
        data.write_bytes(whole[: page * 4096] + (filling * 4096)[:4096] + whole[(page + 1) * 4096 :])
        try:
            log = open_log(tmp_path, MemoryFoldStore())
        except LogDamaged:
            noticed += 1
        else:  # a page that nothing uses
            assert [record.position for record in await log.read(0, limit=999)] == list(range(1, 361))
            await log.close()
    assert noticed >= 12


async def test_a_flipped_bit_in_a_body_is_noticed(tmp_path: Path) -> None:
    await fill(tmp_path)
    data = tmp_path / "log" / "data.mdb"
    (tmp_path / "opened").write_text(OTHER_BOOT)
    data.write_bytes(data.read_bytes().replace(b"17/3 17/3", b"17/3 17/2"))
    assert "damaged: their checksum does not fit" in refused_as_damaged(tmp_path)


async def test_a_file_without_roots_is_damaged(tmp_path: Path) -> None:
    await fill(tmp_path)
    data = tmp_path / "log" / "data.mdb"
    data.write_bytes(bytes(8192) + data.read_bytes()[8192:])
    (tmp_path / "opened").write_text(OTHER_BOOT)
    assert "damaged" in refused_as_damaged(tmp_path)
    (tmp_path / "opened").write_text("closed")
    assert "damaged" in refused_as_damaged(tmp_path)


# The index of the streams, in the fold store


async def indexed(directory: Path) -> list[int]:
    folds = open_folds(directory)
    log = open_log(directory, folds)
    assert log.unindexed == 0
    found = [record.position for record in await log.read(0, limit=1_000_000, stream="job 2")]
    await log.close()
    folds.close()
    return found


async def test_an_index_that_is_lost_is_rebuilt(tmp_path: Path) -> None:
    await fill(tmp_path, 6, 1500)
    expected = [at for at in range(1, 9001) if (at - 1) % 1500 % 3 == 2]
    assert await indexed(tmp_path) == expected
    for name in ("data.mdb", "lock.mdb", "boot"):
        (tmp_path / "folds" / name).unlink()
    assert await indexed(tmp_path) == expected
    (tmp_path / "folds" / "boot").write_text(OTHER_BOOT)
    assert await indexed(tmp_path) == expected


async def test_an_index_that_lags_is_completed(tmp_path: Path) -> None:
    await fill(tmp_path, 1)
    assert await indexed(tmp_path) == [3, 6, 9]
    await fill(tmp_path, 1)
    assert await indexed(tmp_path) == [3, 6, 9, 13, 16, 19]


@pytest.mark.parametrize("appends", [1, 3])
async def test_the_folds_of_another_log_are_cleared(tmp_path: Path, appends: int) -> None:
    folds = MemoryFoldStore()
    one = open_log(tmp_path / "one", folds)
    await one.append([new("a"), new("a")])
    await one.append([new("a"), new("a")])
    await one.close()
    folds.write([(b"runs", b"of the other log")])
    other = open_log(tmp_path / "other", MemoryFoldStore())
    for _ in range(appends):
        await other.append([new("b"), new("a")])
    await other.close()
    other = open_log(tmp_path / "other", folds)
    assert folds.get(b"runs") is None
    assert [record.position for record in await other.read(0, limit=9, stream="a")] == [2, 4, 6][:appends]
    assert [record.position for record in await other.read(0, limit=9, stream="b")] == [1, 3, 5][:appends]
    await other.close()


# Figures that are promised


@pytest.mark.slow
async def test_reading_a_large_log_holds_a_page_of_it(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryFoldStore())
    for _ in range(20):
        await log.append([new(body=bytes(100))] * 10_000)
    tracemalloc.start()
    try:
        after, found = 0, 0
        while page := await log.read(after, limit=1000):
            after, found = page[-1].position, found + len(page)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == 200_000
    assert peak < 6_000_000
    await log.close()


async def test_reading_one_record_does_not_decode_megabytes(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryFoldStore())
    await log.append([new(f"job {at}", bytes(1000)) for at in range(20_000)])
    assert log.unindexed == 0
    tracemalloc.start()
    try:
        for at in (19_999, 3, 7000):
            assert (await log.read(0, limit=1, stream=f"job {at}"))[0].position == at + 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    await log.close()


async def test_size_and_head_are_told(tmp_path: Path) -> None:
    log = open_log(tmp_path, MemoryFoldStore())
    before = log.size_bytes
    assert log.head == 0
    await log.append([new(body=bytes(100_000))] * 3)
    assert log.head == 3
    assert log.size_bytes >= before + 300_000
    await log.close()

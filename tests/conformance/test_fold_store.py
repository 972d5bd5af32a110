"""The fold store's conformance suite: every adapter keeps the rules of the port.

Rules: a test that takes `folds` runs on every adapter; what only a store on disk can do is at the end.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es.fold_store import FoldsError, FoldsInUse, FoldStore
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.lmdb_reader import read_folds
from kala_es.fold_stores.memory import MemoryFoldStore

Opener = Callable[[Path], FoldStore]
OPENERS: dict[str, Opener] = {"memory": lambda directory: MemoryFoldStore(), "lmdb": open_folds}
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=OPENERS)
def folds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FoldStore]:
    store = OPENERS[request.param](tmp_path)
    yield store
    store.close()


def everything(folds: FoldStore) -> list[tuple[bytes, bytes]]:
    return folds.scan(b"", b"\xff" * 501, limit=1_000_000)


def test_a_value_is_got_back(folds: FoldStore) -> None:
    folds.write([(b"a", b"1"), (b"b", b"")])
    assert folds.get(b"a") == b"1"
    assert folds.get(b"b") == b""


def test_a_key_that_is_not_there_has_no_value(folds: FoldStore) -> None:
    assert folds.get(b"a") is None
    assert folds.get(b"") is None
    assert folds.get(b"k" * 501) is None


def test_a_later_write_replaces_and_none_removes(folds: FoldStore) -> None:
    folds.write([(b"a", b"1"), (b"b", b"1"), (b"c", b"1")])
    folds.write([(b"a", b"2"), (b"b", None), (b"no such key", None)])
    assert everything(folds) == [(b"a", b"2"), (b"c", b"1")]


def test_changes_apply_in_their_order(folds: FoldStore) -> None:
    folds.write([(b"a", b"1"), (b"a", None), (b"b", None), (b"b", b"2"), (b"b", b"3")])
    assert everything(folds) == [(b"b", b"3")]


def test_a_scan_goes_from_start_to_before_stop(folds: FoldStore) -> None:
    folds.write((bytes([letter]), b"") for letter in b"edcba")
    assert [key for key, _ in folds.scan(b"b", b"d", limit=10)] == [b"b", b"c"]
    assert [key for key, _ in folds.scan(b"b", b"d", limit=10, reverse=True)] == [b"c", b"b"]


def test_a_scan_stops_at_its_limit_from_either_end(folds: FoldStore) -> None:
    folds.write((bytes([letter]), b"") for letter in b"abcde")
    assert [key for key, _ in folds.scan(b"a", b"z", limit=2)] == [b"a", b"b"]
    assert [key for key, _ in folds.scan(b"a", b"z", limit=2, reverse=True)] == [b"e", b"d"]
    assert folds.scan(b"a", b"z", limit=0) == []


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("start", "stop"), [(b"", b"b"), (b"d", b"z"), (b"d", b"a"), (b"c", b"c"), (b"", b"")])
def test_a_scan_of_a_range_without_keys_is_empty(folds: FoldStore, start: bytes, stop: bytes, reverse: bool) -> None:
    folds.write([(b"b", b""), (b"c", b"")])
    assert folds.scan(start, stop, limit=10, reverse=reverse) == []


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_of_an_empty_store_is_empty(folds: FoldStore, reverse: bool) -> None:
    assert folds.scan(b"", b"z", limit=10, reverse=reverse) == []


def test_keys_have_1_to_500_bytes(folds: FoldStore) -> None:
    folds.write([(b"k", b"1"), (b"k" * 500, b"2")])
    assert folds.get(b"k" * 500) == b"2"


@pytest.mark.parametrize("key", [b"", b"k" * 501])
def test_a_key_of_another_length_is_refused_and_nothing_is_written(folds: FoldStore, key: bytes) -> None:
    folds.write([(b"a", b"1")])
    with pytest.raises(ValueError, match="1 to 500 bytes"):
        folds.write([(b"a", b"2"), (b"b", b"2"), (key, b"2")])
    assert everything(folds) == [(b"a", b"1")]


def test_a_write_whose_changes_fail_to_come_writes_nothing(folds: FoldStore) -> None:
    def changes() -> Iterator[tuple[bytes, bytes]]:
        yield b"a", b"1"
        raise KeyError("gone")

    with pytest.raises(KeyError):
        folds.write(changes())
    assert everything(folds) == []


def test_a_value_may_be_large(folds: FoldStore) -> None:
    folds.write([(b"a", bytes(3_000_000))])
    assert folds.get(b"a") == bytes(3_000_000)


def test_clear_removes_everything(folds: FoldStore) -> None:
    folds.write([(b"a", b"1"), (b"b", b"1")])
    folds.clear()
    assert everything(folds) == []
    folds.write([(b"a", b"2")])
    assert everything(folds) == [(b"a", b"2")]


def test_close_is_idempotent(folds: FoldStore) -> None:
    folds.close()
    folds.close()


KEYS = st.binary(min_size=1, max_size=3)
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=4)), max_size=8)
SCANS = st.tuples(st.binary(max_size=3), st.binary(max_size=3), st.integers(0, 6), st.booleans())


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
@settings(max_examples=60, deadline=None)
@given(writes=st.lists(CHANGES, max_size=6), scans=st.lists(SCANS, max_size=6))
def test_it_is_an_ordered_map(
    opener: Opener, writes: list[list[tuple[bytes, bytes | None]]], scans: list[tuple[bytes, bytes, int, bool]]
) -> None:
    model: dict[bytes, bytes | None] = {}
    with TemporaryDirectory() as directory:
        folds = opener(Path(directory))
        for changes in writes:
            folds.write(changes)
            model |= dict(changes)
        pairs = sorted((key, value) for key, value in model.items() if value is not None)
        assert everything(folds) == pairs
        for start, stop, limit, reverse in scans:
            expected = [pair for pair in pairs[:: -1 if reverse else 1] if start <= pair[0] < stop][:limit]
            assert folds.scan(start, stop, limit=limit, reverse=reverse) == expected
        folds.close()


# A store on disk


def test_what_was_closed_is_there_again(tmp_path: Path) -> None:
    first = open_folds(tmp_path)
    first.write([(b"a", b"1")])
    first.close()
    again = open_folds(tmp_path)
    assert everything(again) == [(b"a", b"1")]
    again.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    first = open_folds(tmp_path)
    with pytest.raises(FoldsInUse, match=f"The folds in {tmp_path} are in use by process {os.getpid()}"):
        open_folds(tmp_path)
    first.write([(b"a", b"1")])
    first.close()
    open_folds(tmp_path).close()


FOREVER = """
import sys
from pathlib import Path
from kala_es.fold_stores.lmdb import open_folds
folds = open_folds(Path(sys.argv[1]))
n = 0
while True:
    n += 1
    folds.write([(b"%d" % key, b"%d" % n) for key in range(50)])
    print(n, flush=True)
"""


def test_kill_9_leaves_whole_writes(tmp_path: Path) -> None:
    for rounds in (3, 40):
        child = subprocess.Popen([sys.executable, "-c", FOREVER, tmp_path], stdout=subprocess.PIPE, cwd=ROOT)
        assert child.stdout is not None
        done = [int(child.stdout.readline()) for _ in range(rounds)]
        child.kill()
        assert child.wait() == -signal.SIGKILL
        done += [int(line) for line in child.stdout.read().split()]
        child.stdout.close()
        folds = open_folds(tmp_path)
        values = {int(value) for _, value in everything(folds)}
        folds.close()
        assert len(values) == 1, "half a write"
        assert values.pop() in (done[-1], done[-1] + 1)


def leave_open(directory: Path, boot: str) -> None:
    """As a store is left by a process that did not close it, on the boot of that name."""
    folds = open_folds(directory)
    folds.write([(b"a", b"1")])
    folds.close()
    (directory / "folds" / "boot").write_text(boot + "\n")


def test_after_a_crash_of_the_machine_it_is_empty(tmp_path: Path) -> None:
    leave_open(tmp_path, "00000000-0000-4000-8000-000000000000")
    folds = open_folds(tmp_path)
    assert everything(folds) == []
    folds.write([(b"a", b"2")])
    folds.close()


def test_a_boot_file_that_is_torn_or_gone_is_not_trusted(tmp_path: Path) -> None:
    leave_open(tmp_path, "clos")
    folds = open_folds(tmp_path)
    assert everything(folds) == []
    folds.write([(b"a", b"1")])
    folds.close()
    (tmp_path / "folds" / "boot").unlink()
    folds = open_folds(tmp_path)
    assert everything(folds) == []
    folds.close()


def test_a_file_that_is_not_a_store_is_replaced(tmp_path: Path) -> None:
    leave_open(tmp_path, "closed")
    (tmp_path / "folds" / "data.mdb").write_bytes(b"not LMDB" * 10_000)
    folds = open_folds(tmp_path)
    assert everything(folds) == []
    folds.write([(b"a", b"2")])
    folds.close()


FULL = """
import resource, sys
from pathlib import Path
from kala_es.fold_store import FoldsFull
from kala_es.fold_stores.lmdb import open_folds
folds = open_folds(Path(sys.argv[1]))
folds.write([(b"a", b"1")])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
n = 0
try:
    while True:
        n += 1
        folds.write([(b"a", b"%d" % n), (b"%d" % n, bytes(3000))])
except FoldsFull as error:
    assert "no room" in str(error), error
assert folds.get(b"a") == b"%d" % (n - 1), folds.get(b"a")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
folds.write([(b"a", b"more")])
folds.close()
"""


@pytest.mark.parametrize("size", [40_960, 100_000])
def test_a_full_disk_refuses_the_write_and_keeps_the_rest(tmp_path: Path, size: int) -> None:
    subprocess.run([sys.executable, "-c", FULL, tmp_path, str(size)], check=True, cwd=ROOT, env=os.environ)
    folds = open_folds(tmp_path)
    assert folds.get(b"a") == b"more"
    assert folds.get(b"1") == bytes(3000)
    folds.close()


def test_another_process_reads_what_is_there_and_writes_nothing(tmp_path: Path) -> None:
    assert read_folds(tmp_path) is None
    store = open_folds(tmp_path)
    store.write([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
    store.close()
    reader = read_folds(tmp_path)
    assert reader is not None
    assert (reader.get(b"a"), reader.get(b"z"), reader.get(b"")) == (b"1", None, None)
    assert reader.scan(b"a", b"c", limit=9) == [(b"a", b"1"), (b"b", b"2")]
    assert reader.scan(b"a", b"d", limit=1, reverse=True) == [(b"c", b"3")]
    with pytest.raises(FoldsError):
        reader.write([])
    with pytest.raises(FoldsError):
        reader.clear()
    reader.close()
    (tmp_path / "folds" / "boot").write_text(f"{'another boot':<36}\n")
    assert read_folds(tmp_path) is None

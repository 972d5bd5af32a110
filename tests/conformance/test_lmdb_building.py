"""A log's file that is made beside another: it takes its place whole, also beside a reader, and leaves nothing."""

from pathlib import Path

import pytest

from kala_es import log_tree
from kala_es.event_log import LogError
from kala_es.event_logs import compact as compacting
from kala_es.event_logs.batch import encode_batch
from kala_es.event_logs.building import build
from kala_es.event_logs.check import check, data_file, read_format
from kala_es.event_logs.lmdb_file import open_env
from tests.conformance.test_lmdb_reader import Other, append_each, new, opened, power_fails

MADE = 50


def make(directory: Path) -> None:
    """Put a log of MADE records in the place of what is there."""
    rows, tree = [log_tree.row(new(number)) for number in range(MADE)], log_tree.Span()
    tree.add_leaves(log_tree.leaves(rows))
    with build(directory) as building:
        building.put(1, encode_batch(rows, tree.root()))
        building.finish(bytes(range(16)), tree)


async def goes_on(directory: Path, other: Other) -> None:
    """A server opens the log and appends, and who read the other one reads this."""
    log = opened(directory)
    await append_each(log, 2)
    assert other.reads(0) == f"{MADE + 2} {MADE + 2} {MADE + 2}"
    await log.close()
    other.close()
    assert check(directory) == MADE + 2


@pytest.mark.parametrize("commits", [6, 7, 8, 9])
async def test_a_log_is_exchanged_beside_a_reader(tmp_path: Path, commits: int) -> None:
    """LMDB's table of readers names one of two roots as the newer: the number of commits says which."""
    log = opened(tmp_path)
    await append_each(log, commits)
    await log.close()
    other = Other(tmp_path)
    assert other.reads(0) == f"{commits} {commits} {commits}"
    make(tmp_path)
    await goes_on(tmp_path, other)


async def test_one_that_was_cut_off_right_after_the_exchange_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    await append_each(log, 7)
    await log.close()
    other = Other(tmp_path)
    assert other.reads(0) == "7 7 7"
    with monkeypatch.context() as patch:
        patch.setattr(compacting, "lock_file", power_fails)
        with pytest.raises(LogError, match="No log can be made"):
            make(tmp_path)
    await goes_on(tmp_path, other)


async def test_what_a_killed_one_left_is_removed_by_who_opens_the_log(tmp_path: Path) -> None:
    log = opened(tmp_path)
    await append_each(log, 3)
    await log.close()
    before = {path.name for path in data_file(tmp_path).parent.iterdir()}
    building = build(tmp_path)
    building.__enter__()
    assert {path.name for path in data_file(tmp_path).parent.iterdir()} > before
    with open_env(tmp_path) as env:
        assert read_format(env)
    assert {path.name for path in data_file(tmp_path).parent.iterdir()} == before
    building.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)

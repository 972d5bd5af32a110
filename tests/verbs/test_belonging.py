"""Whose the files in a server's directory are when root looks into it, or writes there: the server starts on them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from kala_es.cli import main
from tests.programs import lacks
from tests.replay.logs import fill

NOBODY = 65534
LOOKS = (["verify"], ["replay", "events", "--until=0"], ["replay", "show", "--at=0", "jobs"], ["export", "/dev/null"])


@pytest.fixture
def of_nobody(tmp_path: Path) -> Path:
    """A directory for a log, which is a user's."""
    if os.geteuid():
        lacks("root, to be another than the owner")
    directory = tmp_path / "data"
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    return directory


def filled(directory: Path) -> None:
    trio.run(fill, directory, 3)


def within(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if not path.is_symlink())


def give_all(directory: Path) -> None:
    for path in within(directory):
        os.chown(path, NOBODY, NOBODY)


def strangers(directory: Path) -> list[str]:
    return sorted(str(path) for path in within(directory) if path.stat().st_uid != NOBODY)


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_to_look_as_root_leaves_nothing_of_roots(of_nobody: Path, look: list[str]) -> None:
    filled(of_nobody)
    main(["compact", "--data", str(of_nobody)])  # so there are folds
    give_all(of_nobody)
    for table in of_nobody.glob("*/lock.mdb"):
        table.unlink()
    main([*look, "--data", str(of_nobody)])
    assert (of_nobody / "log" / "lock.mdb").exists()
    assert strangers(of_nobody) == []


def test_what_root_writes_belongs_to_the_owner_of_the_directory(of_nobody: Path, tmp_path: Path) -> None:
    source, into = tmp_path / "source", tmp_path / "into"
    filled(source)
    into.mkdir()
    os.chown(into, NOBODY, NOBODY)
    assert main(["restore", "--data", str(source), "--until", "2", "--into", str(into)]) == 0
    assert strangers(into) == []
    assert main(["export", str(tmp_path / "archive"), "--data", str(source)]) == 0
    assert main(["import", str(tmp_path / "archive"), "--data", str(of_nobody)]) == 0
    assert strangers(of_nobody) == []
    assert main(["compact", "--data", str(of_nobody)]) == 0
    assert strangers(of_nobody) == []


def test_what_is_not_the_servers_stays_whose_it_is(of_nobody: Path, tmp_path: Path) -> None:
    filled(of_nobody)
    mine, other = of_nobody / "settings.toml", tmp_path / "other"
    mine.touch()
    (other / "inside").mkdir(parents=True)
    (of_nobody / "snapshots").symlink_to(other)
    (of_nobody / "log" / "link").symlink_to(other / "inside")
    os.link(mine, of_nobody / "log" / "hard")
    assert main(["compact", "--data", str(of_nobody)]) == 0
    assert {path.stat().st_uid for path in (mine, other, other / "inside")} == {0}
    assert strangers(of_nobody) == [str(of_nobody / "log" / "hard"), str(mine)]


def test_the_table_of_readers_is_as_private_as_the_log(tmp_path: Path) -> None:
    filled(tmp_path)
    data, table = tmp_path / "log" / "data.mdb", tmp_path / "log" / "lock.mdb"
    data.chmod(0o640)
    table.unlink()
    assert main(["replay", "events", "--data", str(tmp_path), "--until", "0"]) == 0
    assert stat.S_IMODE(table.stat().st_mode) == 0o640

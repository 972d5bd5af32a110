"""A crash of the machine at any moment: the log opens with all that was told, whole appends only.

`crash_images.py` says what an image is. The seed is printed and `CRASH_SEED` repeats it. The short form opens a few
thousand; `make soak` opens 10,000 a round (`SOAK_ROUNDS`, 10).
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from random import randrange
from typing import Any, Final

import pytest

from tests.system.crash_images import ROOT, capture
from tests.system.lives import JOB, Lives

pytestmark = [pytest.mark.system, pytest.mark.slow]
PARTS: Final = 2


@dataclass(frozen=True)
class Captured:
    """A workload that was appended in `directory`, and traced."""

    directory: Path
    seed: int


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """The workload of a random seed."""
    made = Captured(tmp_path_factory.mktemp("crash") / "data", int(os.environ.get("CRASH_SEED", randrange(1 << 32))))
    capture(made.directory, made.seed)
    return made


def check(what: str, captured: Captured, count: int) -> tuple[int, list[str]]:
    """Open so many images, in processes of their own; how many were opened, and what was wrong."""
    print(f"CRASH_SEED={captured.seed}")
    opened, wrong = 0, []
    command = [sys.executable, "-m", "tests.system.crash_check", what, str(captured.directory), str(captured.seed)]
    children = [
        subprocess.Popen([*command, str(count), f"{part}/{PARTS}"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for part in range(PARTS)
    ]
    for child in children:
        said = child.communicate()[0].splitlines()
        opened += sum(line.startswith("at ") for line in said)
        wrong += [line for line in said if line.startswith("wrong ")]
        if child.returncode:
            wrong.append(f"exit code {child.returncode} {said[-1:]}")
    return opened, wrong


def test_every_crash_of_the_log_leaves_all_that_was_told(captured: Captured) -> None:
    assert check("log", captured, 2_000) == (2_000, [])


def test_every_crash_of_the_whole_directory_opens(captured: Captured) -> None:
    assert check("directory", captured, 40) == (40, [])


def test_a_disk_that_lies_about_its_syncs_is_found_out(captured: Captured) -> None:
    opened, wrong = check("lies", captured, 60)  # a signal may end it early
    assert opened
    assert wrong


def answers(lives: Lives) -> list[Any]:
    """What the server says of all its jobs and their runs."""
    listed = lives.call("GET", JOB)[1]["jobs"]
    return [
        listed,
        *(lives.runs(job) for job in sorted(listed)),
        lives.call("GET", "/api/v1/stats/")[1]["Stats"]["jobs"],
    ]


@pytest.mark.files("mixed with the folds of others")
def test_folds_of_another_time_are_caught_up_or_thrown_away(tmp_path: Path) -> None:
    told: dict[str, list[Any]] = {}
    for time in ("old", "new"):
        with Lives(tmp_path / "server") as lives:
            for number in range(3):
                job = lives.make(id=f"{time}-{number}", command="echo $KALA_JOB_ID")
                lives.run_now(job)
                lives.run_now("old-0")
            told[time] = answers(lives)
        shutil.copytree(lives.data, tmp_path / time)
    for log, folds in (("new", "old"), ("old", "new")):
        mixed = tmp_path / f"{log} log" / "data"
        shutil.copytree(tmp_path / log, mixed)
        for name in ("folds/data.mdb", "folds/boot", "snapshot.cbor"):
            shutil.copy(tmp_path / folds / name, mixed / name)
        with Lives(mixed.parent) as lives:
            assert answers(lives) == told[log], f"a log with {folds} folds"


@pytest.mark.soak
def test_every_crash_leaves_all_that_was_told_for_long(tmp_path: Path, captured: Captured) -> None:
    for number in range(int(os.environ.get("SOAK_ROUNDS", "10"))):
        one = Captured(tmp_path / str(number), captured.seed + number)
        capture(one.directory, one.seed)
        assert check("log", one, 10_000) == (10_000, [])
        assert check("directory", one, 100) == (100, [])

"""No byte of a log's file can be changed without being noticed, unless nothing uses it.

The suite flips 200, `make soak` 1,000 a round (`SOAK_ROUNDS`, 10); the seed is printed. For archives, whose bytes are
all in use, test_archives.py flips every byte.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.replay.test_verify import kept


def flip(directory: Path, count: int) -> None:
    seed = random.randrange(1 << 32)
    command = [sys.executable, "-m", "tests.replay.flips", str(directory), str(seed), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (seed, done.stdout, done.stderr)
    assert "'refused'" in done.stdout


async def test_a_byte_that_is_changed_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    await kept(tmp_path)
    flip(tmp_path, 200)


@pytest.mark.soak
async def test_many_bytes_that_are_changed_are_noticed_or_change_nothing(tmp_path: Path) -> None:
    await kept(tmp_path)
    for _ in range(int(os.environ.get("SOAK_ROUNDS", "10"))):
        flip(tmp_path, 1_000)

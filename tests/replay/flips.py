"""Flips bytes in a copy of a log's file, one at a time, and has it proved: `python -m ... DIRECTORY SEED COUNT`.

Each in a forked process, because a damaged file may be met as a signal. It prints what came of each flip.
"""

import os
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import lmdb

from kala_es.event_log import LogError
from kala_es.event_logs.check import data_file
from kala_es.replay.fold_check import compare
from kala_es.replay.telling import nobody
from kala_es.replay.verify import Proved, prove_digests

WHOLE, REFUSED, OTHER = 0, 10, 11


def prove(directory: Path, wanted: Proved) -> int:
    """Refused, as it was, or taken for another log. What the folds' check finds is a refusal as well."""
    try:
        proved = prove_digests(directory, tell=nobody)
        compare(directory, tell=nobody)
    except (LogError, lmdb.Error) as error:
        return REFUSED if str(error) else OTHER
    return WHOLE if proved == wanted else OTHER


def main(argv: Sequence[str]) -> int:
    """Flip so many bytes; 1 if one was missed."""
    directory, chance, count = Path(argv[0]), random.Random(argv[1]), int(argv[2])
    wanted = prove_digests(directory, tell=nobody)
    file, seen = data_file(directory), Counter[str]()
    for _ in range(count):
        at, bit = chance.randrange(file.stat().st_size), 1 << chance.randrange(8)
        flip(file, at, bit)
        child = os.fork()
        if not child:
            os.close(2)
            os._exit(prove(directory, wanted))
        _, status = os.waitpid(child, 0)
        flip(file, at, bit)
        ended = "signal" if os.WIFSIGNALED(status) else {WHOLE: "whole", REFUSED: "refused"}.get(os.WEXITSTATUS(status))
        if ended is None:
            print(f"byte {at}, bit {bit}: not noticed, {os.WEXITSTATUS(status)}")
            return 1
        seen[ended] += 1
    print(dict(seen))
    return 0


def flip(file: Path, at: int, bit: int) -> None:
    """Change one bit, or change it back."""
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ bit]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

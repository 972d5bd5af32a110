"""Puts a log into its place again and again, and dies by SIGKILL one step later each time.

`python -m tests.runtime.dying DIRECTORY PLACE INTO`: PLACE is where in DIRECTORY the log is that was made; each time a
copy of all that is used, INTO/1 and so on, the last of which is the one that nothing cut off. A step is a call that
changes a name or opens a file to write, as Python's audit hooks tell of it before it happens.
"""

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from kala_es.runtime.takeover import put_in_place

_CHANGES = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir"})
_WRITES = os.O_WRONLY | os.O_RDWR


def die_at(step: int) -> None:
    """End this process before the change with this number, from 1."""
    left = step

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        left -= event in _CHANGES or (event == "open" and bool(arguments[2] & _WRITES))
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def main(argv: Sequence[str]) -> None:
    """Do it until nothing cuts it off."""
    directory, place, into = Path(argv[0]), argv[1], Path(argv[2])
    for step in count(1):
        used = into / str(step)
        shutil.copytree(directory, used)
        child = os.fork()
        if not child:
            die_at(step)
            put_in_place(used / place, used)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return


if __name__ == "__main__":
    main(sys.argv[1:])

"""What holds for every LMDB file that is read beside its server, or when that is stopped.

LMDB maps the file: a page that is missing at its end is met as a signal, which no `except` catches. So its length is
looked at first.
"""

from pathlib import Path

import lmdb


def is_short(env: lmdb.Environment, data: Path) -> bool:
    """Whether the file ends before the last page that it has given out: it was cut off, or nothing uses those."""
    pages = env.info()["last_pgno"] + 1
    return data.stat().st_size < pages * env.stat()["psize"]

"""What holds for every LMDB file that is read beside its server, or when that is stopped.

1. LMDB maps the file: a page that is missing at its end is met as a signal, which no `except` catches. So its length
   is looked at first.
2. Who reads is noted in a file beside it, which the first one to open makes. It belongs to whom the data belongs, or
   root's look into a log would keep the server from it.
"""

import os
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE

import lmdb


def is_short(env: lmdb.Environment, data: Path) -> bool:
    """Whether the file ends before the last page that it has given out: it was cut off, or nothing uses those."""
    pages = env.info()["last_pgno"] + 1
    return data.stat().st_size < pages * env.stat()["psize"]


def make_table_of_readers(data: Path) -> None:
    """To be called before the file is opened to be read. Where nothing can be written, LMDB says what that means."""
    with suppress(OSError):
        like = data.stat()
        table = os.open(data.with_name("lock.mdb"), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for owner in ((-1, like.st_gid), (like.st_uid, -1)):
                with suppress(OSError):
                    os.fchown(table, *owner)
            os.fchmod(table, S_IMODE(like.st_mode))
        finally:
            os.close(table)

"""What a verb makes in a server's directory belongs to whom the directory belongs, also when root carries the verb out.

Only files of a log's directory are given, and only root's, so that no link of somebody else's has another one given.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR
from typing import Final

from kala_es.event_logs.postgres_place import Place

_OURS: Final = frozenset({"folds", "lock", "log", "opened", "snapshot.cbor", "snapshots"})


@contextmanager
def in_its_owners_name(directory: Place) -> Iterator[None]:
    """Write into a log's directory meanwhile. In a database all is the user's that is named there."""
    try:
        yield
    finally:
        if isinstance(directory, Path) and not os.geteuid() and directory.is_dir() and directory.stat().st_uid:
            _give(directory)


def _give(directory: Path) -> None:
    owner, top = directory.stat(), os.fspath(directory)
    for place, directories, files, descriptor in os.fwalk(top):
        if place == top:
            directories[:] = _OURS.intersection(directories)
            files = list(_OURS.intersection(files))
        for name in (*directories, *files):
            with suppress(OSError):  # a link, or gone
                _give_one(name, descriptor, owner)


def _give_one(name: str, directory: int, owner: os.stat_result) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        found = os.fstat(descriptor)
        if found.st_uid == 0 and (S_ISDIR(found.st_mode) or found.st_nlink == 1):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)

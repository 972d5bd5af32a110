"""The fold store read by another process than its server's, which may run meanwhile. Nothing is written."""

import os
from pathlib import Path
from typing import NoReturn

import lmdb

from kala_es.fold_store import FoldsError
from kala_es.fold_stores.lmdb import is_trusted, pairs
from kala_es.mapped import is_short, make_table_of_readers


class FoldsReader:
    """The port's `get`, `scan` and `close`; what would write raises FoldsError."""

    def __init__(self, env: lmdb.Environment) -> None:
        self._env = env

    def get(self, key: bytes) -> bytes | None:
        """The value, or None. Raises FoldsError."""
        try:
            with self._env.begin() as txn:
                return txn.get(key) if key else None
        except lmdb.Error as error:
            raise FoldsError(f"The folds cannot be read: {error}.") from error

    def scan(self, start: bytes, stop: bytes, *, limit: int, reverse: bool = False) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs with start <= key < stop. Raises FoldsError."""
        try:
            with self._env.begin() as txn, txn.cursor() as cursor:
                return pairs(cursor, (start, stop), limit=limit, reverse=reverse)
        except lmdb.Error as error:
            raise FoldsError(f"The folds cannot be read: {error}.") from error

    def write(self, changes: object) -> NoReturn:
        """Not here."""
        raise FoldsError("These folds are only read.")

    def clear(self) -> NoReturn:
        """Not here."""
        raise FoldsError("These folds are only read.")

    def close(self) -> None:
        """Let go of the store."""
        self._env.close()


def read_folds(directory: Path) -> FoldsReader | None:
    """The store of a log's directory; None when there is none that can be trusted."""
    folds = directory / "folds"
    if not is_trusted(folds):
        return None
    make_table_of_readers(folds / "data.mdb")
    try:
        env = lmdb.open(os.fsencode(folds), map_size=0, readonly=True, create=False)
    except (lmdb.Error, OSError):
        return None
    if is_short(env, folds / "data.mdb"):
        env.close()
        return None
    return FoldsReader(env)

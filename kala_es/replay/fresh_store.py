"""An empty fold store for a check, in a place that is removed afterwards.

Folds wait for room where there is none, which is right in a server. A check would compare what was never written: so it
ends, with the name of the directory that is full.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kala_es.event_log import LogError
from kala_es.fold_store import FoldsError, FoldStore
from kala_es.fold_stores.lmdb import open_folds


class _Impatient:
    """A store that ends the check when something cannot be written."""

    def __init__(self, store: FoldStore) -> None:
        self._store = store
        self.get = store.get
        self.scan = store.scan
        self.clear = store.clear
        self.close = store.close

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put each pair. Raises LogError."""
        try:
            self._store.write(changes)
        except FoldsError as error:
            raise _refusal(error) from error


@contextmanager
def fresh_store() -> Iterator[FoldStore]:
    """Made in the directory for temporary files (TMPDIR). Raises LogError when there is no room."""
    with tempfile.TemporaryDirectory(prefix="kala-es-") as place:
        try:
            store = open_folds(Path(place))
        except FoldsError as error:
            raise _refusal(error) from error
        try:
            yield _Impatient(store)
        finally:
            store.close()


def _refusal(error: FoldsError) -> LogError:
    return LogError(
        f"The log cannot be checked, for want of room in {tempfile.gettempdir()}, where TMPDIR says: {error}"
    )

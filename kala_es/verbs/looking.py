"""What verbs share that look into a log: how it is opened, and what happens when nobody reads on."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from kala_es.event_logs.lmdb_reader import LogReader
from kala_es.fold_stores.lmdb_reader import read_folds
from kala_es.settings import Settings

USUAL_DATA: Final = Settings().data
"""The directory, if none is named."""


@contextmanager
def log_in(directory: Path) -> Iterator[LogReader]:
    """The log in a directory, beside its server or without it. Raises LogError, FoldsError."""
    with ExitStack() as opened:
        index = read_folds(directory)
        if index is not None:
            opened.enter_context(closing(index))
        yield opened.enter_context(closing(LogReader(directory, index)))


def nobody_reads() -> None:
    """Let what is printed from now on, and is flushed at the end, go nowhere: who read it, such as `head`, has left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

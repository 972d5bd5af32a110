"""Keeps the garbage collector's pauses short, however many jobs there are.

A full collection looks at every object that it watches: with 100,000 jobs that is half a second in which nothing
else happens. Jobs form no cycles, so what has just survived a collection that took long is taken out of its sight
(`gc.freeze`); reference counts still free it. That is rare, so cyclic garbage that is frozen by it stays little.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_THRESHOLDS: Final = (20_000, 10, 10)
_LONG_SECONDS: Final = 0.015


@contextmanager
def short_pauses() -> Iterator[None]:
    """Freeze what is there now, and from now on what survives a long collection."""
    thresholds = gc.get_threshold()
    began = 0.0

    def watch(phase: str, info: dict[str, Any]) -> None:
        nonlocal began
        if info["generation"] < 2:
            return
        if phase == "start":
            began = time.perf_counter()
        elif time.perf_counter() - began > _LONG_SECONDS:
            gc.freeze()

    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.callbacks.append(watch)
    try:
        yield
    finally:
        gc.callbacks.remove(watch)
        gc.set_threshold(*thresholds)
        gc.unfreeze()

"""How far long work is, on stderr: a bar that is rewritten in place on a terminal, elsewhere a line now and then.

Work that takes less than `SHORT_SECONDS` says nothing. Nor does work `beside` which its results are printed, when they
are printed on a terminal: they show how far it is.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from stat import S_ISREG
from typing import IO, Final, Self

from kala_es.archive import Source

SHORT_SECONDS: Final = 1.0
BAR_SECONDS: Final = 0.2
LINE_SECONDS: Final = 5.0
_SAMPLES: Final = 25
"""The rate is that of so many times that it was shown."""
_BAR: Final = 20
_WIDTH: Final = 80
_LONGEST: Final = 10_000_000
"""More seconds than these are left only while nothing is known of the rate."""
_CLEAR: Final = "\r\x1b[K"
Unit = Callable[[float], str]
"""How an amount is written."""


def positions(amount: float) -> str:
    """Positions of a log."""
    return f"{amount:,.0f} positions"


def size(amount: float) -> str:
    """Bytes."""
    return f"{amount / (1 << 20):,.1f} MiB"


def days(amount: float) -> str:
    """Days, of microseconds of simulated time."""
    return f"{amount / 86_400e6:,.1f} days"


class Progress:
    """Of one piece of work, which calls it (replay/telling.py). Leaving its context takes the bar away."""

    def __init__(self, unit: Unit = positions, *, beside: bool = False) -> None:
        self._unit = unit
        self._is_shown = not (beside and sys.stdout.isatty())
        self._is_terminal = sys.stderr.isatty()
        self._every = BAR_SECONDS if self._is_terminal else LINE_SECONDS
        self._due = time.monotonic() + max(SHORT_SECONDS, self._every)
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._done = 0
        self._has_bar = False

    def __call__(self, done: int, total: int) -> None:
        """So much is done, of so much; a total of 0 is not known."""
        now = time.monotonic()
        if done < self._done or not self._samples:
            self._samples.clear()
            self._samples.append((now, done))
        self._done = done
        if now >= self._due and self._is_shown:
            self._due = now + self._every
            self._show(now, total)
            self._samples.append((now, done))

    def _show(self, now: float, total: int) -> None:
        then, before = self._samples[0]
        line = self._line(total, (self._done - before) / max(now - then, 1e-6))
        if self._is_terminal:
            print(f"{_CLEAR}{line[: _columns() - 1]}", end="", file=sys.stderr, flush=True)
            self._has_bar = True
        else:
            print(line, file=sys.stderr, flush=True)

    def _line(self, total: int, rate: float) -> str:
        said = f"{self._unit(rate)} a second"
        if not total:
            return f"kala-es: {self._unit(self._done)}, {said}"
        part = min(self._done / total, 1.0)
        bar, whole = f"[{'#' * int(part * _BAR):-<{_BAR}}] {part:.0%}", f"{part:.0%} of {self._unit(total)}"
        left = max(total - self._done, 0) / max(rate, 1e-6)
        until = f"{timedelta(seconds=round(left))} left, " if left < _LONGEST else ""
        return f"kala-es: {bar if self._is_terminal else whole}, {until}{said}"

    def of(self, file: Source, total: int) -> "Counted":
        """A file of so many bytes, whose reading is the work."""
        return Counted(file, total, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_bar:
            print(_CLEAR, end="", file=sys.stderr, flush=True)


class Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: Source, total: int, progress: Progress) -> None:
        self._file = file
        self._total = total
        self._progress = progress
        self._done = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        content = self._file.read(size)
        self._done += len(content)
        self._progress(self._done, self._total)
        return content


def bytes_of(file: IO[bytes]) -> int:
    """How many bytes a file has; 0 when that is not known, as of a pipe."""
    found = os.fstat(file.fileno())
    return found.st_size if S_ISREG(found.st_mode) else 0


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _WIDTH
    except (OSError, ValueError):
        return _WIDTH

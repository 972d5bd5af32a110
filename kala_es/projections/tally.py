"""Counts by the day or hour (UTC): the newest ones in which there was anything, and no more than so many."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from kala_es.domain.ids import Instant
from kala_es.domain.values import Value, from_plain

Counts = TypeVar("Counts", bound=Value)


class Tally(Generic[Counts]):
    """A stretch is its number, 0 being the first of 1970; it is `micros` long. `row` has what is counted, by name."""

    def __init__(self, row: type[Counts], *, micros: int, most: int) -> None:
        self._row = row
        self._micros = micros
        self._most = most
        self._counts: dict[int, dict[str, int]] = {}

    def number(self, instant: Instant) -> int:
        """The stretch of a moment."""
        return instant // self._micros

    def count(self, at: Instant, how: str, many: int = 1) -> None:
        """Count something."""
        counts = self._counts.setdefault(self.number(at), {})
        counts[how] = counts.get(how, 0) + many
        if len(self._counts) > self._most:
            del self._counts[min(self._counts)]

    def rows(self, first: int, count: int) -> list[tuple[int, Counts]]:
        """So many stretches from one on, each with its number."""
        return [(number, self._of(self._counts.get(number, {}))) for number in range(first, first + count)]

    def dump(self) -> dict[int, dict[str, int]]:
        """All of it as plain values."""
        return {number: dict(counts) for number, counts in sorted(self._counts.items())}

    def load(self, plain: Mapping[Any, Mapping[str, int]]) -> None:
        """Take over what `dump` gave. Raises ValueError or TypeError, and is as before, when it is something else."""
        read = {int(number): dict(counts) for number, counts in plain.items()}
        for counts in read.values():
            self._of(counts)
        self._counts = read

    def _of(self, counts: Mapping[str, int]) -> Counts:
        return from_plain(self._row, {how.replace("-", "_"): count for how, count in counts.items()})

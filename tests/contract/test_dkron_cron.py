"""Every schedule whose ticks were recorded from Dkron's parser (2.2.1), read by ours.

`EXCEPTIONS` says where ours answers otherwise, and why.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from kala_es.domain.cron import is_cron, parse_cron
from kala_es.domain.errors import Invalid
from tests.domain.moments import at, walk

NO_TIME: Final = "0001-01-01T00:00:00Z"
"""How the original says that nothing follows."""
ONCE = "a fixed time that a clock shows twice is due once; the original runs it twice"
FIVE = "plain cron expressions of five fields are taken too"
MINUTELY = "documented by the original, which takes it from 3.1.7 on"


@dataclass(frozen=True, kw_only=True)
class Row:
    """An expression, and what the original made of it after `start`: an error, or ticks and whether they end."""

    text: str
    start: str
    failed: bool
    ticks: list[str]
    ended: bool


def load() -> list[Row]:
    rows = []
    for line in Path(__file__).with_name("dkron-cron.jsonl").read_text().splitlines():
        said = json.loads(line)
        moments = said.get("Next") or []
        rows.append(
            Row(
                text=said["Spec"],
                start=said["From"],
                failed="Err" in said,
                ticks=[moment for moment in moments if moment != NO_TIME],
                ended=NO_TIME in moments,
            )
        )
    return rows


ROWS: Final = load()
EXCEPTIONS: Final = {
    ("CRON_TZ=America/New_York 0 30 1 * * *", "2018-11-03T20:00:00Z"): ONCE,
    ("TZ=Europe/Berlin 0 30 2 * * *", "2024-10-27T00:10:00Z"): ONCE,
    ("* * * * *", "2024-01-31T23:59:58Z"): FIVE,
    ("@minutely", "2024-01-31T23:59:58Z"): MINUTELY,
}


def agrees(row: Row) -> bool:
    """Whether ours says the same of an expression."""
    start = at(row.start)
    try:
        schedule = parse_cron(row.text, "", start)
    except Invalid:
        return row.failed
    ours = walk(schedule, start, 6)
    return not row.failed and ours == [at(tick) for tick in row.ticks] and row.ended == (len(ours) < 6)


def test_all_rows_are_there() -> None:
    assert len(ROWS) == 211
    assert {(row.text, row.start) for row in ROWS} >= set(EXCEPTIONS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.text} after {row.start}")
def test_a_recorded_expression_has_the_recorded_ticks(row: Row) -> None:
    assert is_cron(row.text)
    assert agrees(row) != ((row.text, row.start) in EXCEPTIONS)


def test_a_time_that_comes_twice_is_the_recorded_list_without_its_second() -> None:
    for row in ROWS:
        if EXCEPTIONS.get((row.text, row.start)) == ONCE:
            start, recorded = at(row.start), [at(tick) for tick in row.ticks]
            assert walk(parse_cron(row.text, "", start), start, 5) == [recorded[0], *recorded[2:]]

"""Ticks and runs by day and week, in a zone: what ended in each hour, and what is due in those to come.

1. What ended is counted by the hours of UTC; each is shown where it begins by the zone's clock, so nothing is split.
2. What comes is counted by each job's schedule. Where there are too many of them it is walked tick by tick, and at most
   so many; beyond that an hour is not known, and says so.
3. A day lists the runs that ended last of all, as far back as they are remembered; of one job all of them.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.domain.iso8601 import zone_named
from kala_es.domain.tick_list import TickOutcome
from kala_es.projections.folds import Folds
from kala_es.projections.recent import HOUR, Hour, hour_of
from kala_es.projections.runs import RunSummary
from kala_es.web.exchange import Request, Response
from kala_es.web.pages.coming import Range, coming_ticks, due_by_hour
from kala_es.web.pages.now import name_of
from kala_es.web.pages.pulse import columns
from kala_es.web.pages.words import short
from kala_es.web.parameters import choice
from kala_es.web.site import Site

MOST_TICKS: Final = 4_000
"""So many are walked; and schedules are looked at so many times before."""
MOST_RUNS: Final = 1_000
AN_HOUR: Final = 12
"""So many entries of an hour are listed; the others are counted."""
_LEVELS: Final = (1, 10, 60, 300)
VIEWS: Final = ("week", "day")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A run that ended or runs, a tick that started nothing, or one to come. `how` is its word and colour."""

    at: Instant
    job: JobId
    name: str
    how: str
    run: str = ""
    about: str = ""


@dataclass(slots=True, kw_only=True)
class Cell:
    """An hour of the calendar: what ended in it, what is due in it, and the first of these. It begins at `at`."""

    at: Instant
    label: str
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    due: int = 0
    known: bool = True
    is_now: bool = False
    entries: list[Entry] = field(default_factory=list)
    more: int = 0

    @property
    def ended(self) -> int:
        """How many runs ended."""
        return self.succeeded + self.failed

    @property
    def level(self) -> int:
        """How busy it is, 0 to 4."""
        return sum(self.ended + self.due >= least for least in _LEVELS)

    def add(self, entry: Entry) -> None:
        """List an entry, or count it."""
        if len(self.entries) < AN_HOUR:
            self.entries.append(entry)
        else:
            self.more += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be shown: so many days from one on, by a zone's clock; of one job, or of all.

    `unknown` is the name of a zone that was asked for, and is none here."""

    view: str
    first: date
    zone: ZoneInfo
    unknown: str
    job: JobId | None

    @property
    def days(self) -> list[date]:
        """The days."""
        return [self.first + timedelta(days=i) for i in range(7 if self.view == "week" else 1)]

    @property
    def within(self) -> tuple[Instant, Instant]:
        """From the first moment, inclusive, to the last, exclusive."""
        return _midnight(self.first, self.zone), _midnight(self.days[-1] + timedelta(days=1), self.zone)

    def turned(self, steps: int) -> date:
        """The first day of what comes so many steps after."""
        return self.first + timedelta(days=steps * len(self.days))


async def show_calendar(request: Request, site: Site) -> Response:
    """GET /webui/calendar/."""
    now = site.scheduler.clock.now()
    asked = _asked(request, now)
    cells = await _cells(site, asked, now)
    values = {
        "here": "calendar",
        "asked": asked,
        "zone_given": "zone" in request.query,
        "today": _local(now, asked.zone).date(),
        "cells": cells,
        "rows": _rows(cells, asked),
        "job": site.scheduler.job(asked.job) if asked.job is not None else None,
        "now": now,
        "most_ticks": MOST_TICKS,
        "is_cut": any(not cell.known for cell in cells.values()),
    }
    return site.pages.render("calendar.html", values)


def _asked(request: Request, now: Instant) -> Asked:
    view = choice(request, "view", VIEWS) or "week"
    zone, unknown = _zone(request.query.get("zone", ""))
    text = request.query.get("date", "")
    try:
        day = date.fromisoformat(text) if text else _local(now, zone).date()
    except ValueError:
        raise Invalid("date", f"{text[:40]!r} is no date, as 2026-12-31 is one") from None
    if not 1971 <= day.year <= 9000:
        raise Invalid("date", "is too far away")
    first = day - timedelta(days=day.weekday()) if view == "week" else day
    job = request.query.get("job", "").strip()
    return Asked(view=view, first=first, zone=zone, unknown=unknown, job=JobId(job) if job else None)


def _zone(name: str) -> tuple[ZoneInfo, str]:
    """The zone, or UTC and the name of what is none here: a browser may know others."""
    try:
        return zone_named(name or "UTC"), ""
    except Invalid:
        return zone_named("UTC"), short(name)


async def _cells(site: Site, asked: Asked, now: Instant) -> dict[int, Cell]:
    """All hours of the days, by their number."""
    folds, (first, last) = site.scheduler.folds, asked.within
    numbers = range(hour_of(Instant(first + HOUR - 1)), hour_of(Instant(last - 1)) + 1)
    first, last = Instant(numbers.start * HOUR), Instant(numbers.stop * HOUR)
    cells = {number: _cell(number, asked.zone, now) for number in numbers}
    if asked.job is None:
        for number, hour in folds.recent.hours(numbers.start, len(numbers)):
            _count(cells[number], hour)
        _list(cells, _last_runs(folds))
    else:
        runs = list(folds.runs.of_job(asked.job, limit=MOST_RUNS, newest_first=True))[::-1]
        _list(cells, [_of_run(folds, run) for run in runs], counted=True)
        ticks = await site.scheduler.ticks(asked.job, within=(first, min(last, now)), most=MOST_TICKS)
        _list(cells, _without_run(folds, asked.job, ticks), counted=True)
    _come(cells, folds, asked=asked, within=(max(first, now), last))
    for cell in cells.values():
        cell.entries.sort(key=lambda entry: entry.at)
    return cells


def _cell(number: int, zone: ZoneInfo, now: Instant) -> Cell:
    at = Instant(number * HOUR)
    return Cell(at=at, label=f"{_local(at, zone):%H:%M}", is_now=number == hour_of(now))


def _count(cell: Cell, hour: Hour) -> None:
    cell.succeeded, cell.failed, cell.skipped = columns(hour)


def _last_runs(folds: Folds) -> list[Entry]:
    """The runs that ended last, oldest first."""
    found = (folds.runs.get(run) for run in folds.recent.ended)
    return [_of_run(folds, run) for run in found if run is not None]


def _of_run(folds: Folds, run: RunSummary) -> Entry:
    at = run.started if run.ended is None else run.ended
    about = short(run.reason) or ("" if run.cause == "schedule" else run.cause)
    how = run.outcome or "running"
    return Entry(at=at, job=run.job, name=name_of(folds, run.job), how=how, run=run.id, about=about)


def _without_run(folds: Folds, job: JobId, ticks: Iterable[TickOutcome]) -> list[Entry]:
    """The ticks that started nothing."""
    name = name_of(folds, job)
    return [
        Entry(at=tick.tick, job=job, name=name, how=tick.outcome, about=tick.reason)
        for tick in ticks
        if tick.outcome in ("skipped", "missed")
    ]


def _list(cells: dict[int, Cell], entries: Iterable[Entry], *, counted: bool = False) -> None:
    """Put entries into their hours; `counted`: they are counted there, too."""
    for entry in entries:
        cell = cells.get(hour_of(entry.at))
        if cell is None:
            continue
        cell.add(entry)
        if counted and entry.how != "running":
            cell.succeeded += entry.how == "succeeded"
            cell.skipped += entry.how in ("skipped", "missed", "cancelled")
            cell.failed += entry.how in ("failed", "timed-out", "lost")


def _come(cells: dict[int, Cell], folds: Folds, *, asked: Asked, within: Range) -> None:
    """Count what comes, and list it where the view lists anything."""
    counts = due_by_hour(folds, within, most=MOST_TICKS, job=asked.job)
    ticks = coming_ticks(folds, within, most=MOST_TICKS, job=asked.job) if counts is None or asked.view == "day" else []
    for tick in ticks:
        how = "paused" if tick.paused else "due"
        cells[hour_of(tick.due)].add(Entry(at=tick.due, job=tick.job.id, name=short(tick.job.spec.name), how=how))
    if counts is None:
        counts = Counter(hour_of(tick.due) for tick in ticks)
        for number, cell in cells.items():
            cell.known = len(ticks) < MOST_TICKS or number <= hour_of(ticks[-1].due)
    for number, count in counts.items():
        cells[number].due = count


def _rows(cells: dict[int, Cell], asked: Asked) -> list[tuple[str, list[list[Cell]]]]:
    """The hours of a day, each with its cells by day: two where a clock is put back, none where it goes forward."""
    placed: dict[str, dict[date, list[Cell]]] = {}
    for cell in cells.values():
        local = _local(cell.at, asked.zone)
        placed.setdefault(f"{local:%H:%M}", {}).setdefault(local.date(), []).append(cell)
    return [(label, [placed[label].get(day, []) for day in asked.days]) for label in sorted(placed)]


def _local(at: Instant, zone: ZoneInfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at // SECOND)).astimezone(zone)


def _midnight(day: date, zone: ZoneInfo) -> Instant:
    return Instant(int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * SECOND)

"""What Dkron says of its own work: how the runs of each day ended, and Go's expvar of its process.

There every execution that did not succeed has failed, whatever the reason; here so has every such run.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final, Protocol

_EPOCH: Final = date(1970, 1, 1).toordinal()


class _DayView(Protocol):
    """How many runs ended on a day, by outcome (projections/days.py)."""

    @property
    def succeeded(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def timed_out(self) -> int: ...
    @property
    def cancelled(self) -> int: ...
    @property
    def lost(self) -> int: ...


def stats_fields(days: Sequence[tuple[int, _DayView]]) -> dict[str, Any]:
    """How the runs of each day ended. A day is its number, 0 being 1970-01-01."""
    return {"stats": [_day(number, day) for number, day in days]}


def _day(number: int, day: _DayView) -> dict[str, Any]:
    return {
        "date": date.fromordinal(_EPOCH + number).isoformat(),
        "success_count": day.succeeded,
        "failed_count": day.failed + day.timed_out + day.cancelled + day.lost,
    }


def vars_fields(
    *, node: str, command_line: Sequence[str], keeps_time: bool, entries: int, resident_bytes: int, collections: int
) -> dict[str, Any]:
    """Those of expvar's keys that have a meaning here. `entries` are the jobs that have a tick to come; of Go's memory
    there is what the process has resident, and how often garbage was collected."""
    return {
        "cmdline": command_line,
        "cron_entries": entries,
        "memstats": {"Alloc": resident_bytes, "Sys": resident_bytes, "NumGC": collections},
        "node": node,
        "scheduler_started": int(keeps_time),
    }

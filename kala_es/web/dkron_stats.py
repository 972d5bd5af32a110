"""Dkron's routes about the server's own work: how the runs of each day ended, and Go's expvar."""

import gc
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kala_es import setting_values as values
from kala_es import settings
from kala_es.dialects import dkron_stats
from kala_es.web.dkron_replies import PRETTY, answer, refuse_as_dkron
from kala_es.web.exchange import Request, Response
from kala_es.web.parameters import whole
from kala_es.web.replies import WRONG
from kala_es.web.site import Site
from kala_es.web.table import Parameter, Reply, Row

_USUAL_DAYS: Final = 30
_MOST_DAYS: Final = 365
_HARMLESS: Final = (
    values.read_port,
    values.read_seconds,
    values.read_minutes,
    values.read_number,
    values.read_bytes,
    values.read_flag,
    values.read_not,
    values.read_hosts,
    values.read_on_stop,
    values.read_path,
    values.read_some_path,
)
"""What is read by one of these is no secret. A text or a URL may hold one."""


async def get_v1_stats(request: Request, site: Site) -> Response:
    """GET /v1/stats."""
    days = whole(request, "days", (1, _MOST_DAYS)) or _USUAL_DAYS
    scheduler = site.scheduler
    counted = scheduler.folds.days.until(scheduler.clock.now(), days)
    return answer(request, dkron_stats.stats_fields(counted))


async def get_debug_vars(request: Request, site: Site) -> Response:
    """GET /debug/vars."""
    scheduler = site.scheduler
    fields = dkron_stats.vars_fields(
        node=site.edge.node,
        command_line=shown(sys.argv),
        keeps_time=scheduler.meters.keeps_time(),
        entries=scheduler.folds.stats.scheduled_jobs,
        resident_bytes=_resident_bytes(),
        collections=sum(generation["collections"] for generation in gc.get_stats()),
    )
    return answer(request, fields)


def shown(argv: Sequence[str]) -> list[str]:
    """A command line as everybody may see it: what a flag's text says is left out."""
    harmless = {flag for setting in settings.SETTINGS if setting.read in _HARMLESS for flag in setting.flags}
    line: list[str] = []
    hidden = False
    for word in argv:
        flag, given, _ = word.partition("=")
        if word.startswith("-"):
            hidden = flag not in harmless
            line.append(f"{flag}=..." if hidden and given else word)
        else:
            line.append("..." if hidden else word)
            hidden = False
    return line


def _resident_bytes() -> int:
    """What of this process is in memory, its mapped files too."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


ROWS: Final = (
    Row(
        method="GET",
        pattern="/v1/stats",
        handler=get_v1_stats,
        summary="Read how the runs of each day ended, as Dkron tells it",
        parameters=(
            Parameter(
                name="days",
                kind="integer",
                about=f"So many days, 1 to {_MOST_DAYS}, today the last; {_USUAL_DAYS} if not given.",
            ),
            PRETTY,
        ),
        replies=(Reply(status=200, about="The days, oldest first, in UTC.", schema="DayStats"), WRONG),
        refuse=refuse_as_dkron,
    ),
    Row(
        method="GET",
        pattern="/debug/vars",
        handler=get_debug_vars,
        summary="Read some figures of the process under the names of Go's expvar",
        parameters=(PRETTY,),
        replies=(Reply(status=200, about="The figures.", schema="DebugVars"),),
    ),
)

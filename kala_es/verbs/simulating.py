"""`kala-es replay simulate`: the ticks that would come, of a log's jobs or of those that files declare."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant
from kala_es.domain.model import Job
from kala_es.domain.tick_policy import Pause
from kala_es.event_log import LogError
from kala_es.event_logs.postgres_place import Place
from kala_es.fold_store import FoldsError
from kala_es.replay.telling import Tell
from kala_es.verbs.asking import Failed
from kala_es.verbs.looking import USUAL_DATA, Look, add_place, log_in
from kala_es.verbs.progress import Progress, days

if TYPE_CHECKING:
    from kala_es.replay.simulation import Coming, Range

_FAILED: Final = 1
_TICKS_AT_A_TIME: Final = 1_000


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "simulate",
        help="list the ticks that would come, as JSON lines; nothing is run",
        description="Runs take no time here: overlap, retries, children and what is made up later are left out.",
    )
    parser.set_defaults(verb=_simulate)
    parser.add_argument("--from", dest="since", required=True, metavar="TIME", help="RFC 3339, inclusive")
    parser.add_argument("--until", required=True, metavar="TIME", help="RFC 3339, exclusive")
    whose = parser.add_mutually_exclusive_group()
    add_place(whose, "a server's directory; the server may run")
    whose.add_argument(
        "--with", dest="files", type=Path, action="append", metavar="PATH", help="jobs as `apply` takes them, instead"
    )


def _simulate(arguments: argparse.Namespace) -> int:
    from kala_es.replay import simulation
    from kala_es.replay.moments import NotKnown

    try:
        within = (_moment(arguments.since, "--from"), _moment(arguments.until, "--until"))
        if within[1] < within[0]:
            raise Invalid("--until", "must not come before --from")
        jobs, pause = _declared(arguments.files, within[0]) if arguments.files else _kept(arguments.place)
        with Progress(days, beside=True) as progress:
            ticks = _told(simulation.coming(jobs, within, pause), within, progress)
            _print(map(simulation.line, ticks))
    except Invalid as error:
        print(f"kala-es: {error.field}: {error.reason}", file=sys.stderr)
        return _FAILED
    except (LogError, FoldsError, NotKnown, Failed, OSError) as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return _FAILED
    return 0


def _told(ticks: "Iterator[Coming]", within: "Range", tell: Tell) -> "Iterator[Coming]":
    """The ticks; how far they are is told in simulated time."""
    for tick in ticks:
        tell(tick.due - within[0], within[1] - within[0])
        yield tick


def _moment(text: str, flag: str) -> Instant:
    from kala_es.dialects.kala_ticks import parse_moment

    return parse_moment(text, flag)


def _kept(place: Place | None) -> tuple[list[Job], Pause | None]:
    """The jobs that a log has at its end, and the server's pause."""
    place = place or USUAL_DATA
    with log_in(place) as log, Progress() as progress:
        folds = Look(log, place, progress).replay(None).folds
    return list(folds.jobs.after("")), folds.server_pause


def _declared(paths: list[Path], start: Instant) -> tuple[list[Job], None]:
    """The jobs that files declare, as if they were created at `start`. Raises Failed, Invalid."""
    from kala_es.dialects.go_json import dumps
    from kala_es.dialects.kala_declared import parse_apply
    from kala_es.replay.simulation import as_new
    from kala_es.verbs.job_files import read_all, told

    files, faults = read_all(paths)
    if not faults:
        declaration = parse_apply(dumps({"jobs": files.jobs}))
        faults = [files.fault(refused.job, refused.field, refused.reason) for refused in declaration.refused]
    if faults:
        raise Failed(told(faults))
    return [as_new(draft, start) for draft in declaration.jobs], None


def _print(lines: Iterable[bytes]) -> None:
    """Write the lines as they come."""
    each: Iterator[bytes] = iter(lines)
    while some := b"".join(islice(each, _TICKS_AT_A_TIME)):
        sys.stdout.buffer.write(some)

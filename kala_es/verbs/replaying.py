"""`kala-es replay`: look into a log, also beside the server that writes it. Nothing is written."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from kala_es.dialects.kala_ticks import parse_moment
from kala_es.domain.errors import Invalid
from kala_es.event_log import LogError
from kala_es.event_logs.lmdb_reader import LogReader
from kala_es.fold_store import FoldsError
from kala_es.replay import listing, views
from kala_es.replay.difference import difference
from kala_es.replay.moments import Moment, NotKnown, Replay
from kala_es.verbs import restoring, simulating, verifying
from kala_es.verbs.looking import USUAL_DATA, log_in, nobody_reads

_FAILED: Final = 1
_FOLLOW_SECONDS: Final = 0.25
_TELL_EVERY_SECONDS: Final = 1.0
_TELL_PLAINLY_SECONDS: Final = 10.0
_VIEWS: Final = ("jobs", "job", "run", "stats", "busy")


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser("replay", help="look into a log: its events, a moment of the past, what changed")
    looks = parser.add_subparsers(metavar="LOOK", required=True)
    events = _look(looks, "events", _events, about="the log's records, as JSON lines")
    events.add_argument("--job", metavar="ID", help="only of this job")
    events.add_argument("--type", metavar="EVENT", help="only events of this type, such as RunStarted")
    events.add_argument("--since", type=_moment, metavar="MOMENT", help="only what was recorded after it")
    events.add_argument("--after", type=_position, default=0, metavar="POSITION", help="only what stands after it")
    end = events.add_mutually_exclusive_group()
    end.add_argument("--until", type=_moment, metavar="MOMENT", help="only what was recorded up to it")
    end.add_argument("--follow", action="store_true", help="go on with what is recorded from now on")
    events.add_argument("--output", choices=("text", "base64", "none"), default="text", help="how output is shown")
    show = _look(looks, "show", _show, about="what was known at a moment, as JSON")
    show.add_argument("--at", type=_moment, metavar="MOMENT", help="a time or a position; else the log's end")
    show.add_argument("what", choices=_VIEWS, metavar="WHAT", help=" | ".join(_VIEWS))
    show.add_argument("id", nargs="?", metavar="ID", help="of the job or run")
    diff = _look(looks, "diff", _diff, about="what changed in the jobs between two moments, as JSON lines")
    diff.add_argument("--from", dest="since", type=_moment, required=True, metavar="MOMENT", help="a time or position")
    diff.add_argument("--to", dest="until", type=_moment, metavar="MOMENT", help="another; else the log's end")
    for look in (simulating, verifying, restoring):
        look.add(looks)


def _look(
    looks: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, look: Callable[..., int], *, about: str
) -> argparse.ArgumentParser:
    parser = looks.add_parser(name, help=about)
    parser.set_defaults(verb=_with_log, look=look)
    parser.add_argument("--data", type=Path, default=USUAL_DATA, metavar="DIR", help="the server's directory")
    return parser


def _moment(text: str) -> Moment:
    if text.isdecimal():
        return Moment(position=int(text))
    try:
        return Moment(time=parse_moment(text, "moment"))
    except Invalid as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a position nor a time: {error.reason}") from None


def _position(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no position of the log")
    return int(text)


def _with_log(arguments: argparse.Namespace) -> int:
    try:
        with log_in(arguments.data) as reader:
            code: int = arguments.look(arguments, reader)
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        nobody_reads()
        return 0
    except (LogError, FoldsError, NotKnown, OSError) as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return 0


def _events(arguments: argparse.Namespace, reader: LogReader) -> int:
    wanted = listing.Wanted(
        job=arguments.job,
        type=arguments.type,
        after=arguments.since,
        until=arguments.until,
        output=arguments.output,
    )
    last = max(arguments.after, (arguments.since and arguments.since.position) or 0)
    while True:
        for position, found in listing.records(reader, wanted, last):
            last = position
            if found is not None:
                print(listing.line(found), flush=arguments.follow)
        if not arguments.follow:
            return 0
        time.sleep(_FOLLOW_SECONDS)


def _show(arguments: argparse.Namespace, reader: LogReader) -> int:
    moment = arguments.at or Moment(position=reader.head)
    if (arguments.what in ("job", "run")) != (arguments.id is not None):
        print("kala-es: `show job` and `show run` take an ID, the others do not", file=sys.stderr)
        return 2
    if arguments.what == "run":
        _print(views.run(reader, arguments.id, moment))
        return 0
    replay = Replay(reader, moment, arguments.data / "snapshots")
    _go(replay, reader.head)
    match arguments.what:
        case "job":
            _print(views.job(replay.folds, arguments.id))
        case "jobs":
            _print(views.jobs(replay.folds))
        case "stats":
            _print(views.stats(replay.folds))
        case _:
            _print(views.busy(replay.folds))
    return 0


def _diff(arguments: argparse.Namespace, reader: LogReader) -> int:
    replay = Replay(reader, arguments.since, arguments.data / "snapshots")
    _go(replay, reader.head)
    until = arguments.until or Moment(position=reader.head)
    for change in difference(replay, until):
        print(listing.line(change))
    return 0


def _print(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _go(replay: Replay, head: int) -> None:
    """Take all steps of a replay. Long work is told of on stderr: in place on a terminal, else a line now and then."""
    is_terminal = sys.stderr.isatty()
    every = _TELL_EVERY_SECONDS if is_terminal else _TELL_PLAINLY_SECONDS
    begun = last = time.monotonic()
    for position in replay.steps():
        now = time.monotonic()
        if now - last < every:
            continue
        last, rate = now, max(1.0, (position - replay.begun_at) / (now - begun))
        line = (
            f"kala-es: position {position} of {head}, {rate:,.0f} a second, {(head - position) / rate:.0f} s to its end"
        )
        print(f"\r\x1b[K{line}" if is_terminal else line, end="" if is_terminal else "\n", file=sys.stderr, flush=True)
    if is_terminal and last > begun:
        print("\r\x1b[K", end="", file=sys.stderr)

"""`kala-es replay`: look into a log, also beside the server that writes it. Nothing is written."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from kala_es.event_log import LogAway, LogError
from kala_es.fold_store import FoldsError
from kala_es.replay import listing, views
from kala_es.replay.difference import difference
from kala_es.replay.moments import NotKnown
from kala_es.verbs import restoring, simulating, verifying
from kala_es.verbs.looking import USUAL_DATA, Look, Reader, add_place, as_position, as_text, log_in, moment
from kala_es.verbs.progress import Progress

_FAILED: Final = 1
_FOLLOW_SECONDS: Final = 0.25
_ALL: Final = (1 << 63) - 1
_VIEWS: Final = ("jobs", "job", "run", "stats", "busy")


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser("replay", help="look into a log: its events, a moment of the past, what changed")
    looks = parser.add_subparsers(metavar="LOOK", required=True)
    events = _look(looks, "events", _events, about="the log's records, as JSON lines")
    events.add_argument("--job", type=as_text, metavar="ID", help="only of this job")
    events.add_argument("--type", type=as_text, metavar="EVENT", help="only events of this type, such as RunStarted")
    events.add_argument("--since", type=moment, metavar="MOMENT", help="only what was recorded after it")
    events.add_argument("--after", type=as_position, default=0, metavar="POSITION", help="only what stands after it")
    end = events.add_mutually_exclusive_group()
    end.add_argument("--until", type=moment, metavar="MOMENT", help="only what was recorded up to it")
    end.add_argument("--follow", action="store_true", help="go on with what is recorded from now on")
    events.add_argument("--output", choices=("text", "base64", "none"), default="text", help="how output is shown")
    show = _look(looks, "show", _show, about="what was known at a moment, as JSON")
    show.add_argument("--at", type=moment, metavar="MOMENT", help="a time or a position; else the log's end")
    show.add_argument("what", choices=_VIEWS, metavar="WHAT", help=" | ".join(_VIEWS))
    show.add_argument("id", nargs="?", type=as_text, metavar="ID", help="of the job or run")
    diff = _look(looks, "diff", _diff, about="what changed in the jobs between two moments, as JSON lines")
    diff.add_argument("--from", dest="since", type=moment, required=True, metavar="MOMENT", help="a time or position")
    diff.add_argument("--to", dest="until", type=moment, metavar="MOMENT", help="another; else the log's end")
    for look in (simulating, verifying, restoring):
        look.add(looks)


def _look(
    looks: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, look: Callable[..., int], *, about: str
) -> argparse.ArgumentParser:
    parser = looks.add_parser(name, help=about)
    parser.set_defaults(verb=_with_log, look=look)
    add_place(parser.add_mutually_exclusive_group(), "the server's directory", default=USUAL_DATA)
    return parser


def _with_log(arguments: argparse.Namespace) -> int:
    try:
        with log_in(arguments.place) as reader:
            code: int = arguments.look(arguments, reader)
            return code
    except (LogError, FoldsError, NotKnown, OSError) as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return _FAILED


def _events(arguments: argparse.Namespace, reader: Reader) -> int:
    wanted = listing.Wanted(job=arguments.job, type=arguments.type, output=arguments.output)
    with Progress(beside=True) as progress:
        look = Look(reader, arguments.place, progress)
        after = max(arguments.after, look.position_of(arguments.since) if arguments.since else 0)
        if not arguments.follow:
            until = look.position_of(arguments.until) if arguments.until else look.head
            for last, found in listing.records(reader, wanted, (after, until)):
                progress(last, until)
                if found is not None:
                    print(listing.line(found))
    if arguments.follow:
        _follow(reader, wanted, after)
    return 0


def _follow(reader: Reader, wanted: listing.Wanted, last: int) -> NoReturn:
    is_away = False
    while True:
        try:
            for position, found in listing.records(reader, wanted, (last, _ALL)):
                last, is_away = position, False
                if found is not None:
                    print(listing.line(found))
            sys.stdout.flush()
            is_away = False
            reader.wait(_FOLLOW_SECONDS)
        except LogAway as error:
            sys.stdout.flush()
            if not is_away:
                print(f"kala-es: {error} It is waited for.", file=sys.stderr)
            is_away = True
            time.sleep(_FOLLOW_SECONDS)


def _show(arguments: argparse.Namespace, reader: Reader) -> int:
    if (arguments.what in ("job", "run")) != (arguments.id is not None):
        print("kala-es: `show job` and `show run` take an ID, the others do not", file=sys.stderr)
        return 2
    with Progress() as progress:
        shown = _shown(arguments, reader, progress)
    print(json.dumps(shown, ensure_ascii=False, indent=2))
    return 0


def _shown(arguments: argparse.Namespace, reader: Reader, progress: Progress) -> dict[str, Any]:
    look = Look(reader, arguments.place, progress)
    if arguments.what == "run":
        return views.run(reader, arguments.id, look.position_of(arguments.at), tell=progress)
    folds = look.replay(arguments.at).folds
    match arguments.what:
        case "job":
            return views.job(folds, arguments.id)
        case "jobs":
            return views.jobs(folds)
        case "stats":
            return views.stats(folds)
        case _:
            return views.busy(folds)


def _diff(arguments: argparse.Namespace, reader: Reader) -> int:
    with Progress() as progress:
        look = Look(reader, arguments.place, progress)
        replay = look.replay(arguments.since)
        changes = list(difference(replay, look.position_of(arguments.until), tell=progress))
    for change in changes:
        print(listing.line(change))
    return 0

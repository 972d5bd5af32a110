"""`kala-es restore`: a new log that is another one up to a moment, without what came later."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from kala_es.domain.ids import SECOND, Instant
from kala_es.event_log import LogError


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    about = "make a log that ends at a moment of another one, which stays as it is"
    parser = verbs.add_parser("restore", help="make a log without the latest mistakes", description=about)
    parser.set_defaults(verb=_restore)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="whose log; the server may run")
    parser.add_argument("--into", type=Path, required=True, metavar="DIR", help="an empty directory, or none yet")
    parser.add_argument(
        "--until", required=True, metavar="TIME|POSITION", help="the last position, or up to the first that is later"
    )


def _restore(arguments: argparse.Namespace) -> int:
    from kala_es.runtime.rebuilding import restore

    until: str = arguments.until
    try:
        if until.isascii() and until.isdecimal() and len(until) < 20:
            position, digest = restore(arguments.data, arguments.into, position=int(until))
        else:
            position, digest = restore(arguments.data, arguments.into, time=instant(until))
    except ValueError as error:
        print(f"kala-es: --until: {error}", file=sys.stderr)
        return 2
    except (LogError, OSError) as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return 1
    print(f"kala-es: the log in {arguments.into} is at {position}:{digest.hex()}")
    return 0


def instant(text: str) -> Instant:
    """The time that a text says; UTC if it names no zone. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a position nor a time such as 2026-03-03T02:00:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Instant(int(moment.timestamp() * SECOND))

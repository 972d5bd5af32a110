"""`kala-es restore`: a new log that is another one up to a moment, without what came later."""

import argparse
import sys

from kala_es.event_log import LogError
from kala_es.verbs.belonging import in_its_owners_name
from kala_es.verbs.looking import add_place, moment, place
from kala_es.verbs.progress import Progress


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    about = "make a log that ends at a moment of another one, which stays as it is"
    parser = verbs.add_parser("restore", help="make a log without the latest mistakes", description=about)
    parser.set_defaults(verb=_restore)
    add_place(parser.add_mutually_exclusive_group(required=True), "whose log; the server may run")
    parser.add_argument(
        "--into", type=place, required=True, metavar="DIR|URL", help="an empty directory or database, or none yet"
    )
    parser.add_argument(
        "--until",
        type=moment,
        required=True,
        metavar="TIME|POSITION",
        help="the last position, or that up to which all was recorded by then",
    )


def _restore(arguments: argparse.Namespace) -> int:
    from kala_es.runtime.rebuilding import restore

    try:
        with in_its_owners_name(arguments.into), Progress() as progress:
            position, digest = restore(arguments.place, arguments.into, arguments.until, tell=progress)
    except (LogError, OSError) as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return 1
    print(f"kala-es: the log in {arguments.into} is at {position}:{digest.hex()}")
    if not position:
        print("kala-es: nothing had been recorded by then: that log is empty", file=sys.stderr)
    return 0

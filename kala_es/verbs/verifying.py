"""`kala-es verify`: prove that a log, or an archive, is whole, and that it goes on from one that was seen earlier."""

import argparse
import sys
from pathlib import Path

from kala_es.archive import ArchiveRefused
from kala_es.event_log import LogError
from kala_es.verbs.looking import add_place, path
from kala_es.verbs.progress import Progress, bytes_of, size


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    about = "check the digests, the records and the folds of a log; print its last position and its digest there"
    parser = verbs.add_parser("verify", help="prove that nobody changed a log", description=about)
    parser.set_defaults(verb=_verify)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("file", nargs="?", type=path, metavar="FILE", help="an archive")
    add_place(what, "a server's directory; the server may run")
    parser.add_argument(
        "--folds", type=Path, metavar="DIR", help="with --log: a server's directory, to compare its folds"
    )
    parser.add_argument(
        "--against",
        metavar="[POSITION:]DIGEST",
        help="what was printed earlier; without its position it takes longer",
    )


def _verify(arguments: argparse.Namespace) -> int:
    from kala_es.replay.verify import against_of

    try:
        against = against_of(arguments.against) if arguments.against else None
    except ValueError as error:
        print(f"kala-es: --against: {error}", file=sys.stderr)
        return 2
    from kala_es.replay import verify

    try:
        if arguments.place:
            with Progress() as progress:
                proved, compared = verify.verify(arguments.place, against, folds=arguments.folds, tell=progress)
        else:
            with open(arguments.file, "rb") as file, Progress(size) as progress:
                proved, compared = verify.prove_archive(progress.of(file, bytes_of(file)), against), None
    except ArchiveRefused as error:
        print(f"kala-es: {arguments.file}: {error}", file=sys.stderr)
        return 1
    except (LogError, OSError) as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return 1
    print(f"{proved.records} records, {proved.erased} erased: every digest fits, and every record can be read")
    if proved.reasons.swept:
        print(f"of those erased {proved.reasons.swept} are told by the base at position {proved.reasons.base} only")
    if proved.reasons.left_out:
        print(f"of those erased {proved.reasons.left_out} have no reason here: the log was made without them")
    if compared is not None:
        print(f"folds: {_said(compared.folds)}; snapshot: {_said(compared.snapshot)}; {compared.earlier} earlier ones")
    print(f"{proved.position}:{proved.digest.hex()}")
    return 0


def _said(position: int | None) -> str:
    return "none to compare" if position is None else f"as the log says, at position {position}"

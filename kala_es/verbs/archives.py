"""`kala-es import FILE`: an archive becomes, or goes on with, the log of a directory; or a server takes it.

An empty server makes it its log, another one takes its jobs in.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from kala_es.archive import ArchiveRefused
from kala_es.event_log import LogError
from kala_es.verbs.applying import show
from kala_es.verbs.asking import Failed, send
from kala_es.verbs.belonging import in_its_owners_name
from kala_es.verbs.looking import add_place
from kala_es.verbs.progress import Counted, Progress, bytes_of, size

_SNAPSHOT = "/api/v1/snapshot/"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that are for archives."""
    add_place(parser, "of an archive: become, or go on with, a stopped server's log")
    parser.add_argument(
        "--on-conflict",
        choices=("fail", "skip", "replace"),
        help="of an archive: take only its jobs in, without their runs, and what becomes of those that are there; "
        "if not given an empty server takes the whole archive, and another one its jobs as with fail",
    )


def import_archive(arguments: argparse.Namespace) -> int:
    """Import an archive into a directory or a database, or into a server; the exit code."""
    if arguments.place and arguments.on_conflict:
        print(
            "kala-es: an archive is imported with --data DIR or --log URL, or its jobs with --on-conflict",
            file=sys.stderr,
        )
        return 2
    if arguments.place and arguments.dry_run:
        print("kala-es: --dry-run is for servers; `kala-es verify` checks an archive", file=sys.stderr)
        return 2
    try:
        with _opened(arguments.source) as file, Progress(size) as progress:
            (_import_here if arguments.place else _send)(progress.of(file, bytes_of(file)), arguments)
    except ArchiveRefused as error:
        print(f"kala-es: {arguments.source}: {error}", file=sys.stderr)
        return 1
    except (LogError, OSError, Failed) as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    with open(0 if source == "-" else source, "rb", closefd=source != "-") as file:
        yield file


def _import_here(file: Counted, arguments: argparse.Namespace) -> None:
    from kala_es.runtime.rebuilding import import_into

    with in_its_owners_name(arguments.place):
        end = import_into(file, arguments.place)
    print(f"kala-es: {end.records} records; the log is at {end.position}:{end.digest.hex()}")


def _send(file: Counted, arguments: argparse.Namespace) -> None:
    said = {"on_conflict": arguments.on_conflict, "dry_run": "true" if arguments.dry_run else None}
    query = "&".join(f"{key}={value}" for key, value in said.items() if value)
    answer = send(arguments.server, f"{_SNAPSHOT}?{query}" if query else _SNAPSHOT, file)
    if "log" in answer:
        _show_log(answer["log"], dry_run=answer["dry_run"])
    else:
        _show_plan(answer, arguments)


def _show_log(log: dict[str, Any], *, dry_run: bool) -> None:
    jobs = f"{log['jobs']} job{'' if log['jobs'] == 1 else 's'}"
    would = "would be" if dry_run else "is"
    print(f"kala-es: {log['records']} records, {jobs}; the log {would} at {log['position']}:{log['digest']}")


def _show_plan(plan: dict[str, Any], arguments: argparse.Namespace) -> None:
    if arguments.on_conflict is None:
        print("kala-es: the server has a log of its own: of the archive it takes the jobs only", file=sys.stderr)
    show(plan)
    if plan["counts"]["refused"]:  # only a plan has such jobs: where they are refused nothing is imported
        raise Failed("nothing would be imported, as it is all or nothing")

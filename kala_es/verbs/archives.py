"""`kala-es import FILE`: an archive becomes the log of a directory, or goes on with the log that is there."""

import argparse
import sys

from kala_es.archive import ArchiveRefused
from kala_es.event_log import LogError


def import_archive(arguments: argparse.Namespace) -> int:
    """Import an archive into a directory; the exit code."""
    from kala_es.runtime.rebuilding import import_into

    try:
        if arguments.source == "-":
            end = import_into(sys.stdin.buffer, arguments.data)
        else:
            with open(arguments.source, "rb") as file:
                end = import_into(file, arguments.data)
    except ArchiveRefused as error:
        print(f"kala-es: {arguments.source}: {error}", file=sys.stderr)
        return 1
    except (LogError, OSError) as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return 1
    print(f"kala-es: {end.records} records; the log is at {end.position}:{end.digest.hex()}")
    return 0

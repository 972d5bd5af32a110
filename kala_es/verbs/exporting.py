"""`kala-es export`: a log as one file, of a server that runs or of a directory."""

import argparse
import sys

from kala_es import archive
from kala_es.event_log import LogError
from kala_es.verbs.asking import Failed, download
from kala_es.verbs.looking import add_place, as_position
from kala_es.verbs.progress import Progress, size
from kala_es.verbs.whole_file import Sink, whole_file


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser("export", help="write a log as one file, an archive")
    parser.set_defaults(verb=_export)
    parser.add_argument("file", metavar="FILE", help="the archive to write; - for standard output")
    whose = parser.add_mutually_exclusive_group(required=True)
    add_place(whose, "a server's directory; the server may run")
    whose.add_argument("--server", metavar="URL", help="a server that runs, such as http://127.0.0.1:8000")
    parser.add_argument(
        "--since",
        type=as_position,
        default=0,
        metavar="POSITION",
        help="only what comes after it, to go on from an archive",
    )
    parser.add_argument("--no-output", action="store_true", help="leave the output of runs out")


def _export(arguments: argparse.Namespace) -> int:
    try:
        with whole_file(arguments.file) as file:
            end = _produce(arguments, file)
    except (LogError, archive.ArchiveRefused, Failed, OSError) as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return 1
    print(f"kala-es: {end.records} records, up to {end.position}:{end.digest.hex()}", file=sys.stderr)
    return 0


def _produce(arguments: argparse.Namespace, file: Sink) -> archive.End:
    if arguments.place:
        return _of_place(arguments, file)
    return _of_server(arguments, file)


def _of_place(arguments: argparse.Namespace, file: Sink) -> archive.End:
    from kala_es.replay.exporting import export

    with Progress() as progress:
        output = not arguments.no_output
        return export(arguments.place, file.write, after=arguments.since, output=output, tell=progress)


def _of_server(arguments: argparse.Namespace, file: Sink) -> archive.End:
    output = "none" if arguments.no_output else "all"
    url = f"{arguments.server.rstrip('/')}/api/v1/snapshot/?since={arguments.since}&output={output}"
    with download(url) as body, Progress(size) as progress:
        whole = int(body.headers["Content-Length"] or 0)
        *_, end = archive.read(_Copying(progress.of(body, whole), file))
    assert isinstance(end, archive.End)
    return end


class _Copying:
    """A file that is read, and written elsewhere as far as it was read."""

    def __init__(self, source: archive.Source, target: Sink) -> None:
        self._source = source
        self._target = target

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        content = self._source.read(size)
        self._target.write(content)
        return content

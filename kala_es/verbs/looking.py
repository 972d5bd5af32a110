"""What verbs share that look into a log: how it is opened, and which moment, job or run is meant."""

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Protocol

from kala_es.domain.errors import Invalid
from kala_es.event_logs.lmdb_reader import LogReader
from kala_es.event_logs.postgres_place import SCHEMES, Database, Place, database_at, with_password
from kala_es.fold_stores.lmdb_reader import read_folds
from kala_es.replay.moments import Moment, Placing, Replay, Snapshots, moment_of
from kala_es.replay.streams import Indexed
from kala_es.replay.telling import Tell
from kala_es.setting_values import SettingError
from kala_es.settings import PREFIX, Settings, resolve

USUAL_DATA: Final = Settings().data
"""The directory, if none is named."""
_PASSWORD: Final = (f"{PREFIX}JOBDB_PASSWORD", f"{PREFIX}JOBDB_PASSWORD_FILE")


class Reader(Indexed, Protocol):
    """A log that is read, and waited for."""

    def wait(self, seconds: float) -> None:
        """Until there may be more, or so long."""

    def close(self) -> None:
        """Let go of it."""


def add_place(parser: "argparse._ActionsContainer", about: str, *, default: Path | None = None) -> None:
    """The two ways to say whose log it is: `--data`, the `place` in `default` too, and `--log`."""
    parser.add_argument("--data", dest="place", type=path, default=default, metavar="DIR", help=about)
    parser.add_argument("--log", dest="place", type=database, metavar="URL", help="a PostgreSQL database with the log")


def path(text: str) -> Path:
    """The file or directory of an argument. A database's URL, which may have a password, is not repeated."""
    if text.startswith(SCHEMES):
        raise argparse.ArgumentTypeError("is no database: name that with --log URL")
    return Path(text)


def place(text: str) -> Place:
    """The directory or the database of an argument."""
    return database(text) if text.startswith(SCHEMES) else Path(text)


def database(text: str) -> Database:
    """The database of an argument. If that has no password, the one that a server finds in the environment counts."""
    if not text.startswith(SCHEMES):
        raise argparse.ArgumentTypeError(f"is not a URL that begins with {SCHEMES[0]}")
    told = {name: value for name, value in os.environ.items() if name in _PASSWORD}
    try:
        found = database_at(text)
        return found if "password" in found.secrets else with_password(found, resolve({}, told, None))
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@contextmanager
def log_in(place: Place) -> Iterator[Reader]:
    """The log in a directory or a database, beside its server or without it. Raises LogError, FoldsError."""
    if isinstance(place, Database):
        from kala_es.event_logs.postgres_reader import PostgresReader

        with closing(PostgresReader(place)) as reader:
            yield reader
        return
    with ExitStack() as opened:
        index = read_folds(place)
        if index is not None:
            opened.enter_context(closing(index))
        yield opened.enter_context(closing(LogReader(place, index)))


def moment(text: str) -> Moment:
    """The TIME or POSITION of an argument."""
    try:
        return moment_of(text, "")
    except Invalid as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error.reason}") from None


def as_position(text: str) -> int:
    """The POSITION of an argument."""
    if text.isdecimal() and (found := moment(text).position) is not None:
        return found
    raise argparse.ArgumentTypeError(f"{text!r} is no position of the log")


def as_text(text: str) -> str:
    """The ID or EVENT of an argument: nothing has a name that is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8") from None
    return text


class Look:
    """At the log of a place. `tell` is told how far it is."""

    def __init__(self, reader: Indexed, place: Place, tell: Tell) -> None:
        self._reader = reader
        self._snapshots = place / "snapshots" if isinstance(place, Path) else None
        self._tell = tell
        self.head = reader.head

    def position_of(self, moment: Moment | None) -> int:
        """The position that a moment is; the log's end if that is None."""
        placing = Placing(self._reader, moment or Moment(position=self.head), Snapshots(self._reader, self._snapshots))
        for position in placing.steps():
            self._tell(position, self.head)
        return placing.place.position

    def replay(self, moment: Moment | None) -> Replay:
        """A replay that has come to a moment; to the log's end if that is None. Raises NotKnown."""
        replay = Replay(self._reader, moment or Moment(position=self.head), self._snapshots)
        for position in replay.steps():
            self._tell(position, self.head)
        return replay

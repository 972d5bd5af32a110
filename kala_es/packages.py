"""What installed packages bring: objects of theirs by the names of entry points (`importlib.metadata`).

Whatever a package does when it is imported, or its object when it is made, is told as a sentence: it is no bug of ours.
"""

import importlib
from importlib.metadata import entry_points
from typing import Any


class NotInstalled(Exception):
    """No package brings this, or the one that does cannot be loaded; the sentence says which."""


def names_of(group: str) -> list[str]:
    """The names of a group's entry points, sorted. It reads files."""
    return sorted(set(entry_points(group=group).names))


def load(group: str, name: str, *, what: str) -> Any | None:
    """What the entry point of this name gives when it is called; None: there is none. It may take its time.

    Raises NotInstalled, which begins with `what` it is.
    """
    importlib.invalidate_caches()  # it may have been installed since we started
    for entry in entry_points(group=group, name=name):
        try:
            return entry.load()()
        except (Exception, SystemExit) as error:
            raise NotInstalled(f"{what} {name!r} ({entry.value}) cannot be loaded: {error!r}") from error
    return None

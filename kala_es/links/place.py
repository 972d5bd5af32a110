"""Where an agent is found: the names in its directory, the socket that it listens on, the lock that it holds.

A Unix socket's path is short (108 bytes), a data directory's may be long: the directory is opened, and the socket is
named through it.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

SOCKET: Final = "agent.sock"
LOCK: Final = "agent.lock"
GROUPS: Final = "agent.groups"
COMPLAINTS: Final = "agent.log"
_BACKLOG: Final = 16


@contextmanager
def _near(directory: Path) -> Iterator[str]:
    """A short path of the directory, while this lasts."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def listen(directory: Path) -> socket.socket:
    """A socket that listens in the directory, for our user only. It takes the place of one that nobody listens on."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = SOCKET + ".new"
    with suppress(FileNotFoundError):
        (directory / fresh).unlink()
    mask = os.umask(0o177)
    try:
        with _near(directory) as near:
            listener.bind(f"{near}/{fresh}")
    finally:
        os.umask(mask)
    listener.listen(_BACKLOG)
    (directory / fresh).rename(directory / SOCKET)
    listener.setblocking(False)
    return listener


def dial(directory: Path) -> socket.socket | None:
    """A connection to the agent that listens in the directory; None when there is none. Raises OSError."""
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    caller.setblocking(False)
    try:
        with _near(directory) as near:
            caller.connect(f"{near}/{SOCKET}")
    except (ConnectionRefusedError, FileNotFoundError):
        caller.close()
        return None
    except OSError:
        caller.close()
        raise
    return caller


def is_listed(directory: Path) -> bool:
    """Whether there is a socket to be found in the directory."""
    return (directory / SOCKET).exists()


def is_locked(directory: Path) -> bool:
    """Whether an agent lives here, also one that cannot be found. Raises OSError."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def lock(directory: Path) -> int | None:
    """The descriptor that holds the agent's lock; None when another agent does."""
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor

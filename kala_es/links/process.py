"""The node's way to an agent that is a process of its own: the one that lives, or else a new one."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import trio

from kala_es.link import AgentGone, LinkDown, ToNode
from kala_es.links.frames import from_agent
from kala_es.links.place import COMPLAINTS, dial, is_locked
from kala_es.links.wire import Wire, is_ours

_MODULE: Final = "kala_es.agent"
_ROOT: Final = str(Path(__file__).resolve().parents[2])
"""Where this package is: the agent is to be of the same release."""


class ProcessLink:
    """The port's adapter. `directory` is where the agent listens, locks and notes; it must be there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[subprocess.Popen[bytes]] = []
        """Agents that were started by this process, for their exit status to be collected."""

    async def connect(self, nursery: trio.Nursery) -> Wire[ToNode]:
        """A connection, as the port says."""
        self._started = [process for process in self._started if process.poll() is None]
        try:
            connected = dial(self._directory)
            if connected is not None and not is_ours(connected):
                connected.close()
                raise LinkDown(f"another user's process listens in {self._directory}")
            if connected is None and is_locked(self._directory):  # it begins, it ends, or it lost its socket
                raise LinkDown(f"the agent in {self._directory} lives and does not listen")
        except OSError as error:
            raise LinkDown(f"the agent in {self._directory} cannot be reached: {error.strerror}") from error
        is_fresh = connected is None
        if connected is None:
            connected = self._launch()
        wire = Wire(trio.socket.from_stdlib_socket(connected), from_agent(), is_fresh=is_fresh)
        nursery.start_soon(wire.flush)
        await trio.lowlevel.checkpoint()
        return wire

    def _launch(self) -> socket.socket:
        """Start an agent, in a session of its own; our end of a socket pair."""
        try:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            try:
                with theirs, (self._directory / COMPLAINTS).open("wb") as complaints:
                    self._started.append(self._spawn(theirs.fileno(), complaints.fileno()))
            except OSError:
                ours.close()
                raise
        except OSError as error:
            raise AgentGone(f"the agent cannot be started: {error.strerror}") from error
        return ours

    def _spawn(self, connected: int, complaints: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(self._directory), "--connected", str(connected)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            pass_fds=[connected],
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])},
        )

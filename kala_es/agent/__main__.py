"""The agent's process: `python -m kala_es.agent DIRECTORY`, started by a node, or by hand as `kala-es agent`."""

import argparse
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import trio

from kala_es import limits
from kala_es.agent.attempts import Agent, raise_open_files_limit
from kala_es.agent.serving import Serving
from kala_es.clock import SystemClock
from kala_es.ending import end_in_time, print_no_stacks_of_rust
from kala_es.executors.group_register import GroupRegister, end_left
from kala_es.executors.http import HttpExecutor
from kala_es.executors.shell import ShellExecutor
from kala_es.links.place import GROUPS, SOCKET, is_listed, listen, lock

_LOCK_SECONDS = 5.0
_FILES_AN_ATTEMPT = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Run an agent until it has nothing to stay for; its exit code."""
    parser = argparse.ArgumentParser(prog="kala-es agent", description="Carries out attempts for a kala-es server.")
    parser.add_argument("directory", type=Path, help="the server's data directory")
    parser.add_argument("--connected", type=int, metavar="FD", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    try:
        return trio.run(_run, arguments.directory, arguments.connected)
    except OSError as error:
        print(f"kala-es agent: {error}", file=sys.stderr)
        return 1


async def _run(directory: Path, connected: int | None) -> int:
    print_no_stacks_of_rust()
    held = await _locked(directory)
    if held is None:
        print(f"kala-es agent: another agent is at work in {directory}", file=sys.stderr)
        return 1
    end_left(directory / GROUPS)
    shell = ShellExecutor(groups=GroupRegister(directory / GROUPS))
    places = max(1, min(limits.MAX_ATTEMPTS_AT_ONCE, (raise_open_files_limit()[1] - 64) // _FILES_AN_ATTEMPT))
    agent = Agent(shell, HttpExecutor(shell), SystemClock(), places=places)
    serving = Serving(agent, shell.adopt, lambda: _listen_anew(directory))
    listener = trio.socket.from_stdlib_socket(listen(directory))
    first = None if connected is None else _inherited(connected)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_in_time)
        await nursery.start(_watch_signals, serving.stop)
        await serving.serve(listener, first)
        nursery.cancel_scope.cancel()
    for name in (SOCKET, GROUPS):
        (directory / name).unlink(missing_ok=True)
    os.close(held)
    return 0


async def _locked(directory: Path) -> int | None:
    """The agent's lock; one that is about to end is waited for."""
    with trio.move_on_after(_LOCK_SECONDS):
        while (held := lock(directory)) is None:  # noqa: ASYNC110 - nobody tells when a lock is let go
            await trio.sleep(0.01)
        return held
    return None


def _listen_anew(directory: Path) -> trio.socket.SocketType | None:
    """Another socket when ours was removed; None while it is there, or when there is no room for another."""
    if is_listed(directory):
        return None
    with suppress(OSError):
        return trio.socket.from_stdlib_socket(listen(directory))
    return None


def _inherited(descriptor: int) -> trio.socket.SocketType:
    inherited = socket.socket(fileno=descriptor)
    inherited.setblocking(False)
    inherited.set_inheritable(False)
    return trio.socket.from_stdlib_socket(inherited)


async def _watch_signals(
    stop: Callable[[], None], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """SIGTERM ends what runs, as lost, and then the agent."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stop()


if __name__ == "__main__":
    sys.exit(main())

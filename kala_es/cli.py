"""The command line: `kala-es serve`, `run` and `compact`. argv -> Settings -> one verb, and its exit code."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import trio

from kala_es import __version__
from kala_es.event_log import LogError
from kala_es.event_logs.postgres_place import database_of
from kala_es.executor import Channel, Local, Order
from kala_es.executors.shell import ShellExecutor
from kala_es.fold_store import FoldsError
from kala_es.runtime.compaction import compact_stopped
from kala_es.runtime.stopping import Stop
from kala_es.server import run_server
from kala_es.setting_values import SettingError
from kala_es.settings import PREFIX, SETTINGS, resolve
from kala_es.verbs import applying, dumping, exporting, importing, redacting, replaying, restoring, verifying
from kala_es.verbs.asking import Failed, ask
from kala_es.verbs.belonging import in_its_owners_name
from kala_es.verbs.looking import add_place
from kala_es.verbs.printed import carried_out

_REFUSED: Final = {
    "--bolt-path": "this server keeps its own event log; give its directory with --data DIR",
    "--boltpath": "this server keeps its own event log; give its directory with --data DIR",
    "--profile": "this server has no profiler to switch on",
}
"""NextKala's flags that mean nothing here, and why."""
_CANNOT_START: Final = 1
_USAGE: Final = 2


class _Refuse(argparse.Action):
    """A flag that is known and refused with a sentence."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        flag = self.option_strings[0]
        parser.error(f"{flag}: {_REFUSED[flag]}")


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one verb; its exit code. 1: it failed, 2: it was asked wrongly; `run` gives the command's own."""
    return carried_out(lambda: _carry_out(argv))


def _carry_out(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.verb(arguments)
    except SettingError as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return _USAGE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kala-es", description="A job scheduler on an append-only event log.")
    parser.add_argument("--version", action="version", version=f"kala-es {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    serve = verbs.add_parser("serve", help="run the scheduler", allow_abbrev=False)
    serve.set_defaults(verb=_serve)
    serve.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
    for setting in SETTINGS:
        if setting.switch:
            serve.add_argument(
                *setting.flags,
                dest=setting.name,
                action="store_const",
                const=setting.to,
                default=None,
                help=setting.help,
            )
        else:
            value = setting.flags[-1].removeprefix("--").upper()
            serve.add_argument(*setting.flags, dest=setting.name, metavar=value, help=setting.help)
    for flag in _REFUSED:
        serve.add_argument(flag, action=_Refuse, nargs="?", help=argparse.SUPPRESS)
    agent = verbs.add_parser("agent", help="carry out attempts for a server; one is started by `serve` when needed")
    agent.set_defaults(verb=_agent)
    agent.add_argument("directory", metavar="DIRECTORY", help="the server's data directory")
    run = verbs.add_parser("run", help="run a command line as the server would, and exit as it does")
    run.set_defaults(verb=_run)
    run.add_argument("command_line", metavar="COMMAND", help="the command line, as one argument")
    run.add_argument("--shell", action="store_true", help="run it by /bin/sh -c")
    compact = verbs.add_parser("compact", help="give the disk back what was erased from a log")
    compact.set_defaults(verb=_compact)
    whose = compact.add_mutually_exclusive_group(required=True)
    add_place(whose, "the directory of a server that is stopped")
    whose.add_argument("--server", metavar="URL", help="a server that runs, such as http://127.0.0.1:8000")
    for verb in (applying, dumping, exporting, importing, redacting, replaying, restoring, verifying):
        verb.add(verbs)
    return parser


def _compact(arguments: argparse.Namespace) -> int:
    try:
        if arguments.place:
            with in_its_owners_name(arguments.place):
                before, after = trio.run(compact_stopped, arguments.place)
        else:
            done = ask(arguments.server, "/api/v1/compact/", {}, seconds=None)  # it takes as long as it takes
            before, after = done["before_bytes"], done["after_bytes"]
    except (LogError, FoldsError, OSError, Failed) as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return _CANNOT_START
    print(f"kala-es: the log took {before} bytes, and takes {after} now")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    file = arguments.config or os.environ.get(f"{PREFIX}CONFIG")
    settings = resolve(vars(arguments), os.environ, Path(file) if file else None)
    if settings.on_stop == "leave" and not settings.persist:
        raise SettingError("--on-stop: 'leave' needs a data directory for the next start; --no-persist has none")
    database_of(settings)

    async def run() -> None:
        stop = Stop()
        async with trio.open_nursery() as nursery:
            await nursery.start(_watch_signals, stop)
            await run_server(settings, stop=stop, say=partial(print, flush=True))
            nursery.cancel_scope.cancel()

    try:
        trio.run(run)
    except BaseExceptionGroup as group:
        expected, rest = group.split((LogError, FoldsError, OSError))
        if expected is None or rest is not None:
            raise
        print(f"kala-es: {_first(expected)}", file=sys.stderr)
        return _CANNOT_START
    return 0


def _first(error: BaseException) -> BaseException:
    """What went wrong first, out of the groups around it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _watch_signals(stop: Stop, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """The first signal stops in good order, the second cancels what runs, the third ends at once."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            if stop.hurry.is_set():
                print("kala-es: third signal, ending at once", file=sys.stderr, flush=True)
                os._exit(128 + number)
            if stop.asked.is_set():
                print("kala-es: second signal, cancelling what runs; a third ends at once", file=sys.stderr, flush=True)
                stop.hurry.set()
            else:
                print("kala-es: stopping", file=sys.stderr, flush=True)
                stop.asked.set()


def _agent(arguments: argparse.Namespace) -> NoReturn:
    """The agent is a program of its own, so that it stays small."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "kala_es.agent", arguments.directory])


def _run(arguments: argparse.Namespace) -> int:
    work = Local(command_line=arguments.command_line, shell=arguments.shell)
    order = Order(run="", attempt=1, work=work)
    end = trio.run(ShellExecutor().execute, order, _pass_on)
    if end.reason:
        print(f"kala-es: {end.reason}", file=sys.stderr)
    if end.signal is not None:
        return 128 + end.signal
    return _CANNOT_START if end.exit_code is None else end.exit_code


async def _pass_on(channel: Channel, content: bytes) -> None:
    stream = sys.stdout.buffer if channel == "stdout" else sys.stderr.buffer
    stream.write(content)
    stream.flush()

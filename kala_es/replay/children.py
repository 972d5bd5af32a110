"""Checks in processes of their own: a page of a file that is missing is met as a signal, which no `except` catches.

Such a process prints `at POSITION LAST` now and then, and at last what it proved, or the sentence that says what is
wrong, and exits 1.
"""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Final, Self, TypeVar

import lmdb
import msgspec

from kala_es.event_log import LogDamaged, LogError
from kala_es.event_logs.postgres_place import Place, words
from kala_es.replay.telling import Tell

_AT: Final = "at "
_SAY_EVERY: Final = 10_000
"""Positions between two words of how far it is."""
Result = TypeVar("Result", bound=msgspec.Struct)


def say(check: Callable[[Tell], msgspec.Struct]) -> int:
    """In the process: check, and say what came of it; the exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a signal is an expected answer here, not one to keep
    here = said = 0

    def tell(position: int, last: int) -> None:
        nonlocal here, said
        here = position
        if position - said >= _SAY_EVERY:
            said = position
            print(f"{_AT}{position} {last}", flush=True)

    try:
        proved = check(tell)
    except LogError as error:
        print(error)
        return 1
    except (lmdb.Error, OSError, ValueError, TypeError, EOFError) as error:
        print(f"The log is damaged after position {here}: {error}.")
        return 1
    print(msgspec.json.encode(proved).decode())
    return 0


class Child:
    """One check of a log, begun."""

    def __init__(self, module: str, place: Place, *arguments: str) -> None:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        name, secrets = words(place)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, name, *arguments],
            env={**os.environ, **secrets, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, kind: type[Result], tell: Tell) -> Result:
        """What it proved, once it has. Raises LogDamaged, LogError."""
        assert self._process.stdout is not None
        position, sentence = 0, ""
        for line in self._process.stdout:
            if line.startswith(_AT):
                position, last = map(int, line.removeprefix(_AT).split())
                tell(position, last)
            else:
                sentence = line.strip()
        _, complaints = self._process.communicate()
        code = self._process.returncode
        if code < 0:
            name = signal.Signals(-code).name
            raise LogDamaged(f"The log is damaged after position {position}: its check died by {name}.")
        if code:
            raise LogError(sentence or (complaints.strip().splitlines() or ["the check said nothing"])[-1])
        return msgspec.json.decode(sentence, type=kind)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it: nobody waits for its answer any more."""
        self._process.kill()
        self._process.communicate()

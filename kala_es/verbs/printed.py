"""What a verb prints reaches who reads it, or its exit code says that it did not.

1. Who has read enough, such as `head`, ends the verb without a word, as the signal of a broken pipe would. So does
   Ctrl-C. Whatever was not done by then is not done: so neither is a success.
2. Standard output that takes no more is a failure, and one sentence on standard error.
3. Standard error is for people: that it takes no more ends nothing.
4. What is not text in the name of a file is printed as an escape.
5. A standard stream that is closed is as /dev/null: no file that is opened later takes its place.
"""

import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, Final

INTERRUPTED: Final = 130
"""What shells make of SIGINT..."""
NOBODY_READS: Final = 141
"""...and of SIGPIPE."""
_FAILED: Final = 1


class Unprinted(Exception):
    """Standard output takes no more. This is no OSError: no verb takes it for a fault of what it works on."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: {error.strerror or error}")
        self.is_read = not isinstance(error, BrokenPipeError)


class _Stream:
    """A standard stream, of text or bytes. `fault` is called when it takes no more."""

    def __init__(self, stream: Any, fault: Callable[[OSError], None]) -> None:
        self._stream = stream
        self._fault = fault

    def write(self, content: Any, /) -> int:
        """Print it."""
        try:
            self._stream.write(content)
        except OSError as error:
            self._fault(error)
        return len(content)

    def flush(self) -> None:
        """Let it be there."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fault(error)

    @property
    def buffer(self) -> "_Stream":
        """The same, of bytes."""
        return _Stream(self._stream.buffer, self._fault)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def carried_out(verb: Callable[[], int]) -> int:
    """Carry out a verb; its exit code, also when it is broken off or cannot print."""
    _keep_closed()
    stdout, stderr = _Stream(_opened(1, sys.stdout), _fail), _Stream(_opened(2, sys.stderr), _ignore)
    code = 0
    with redirect_stderr(stderr):
        try:
            with redirect_stdout(stdout):
                try:
                    code = verb()
                finally:
                    sys.stdout.flush()
        except* KeyboardInterrupt:
            code = INTERRUPTED
        except* Unprinted as group:
            code = _unprinted(group)
    return code


def _fail(error: OSError) -> None:
    raise Unprinted(error) from None


def _ignore(_: OSError) -> None:
    """There is nobody to be told."""


def _unprinted(group: BaseExceptionGroup[Unprinted]) -> int:
    _print_nowhere()
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, Unprinted)
    if not first.is_read:
        return NOBODY_READS
    print(f"kala-es: {first}", file=sys.stderr)
    return _FAILED


def _print_nowhere() -> None:
    """What is printed, and what is still to be flushed at the end, goes nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _keep_closed() -> None:
    """Let something stand where standard input, output or error are closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _opened(number: int, stream: Any) -> Any:
    """The stream of this number; Python has none where it was closed."""
    if stream is None:
        return open(number, "w", closefd=False)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream

"""The executor for `Named` work: has the executor of that name carry it out, and answers for what that does.

1. Whatever it raises, also SystemExit, is the end of one attempt, with the reason.
2. The order's timeout is kept for it: it is cancelled then. One that does not let itself be cancelled (a thread that
   nobody abandons, a shield) ends when it ends, and not before.
3. What it emits is checked, cut into chunks and taken one piece at a time, whoever of its tasks emits it. After its end
   nothing more is taken.
4. What it returns is checked, and of that only what an executor can know is passed on.
"""

from typing import Any, Final

import trio
from msgspec.structs import replace

from kala_es import limits
from kala_es.executor import AttemptEnd, Channel, Emit, ExecutorError, FindExecutor, Named, Order

_CHANNELS: Final = ("stdout", "stderr")
_KNOWN: Final = ("outcome", "exit_code", "signal", "http_status")
_MOST: Final = 1 << 31
_OUTCOMES: Final = ("succeeded", "failed", "timed-out")
"""Who was cancelled or lost, others say."""


class NamedWorkExecutor:
    """The adapter. `find` gives an executor by its name."""

    def __init__(self, find: FindExecutor) -> None:
        self._find = find

    async def execute(self, order: Order, emit: Emit) -> AttemptEnd:
        """Carry out the attempt, as the port says."""
        if order.refused or not isinstance(order.work, Named):
            return AttemptEnd(outcome="failed", reason=order.refused or "this is no work for an installed executor")
        output, limit = _Output(emit), trio.CancelScope()
        if order.timeout is not None:
            limit.deadline = trio.current_time() + order.timeout
        end: AttemptEnd | None = None
        try:
            with limit:
                end = await self._carried_out(order, order.work.executor, output)
        except BaseException as error:
            if _is_cancelled(error):
                raise
            end = _failed(f"the executor {order.work.executor!r} raised {_shown(error)}")
        finally:
            output.close()
        if end is None or (limit.cancel_called and end.outcome == "failed"):
            return AttemptEnd(outcome="timed-out", reason=f"it ran longer than its limit of {order.timeout:g} s")
        return end

    async def _carried_out(self, order: Order, name: str, output: "_Output") -> AttemptEnd:
        try:
            executor = await self._find(name)
        except ExecutorError as error:
            return _failed(str(error))
        return _checked(await executor.execute(order, output.take), name)


class _Output:
    """What one attempt emits, on its way."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._turn = trio.Lock()
        self._closed = False

    async def take(self, channel: Channel, content: bytes) -> None:
        """As the port's `Emit`, but for a piece of any size. Raises TypeError, ValueError, RuntimeError."""
        if channel not in _CHANNELS:
            raise ValueError(f"{channel!r} is no channel; there are stdout and stderr")
        if not isinstance(content, bytes | bytearray | memoryview):
            raise TypeError(f"output is bytes, not {type(content).__name__}")
        whole = bytes(content)
        async with self._turn:
            for start in range(0, len(whole), limits.CHUNK_BYTES):
                if self._closed:
                    raise RuntimeError("the attempt is over; nothing more is taken")
                await self._emit(channel, whole[start : start + limits.CHUNK_BYTES])

    def close(self) -> None:
        """It is over."""
        self._closed = True


def _is_cancelled(error: BaseException) -> bool:
    """Whether it is a cancellation, and nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1] is None
    return isinstance(error, trio.Cancelled)


def _checked(end: object, name: str) -> AttemptEnd:
    """What an executor returned, if it may be an attempt's end."""
    if not isinstance(end, AttemptEnd):
        return _failed(f"the executor {name!r} returned {_shown(end)}, which is no AttemptEnd")
    said: dict[str, Any] = {key: getattr(end, key) for key in _KNOWN}
    numbers = [said[key] for key in _KNOWN[1:]]
    if said["outcome"] not in _OUTCOMES or not all(n is None or (type(n) is int and abs(n) < _MOST) for n in numbers):
        return _failed(f"the executor {name!r} returned {_shown(end)}, which is no end that an attempt may have")
    return replace(AttemptEnd(outcome="failed", reason=_text(end.reason)), **said)


def _failed(reason: str) -> AttemptEnd:
    return AttemptEnd(outcome="failed", reason=_text(reason))


def _text(reason: object) -> str:
    text = reason if isinstance(reason, str) else _shown(reason)
    most = limits.EXECUTOR_REASON_CHARS
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"a {type(value).__name__} whose repr raises {type(error).__name__}"

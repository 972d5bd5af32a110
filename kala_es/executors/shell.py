"""Local work: the executor for commands, from their text to how they ended.

1. Straight-line code in the caller's task, nothing beside it: hundreds of attempts may start in one second.
2. The child sees a short list of our variables, then the work's, then its identity; never anything else of ours.
3. What cannot be understood, found or started fails with a sentence and without a process.
"""

import os
import resource
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import trio
from msgspec.structs import replace as changed

from kala_es import limits
from kala_es.domain.command_line import CommandLineError, backticks, expand, split
from kala_es.executor import AttemptEnd, Channel, Emit, Local, Order
from kala_es.executors.accounts import NoSuchAccount, account_of
from kala_es.executors.group_register import GroupRegister
from kala_es.executors.process_group import ProcessGroup, Terms
from kala_es.executors.spawn import CannotStart, Program, Spawner

_KEPT_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class _Attempt:
    """What a process needs of its attempt, and what it leaves: its wait status, None when it has none, and the seconds
    since it ended."""

    emit: Emit
    limit: trio.CancelScope = field(default_factory=trio.CancelScope)
    status: int | None = None
    since: float = 0.0


class ShellExecutor:
    """The executor for `Local` work. Waits are in seconds; the clean environment is taken from ours, once, here.

    `open_files` is how many a process may open (the soft limit); None for as many as we may now.
    """

    def __init__(
        self,
        kill_grace: float = limits.KILL_GRACE_SECONDS,
        pipe_idle: float = limits.PIPE_IDLE_SECONDS,
        pipe_linger: float = limits.PIPE_LINGER_SECONDS,
        *,
        open_files: int | None = None,
        groups: GroupRegister | None = None,
    ) -> None:
        _keep_descriptors_to_ourselves()
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if open_files is None else open_files
        null = _open_null()
        self._spawner = Spawner(null, files)
        self._terms = Terms(kill_grace, pipe_idle, pipe_linger, null=null, spawner=self._spawner, groups=groups)
        self._environment = clean(os.environ)
        self._unreaped: list[int] = []

    def adopt(self, environment: tuple[tuple[bytes, bytes], ...], open_files: int) -> None:
        """From now on take the clean environment from this one, and let a process open so many files (0: as before)."""
        self._spawner.open_files = open_files or self._spawner.open_files
        self._environment = clean({os.fsdecode(name): os.fsdecode(value) for name, value in environment})

    async def execute(self, order: Order, emit: Emit) -> AttemptEnd:
        """Carry out the attempt, as the port says."""
        if order.refused or not isinstance(order.work, Local):
            return AttemptEnd(outcome="failed", reason=order.refused or "this is no work for this machine")
        await trio.lowlevel.checkpoint_if_cancelled()
        self._reap()
        attempt = _Attempt(emit)
        if order.timeout is not None:
            attempt.limit.deadline = trio.current_time() + order.timeout
        with attempt.limit:
            try:
                await self._run(await self._program(order, order.work, emit), attempt)
            except CannotStart as error:
                return AttemptEnd(outcome="failed", reason=str(error))
            return changed(_end(attempt.status, order.work.success_codes), since=attempt.since)
        end = _end(attempt.status)
        reason = f"it ran longer than its limit of {order.timeout:g} s"
        return changed(end, outcome="timed-out", reason=reason, since=attempt.since)

    async def _program(self, order: Order, work: Local, emit: Emit) -> Program:
        try:
            account = account_of(work.confines.user, work.confines.group)
        except NoSuchAccount as error:
            raise CannotStart(str(error)) from error
        env = {**self._environment, **dict(account.variables), **dict(work.env), **dict(order.identity)}
        program = Program([], env, work.cwd, account=account, confines=work.confines)
        if work.shell:
            argv = ["/bin/sh", "-c", work.command_line] if work.command_line.strip() else []
        else:
            argv = await self._words(work, program, emit)
        if not argv or not argv[0]:
            raise CannotStart("the command is empty")
        try:
            stdin = work.stdin.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise CannotStart("its input has a character that cannot be encoded") from error
        return Program(argv, env, work.cwd, stdin, account=account, confines=work.confines)

    async def _words(self, work: Local, program: Program, emit: Emit) -> list[str]:
        try:
            words = split(work.command_line)
            outputs: dict[str, str] = {}
            for text in backticks(words):
                if text not in outputs:
                    outputs[text] = await self._backtick(replace(program, argv=["/bin/sh", "-c", text]), emit)
            return expand(words, program.env, outputs)
        except CommandLineError as error:
            raise CannotStart(str(error)) from error

    async def _backtick(self, program: Program, emit: Emit) -> str:
        """What a command within the command line writes to stdout; its stderr is the attempt's."""
        text, output = program.argv[-1], bytearray()

        async def collect(channel: Channel, content: bytes) -> None:
            if channel == "stderr":
                return await emit(channel, content)
            output.extend(content)
            if len(output) > limits.MAX_BACKTICK_OUTPUT_BYTES:
                raise CannotStart(f"`{text}` writes more than {limits.MAX_BACKTICK_OUTPUT_BYTES} bytes")

        attempt = _Attempt(collect)
        await self._run(program, attempt)
        end = _end(attempt.status)
        if end.outcome != "succeeded":
            raise CannotStart(f"`{text}` failed: {end.reason}")
        return output.decode("utf-8", "surrogateescape")

    async def _run(self, program: Program, attempt: _Attempt) -> None:
        """The process from its start to its end; killed when this is cancelled or `emit` fails."""
        try:
            group = ProcessGroup(attempt.emit, attempt.limit, self._terms)
        except OSError as error:
            raise CannotStart.for_want(error) from error
        try:
            group.start(program)
            await group.pump()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await group.kill()
            raise
        except Exception:
            if group.pid:
                with trio.CancelScope(shield=True):
                    await group.destroy()
            raise
        finally:
            attempt.since = group.since
            attempt.status = group.close()
            if attempt.status is None and group.pid:
                self._unreaped.append(group.pid)

    def _reap(self) -> None:
        """Collect the processes that KILL did not end at once."""
        if self._unreaped:
            self._unreaped = [pid for pid in self._unreaped if not _is_gone(pid)]


def _end(status: int | None, success_codes: tuple[int, ...] = (0,)) -> AttemptEnd:
    if status is None:
        return AttemptEnd(outcome="lost", reason="its exit status was collected by something else")
    code = os.waitstatus_to_exitcode(status)
    if code in success_codes:
        return AttemptEnd(outcome="succeeded", exit_code=code)
    if code >= 0:
        return AttemptEnd(outcome="failed", exit_code=code, reason=f"exit status {code}")
    return AttemptEnd(outcome="failed", signal=-code, reason=f"killed by {_signal_name(-code)}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _is_gone(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment a child may see. Ours may hold secrets, so what is let through is listed."""
    kept = {name: value for name, value in environment.items() if name in _KEPT_VARIABLES or name.startswith("LC_")}
    return {"PATH": _DEFAULT_PATH, **kept}


def _keep_descriptors_to_ourselves() -> None:
    """Python's own are not inherited by a child; what we were started with might be."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with suppress(OSError):  # the directory itself is closed by now
                os.set_inheritable(int(name), False)


def _open_null() -> int:
    """A descriptor of /dev/null above 2, so that 0, 1, 2 are never free for a pipe to take."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    return descriptor

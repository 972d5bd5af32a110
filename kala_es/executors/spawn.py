"""From a program to a process: who it is, what it may, where it starts, or the one sentence that says why not.

1. A plain program is started by `posix_spawn`, which copies nothing of us: a start costs one system call, near enough.
   Its directory and its limit of open files are inherited, so they are ours meanwhile: nothing else may run then that
   uses a relative path or is about to need our thousandth file.
2. One with a user, a priority or limits of its own is forked, and prepares itself before it becomes the program: what
   it may not do any more as its user comes first, its memory limit last. What fails there is told through a page of
   shared memory, so that it is a sentence here.
3. No child has a signal blocked or ignored, whatever started us; nor the number of open files that we allow ourselves.
"""

import errno
import mmap
import os
import resource
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kala_es.executor import PLAIN, Confines
from kala_es.executors.accounts import OURS, Account

_TRY_ELSEWHERE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG)
"""After these the program is looked for in PATH's next directory."""
_DEFAULT_SIGNALS = tuple(
    int(number)
    for number in (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGPIPE,
        signal.SIGTERM,
        signal.SIGCHLD,
        signal.SIGXCPU,
        signal.SIGXFSZ,
    )
)
"""Python ignores some, and what started us may ignore others (nohup, a shell's &); a child ignores none."""
_REMEMBERED = 1_000
_REMEMBERED_SECONDS = 1.0
"""So many programs' places are remembered, and for so long."""
_CPU_GRACE_SECONDS = 5
"""A process that does not end when told that its CPU time is over is killed after so much more of it."""


Found = dict[tuple[str, str], tuple[float, str]]
"""When and where a program was found, by its name and the PATH."""


class CannotStart(Exception):
    """There is no process, for this reason."""

    @classmethod
    def for_want(cls, error: OSError) -> "CannotStart":
        """The system has no descriptor, process or memory to spare."""
        return cls(f"it could not be started: {error.strerror}")


@dataclass(frozen=True, slots=True)
class Program:
    """What to start: one word at least, the whole environment, "" for the directory we are in."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    stdin: bytes = b""
    account: Account = OURS
    confines: Confines = PLAIN

    @property
    def is_plain(self) -> bool:
        """It is as we are, and may what we may."""
        return self.account is OURS and self.confines == PLAIN


class Spawner:
    """Starts processes whose soft limit of open files is `open_files` unless they have one of their own.

    `null` is a descriptor of /dev/null. The C library refuses to pass on a descriptor that is over the limit of the
    moment, so three low ones are kept in reserve.
    """

    def __init__(self, null: int, open_files: int) -> None:
        self._null = null
        self.open_files = open_files
        self._low = (os.dup(null), os.dup(null), os.dup(null))
        self._found: Found = {}

    def spawn(self, program: Program, standard: tuple[int, int, int]) -> int:
        """The pid of the leader of a new session and group, with these descriptors as 0, 1, 2. Raises CannotStart."""
        try:
            if not program.is_plain or max(self._low) >= self.open_files:
                return _spawn_prepared(program, standard, self.open_files)
            if not program.cwd:
                return self._spawn_with_few_files(program, standard)
            with _within(program.cwd):
                return self._spawn_with_few_files(program, standard)
        except ValueError as error:  # a NUL, a lone surrogate, a variable's name with "="
            raise CannotStart(f"the command or its environment cannot be passed on: {error}") from error

    def _spawn_with_few_files(self, program: Program, standard: tuple[int, int, int]) -> int:
        """A child inherits our limit of open files, so ours is the child's for as long as it takes to start one."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == self.open_files:
            return self._spawn_low(program, standard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.open_files, hard))
        try:
            return self._spawn_low(program, standard)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def _spawn_low(self, program: Program, standard: tuple[int, int, int]) -> int:
        if max(standard) < self.open_files:
            return _spawn_plain(program, standard, self._found)
        for low, descriptor in zip(self._low, standard, strict=True):
            os.dup2(descriptor, low, inheritable=False)
        try:
            return _spawn_plain(program, self._low, self._found)
        finally:
            for low in self._low:
                os.dup2(self._null, low, inheritable=False)


@contextmanager
def _within(cwd: str) -> Iterator[None]:
    """`posix_spawn` knows no directory, so it is ours for as long as it takes to start a child in it."""
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _explained(f"{cwd}: this directory cannot be entered"):
            os.chdir(cwd)
        try:
            yield
        finally:
            os.fchdir(here)
    finally:
        os.close(here)


def _spawn_plain(program: Program, standard: tuple[int, int, int], found: "Found") -> int:
    """`found` remembers for a moment where programs are: to look into each directory of a PATH takes long."""
    name, path = program.argv[0], program.env.get("PATH", "")
    actions = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(standard)]
    reason = None
    since, last = found.get((name, path), (0.0, None))
    now = time.monotonic()
    for place in _candidates(name, path, last if now - since < _REMEMBERED_SECONDS else None):
        try:
            pid = os.posix_spawn(
                place,
                program.argv,
                program.env,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_DEFAULT_SIGNALS,
            )
        except OSError as error:
            reason = _why_not(program, error)
            if error.errno not in _TRY_ELSEWHERE:
                break
        else:
            if place != last or now - since >= _REMEMBERED_SECONDS:
                _remember(found, (name, path), (now, place))
            return pid
    raise CannotStart(reason or _why_not(program, FileNotFoundError(errno.ENOENT, "")))


def _remember(found: "Found", key: tuple[str, str], what: tuple[float, str]) -> None:
    if len(found) >= _REMEMBERED:
        found.clear()
    found[key] = what


def _candidates(name: str, path: str, last: str | None) -> Iterator[str]:
    """Where the program may be; `last` is where it was. A stat a directory is cheap, a failed start is not."""
    if "/" in name:
        yield name
        return
    if last is not None:
        yield last
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.access(candidate, os.X_OK):
            yield candidate


def _spawn_prepared(program: Program, standard: tuple[int, int, int], open_files: int) -> int:
    with mmap.mmap(-1, mmap.PAGESIZE) as note:

        def prepare() -> None:
            try:
                _prepare(program, open_files)
            except CannotStart as error:
                note.write(str(error).encode("utf-8", "surrogateescape")[: mmap.PAGESIZE])
                raise

        try:
            process = subprocess.Popen(
                program.argv,
                env=program.env,
                stdin=standard[0],
                stdout=standard[1],
                stderr=standard[2],
                start_new_session=True,
                preexec_fn=prepare,  # what spawns is small and has no threads that matter: ADR 0023
            )
        except subprocess.SubprocessError as error:
            reason = note[:].rstrip(b"\0").decode("utf-8", "surrogateescape")
            raise CannotStart(reason or "it could not be prepared") from error
        except OSError as error:
            raise CannotStart(_why_not(program, error)) from error
    process.returncode = 0  # reaping is `ProcessGroup.close`'s, Popen must not try
    return process.pid


def _prepare(program: Program, open_files: int) -> None:
    """In the child, before it becomes the program. Raises CannotStart."""
    confines, account = program.confines, program.account
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in _DEFAULT_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    if confines.umask is not None:
        os.umask(confines.umask)
    if confines.nice:
        with _explained(f"the priority (nice {confines.nice}) cannot be set"):
            os.nice(confines.nice)
    _limit_files(confines.open_files, open_files)
    if confines.cpu_seconds:
        _limit("CPU time", resource.RLIMIT_CPU, (confines.cpu_seconds, confines.cpu_seconds + _CPU_GRACE_SECONDS))
    with _explained(f"it cannot become {account.name}"):
        _give_pipes_to(account)
        account.become()
    if program.cwd:
        with _explained(f"{program.cwd}: this directory cannot be entered"):
            os.chdir(program.cwd)
    if confines.memory_bytes:
        _limit("memory", resource.RLIMIT_AS, (confines.memory_bytes, confines.memory_bytes))


def _give_pipes_to(account: Account) -> None:
    """So that it may open them once more, by /dev/stderr say."""
    for descriptor in (0, 1, 2):
        if account.uid is not None and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.fchown(descriptor, account.uid, -1)


def _limit_files(own: int, usual: int) -> None:
    """A limit of its own holds for good; the usual one it may raise as far as we might."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    _limit("open files", resource.RLIMIT_NOFILE, (own, own) if own else (usual, hard))


def _limit(what: str, kind: int, pair: tuple[int, int]) -> None:
    with _explained(f"its limit of {what} cannot be set"):
        resource.setrlimit(kind, pair)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise CannotStart(f"{what} ({said})") from error


def _why_not(program: Program, error: OSError) -> str:
    name = program.argv[0]
    path = os.path.join(program.cwd, name)
    if error.errno == errno.EACCES and os.path.isdir(path):
        return f"{name}: is a directory"
    if error.errno != errno.ENOENT:
        return f"{name}: {error.strerror}"
    if "/" not in name:
        return f"{name}: command not found"
    return f"{name}: its interpreter was not found" if os.path.exists(path) else f"{name}: no such file"

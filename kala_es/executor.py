"""The executor's port: carries out one attempt of a run, and says what became of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

from kala_es.options import Option

Channel = Literal["stdout", "stderr"]
AttemptOutcome = Literal["succeeded", "failed", "timed-out", "cancelled", "lost"]
Overflow = Literal["truncate-head", "truncate-tail", "kill"]


class Plain(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The base of what travels to and from an agent: plain values by name; names that one side does not know it
    leaves out of account."""


class Confines(Plain, frozen=True):
    """As whom a process runs and what it may use: "", 0 and None leave that as it is for the executor itself."""

    user: str = ""
    group: str = ""
    umask: int | None = None
    nice: int = 0
    memory_bytes: int = 0
    cpu_seconds: int = 0
    open_files: int = 0


PLAIN: Final = Confines()


class Local(Plain, frozen=True, tag=True):
    """What to run here. `command_line` is split into words unless `shell`. It succeeds by ending with one of
    `success_codes`."""

    command_line: str
    shell: bool = False
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = ""
    stdin: str = ""
    confines: Confines = PLAIN
    success_codes: tuple[int, ...] = (0,)


class Tls(Plain, frozen=True):
    """How an https request knows the other side, and says who we are. The files are absolute paths, read for each
    request: without `ca_file` the usual authorities are trusted; without a key file the certificate's file has the key.
    """

    verify: bool = True
    ca_file: str = ""
    client_certificate_file: str = ""
    client_key_file: str = ""


USUAL_TLS: Final = Tls()


class Remote(Plain, frozen=True, tag=True):
    """What to ask of another server. `timeout` in seconds; header values one line each.

    It succeeds by an answer with one of `expected_codes`, or if `lenient` with any below 500, in whose body the regular
    expression `expected_body` is found. With `debug` the output begins with what was asked and answered, line by line.
    """

    url: str
    method: str
    body: str
    headers: tuple[tuple[str, str], ...] = ()
    timeout: int = 30
    expected_codes: tuple[int, ...] = (200,)
    lenient: bool = False
    expected_body: str = ""
    tls: Tls = USUAL_TLS
    debug: bool = False


class Named(Plain, frozen=True, tag=True):
    """What an executor of this name, which a package brings, is to do: its config is texts by key."""

    executor: str
    config: tuple[tuple[str, str], ...] = ()


class Order(Plain, frozen=True):
    """One attempt to carry out: plain values that could cross a process border.

    `identity` is what the attempt learns about itself: KALA_JOB_ID, KALA_RUN_ID, KALA_ATTEMPT,
    KALA_CAUSE, KALA_TICK (ISO 8601, UTC; "" when it answers none). `timeout` in seconds, None for no limit.
    `max_output` in bytes of both channels together, 0 for no limit; whoever takes the output sees to it.
    """

    run: str
    attempt: int
    work: Local | Remote | Named
    identity: tuple[tuple[str, str], ...] = ()
    timeout: float | None = None
    max_output: int = 0
    on_max_output: Overflow = "truncate-tail"
    refused: str = ""
    """When not empty the attempt cannot start, for this reason (a template that fails, say)."""


class AttemptEnd(Plain, frozen=True):
    """How an attempt ended. Exactly one of exit_code, signal is set when a process ran to its end.

    What was dropped are bytes of its output beyond its limit.
    """

    outcome: AttemptOutcome
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    """A sentence for people; empty on success, unless part of the output was left out."""
    http_status: int | None = None
    stdout_dropped: int = 0
    stderr_dropped: int = 0
    since: float = 0.0
    """Seconds that have passed since it ended: its last output may have had to wait."""


Emit = Callable[[Channel, bytes], Awaitable[None]]
"""Take a piece of output (1 to CHUNK_BYTES bytes). Returns when more may follow; cancelled, it has taken nothing."""


class Executor(Protocol):
    """The port.

    Cancelling the call (trio) ends the attempt's whole process group: TERM, then KILL after a grace. What it writes
    meanwhile is still emitted, and then the call raises Cancelled: the caller knows that it cancelled.
    """

    async def execute(self, order: Order, emit: Emit) -> AttemptEnd:
        """Carry out the attempt: output through `emit` in the order it was read, then the end.

        Never raises for what the attempt does; `failed` with a reason when it could not start.
        """


class RemoteExecutor(Executor, Protocol):
    """An executor that can ask the other side first."""

    async def validate(self, remote: Remote) -> str:
        """Whether the other side wants this job: "" for yes, else a sentence that says why not."""


class NamedExecutor(Executor, Protocol):
    """An executor that a package brings (docs/executors.md). Its work is `Named`, with its own name and config.

    It lives in the agent's process, with all other attempts. The order's timeout and limits of output are kept for it,
    and whatever it raises is the end of one attempt.
    """

    @property
    def options(self) -> Sequence[Option]:
        """The keys of its config: a job is checked against them when it is created."""


class ExecutorError(Exception):
    """There is no such executor here, or it cannot be loaded; the sentence says which."""


FindExecutor = Callable[[str], Awaitable[NamedExecutor]]
"""By name. Raises ExecutorError when there is none."""


class Executors(Protocol):
    """Those that packages bring."""

    async def find(self, name: str) -> NamedExecutor:
        """By name. Raises ExecutorError when there is none."""

    async def schemas(self) -> Mapping[str, dict[str, Any] | str]:
        """The JSON schema of each one's config, by name; a sentence for one that cannot be loaded."""

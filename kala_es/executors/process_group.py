"""One process group: started, its output passed on in chunks, ended, and nothing of it left.

1. One epoll descriptor holds its pipes and a pidfd, and one task waits on it: a start costs one `posix_spawn`.
2. A pipe is read only when `emit` has taken what was read before: a slow log pushes back on the child.
3. A chunk holds bytes of one channel, and chunks leave in the order in which they were read.
4. The leader is reaped last: until then the pid that names the group cannot become another's, so `killpg` is safe.
5. A group that must die gets TERM; then KILL when the grace is over, or as soon as its leader has ended and nobody
   holds its pipes. A member that made a session of its own escapes both.
6. A pipe that others hold open after the leader has ended is given up when silent for a while, or after a longer
   while in any case; what was in it when the leader ended is read even so.
"""

import fcntl
import math
import os
import select
import signal
from contextlib import suppress
from dataclasses import dataclass

import trio

from kala_es import limits
from kala_es.executor import Channel, Emit
from kala_es.executors.chunks import Chunks
from kala_es.executors.group_register import GroupRegister
from kala_es.executors.spawn import CannotStart, Program, Spawner

_READ_BYTES = 64 * 1024
_READS_A_TURN = 4
"""Then other tasks have their turn."""
_PIPE_BYTES = 64 * 1024
"""What a pipe holds. A larger one made nothing faster (measured: 1.2 GiB/s with 64 KiB as with 1 MiB)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every group: waits in seconds, the descriptor that one without input reads, what starts it, and
    where it is noted."""

    kill_grace: float
    pipe_idle: float
    pipe_linger: float
    null: int
    spawner: Spawner
    groups: GroupRegister | None = None


class ProcessGroup:
    """One process group until nothing of it is ours: `start`, `pump`, `kill` or `destroy` if need be, `close`."""

    def __init__(self, emit: Emit, limit: trio.CancelScope, terms: Terms) -> None:
        """`limit` is lifted when the leader has ended: from then on nothing takes longer because of it."""
        self.pid = 0
        """0 until it was started."""
        self._slot: int | None = None
        self._limit = limit
        self._terms = terms
        self._output = Chunks(emit, self._note_end)
        self._epoll = select.epoll()
        self._held: set[int] = set()
        self._pipes: dict[int, Channel] = {}
        self._pidfd = self._feed = -1
        self._stdin = b""
        self._spared = False
        self._ended_at = self._killed_at = self._heard_at = self._noted_at = math.inf
        self._owed = 0
        """Bytes that the pipes may have held when the process ended, and that were not read since."""

    def start(self, program: Program) -> None:
        """Start it. CannotStart when that is impossible."""
        try:
            stdin, stdout, stderr = self._terms.null, self._listen("stdout"), self._listen("stderr")
            if program.stdin:
                stdin = self._feed_with(program.stdin)
            self._admit()
            self.pid = self._terms.spawner.spawn(program, (stdin, stdout, stderr))
            if self._terms.groups is not None:
                self._slot = self._terms.groups.add(self.pid)
            self._pidfd = os.pidfd_open(self.pid)
            self._held.add(self._pidfd)
            self._epoll.register(self._pidfd, select.EPOLLIN)
            self._drop(stdout, stderr)
            if program.stdin:
                self._drop(stdin)
        except OSError as error:
            raise CannotStart.for_want(error) from error

    def _admit(self) -> None:
        groups = self._terms.groups
        if groups is not None and groups.is_full:
            raise CannotStart(f"{limits.MAX_GROUPS} processes are running")

    async def pump(self) -> None:
        """Pass its output on, until it has ended and its pipes are at their end or given up."""
        output = self._output
        while self._pipes or self._ended_at == math.inf:
            await self._wait()
            events = self._epoll.poll(0, 8)
            now = trio.current_time()
            if now >= self._give_up_at() and (self._owed <= 0 or not events):
                break
            for descriptor, event in events:
                await self._handle(descriptor, event)
            if now >= output.due:
                await output.flush()
        await output.flush()

    async def kill(self) -> None:
        """End the group, passing on what it still writes; returns as `pump` does."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process would not hear the first
        self._spared = True
        with trio.move_on_after(self._terms.kill_grace):
            await self.pump()
        self._spared = False
        self._signal(signal.SIGKILL)
        self._killed_at = self._heard_at = trio.current_time()
        await self.pump()

    async def destroy(self) -> None:
        """End the group at once; nobody wants its output any more."""
        self._signal(signal.SIGKILL)
        if self._pidfd >= 0:
            with trio.move_on_after(self._terms.pipe_linger):
                await trio.lowlevel.wait_readable(self._pidfd)

    def close(self) -> int | None:
        """Let go of everything; the wait status, None when it has none yet. What still runs unwatched is killed."""
        self._drop(*self._held)
        self._epoll.close()
        if not self.pid:
            return None
        if self._ended_at == math.inf:
            self._signal(signal.SIGKILL)
        if self._slot is not None and self._terms.groups is not None:
            self._terms.groups.remove(self._slot)
        return _reaped(self.pid)

    def _pipe(self, ours: int, events: int) -> tuple[int, int]:
        """Both ends, the reading one first; `ours` (0 or 1) is watched, and never blocks."""
        pair = os.pipe()
        self._held.update(pair)
        fcntl.fcntl(pair[ours], fcntl.F_SETFL, os.O_NONBLOCK)
        self._epoll.register(pair[ours], events)
        return pair

    def _listen(self, channel: Channel) -> int:
        """The end of a pipe for the process to write to."""
        ours, theirs = self._pipe(0, select.EPOLLIN)
        self._pipes[ours] = channel
        return theirs

    def _feed_with(self, content: bytes) -> int:
        """The end of a pipe for the process to read this from."""
        theirs, self._feed = self._pipe(1, select.EPOLLOUT)
        self._stdin = content
        self._feed_more()
        return theirs

    def _drop(self, *descriptors: int) -> None:
        """Close these, which takes them out of the epoll set too."""
        self._held.difference_update(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    async def _wait(self) -> None:
        """Until a descriptor is ready or something is due."""
        until = min(self._output.due, self._give_up_at())
        if until == math.inf:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
        else:
            with trio.move_on_at(until):
                await trio.lowlevel.wait_readable(self._epoll.fileno())

    def _give_up_at(self) -> float:
        if self._spared:
            return math.inf
        if self._ended_at == math.inf:
            return self._killed_at + self._terms.pipe_linger
        return min(self._heard_at + self._terms.pipe_idle, self._ended_at + self._terms.pipe_linger)

    async def _note_end(self) -> None:
        """When the process ends, though nothing else is looked at now."""
        if self._pidfd >= 0 and self._noted_at == math.inf:
            await trio.lowlevel.wait_readable(self._pidfd)
            self._noted_at = trio.current_time()

    @property
    def since(self) -> float:
        """Seconds that have passed since the process ended; 0 while it runs."""
        ended = min(self._noted_at, self._ended_at)
        return 0.0 if ended == math.inf else trio.current_time() - ended

    async def _handle(self, descriptor: int, event: int) -> None:
        if descriptor in self._pipes:
            await self._read(descriptor, hung_up=bool(event & select.EPOLLHUP))
        elif descriptor == self._pidfd:
            self._drop(descriptor)
            self._pidfd = -1
            self._ended_at = self._heard_at = trio.current_time()
            self._limit.deadline = math.inf
            self._owed = _PIPE_BYTES * len(self._pipes)
        elif descriptor == self._feed:
            self._feed_more()

    async def _read(self, descriptor: int, *, hung_up: bool) -> None:
        await self._output.turn_to(self._pipes[descriptor])
        for _ in range(_READS_A_TURN):
            try:
                content = os.read(descriptor, _READ_BYTES)
            except BlockingIOError:
                return
            if not content:
                del self._pipes[descriptor]
                self._drop(descriptor)
                return
            self._owed -= len(content)
            await self._output.add(content)
            self._heard_at = trio.current_time()
            if len(content) < _READ_BYTES and not hung_up:
                return

    def _feed_more(self) -> None:
        try:
            written = os.write(self._feed, self._stdin[:_PIPE_BYTES])
        except BlockingIOError:
            return
        except OSError:  # it reads no more
            written = len(self._stdin)
        self._stdin = self._stdin[written:]
        if not self._stdin:
            self._drop(self._feed)
            self._feed = -1

    def _signal(self, number: int) -> None:
        with suppress(OSError):  # all gone, or not ours to end
            os.killpg(self.pid, number)


def _reaped(pid: int) -> int | None:
    """The child's wait status; None when it still runs, or somebody else reaped it."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return status if found else None

"""A server's process: its sockets and its way in live as long as it does; the nodes within come one after another.

A node is followed by another one when an archive becomes the log (runtime/takeover.py):
1. The door is closed: who comes is answered 503, who is inside gets a moment to leave. A log with a record is kept.
2. The node stops, its agent ends, the log is closed.
3. The log that was made of the archive takes its place. Whether that came about or not, a node starts on what is there.
4. Only then who asked for it is answered.
Stop: the node ends its runs, the server listens no more, a snapshot is saved, the log is closed.
"""

import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path

import trio

from kala_es import __version__, limits
from kala_es.actor import Reply
from kala_es.agent.attempts import raise_open_files_limit
from kala_es.dialects.dkron_node import usual_tags
from kala_es.domain.errors import Conflict, Overloaded, Refusal, Unavailable
from kala_es.ending import end_in_time, print_no_stacks_of_rust
from kala_es.event_log import LogError
from kala_es.event_logs.postgres_place import database_of
from kala_es.links.place import is_locked
from kala_es.links.process import ProcessLink
from kala_es.node import Node, Outside
from kala_es.notifiers.smtp import SmtpNotifier, mailer_of
from kala_es.notifiers.webhook import WebhookNotifier
from kala_es.processors.installed import installed
from kala_es.runtime import takeover
from kala_es.runtime.collector import short_pauses
from kala_es.runtime.notices import default_targets
from kala_es.runtime.printing import print_events
from kala_es.runtime.scheduler import Rules
from kala_es.runtime.stopping import Stop
from kala_es.runtime.takeover import Incoming
from kala_es.settings import Settings
from kala_es.storage import agent_place, open_storage
from kala_es.web.door import Door
from kala_es.web.edge import Edge
from kala_es.web.sockets import open_listeners

_EDGE = "kala_es.web.app"
_SWITCH_SECONDS = 0.0005
_LOOK_SECONDS = 0.01


async def run_server(settings: Settings, *, stop: Stop, say: Callable[[str], None]) -> None:
    """Serve until `stop`; `say` takes the line that tells where it listens. Raises LogError, OSError."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    print_no_stacks_of_rust()
    open_files, _ = raise_open_files_limit()
    async with agent_place(settings) as place, trio.open_nursery() as nursery:
        nursery.start_soon(end_in_time)
        outside = Outside(
            link=ProcessLink(place),
            outlives=settings.persist,
            open_files=open_files,
            mail=SmtpNotifier(mailer_of(settings)),
            find_processor=installed(settings, WebhookNotifier()).find,
        )
        listeners = await open_listeners(settings.interface, settings.port)
        server = _Server(settings=settings, outside=outside, listeners=listeners, nursery=nursery, stop=stop, say=say)
        await server.run()
        nursery.cancel_scope.cancel()


@dataclass(slots=True, kw_only=True, eq=False)
class _Exchange:
    """An archive that is to become the log. `asker` is the task of the request that waits for `reply`."""

    incoming: Incoming
    asker: trio.lowlevel.Task
    reply: Reply[None] = field(default_factory=Reply)
    failure: Refusal | None = None

    def answer(self) -> None:
        """Tell who asked what became of it."""
        if self.failure is None:
            self.reply.set(None)
        else:
            self.reply.fail(self.failure)


@dataclass(slots=True, kw_only=True, eq=False)
class _Server:
    """`run` has nodes live, one at a time."""

    settings: Settings
    outside: Outside
    listeners: Sequence[trio.SocketListener]
    nursery: trio.Nursery
    stop: Stop
    say: Callable[[str], None]
    _door: Door = field(default_factory=Door)
    _exchange: _Exchange | None = None
    _asked: trio.Event = field(default_factory=trio.Event)
    _listening: bool = False
    _close: trio.Event = field(default_factory=trio.Event)
    _closed: trio.Event = field(default_factory=trio.Event)

    async def run(self) -> None:
        """Until a node was stopped that no other one follows."""
        exchange = None
        while (exchange := await self._live(exchange)) is not None:
            exchange.failure = await self._put_in_place(exchange.incoming.place)

    async def _live(self, before: _Exchange | None) -> _Exchange | None:
        """One life of a node, until it is stopped, or its log is to be exchanged. `before` is why it begins."""
        async with open_storage(self.settings) as storage, trio.open_nursery() as nursery:
            node = Node(storage, outside=self.outside, rules=_rules(self.settings), nursery=nursery)
            async with trio.open_nursery() as starting:
                starting.start_soon(_import_edge)
                await node.start(nursery)
            nursery.start_soon(node.save_snapshots)
            nursery.start_soon(storage.give_up_after, self.stop.asked)
            if self.settings.verbose:
                nursery.start_soon(print_events, node.folds, node.broadcaster, self.outside.complain)
            with short_pauses():
                self._let_in(node)
                await self._listen()
                if before is not None:
                    before.answer()
                following = await self._until_over(node)
            await node.save_snapshot()
            nursery.cancel_scope.cancel()
        return following

    def _let_in(self, node: Node) -> None:
        from kala_es.web.app import make_app

        edge = Edge(
            default_owner=self.settings.default_owner,
            allowed_hosts=self.settings.allowed_hosts,
            node=self.settings.node_name or socket.gethostname(),
            address=(self.settings.interface, self.listeners[0].socket.getsockname()[1]),
            ready=lambda: self._is_ready(node),
            take_over=self._take_over if self.settings.persist else None,
        )
        self._exchange, self._asked = None, trio.Event()
        self._door.open(make_app(node.scheduler, edge))

    async def _listen(self) -> None:
        """Begin to serve, with the first node."""
        if not self._listening:
            self._listening = True
            urls = await self.nursery.start(self._serve)
            self.say(f"kala-es: listening on {urls[0]}")

    async def _serve(self, *, task_status: trio.TaskStatus[list[str]]) -> None:
        from kala_es.web.listener import serve

        try:
            await serve(self._door, self.listeners, stop=self._close, task_status=task_status)
        finally:
            self._closed.set()

    def _is_ready(self, node: Node) -> bool:
        """Whether it takes new work: it is not stopping, has an agent, its log, and room on its disk."""
        is_up = node.line.is_up and not node.writer.full and node.storage.takes_work()
        return is_up and not self.stop.asked.is_set()

    async def _until_over(self, node: Node) -> _Exchange | None:
        while not self.stop.asked.is_set():
            exchange = await self._next()
            if exchange is not None and await self._leave(node, exchange):
                return exchange
        if self._exchange is not None:
            self._exchange.reply.fail(Unavailable("the server is stopping"))
        await node.stop(self.settings.on_stop, self.settings.grace, self.stop.hurry)
        self._close.set()
        await self._closed.wait()
        return None

    async def _next(self) -> _Exchange | None:
        """The exchange that is asked for, or None once a stop is."""
        async with trio.open_nursery() as waiting:

            async def end_with(event: trio.Event) -> None:
                await event.wait()
                waiting.cancel_scope.cancel()

            waiting.start_soon(end_with, self._asked)
            waiting.start_soon(end_with, self.stop.asked)
        return None if self.stop.asked.is_set() else self._exchange

    # An archive becomes the log

    async def _take_over(self, incoming: Incoming) -> None:
        """Have it become the log; when this returns a node lives on it. Raises Conflict, Overloaded, Unavailable."""
        if self._exchange is not None:
            raise Overloaded("another archive is becoming the log already")
        exchange = self._exchange = _Exchange(incoming=incoming, asker=trio.lowlevel.current_task())
        self._asked.set()
        await exchange.reply.wait()

    async def _leave(self, node: Node, exchange: _Exchange) -> bool:
        """Stop the node for an exchange. False: it goes on, because it has a history by now, or requests that stay."""
        try:
            _check_unused(node)
            async with self._door.closing(but=exchange.asker, seconds=limits.EXCHANGE_GRACE_SECONDS):
                _check_unused(node)
        except Refusal as refusal:
            self._exchange, self._asked = None, trio.Event()
            exchange.reply.fail(refusal)
            return False
        await node.stop("cancel", 0)
        return True

    async def _put_in_place(self, place: Path) -> Refusal | None:
        """Exchange the log, which nobody has open; why it was not. A database takes as long as it takes."""
        try:
            await self._agent_ended()
            database = database_of(self.settings)
            if database is None:
                takeover.put_in_place(place, self.settings.data)
            else:
                copy = partial(takeover.put_in_database, place, self.settings.data, database)
                await trio.to_thread.run_sync(copy)
        except Refusal as refusal:
            return refusal
        except (LogError, OSError) as error:
            return Unavailable(f"the log could not be exchanged: {error}")
        return None

    async def _agent_ended(self) -> None:
        """An agent knows which orders it cannot have had by their positions: those of another log say nothing to it."""
        with trio.move_on_after(limits.AGENT_END_SECONDS):
            while is_locked(self.settings.data):  # noqa: ASYNC110 - nobody tells when a lock is let go
                await trio.sleep(_LOOK_SECONDS)
            return
        raise Unavailable("the server's agent does not end, so that it may still carry something out")


def _check_unused(node: Node) -> None:
    position, runs = node.folds.position, node.folds.busy.at_work
    if position or node.writer.waiting:
        flight = f", {runs} run{'' if runs == 1 else 's'} in flight" if runs else ""
        raise Conflict(
            f"the server is no longer empty: its log is at position {position}{flight}; nothing was imported"
        )


async def _import_edge() -> None:
    """Import what serves HTTP, on a thread: it takes as long as the agent takes to come up."""
    with suppress(RuntimeError):  # the system has no thread to spare: then it is imported when it is called
        await trio.to_thread.run_sync(partial(import_module, _EDGE))


def _rules(settings: Settings) -> Rules:
    ttl = settings.jobstat_ttl
    return Rules(
        local_jobs=settings.local_jobs,
        delete_all=settings.delete_all,
        runs_kept_seconds=None if ttl < 0 else ttl * 60,
        notify=default_targets(mail=bool(settings.mailer_host), url=settings.notify_url),
        kept=settings.kept,
        tags=tuple((usual_tags(__version__) | dict(settings.tags)).items()),
    )

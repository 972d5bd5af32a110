"""The composition root: what a node is made of, and the order in which it starts and stops.

Start: log and folds are opened, the folds brought up to date, what the last stop left open is answered, then the
timetable runs, and only then does the node listen and say so.
Stop: nothing more is started; running attempts get their grace, then they are cancelled, and their ends are recorded;
it stops listening, a snapshot is saved, the log is closed.
"""

import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from kala_es import limits
from kala_es.agent.attempts import Agent, raise_open_files_limit
from kala_es.clock import Clock, SystemClock
from kala_es.domain.graph import Graph
from kala_es.domain.ids import JobId
from kala_es.domain.model import JobSpec
from kala_es.domain.template import TemplateError
from kala_es.event_log import EventLog, LogInUse
from kala_es.event_logs.lmdb import LmdbEventLog, open_log
from kala_es.event_logs.memory import MemoryEventLog
from kala_es.executor import Executor, RemoteExecutor
from kala_es.executors.http import HttpExecutor
from kala_es.executors.shell import ShellExecutor
from kala_es.fold_store import FoldsInUse, FoldStore
from kala_es.fold_stores.lmdb import open_folds
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections import snapshot
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.broadcaster import Broadcaster
from kala_es.runtime.collector import short_pauses
from kala_es.runtime.compaction import Compact
from kala_es.runtime.inbox import Inbox
from kala_es.runtime.janitor import Janitor
from kala_es.runtime.job_actor import Decide, Site
from kala_es.runtime.log_writer import LogWriter
from kala_es.runtime.orders import Orders, remote_of_draft
from kala_es.runtime.projector import Projector
from kala_es.runtime.recovery import replay, resume
from kala_es.runtime.registry import Registry
from kala_es.runtime.scheduler import Parts, Rules, Scheduler
from kala_es.runtime.timetable import Timetable
from kala_es.settings import Settings
from kala_es.web.app import Edge, make_app
from kala_es.web.listener import open_listeners, serve

_SWITCH_SECONDS = 0.0005
_SETTLE_SECONDS = 10.0
_SNAPSHOT_SECONDS = 60.0
_SNAPSHOT_EVENTS = 50_000
_CANCEL_SECONDS = limits.KILL_GRACE_SECONDS + limits.PIPE_LINGER_SECONDS + 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where a node keeps what it knows. `head` is the last position, `body` gives that of the record at one.
    `snapshot` is None when nothing outlives the process."""

    log: EventLog
    folds: FoldStore
    head: Callable[[], int]
    body: Callable[[int], bytes]
    snapshot: Path | None = None
    compact: Compact | None = None


def _body(log: MemoryEventLog | LmdbEventLog, position: int) -> bytes:
    return log.read_now(position - 1, limit=1)[0].body


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Storage]:
    """Open what the settings name. Raises LogError, OSError."""
    if not settings.persist:
        memory = MemoryEventLog()
        yield Storage(log=memory, folds=MemoryFoldStore(), head=lambda: memory.head, body=partial(_body, memory))
        return
    settings.data.mkdir(parents=True, exist_ok=True)
    try:
        folds = open_folds(settings.data)
    except FoldsInUse:
        raise LogInUse(f"the data directory {settings.data} is in use by another process") from None
    try:
        log = await trio.to_thread.run_sync(open_log, settings.data, folds)
        try:
            yield Storage(
                log=log,
                folds=folds,
                head=lambda: log.head,
                body=partial(_body, log),
                snapshot=settings.data / "snapshot.cbor",
                compact=log.compact,
            )
        finally:
            with trio.CancelScope(shield=True):
                await log.close()
    finally:
        folds.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a node draws on besides its storage; a test gives its own."""

    clock: Clock = field(default_factory=SystemClock)
    shell: Executor = field(default_factory=ShellExecutor)
    http: RemoteExecutor = field(default_factory=HttpExecutor)
    complain: Callable[[str], None] = field(default_factory=lambda: partial(print, file=sys.stderr, flush=True))
    decide: Decide | None = None
    places: int | None = None


class Node:
    """The parts, wired together. `start` brings them to life in a nursery; `stop` ends the runs in good order."""

    def __init__(self, storage: Storage, *, outside: Outside, rules: Rules, nursery: trio.Nursery) -> None:
        self.storage = storage
        self.outside = outside
        clock = outside.clock
        self.folds = Folds(storage.folds)
        self.broadcaster = Broadcaster()
        self.timetable = Timetable(clock, lambda job: self.registry.tick(job))
        self.projector = Projector(
            self.folds,
            timetable=self.timetable,
            broadcaster=self.broadcaster,
            react=lambda reaction: self.registry.react(reaction),
        )
        self.writer = LogWriter(storage.log, self._take)
        self.janitor = Janitor(self.folds, clock=clock, log=storage.log, writer=self.writer, kept=rules.kept)
        self.agent = Agent(
            shell=outside.shell,
            http=outside.http,
            clock=clock,
            report=lambda message: self.inbox.take(message),
            places=outside.places,
        )
        site = Site(
            nursery=nursery,
            clock=clock,
            log=storage.log,
            writer=self.writer,
            folds=self.folds,
            timetable=self.timetable,
            act=Orders(self.agent.send, self._graph).act,
            complain=outside.complain,
            again=lambda ask: self.registry.again(ask),
            **({"decide": outside.decide} if outside.decide else {}),
        )
        self.registry = Registry(site)
        self.inbox = Inbox(self.folds, clock=clock, writer=self.writer, tell=self.registry.tell, send=self.agent.send)
        self.scheduler = Scheduler(
            Parts(
                clock=clock,
                log=storage.log,
                folds=self.folds,
                registry=self.registry,
                projector=self.projector,
                broadcaster=self.broadcaster,
                timetable=self.timetable,
                validate=self._validate,
                rules=rules,
                compact=storage.compact,
            )
        )

    def _take(self, batch: Sequence[Recorded]) -> None:
        self.projector.take(batch)
        self.janitor.note(batch)

    def _graph(self) -> Graph:
        return self.folds.jobs.graph

    async def _validate(self, job: JobId, spec: JobSpec) -> str:
        try:
            call = remote_of_draft(job, spec, self.outside.clock.now())
        except TemplateError as error:
            return str(error)
        return await self.outside.http.validate(call)

    async def start(self, nursery: trio.Nursery) -> None:
        """Read the log, answer what the last stop left open, and begin to keep time."""
        await replay(self.storage.log, self.folds, head=self.storage.head(), snapshot_path=self.storage.snapshot)
        self.broadcaster.begin(self.folds.position)
        await nursery.start(self.agent.run)
        nursery.start_soon(self.writer.run)
        await resume(self.folds, self.timetable, clock=self.outside.clock, tell=self.registry.tell)
        with trio.move_on_after(_SETTLE_SECONDS):
            await self.registry.idle()
        nursery.start_soon(self.timetable.run)
        nursery.start_soon(self.janitor.run)

    async def stop(self, grace: float) -> None:
        """Start nothing more; give running attempts their grace; then end them. Their ends are recorded."""
        self.registry.stopping = True
        with trio.move_on_after(grace):
            await self.quiet()
        self.projector.give_up()
        self.inbox.ending = "the server was stopped"
        with trio.move_on_after(_CANCEL_SECONDS):
            while len(self.folds.busy) or self.registry.active:
                for job, run in list(self.folds.busy):
                    if run.status == "running":
                        self.registry.cancel_for_stop(job, run.id)
                await self.registry.parked()

    async def quiet(self) -> None:
        """Until nothing runs and no actor has anything to do."""
        while len(self.folds.busy) or self.registry.active:
            await self.registry.parked()

    async def save_snapshot(self) -> None:
        """Save the folds as they are now, a slice at a time. A full disk only means a slower start."""
        if self.storage.snapshot is None or not self.folds.position:
            return
        parts: list[bytes] = []
        for part in snapshot.freeze(self.folds, snapshot.anchor_of(self.storage.body(self.folds.position))):
            parts.append(part)
            await trio.lowlevel.checkpoint()
        try:
            await trio.to_thread.run_sync(snapshot.write, self.storage.snapshot, parts)
        except OSError as error:
            self.outside.complain(f"the snapshot could not be saved: {error.strerror}")

    async def save_snapshots(self) -> None:
        """Save one now and then, when there is much to replay without it."""
        saved = self.folds.position
        while True:
            await trio.sleep(_SNAPSHOT_SECONDS)
            if self.folds.position - saved >= _SNAPSHOT_EVENTS:
                saved = self.folds.position
                await self.save_snapshot()


async def run_node(
    settings: Settings, *, stop: trio.Event, say: Callable[[str], None], outside: Outside | None = None
) -> None:
    """Run a node until `stop`; `say` takes the line that tells where it listens. Raises LogError, OSError."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    files = raise_open_files_limit()
    outside = outside or Outside(places=_places(files))
    async with open_storage(settings) as storage, trio.open_nursery() as nursery:
        listeners = await open_listeners(settings.interface, settings.port)
        node = Node(storage, outside=outside, rules=_rules(settings), nursery=nursery)
        await node.start(nursery)
        nursery.start_soon(node.save_snapshots)
        if settings.verbose:
            nursery.start_soon(_print_events, node, outside.complain)
        with short_pauses():
            await _serve(node, settings, listeners, stop=stop, say=say)
        await node.save_snapshot()
        nursery.cancel_scope.cancel()


def _has_room(settings: Settings) -> bool:
    """Whether the disk takes new work."""
    return not settings.persist or shutil.disk_usage(settings.data).free >= limits.DISK_RESERVE_BYTES


async def _serve(
    node: Node,
    settings: Settings,
    listeners: Sequence[trio.SocketListener],
    *,
    stop: trio.Event,
    say: Callable[[str], None],
) -> None:
    edge = Edge(
        default_owner=settings.default_owner,
        allowed_hosts=settings.allowed_hosts,
        ready=lambda: not stop.is_set() and not node.writer.full and _has_room(settings),
    )
    async with trio.open_nursery() as serving:
        listening = trio.Event()
        urls = await serving.start(
            partial(
                serve,
                make_app(node.scheduler, edge),
                listeners,
                stop=listening,
            )
        )
        say(f"kala-es: listening on {urls[0]}")
        await stop.wait()
        await node.stop(settings.grace)
        listening.set()


def _places(files: int) -> int:
    """How many attempts fit into so many open files."""
    return max(1, min(limits.MAX_ATTEMPTS_AT_ONCE, int(files * limits.FILES_FOR_ATTEMPTS) // 5))


def _rules(settings: Settings) -> Rules:
    ttl = settings.jobstat_ttl
    return Rules(
        local_jobs=settings.local_jobs,
        delete_all=settings.delete_all,
        runs_kept_seconds=None if ttl < 0 else ttl * 60,
        kept=settings.kept,
    )


async def _print_events(node: Node, say: Callable[[str], None]) -> None:
    position = node.folds.position
    with node.broadcaster.follow("") as topic:
        while True:
            for entry in topic.after(position) or ():
                say(_line(entry.recorded))
            position = node.folds.position
            await topic.wait()


def _line(recorded: Recorded) -> str:
    event = recorded.event
    subject = " ".join(f"{name}={getattr(event, name)}" for name in ("job", "run", "outcome") if hasattr(event, name))
    return f"{recorded.position} {type(event).__name__} {subject}"

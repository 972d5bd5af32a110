"""The composition root: what a node is made of, and the order in which it starts and stops.

Start: log and folds are opened, the folds brought up to date, what the last stop left open is answered, then the
timetable runs. Only then may anybody ask it something (server.py).
Stop: nothing more is started; what runs is waited for, left or cancelled (runtime/stopping.py); a snapshot is saved,
the log is closed.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from kala_es import codec
from kala_es.clock import Clock, SystemClock
from kala_es.domain.events import OutputChunk
from kala_es.domain.graph import Graph
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.job import decide
from kala_es.domain.model import JobSpec
from kala_es.domain.placement import placed
from kala_es.domain.template import TemplateError
from kala_es.event_log import LogError, Record
from kala_es.executor import Executors, RemoteExecutor
from kala_es.executors.accounts import check_account
from kala_es.executors.http import HttpExecutor
from kala_es.executors.installed import InstalledExecutors
from kala_es.executors.shell import clean
from kala_es.link import VERSION, AgentLink, Hello, Key
from kala_es.notifier import Notifier
from kala_es.notifiers.smtp import SmtpNotifier
from kala_es.notifiers.webhook import WebhookNotifier
from kala_es.processor import FindProcessor
from kala_es.processors.installed import Installed
from kala_es.projections import past, snapshot
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.replay.moments import Replay
from kala_es.runtime.admission import Admission, CheckAccount
from kala_es.runtime.agent_line import AgentLine
from kala_es.runtime.broadcaster import Broadcaster
from kala_es.runtime.courier import Parts as CourierParts
from kala_es.runtime.inbox import Inbox
from kala_es.runtime.janitor import Janitor
from kala_es.runtime.job_actor import Decide, Site
from kala_es.runtime.log_reader import LogReader
from kala_es.runtime.log_writer import LogWriter
from kala_es.runtime.meters import Meters
from kala_es.runtime.notices import Notices
from kala_es.runtime.order_book import OrderBook
from kala_es.runtime.orders import Orders, remote_of_draft
from kala_es.runtime.processing import Parts as ProcessingParts
from kala_es.runtime.processing import Processing
from kala_es.runtime.projector import Projector
from kala_es.runtime.recovery import inherit, replay, resume, unanswered
from kala_es.runtime.redaction import Redactor
from kala_es.runtime.registry import Registry
from kala_es.runtime.scheduler import Parts, Rules, Scheduler
from kala_es.runtime.server_pause import ServerPause
from kala_es.runtime.stopping import Ending
from kala_es.runtime.timetable import Timetable
from kala_es.setting_values import OnStop
from kala_es.storage import Storage

_SETTLE_SECONDS = 10.0
_SNAPSHOT_SECONDS = 60.0
_SNAPSHOT_EVENTS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a node draws on besides its storage; a test gives its own. With `outlives` its agent goes on without it;
    its attempts may open so many files (0: as many as the agent may)."""

    link: AgentLink
    outlives: bool = True
    open_files: int = 0
    clock: Clock = field(default_factory=SystemClock)
    http: RemoteExecutor = field(default_factory=HttpExecutor)
    complain: Callable[[str], None] = field(default_factory=lambda: partial(print, file=sys.stderr, flush=True))
    mail: Notifier = field(default_factory=SmtpNotifier)
    webhook: Notifier = field(default_factory=WebhookNotifier)
    decide: Decide | None = None
    check_account: CheckAccount = check_account
    find_processor: FindProcessor = field(default_factory=lambda: Installed({}).find)
    executors: Executors = field(default_factory=InstalledExecutors)


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
        self.meters = Meters(
            self.folds,
            clock,
            waiting=lambda: self.writer.waiting,
            log_bytes=storage.log_bytes,
            keeps_time=lambda: not self.registry.stopping,
        )
        self.writer = LogWriter(storage.log, self._take, timed=self.meters.commits.add, away=storage.refusing)
        self.janitor = Janitor(self.folds, clock=clock, log=storage.log, writer=self.writer, kept=rules.kept)
        self.redactor = Redactor(self.folds, storage, clock=clock, writer=self.writer)
        self.book = OrderBook(lost=lambda key: self.inbox.lose(key))
        self.orders = Orders(self.book, self._graph)
        self.notices = self._notices(rules)
        self.processing = self._processing()
        self.registry = Registry(self._site(nursery, rules))
        self.inbox = Inbox(self.folds, self.book, clock=clock, writer=self.writer, tell=self.registry.tell)
        self.line = AgentLine(
            outside.link,
            self.book,
            hello=self._hello,
            durable=self._durable,
            take=self.inbox.take,
            complain=outside.complain,
        )
        self.pause = ServerPause(self.folds, clock=clock, writer=self.writer, timetable=self.timetable)
        self.scheduler = Scheduler(self._parts(rules))

    def _site(self, nursery: trio.Nursery, rules: Rules) -> Site:
        """What the jobs' actors share."""
        return Site(
            nursery=nursery,
            clock=self.outside.clock,
            log=self.storage.log,
            writer=self.writer,
            folds=self.folds,
            timetable=self.timetable,
            act=self.orders.act,
            settle=self.book.settle,
            complain=self.outside.complain,
            again=lambda ask: self.registry.again(ask),
            notices=self.notices.of,
            decide=placed(self.outside.decide or decide, rules.tags),
        )

    def _parts(self, rules: Rules) -> Parts:
        """What the scheduler is made of."""
        return Parts(
            clock=self.outside.clock,
            log=self.storage.log,
            folds=self.folds,
            registry=self.registry,
            projector=self.projector,
            broadcaster=self.broadcaster,
            timetable=self.timetable,
            pause=self.pause,
            meters=self.meters,
            validate=self._validate,
            admission=Admission(self.outside.check_account, self.outside.find_processor, self.outside.executors),
            rules=rules,
            redactor=self.redactor,
            janitor=self.janitor,
            compact=self.storage.compact,
            place=self.storage.place,
            look_back=lambda moment: Replay(self.storage.source, moment, self.storage.snapshots),
            directory=self.storage.directory,
            left_out=self.storage.left_out,
        )

    def _hello(self) -> Hello:
        environment = tuple((os.fsencode(name), os.fsencode(value)) for name, value in clean(os.environ).items())
        return Hello(
            VERSION,
            self.folds.position,
            outlives=self.outside.outlives,
            environment=environment,
            open_files=self.outside.open_files,
        )

    async def _durable(self, key: Key) -> int:
        """How many chunks of an attempt the log has: at least so many, if some are on their way there."""
        position = self.folds.output.last_position(RunId(key[0]))
        for record in await self.storage.log.read(position - 1, limit=1) if position else ():
            chunk = codec.decode(record)
            if isinstance(chunk, OutputChunk) and chunk.attempt == key[1]:
                return chunk.sequence
        return 0

    def _take(self, batch: Sequence[Recorded]) -> None:
        self.projector.take(batch)
        self.processing.follow(batch)
        self.janitor.note(batch)
        self.meters.follow(batch)

    def _graph(self) -> Graph:
        return self.folds.jobs.graph

    def _notices(self, rules: Rules) -> Notices:
        web = self.outside.webhook
        parts = CourierParts(
            folds=self.folds,
            clock=self.outside.clock,
            writer=self.writer,
            notifiers={"mailto": self.outside.mail, "http": web, "https": web},
            output=lambda run, start: self.scheduler.reader.output(run, start=start),
            complain=self.outside.complain,
        )
        notices = Notices(parts, rules.notify)
        self.projector.follow = notices.follow
        return notices

    def _processing(self) -> Processing:
        return Processing(
            ProcessingParts(
                folds=self.folds,
                clock=self.outside.clock,
                writer=self.writer,
                find=self.outside.find_processor,
                reader=LogReader(self.storage.log, self.folds),
                complain=self.outside.complain,
            )
        )

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
        self.meters.begin()
        nursery.start_soon(self.writer.run)
        await self.notices.start(nursery)
        await nursery.start(self.processing.run)
        repeated = unanswered(self.folds, self.outside.clock.now())
        inherit(self.folds, self.book, self.orders)
        await nursery.start(self.line.run)
        for command in repeated:
            self.registry.tell(command)
        await self._settle()
        await self.pause.end_if_over()
        await resume(self.folds, self.timetable, clock=self.outside.clock, late=self.registry.begin_late)
        await self._settle()
        nursery.start_soon(self.timetable.run)
        nursery.start_soon(self.registry.turns.run)
        nursery.start_soon(self.pause.run)
        nursery.start_soon(self.janitor.run)
        nursery.start_soon(self.redactor.finish)
        if self.storage.away is not None:
            nursery.start_soon(self.writer.turn_away)

    async def _settle(self) -> None:
        """Until what was told is done, or that takes too long to wait for."""
        with trio.move_on_after(_SETTLE_SECONDS):
            await self.registry.idle()

    async def stop(self, how: OnStop, grace: float, hurry: trio.Event | None = None) -> None:
        """Start nothing more, and end the runs in good order."""
        ending = Ending(
            folds=self.folds,
            registry=self.registry,
            projector=self.projector,
            inbox=self.inbox,
            line=self.line,
            say=self.outside.complain,
        )
        await ending.stop(how, grace, trio.Event() if hurry is None else hurry)
        await self.notices.leave()
        await self.processing.leave()

    async def save_snapshot(self) -> None:
        """Save the folds as they are now, a slice at a time. A full disk only means a slower start."""
        if self.storage.snapshot is None or not self.folds.position:
            return
        try:
            anchor = snapshot.anchor_of((await self._last_record()).body)
            parts, place = list[bytes](), (self.folds.position, self.folds.latest)
            for part in snapshot.freeze(self.folds, anchor):
                parts.append(part)
                await trio.lowlevel.checkpoint()
            await trio.to_thread.run_sync(_save, self.storage.snapshot, parts, place)
        except (LogError, OSError, RuntimeError) as error:  # RuntimeError: the system has no thread to spare
            self.outside.complain(f"the snapshot could not be saved: {getattr(error, 'strerror', error)}")

    async def _last_record(self) -> Record:
        """The last one that the folds hold: they have no other until the caller waits again. Raises LogError."""
        while True:
            position = self.folds.position
            (record,) = await self.storage.log.read(position - 1, limit=1)
            if position == self.folds.position:
                return record

    async def save_snapshots(self) -> None:
        """Save one now and then, when there is much to replay without it."""
        saved = self.folds.position
        while True:
            await trio.sleep(_SNAPSHOT_SECONDS)
            if self.folds.position - saved >= _SNAPSHOT_EVENTS:
                saved = self.folds.position
                await self.save_snapshot()


def _save(path: Path, parts: list[bytes], place: tuple[int, Instant]) -> None:
    content = snapshot.sealed(parts)
    snapshot.write(path, content)
    past.keep(path.with_name("snapshots"), content, position=place[0], time=place[1])

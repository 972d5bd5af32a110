"""A whole node for tests: in memory, on a clock that the test moves, with executors that do as a script says.

1. `running_node` is `run_node` without the edge. Give it the `Storage` of an earlier one and it is a restart.
2. `crash` pulls the plug: every task is cancelled at once and the log takes nothing more. `stop` ends it in good order.
3. A node that is left is checked against its log: whatever it knew is what a replay knows (law 1), and its runs hang
   together.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import trio

from kala_es import codec
from kala_es.clock import TrioClock
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.model import Job, JobDraft, JobSpec
from kala_es.domain.plan import schedule_of
from kala_es.domain.schedule import Ticks
from kala_es.domain.starts import must_wait
from kala_es.domain.tick_policy import offset_of
from kala_es.event_log import LogError, LogIsFull, NewRecord, Record
from kala_es.event_logs.memory import MemoryEventLog
from kala_es.executor import AttemptEnd, Channel, Emit, Local, Order, Remote
from kala_es.fold_store import FoldStore
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.node import Node, Outside
from kala_es.notifier import Notifier
from kala_es.notifiers.smtp import SmtpNotifier
from kala_es.notifiers.webhook import WebhookNotifier
from kala_es.processor import Processor
from kala_es.processors.installed import Installed
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.broadcaster import ALL
from kala_es.runtime.job_actor import Decide, Done
from kala_es.runtime.scheduler import Origin, Rules, Scheduler
from kala_es.setting_values import OnStop
from kala_es.storage import Storage
from tests.local_link import LocalLink

MONDAY: Final = Instant(1_767_600_000 * SECOND)
"""2026-01-05T08:00:00Z, when a test's wall clock starts unless it says otherwise."""
_PATIENCE_SECONDS = 7200.0
Fact = TypeVar("Fact", bound=e.Event)
_ALL_KEYS: Final = (b"\x00", b"\xff" * 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How an attempt goes: its output is spread over its `seconds`, then it exits; or it hangs; or the executor
    itself has a bug (`crashes`)."""

    seconds: float = 0.0
    output: tuple[tuple[Channel, bytes], ...] = ()
    exit_code: int = 0
    hangs: bool = False
    crashes: bool = False


HANGS: Final = Script(hangs=True)
FAILS: Final = Script(exit_code=1)
SUCCEEDS: Final = Script()


class ScriptedShell:
    """Executes by command line (or url); of several scripts the attempt's number picks one. An unknown one succeeds."""

    def __init__(self, scripts: Mapping[str, Script | Sequence[Script]] | None = None) -> None:
        self.scripts = dict(scripts or {})
        self.orders: list[Order] = []
        self.running: list[Order] = []

    async def execute(self, order: Order, emit: Emit) -> AttemptEnd:
        """As the script says."""
        self.orders.append(order)
        self.running.append(order)
        try:
            with trio.move_on_after(float("inf") if order.timeout is None else order.timeout) as limit:
                return await _perform(self._script(order), emit)
        finally:
            self.running.remove(order)
        assert limit.cancelled_caught
        return AttemptEnd(outcome="timed-out", reason="took too long")

    async def validate(self, remote: Remote) -> str:
        """The other side takes every job."""
        await trio.lowlevel.checkpoint()
        return ""

    def _script(self, order: Order) -> Script:
        work = order.work
        line = work.command_line if isinstance(work, Local) else work.url if isinstance(work, Remote) else work.executor
        script = self.scripts.get(line, SUCCEEDS)
        return script if isinstance(script, Script) else script[min(order.attempt, len(script)) - 1]


async def _perform(script: Script, emit: Emit) -> AttemptEnd:
    if script.crashes:
        raise RuntimeError("a bug in the executor")
    pause = script.seconds / (len(script.output) + 1)
    for channel, content in script.output:
        await trio.sleep(pause)
        await emit(channel, content)
    await trio.sleep(pause)
    if script.hangs:
        await trio.sleep_forever()
    outcome: Literal["succeeded", "failed"] = "failed" if script.exit_code else "succeeded"
    reason = f"exit code {script.exit_code}" if script.exit_code else ""
    return AttemptEnd(outcome=outcome, exit_code=script.exit_code, reason=reason)


class FaultyLog:
    """The memory log on a disk that may be slow, nearly full, full, or lose its power at the n-th append.

    `room`: "enough"; "low" refuses what asks for reserve; "none" refuses everything.
    """

    def __init__(self, log: MemoryEventLog, past: Sequence[Record] = ()) -> None:
        self.records = log
        self.past = [*past, *log.read_now(len(past), limit=1 << 40)]
        """Every record that was ever appended, also those that are erased by now."""
        self.room: Literal["enough", "low", "none"] = "enough"
        self.delay: Callable[[], float] | None = None
        self.off_before = 0
        """The append (counted from 1) before which the power fails; 0 for none."""
        self.off_after = 0
        """The append that becomes durable, and of which nobody is told."""
        self.appends: list[int] = []
        """The records of each append that became durable."""
        self.on_power_off: Callable[[], None] = lambda: None
        self._off = False

    def power_off(self) -> None:
        """From now on nothing becomes durable."""
        if not self._off:
            self._off = True
            self.on_power_off()

    async def append(self, batch: Sequence[NewRecord], *, reserve: int = 0) -> int:
        """Append, unless a fault forbids it."""
        number = len(self.appends) + 1
        if self.delay is not None:
            await trio.sleep(self.delay())
        if number == self.off_before:
            self.power_off()
        self._check_power()
        if self.room == "none" or (self.room == "low" and reserve):
            raise LogIsFull(f"there is no room: {self.room}")
        position = await self.records.append(batch)
        self.appends.append(len(batch))
        self.past += self.records.read_now(position - len(batch), limit=len(batch))
        if number == self.off_after:
            self.power_off()
        self._check_power()
        return position

    async def read(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The next records."""
        return await self.records.read(after, limit=limit, stream=stream)

    async def trim(self, positions: Sequence[int]) -> None:
        """Erase, unless the power is off."""
        self._check_power()
        await self.records.trim(positions)

    async def wait(self, after: int) -> int:
        """Until there is more."""
        return await self.records.wait(after)

    async def close(self) -> None:
        """Nothing to let go of."""
        await trio.lowlevel.checkpoint()

    def _check_power(self) -> None:
        if self._off:
            raise LogError("the power is off")


def memory_storage(snapshot: Path | None = None) -> Storage:
    """An empty disk."""
    return _storage(FaultyLog(MemoryEventLog()), MemoryFoldStore(), snapshot)


def restarted(before: Storage, *, folds: FoldStore | None = None, snapshot: Path | None = None) -> Storage:
    """What a restart finds: a copy of the log, the fold store that is given (an empty one by default), a snapshot."""
    assert isinstance(before.log, FaultyLog)
    log = FaultyLog(before.log.records.reopened(), before.log.past)
    return _storage(log, folds or MemoryFoldStore(), snapshot)


def _storage(faulty: FaultyLog, folds: FoldStore, snapshot: Path | None) -> Storage:
    return Storage(log=faulty, source=faulty.records, folds=folds, snapshot=snapshot)


def copied(folds: FoldStore) -> MemoryFoldStore:
    """A fold store with the same content."""
    copy = MemoryFoldStore()
    copy.write(folds.scan(*_ALL_KEYS, limit=1 << 40))
    return copy


class RunningNode:
    """A node that lives in a task of its own; the test stays alive when it crashes."""

    def __init__(self, storage: Storage, outside: Outside, rules: Rules) -> None:
        assert isinstance(storage.log, FaultyLog)
        assert isinstance(outside.clock, TrioClock)
        assert isinstance(outside.link, LocalLink)
        assert isinstance(outside.http, ScriptedShell)
        self.storage = storage
        self.log = storage.log
        self.clock = outside.clock
        self.shell = outside.http
        self.link = outside.link
        self.complaints: list[str] = []
        self.node: Node
        self.died: BaseException | None = None
        """What ended the node, when it was neither a stop nor a crash."""
        self.up = trio.Event()
        """It has started, or is gone already."""
        self.gone = trio.Event()
        self._history: list[Recorded] = []
        self._outside = outside
        self._rules = rules
        self._crashed = False
        self.takes_agent_along = False
        """Whether the agent goes when the node does: the machine crashes, not the node alone."""
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery
        storage.log.on_power_off = self._pull_plug

    async def live(self) -> None:
        """Start, and run until it is stopped, crashes or dies. `died` tells of what."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    self.node = Node(self.storage, outside=self._outside, rules=self._rules, nursery=nursery)
                    await self.node.start(nursery)
                    self.up.set()
                    await trio.sleep_forever()
        except* LogError as errors:
            if not self._crashed:
                self.died = errors
        finally:
            if self.takes_agent_along:
                self.link.kill()
            self.gone.set()
            self.up.set()

    def _pull_plug(self) -> None:
        self._crashed = True
        self._scope.cancel()

    async def crash(self) -> None:
        """Every task is cancelled, what was not durable is lost."""
        self.log.power_off()
        await self.gone.wait()

    async def stop(self, grace: float = 0.0, *, how: OnStop = "wait") -> None:
        """As `run_node` does when it is told to stop. A snapshot is saved where there is one."""
        await self.node.stop(how, grace)
        await self.node.save_snapshot()
        await self.leave()

    async def leave(self) -> None:
        """Cancel it, as `run_node` does at its end: what waits is still written."""
        self._scope.cancel()
        await self.gone.wait()

    # What a test asks of it

    @property
    def scheduler(self) -> Scheduler:
        """The way to the jobs."""
        return self.node.scheduler

    async def create(self, job: str, *, disabled: bool = False, **fields: Any) -> Done:
        """Create a job from its definition's fields."""
        draft = JobDraft(id=JobId(job), spec=spec(**fields), disabled=disabled)
        return await self.scheduler.create(draft, Origin())

    async def update(self, job: str, *, disabled: bool = False, **fields: Any) -> Done:
        """Replace a job's definition."""
        draft = JobDraft(id=JobId(job), spec=spec(**fields), disabled=disabled)
        return await self.scheduler.update(draft, Origin())

    async def run_by_hand(self, job: str) -> RunId:
        """Start a run; its id."""
        run = self.scheduler.new_run_id(JobId(job))
        await self.scheduler.start(JobId(job), run, Origin())
        return run

    async def run_keyed(self, job: JobId, origin: Origin) -> Done:
        """Start a run as a request with a key does."""
        return await self.scheduler.start(job, self.scheduler.new_run_id(job, origin.key), origin)

    async def cancel(self, run: RunId) -> None:
        """Ask for a run's end."""
        await self.scheduler.cancel(run, Origin())

    async def run_whole(self, job: str) -> RunId:
        """Start a run, and wait for the end of all that it causes."""
        run = await self.run_by_hand(job)
        with trio.fail_after(_PATIENCE_SECONDS):
            await self.scheduler.tree_end(run)
        return run

    async def attend(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do some work with the node, until it is done or the node is gone."""
        async with trio.open_nursery() as nursery:

            async def leave_with_the_node() -> None:
                await self.gone.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(leave_with_the_node)
            await work()
            nursery.cancel_scope.cancel()

    async def inside(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do some work as a part of the node, which goes when it does; until either is over."""
        done = trio.Event()

        async def carry_out() -> None:
            await work()
            done.set()

        self._nursery.start_soon(carry_out)
        await self.attend(done.wait)

    def job(self, job: str) -> Job:
        """The job."""
        return self.scheduler.job(JobId(job))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until the log's events have made it so."""
        with trio.fail_after(_PATIENCE_SECONDS), self.node.broadcaster.follow(ALL) as topic:
            while not condition():
                await topic.wait()

    async def ends(self, job: str, count: int = 1) -> list[e.RunFinished]:
        """Wait for so many runs of the job to end; all that ended."""
        await self.until(lambda: len(self.events(e.RunFinished, job=job)) >= count)
        return self.events(e.RunFinished, job=job)

    async def idle(self) -> None:
        """Until no actor has anything to do and the folds have reached the log's end."""
        with trio.fail_after(_PATIENCE_SECONDS):
            while self.node.registry.active or self.node.folds.position < self.log.records.head:  # noqa: ASYNC110
                await trio.sleep(0.001)

    def history(self) -> list[Recorded]:
        """Every event that was ever in the log."""
        self._history += events_of(self.log.past[len(self._history) :])
        return self._history

    def events(self, *kinds: type[Fact], job: str | None = None) -> list[Fact]:
        """The log's events of these kinds; of one job if named."""
        return [
            r.event
            for r in self.history()
            if isinstance(r.event, kinds) and (job is None or getattr(r.event, "job", None) == job)
        ]


@asynccontextmanager
async def running_node(storage: Storage | None = None, **parts: Any) -> AsyncIterator[RunningNode]:
    """A node as `start_node` starts it. It is left as `run_node` leaves it, unless it is gone by then."""
    async with trio.open_nursery() as nursery:
        node = await start_node(nursery, storage, **parts)
        yield node
        await node.leave()
    if node.died is not None:
        raise node.died
    check_folds(node)
    check_runs(node)


async def start_node(
    nursery: trio.Nursery,
    storage: Storage | None = None,
    *,
    shell: ScriptedShell | None = None,
    clock: TrioClock | None = None,
    decide: Decide | None = None,
    rules: Rules | None = None,
    link: LocalLink | None = None,
    notifier: Notifier | None = None,
    processors: Mapping[str, Processor] | None = None,
) -> RunningNode:
    """A node that lives in `nursery` and has started, or crashed while it did."""
    complaints: list[str] = []
    executor = shell or ScriptedShell()
    wall = clock or TrioClock(MONDAY)
    outside = Outside(
        link=link or LocalLink(executor, wall, nursery),
        clock=wall,
        http=executor,
        complain=complaints.append,
        decide=decide,
        mail=notifier or SmtpNotifier(),
        webhook=notifier or WebhookNotifier(),
        find_processor=Installed(processors or {}).find,
    )
    node = RunningNode(storage or memory_storage(), outside, rules or Rules())
    node.complaints = complaints
    node.takes_agent_along = link is None
    nursery.start_soon(node.live)
    await node.up.wait()
    return node


def spec(**fields: Any) -> JobSpec:
    """A definition: a name and a command line that succeeds, unless the fields say otherwise."""
    for name in ("parents", "dependents"):
        if fields.get(name) is not None:
            fields[name] = tuple(JobId(job) for job in fields[name])
    return JobSpec(**{"name": "a job", "command": "succeeds", **fields})


def decoded(log: MemoryEventLog, after: int = 0) -> list[Recorded]:
    """The events after a position."""
    return events_of(log.read_now(after, limit=1 << 40))


def events_of(records: Sequence[Record]) -> list[Recorded]:
    """Records as events."""
    return [Recorded(r.position, codec.decode(r), r.principal) for r in records]


def iso(moment: int) -> str:
    """An instant as the start of a schedule."""
    return datetime.fromtimestamp(moment / SECOND, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def check_folds(node: RunningNode) -> None:
    """Law 1: what the node knew is what a replay of its log knows, to the byte."""
    folds, store = node.node.folds, MemoryFoldStore()
    replayed = Folds(store)
    for recorded in node.history():
        if recorded.position <= max(folds.position, folds.stored):
            replayed.apply([recorded])
        if recorded.position == folds.position:
            assert _in_memory(folds) == _in_memory(replayed)
        if recorded.position == folds.stored:
            assert node.storage.folds.scan(*_ALL_KEYS, limit=1 << 40) == store.scan(*_ALL_KEYS, limit=1 << 40)


def _in_memory(folds: Folds) -> dict[str, Any]:
    return {
        "position": folds.position,
        "jobs": list(folds.jobs.by_id.items()),
        "ids": list(folds.jobs.ids()),
        "graph": folds.jobs.graph.dump(),
        "stats": folds.stats,
        "days": folds.days.dump(),
        "recent": folds.recent.dump(),
        "busy": list(folds.busy),
        "trees": folds.trees,
        "watch": folds.watch,
        "handovers": folds.handovers,
        "pause": folds.server_pause,
    }


def check_ticks(node: RunningNode, now: Instant) -> None:
    """Law 7: every tick from a job's creation to `now` has exactly one answer, in order, and none came early.

    One that a pause skipped may be made up once. One that has to wait may have no answer yet.
    """
    plans: dict[JobId, _Plan] = {}
    for recorded in node.history():
        event = recorded.event
        match event:
            case e.JobCreated():
                plans[event.job] = _Plan(event)
            case e.JobUpdated():
                plans[event.job].update(event)
            case e.JobEnabled() | e.JobDisabled():
                plans[event.job].disabled = isinstance(event, e.JobDisabled)
            case e.JobDeleted():
                del plans[event.job]
            case e.RunStarted() | e.RunSkipped() if event.tick is not None:
                plans[event.job].answer(event, Ticks(first=event.tick, last=event.tick, count=1))
            case e.TickMissed():
                plans[event.job].answer(event, Ticks(first=event.first, last=event.last, count=event.count))
    for job, plan in plans.items():
        state = node.node.folds.jobs.by_id[job]
        may_wait = state.spec.ticks.catch_up == "all" or must_wait(state)
        due = plan.due
        assert plan.disabled or may_wait or due is None or due > now, f"{job}: {iso(due)} has no answer"


def _planned_by(spec: JobSpec) -> tuple[object, ...]:
    return spec.schedule, spec.timezone, not spec.parents, spec.ticks.dst_gap, spec.ticks.dst_fold


class _Plan:
    """The ticks that a job's definition promises, and how far they are answered."""

    def __init__(self, event: e.JobCreated) -> None:
        self.disabled = event.disabled
        self._job = event.job
        self._spec = event.spec
        self._schedule = schedule_of(event.spec, event.at, event.job)
        self._last = Instant(event.at - 1)
        self._skipped: list[Instant] = []
        """The ticks that pauses skipped and nothing made up."""

    @property
    def next(self) -> Instant | None:
        """The first tick without an answer."""
        return self._schedule.next_after(self._last) if self._schedule else None

    @property
    def due(self) -> Instant | None:
        """When it is to be answered."""
        return None if self.next is None else Instant(self.next + offset_of(self._spec.ticks, self._job))

    def update(self, event: e.JobUpdated) -> None:
        """A new schedule begins when the old one has been answered up to now."""
        old, new, self._spec, self.disabled = self._spec, event.spec, event.spec, event.disabled
        if _planned_by(old) != _planned_by(new):
            due, self._last = self.next, event.at if self._last == event.at else Instant(event.at - 1)
            self._schedule = schedule_of(new, Instant(self._last + 1), event.job)
            self._skipped.clear()
            left = due is not None and due <= event.at and due != self.next
            assert not left, f"the edit of {event.job} left the tick {iso(due or 0)} unanswered"

    def answer(self, event: e.RunStarted | e.RunSkipped | e.TickMissed, ticks: Ticks) -> None:
        """These ticks and no others are next, or were skipped by a pause."""
        edited = isinstance(event, e.TickMissed) and event.reason == "the job was edited"
        early = ticks.last + (0 if edited else offset_of(self._spec.ticks, self._job))
        assert early <= event.at, f"{event} came early"
        paused = not isinstance(event, e.RunStarted) and event.reason == "paused"
        fresh = ticks.count - (0 if paused else self._make_up(event, ticks))
        if fresh == ticks.count:
            assert ticks.first == self.next, f"{event} answers {iso(ticks.first)}, due was {self.next}"
        for _ in range(fresh):
            assert self.next is not None
            self._last = self.next
            self._skipped += [self._last] if paused else []
        assert self._last == ticks.last or not fresh

    def _make_up(self, event: e.RunStarted | e.RunSkipped | e.TickMissed, ticks: Ticks) -> int:
        """What pauses skipped is no longer open up to the last of these ticks; how many of these ticks it was."""
        covers = event.covers if isinstance(event, e.RunStarted) else None
        first = covers.first if covers else ticks.first
        made_up = [tick for tick in self._skipped if first <= tick <= ticks.last]
        self._skipped = [tick for tick in self._skipped if tick > ticks.last]
        return sum(tick >= ticks.first for tick in made_up)


def check_runs(node: RunningNode) -> None:
    """Every run begins once and ends at most once, its output is whole and inside it, and what has no end is busy."""
    open_runs: dict[RunId, int] = {}
    seen: set[RunId] = set()
    chunks: dict[tuple[RunId, int], int] = {}
    for recorded in node.history()[: node.node.folds.position]:
        match recorded.event:
            case e.RunStarted(run=run):
                assert run not in seen, f"run {run} began twice"
                open_runs[run] = 1
                seen.add(run)
            case e.RunSkipped(run=run):
                assert run not in seen, f"run {run} began and was skipped"
                seen.add(run)
            case e.AttemptFailed(run=run, attempt=attempt, retrying=retrying, retry_at=retry_at):
                assert open_runs[run] == attempt
                open_runs[run] += retrying and retry_at is None
            case e.AttemptStarted(run=run, attempt=attempt):
                open_runs[run] += 1
                assert open_runs[run] == attempt
            case e.OutputChunk(run=run, attempt=attempt, sequence=sequence):
                assert (open_runs[run] if run in seen else attempt) == attempt, "output after the attempt's end"
                assert sequence == chunks.get((run, attempt), 0) + 1, "a piece of output is missing"
                chunks[run, attempt] = sequence
            case e.RunImported(run=run, attempts=attempts, chunks=count):
                assert (run in seen, chunks.get((run, attempts), 0)) == (False, count), (
                    "its output is not all before it"
                )
                seen.add(run)
            case e.RunFinished(run=run, attempts=attempts):
                assert open_runs.pop(run) == attempts
    assert {run.id: run.attempt for _, run in node.node.folds.busy} == open_runs

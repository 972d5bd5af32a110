"""Random walks: a seed drives commands, crashes, restarts, slow and failing executors, bugs in deciding, jumps of the
wall clock and full disks, and after each crash and at the end the log has to tell a story without a hole.

WALK_SEED=n repeats one walk. `make soak` takes many of them, SOAK_ROUNDS bounds how many.
"""

import os
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import trio
import trio.testing
from trio._core import _run as trio_scheduler

from kala_es.clock import TrioClock
from kala_es.domain import events as e
from kala_es.domain.clock_changes import Gap
from kala_es.domain.commands import Command, CreateJob
from kala_es.domain.errors import ActorCrashed, Refusal
from kala_es.domain.ids import SECOND, Instant, JobId, RunId, run_imported
from kala_es.domain.imported_runs import ImportedRun, RunImport
from kala_es.domain.job import decide
from kala_es.domain.model import Job, JobDraft
from kala_es.domain.notify import OCCASIONS, Notify, Target
from kala_es.domain.terms import AttemptTerms
from kala_es.domain.tick_policy import CatchUp, Overlap, PauseDraft, TickPolicy
from kala_es.fold_store import FoldStore
from kala_es.notifier import Sent
from kala_es.projections import snapshot
from kala_es.projections.stats import Stats
from kala_es.runtime.job_actor import Done
from kala_es.runtime.scheduler import Answer, Key, Origin
from kala_es.setting_values import OnStop
from kala_es.storage import Storage
from tests.local_link import LocalLink
from tests.nodes import (
    FAILS,
    HANGS,
    MONDAY,
    SUCCEEDS,
    RunningNode,
    Script,
    ScriptedShell,
    check_folds,
    check_runs,
    check_ticks,
    copied,
    iso,
    memory_storage,
    restarted,
    spec,
    start_node,
)
from tests.receivers import DELIVERED, FAILED, REFUSED, ScriptedNotifier, check_notices
from tests.taking import ScriptedProcessor, check_handed_over

STEPS: Final = 300
SEEDS: Final = range(8)
SOAK_ROUNDS: Final = int(os.environ.get("SOAK_ROUNDS", "300"))
JOBS: Final = [JobId(f"j{i}") for i in range(8)]
GRANTED: Final = Answer(status=204)
NOTIFY: Final = Notify(
    targets=(Target(to="https://a.example", when=OCCASIONS), Target(to="mailto:a@b")), expected_duration="PT20S"
)
CRON: Final = ("*/7 * * * * *", "30 * * * * *", "@every 31s", "@manually", "~/20 * * * * *", "0 * * * * * | @every 31s")
GAPS: Final[Sequence[Gap]] = ("run-after", "run-after", "skip")
_TALK: Final = tuple((("stdout", "stderr")[i % 2], b"%d" % i) for i in range(5))
SCRIPTS: Final[dict[str, Any]] = {
    "quick": SUCCEEDS,
    "slow": Script(seconds=25, output=_TALK),
    "fails": Script(seconds=2, output=_TALK[:1], exit_code=1),
    "flaky": (FAILS, Script(seconds=3, exit_code=2), SUCCEEDS),
    "hangs": HANGS,
    "crashes": Script(crashes=True),
}


class Walk:
    """One seed's walk. `acknowledged` is what the node's clients were told; `keys` what they asked for with a key."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.random = random.Random(seed)
        self.snapshot = directory / f"{seed}.cbor"
        self.clock = TrioClock(MONDAY)
        self.shell = ScriptedShell(SCRIPTS)
        self.notifier = ScriptedNotifier(fate=self.fate)
        self.ink = ScriptedProcessor(fate=self.stain)
        self.acknowledged: list[Done] = []
        self.keys: dict[str, JobId] = {}
        self.asking: set[str] = set()
        self.granted: set[str] = set()
        self.old_folds: FoldStore | None = None
        self.crashes = 0
        self.handed_over = 0
        self.bugs = 0.0
        """How likely it is that deciding on a command meets a bug."""
        self.node: RunningNode
        self.link: LocalLink
        self.nursery: trio.Nursery

    async def walk(self, steps: int) -> None:
        """Take so many steps; then let all that runs come to its end."""
        async with trio.open_nursery() as self.nursery:
            self.link = LocalLink(self.shell, self.clock, self.nursery)
            await self.begin(memory_storage())
            for _ in range(steps):
                await self.step()
                await trio.sleep(self.random.choice((0, 0, 0.001, 0.1, 3, 30, 60)) * self.random.random())
                while self.node.gone.is_set():
                    await self.restart()
            await self.settle()
            self.check()
            await self.end_all_runs()
            self.check()
            assert not len(self.node.node.folds.busy)
            assert self.link.held() == set(), "the agent holds what the log has the end of"
            await self.hand_over()
            await self.node.leave()
            self.nursery.cancel_scope.cancel()

    async def begin(self, storage: Storage) -> None:
        self.node = await start_node(
            self.nursery,
            storage,
            shell=self.shell,
            clock=self.clock,
            decide=self.decide_or_fail,
            notifier=self.notifier,
            processors={"ink": self.ink},
            link=self.link,
        )

    def fate(self) -> Sent:
        """What becomes of a notice."""
        self.notifier.seconds = self.random.choice((0, 0, 2, 40))
        return self.random.choice((DELIVERED, DELIVERED, FAILED, FAILED, REFUSED))

    def stain(self) -> str:
        """What becomes of a part of output."""
        self.ink.seconds = self.random.choice((0, 0, 2, 40))
        return self.random.choice(("", "", "", "", "out of ink"))

    def decide_or_fail(self, job: Job | None, command: Command) -> tuple[e.JobEvent, ...]:
        """With a bug now and then. Creation has none: jobs that are created together have no actor yet."""
        if self.random.random() < self.bugs and not isinstance(command, CreateJob):
            raise ZeroDivisionError("a bug in deciding")
        return decide(job, command)

    async def step(self) -> None:
        """Something happens."""
        happenings = {
            self.start: 30,
            self.create: 20,
            self.cancel: 10,
            self.update: 8,
            self.enable: 8,
            self.jump: 5,
            self.delete: 4,
            self.disable: 3,
            self.fill_disk: 3,
            self.slow_disk: 3,
            self.save: 3,
            self.plant_bugs: 2,
            self.crash: 3,
            self.kill_agent: 2,
            self.cut_line: 3,
            self.create_some: 2,
            self.import_runs: 3,
            self.pause: 3,
            self.resume: 4,
            self.stop: 1,
            self.delete_all: 0.3,
        }
        (happening,) = self.random.choices(list(happenings), list(happenings.values()))
        await happening()

    # What clients do

    def ask(self, command: Callable[[], Awaitable[Done]], key: str = "") -> None:
        """In a task of its own, as long as there is a node to ask. A refusal is an answer."""
        node = self.node

        async def work() -> None:
            try:
                done = await command()
            except (Refusal, ActorCrashed):
                return
            finally:
                self.asking.discard(key)
            assert node.node.folds.position >= done.position, "told before it can be read"
            assert node.log.records.head >= done.position, "told before it is durable"
            self.acknowledged.append(done)
            self.granted.add(key)

        self.asking.add(key)
        self.nursery.start_soon(node.attend, work)

    def job(self) -> JobId:
        return self.random.choice(JOBS)

    def draft(self, job: JobId) -> JobDraft:
        chance = self.random.random
        fields: dict[str, Any] = {"command": self.random.choice(list(SCRIPTS)), "name": f"name {chance()}"}
        start = iso(self.clock.now() + round(chance() * 100 * SECOND))
        times = self.random.choice(("", "", "0", "1", "5"))
        if chance() < 0.7:
            fields["schedule"] = f"R{times}/{start}/{self.random.choice(('PT7S', 'PT31S', 'PT10M', 'P1D'))}"
        elif chance() < 0.5:
            fields["schedule"] = self.random.choice(CRON)
        elders = [elder for elder in self.node.node.folds.jobs.ids() if elder < job]
        if elders and chance() < 0.4:
            fields["parents"] = self.random.sample(elders, min(self.random.choice((1, 1, 2)), len(elders)))
        if chance() < 0.2:
            fields["on_failure_job"] = self.job()
        if chance() < 0.1:
            fields["dependents"] = [self.job()]
        if fields["command"] == "hangs" or chance() < 0.2:
            fields["timeout"] = self.random.choice(("PT1S", "PT15S", "PT2M"))
        fields["retries"] = self.random.choice((0, 0, 1, 3))
        fields["notify"] = self.random.choice((Notify(), NOTIFY))
        fields["processors"] = self.random.choice(((), (("ink", ()),)))
        if chance() < 0.3:
            backoff, jitter = self.random.choice((None, 3.0)), self.random.choice((None, 0.5))
            fields["terms"] = AttemptTerms(retry_delay="PT4S", retry_backoff=backoff, retry_jitter=jitter)
        fields["epsilon"] = self.random.choice(("", "PT10S"))
        fields["resume_at_next_tick"] = chance() < 0.3
        fields["dependency_policy"] = self.random.choice(("all", "any"))
        fields["ticks"] = self.policy()
        return JobDraft(id=job, spec=spec(**fields), disabled=chance() < 0.1)

    def policy(self) -> TickPolicy:
        catch_ups: Sequence[CatchUp] = ("", "", "one", "none", "all")
        catch_up = self.random.choice(catch_ups)
        overlaps: Sequence[Overlap] = ("allow", "allow", "skip", "queue", "replace")
        if catch_up == "all":
            overlaps = ("allow", "queue")
        return TickPolicy(
            overlap=self.random.choice(overlaps),
            catch_up=catch_up,
            catch_up_window=self.random.choice(("", "PT1M")) if catch_up == "all" else "",
            jitter=self.random.choice(("", "", "PT3S")),
            starting_deadline=self.random.choice(("", "", "PT30S")),
            dst_gap=self.random.choice(GAPS),
        )

    async def pause(self) -> None:
        """A job, or now and then the server."""
        job = None if self.random.random() < 0.2 else self.job()
        until = Instant(self.clock.now() + round(self.random.random() * 120 * SECOND))
        draft = PauseDraft(reason="a walk", until=self.random.choice((None, until)))
        self.ask(partial(done, partial(self.node.scheduler.pause, job, draft, Origin())))

    async def resume(self) -> None:
        job = None if self.random.random() < 0.4 else self.job()
        self.ask(partial(done, partial(self.node.scheduler.resume, job, Origin())))

    async def create(self) -> None:
        self.ask(partial(self.node.scheduler.create, self.draft(self.job()), Origin()))

    async def create_some(self) -> None:
        drafts = [self.draft(job) for job in self.random.sample(JOBS, 3)]
        self.ask(partial(self.node.scheduler.create_all, drafts, Origin()))

    async def update(self) -> None:
        self.ask(partial(self.node.scheduler.update, self.draft(self.job()), Origin()))

    async def enable(self) -> None:
        self.ask(partial(self.node.scheduler.enable, self.job(), Origin()))

    async def disable(self) -> None:
        self.ask(partial(self.node.scheduler.disable, self.job(), Origin()))

    async def start(self) -> None:
        """With a key: a new request, or again one that got no answer. Requests with one key take turns at the edge."""
        key = f"key {len(self.keys)}"
        job = self.keys.setdefault(key, self.job())
        if self.random.random() < 0.3:
            key, job = self.random.choice(list(self.keys.items()))
        origin = Origin(key=Key.of(key, job.encode()), answer=GRANTED)
        assert origin.key is not None
        if key not in self.asking and self.node.scheduler.answered(origin.key) is None:
            self.ask(partial(self.node.run_keyed, job, origin), key)

    async def import_runs(self) -> None:
        """Some of those that the job had elsewhere, again and again."""
        job = self.job()
        runs = tuple(run_elsewhere(job, ago) for ago in self.random.sample(range(1, 9), 3))
        asked = RunImport(job=job, source="elsewhere", runs=runs)
        self.ask(partial(done, partial(self.node.scheduler.importer.take, asked, "")))

    async def cancel(self) -> None:
        runs = [run.id for _, run in self.node.node.folds.busy]
        if runs:
            self.ask(partial(self.node.scheduler.cancel, self.random.choice(runs), Origin()))

    async def delete(self) -> None:
        self.ask(partial(self.node.scheduler.delete, self.job(), Origin()))

    async def delete_all(self) -> None:
        scheduler = self.node.scheduler

        async def command() -> Done:
            await scheduler.delete_all(Origin())
            return Done(0, ())

        self.ask(command)

    # What the world does

    async def jump(self) -> None:
        self.clock.step(self.random.choice((-3600, -60, -1, 0.5, 30, 7200)) * self.random.random())

    async def fill_disk(self) -> None:
        self.node.log.room = self.random.choice(("low", "none", "enough", "enough"))

    async def slow_disk(self) -> None:
        seconds = self.random.choice((0.0, 0.0, 0.01, 0.1, 2.0))
        self.node.log.delay = lambda: self.random.random() * seconds

    async def plant_bugs(self) -> None:
        self.bugs = self.random.choice((0.0, 0.0, 0.03, 0.3))

    async def save(self) -> None:
        """A snapshot, and a copy of the fold store as a machine may find it after a crash. The node itself would
        write in a thread, while which a mock clock jumps as it likes."""
        folds, log = self.node.node.folds, self.node.log.records
        for record in log.read_now(folds.position - 1, limit=1) if folds.position else ():
            parts = list(snapshot.freeze(folds, snapshot.anchor_of(record.body)))
            snapshot.write(self.snapshot, snapshot.sealed(parts))
        self.old_folds = copied(self.node.storage.folds)

    async def crash(self) -> None:
        """Now, or at one of the next appends."""
        soon = len(self.node.log.appends) + self.random.randint(1, 4)
        match self.random.randrange(3):
            case 0:
                await self.node.crash()
            case 1:
                self.node.log.off_before = soon
            case _:
                self.node.log.off_after = soon

    async def kill_agent(self) -> None:
        """What it carries out is lost."""
        self.link.kill()

    async def cut_line(self) -> None:
        """Node and agent find each other again."""
        self.link.hang_up()

    async def stop(self) -> None:
        """In good order, now and then on a disk that makes that hard."""
        how, grace = self.random.choice(get_args(OnStop)), self.random.choice((0.0, 3.0, 40.0))
        await self.node.inside(partial(self.node.node.stop, how, grace))
        if not self.node.gone.is_set():
            await self.save()
            await self.node.leave()

    async def restart(self) -> None:
        """After a while, with what is left of the folds, on a clock that may have been set meanwhile; the agent has
        gone on, or the machine had crashed."""
        before = self.node
        if self.random.random() < 0.4:
            self.link.kill()
        self.crashes += 1
        check_folds(before)
        check_runs(before)
        await trio.sleep(self.random.choice((0, 1, 300)) * self.random.random())
        kept = self.random.choice((before.storage.folds, before.storage.folds, self.old_folds, None))
        saved = self.random.choice((self.snapshot, None))
        storage = restarted(before.storage, folds=copied(kept) if kept else None, snapshot=saved)
        cut_short = [run for _, run in before.node.folds.busy]
        head = storage.head()
        await self.begin(storage)
        await self.settle()
        self.check()
        answered = {(x.run, x.attempt) for x in self.node.events(e.AttemptFailed)}
        over, goes_on = {x.run for x in self.node.events(e.RunFinished)}, self.link.held()
        for run in cut_short:
            key = run.id, run.attempt
            if run.id in before_end(self.node, head) and run.retry_at is None:
                assert key in answered or run.id in over or key in goes_on, f"{run} is forgotten"

    # What must hold

    async def settle(self) -> None:
        """Let all recover, and wait until the node has done what is due."""
        self.bugs, pause = 0.0, 12 if self.bugs or self.node.events(e.ActorCrashed) else 1.5
        self.node.log.room, self.node.log.delay = "enough", None
        self.node.log.off_before = self.node.log.off_after = 0
        await trio.sleep(pause)
        await self.node.idle()

    async def end_all_runs(self) -> None:
        """Disable all jobs, and cancel whatever runs until nothing does."""
        for job in list(self.node.node.folds.jobs.ids()):
            await self.node.scheduler.disable(job, Origin())
        while len(self.node.node.folds.busy):
            for job_id, run in list(self.node.node.folds.busy):
                self.node.node.registry.cancel_for_stop(job_id, run.id)
            await trio.sleep(30)
        await self.node.idle()

    async def hand_over(self) -> None:
        """Wait until nothing is on its way to a processor, and see that everything came."""
        with trio.fail_after(1e6):
            while self.node.node.folds.handovers.count:  # noqa: ASYNC110
                await trio.sleep(600)
        check_folds(self.node)
        self.handed_over = check_handed_over(self.node, 0, self.ink)

    def check(self) -> None:
        """The invariants, at a moment when no actor has anything to do."""
        node = self.node
        check_folds(node)
        check_runs(node)
        check_ticks(node, Instant(self.clock.now() - SECOND))
        check_notices(node)
        self.check_agent()
        assert node.node.folds.stats == recount(node)
        assert node.node.folds.days.dump() == ends_by_day(node)
        first: dict[e.Event, int] = {}
        for recorded in node.history():
            first.setdefault(recorded.event, recorded.position)
        for done in self.acknowledged:
            assert all(first.get(event, done.position + 1) <= done.position for event in done.events)
        for key in self.granted - {""}:
            assert node.scheduler.answered(Key.of(key, self.keys[key].encode())) == GRANTED

    def check_agent(self) -> None:
        """What is said to be carried out is carried out, and nothing else."""
        busy = {(run.id, run.attempt) for _, run in self.node.node.folds.busy if run.retry_at is None}
        assert busy == self.link.held()


def run_elsewhere(job: JobId, ago: int) -> ImportedRun:
    """A run that the job had on another server so many minutes before the walk."""
    name, start = f"x{ago}", Instant(MONDAY - ago * 60 * SECOND)
    return ImportedRun(
        id=run_imported(job, "elsewhere", name),
        execution=name,
        started=start,
        ended=Instant(start + SECOND),
        outcome="failed" if ago % 3 else "succeeded",
        attempts=ago % 3 + 1,
        output=b"there" * (ago % 4),
    )


async def done(command: Callable[[], Awaitable[object]]) -> Done:
    """A command that tells nothing but that it was carried out."""
    await command()
    return Done(0, ())


def before_end(node: RunningNode, head: int) -> set[RunId]:
    """The runs that were in flight at a position."""
    runs: set[RunId] = set()
    for recorded in node.history()[:head]:
        if isinstance(recorded.event, e.RunStarted):
            runs.add(recorded.event.run)
        elif isinstance(recorded.event, e.RunFinished):
            runs.discard(recorded.event.run)
    return runs


def ends_by_day(node: RunningNode) -> dict[int, dict[str, int]]:
    """How the runs of each day ended, from the events alone."""
    days: dict[int, dict[str, int]] = {}
    for event in node.events(e.RunFinished, e.RunSkipped):
        how = event.outcome if isinstance(event, e.RunFinished) else "skipped"
        day = days.setdefault(event.at // (86_400 * SECOND), {})
        day[how] = day.get(how, 0) + 1
    return days


def recount(node: RunningNode) -> Stats:
    """The counters, from the events alone but for the ticks to come."""
    jobs: dict[JobId, dict[str, int]] = {}
    last: Instant | None = None
    for recorded in node.history():
        event = recorded.event
        job = jobs.get(getattr(event, "job", JobId("")), {})
        match event:
            case e.JobCreated():
                jobs[event.job] = {"disabled": event.disabled, "errors": 0, "successes": 0}
            case e.JobUpdated():
                job["disabled"] = event.disabled
            case e.JobEnabled() | e.JobDisabled():
                job["disabled"] = isinstance(event, e.JobDisabled)
            case e.JobDeleted():
                del jobs[event.job]
            case e.RunStarted() | e.RunSkipped():
                last = max(event.at, last or event.at)
            case e.AttemptFailed():
                job["errors"] = job.get("errors", 0) + 1
            case e.RunFinished(outcome="succeeded"):
                job["successes"] = job.get("successes", 0) + 1
    scheduled = [job for job in node.scheduler.jobs() if job.next_tick is not None and not job.disabled]
    return Stats(
        scheduled_jobs=len(scheduled),
        jobs=len(jobs),
        disabled_jobs=sum(job["disabled"] for job in jobs.values()),
        error_count=sum(job["errors"] for job in jobs.values()),
        success_count=sum(job["successes"] for job in jobs.values()),
        last_attempted_run=last,
    )


def take(seed: int, directory: Path, steps: int = STEPS) -> Walk:
    """Walk, with Trio's scheduler seeded as well. A failure tells how to repeat it."""
    trio_scheduler._r.seed(seed)
    walks: list[Walk] = []

    async def walk() -> None:
        walks.append(Walk(seed, directory))
        await walks[0].walk(steps)

    try:
        trio.run(walk, clock=trio.testing.MockClock(autojump_threshold=0))
    except BaseException as error:
        error.add_note(f"WALK_SEED={seed} repeats this walk")
        raise
    return walks[0]


@pytest.mark.parametrize("seed", [int(os.environ["WALK_SEED"])] if "WALK_SEED" in os.environ else SEEDS)
def test_a_random_walk_leaves_no_hole_in_the_log(seed, tmp_path):
    walk = take(seed, tmp_path)
    assert walk.acknowledged
    assert walk.handed_over or "WALK_SEED" in os.environ, "no seed has a walk without output"


def test_a_seed_repeats_its_walk(tmp_path):
    first, second = (take(4, tmp_path / name, 150) for name in ("", "."))
    assert first.node.log.records.read_now(0, limit=1 << 40) == second.node.log.records.read_now(0, limit=1 << 40)


@pytest.mark.soak
def test_many_random_walks_leave_no_hole_in_the_log(tmp_path):
    for _ in range(SOAK_ROUNDS):
        take(random.SystemRandom().randrange(sys.maxsize), tmp_path)

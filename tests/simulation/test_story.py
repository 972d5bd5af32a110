"""Some weeks of a scheduler's life: jobs are created, edited, paused, run and deleted; then any moment is looked up.

The witness notes what the live folds say after each commit. What a replay says of a hundred random moments, by position
and by time, from the log alone and from snapshots that were kept on the way, must be the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.domain.tick_policy import PauseDraft
from kala_es.projections import past, snapshot
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.replay.moments import Moment, Replay
from kala_es.runtime.scheduler import Origin
from tests.nodes import FAILS, RunningNode, Script, ScriptedShell, running_node

WEEKS = 4
DAY = 86_400 * SECOND
SCRIPTS = {"fails": FAILS, "works": Script(seconds=40, output=(("stdout", b"done\n"),))}
INTERVALS = ("PT6H", "P1D", "PT10H", "P1W")


def said(folds: Folds) -> Any:
    """What can be read in memory at a moment."""
    jobs = dict(folds.jobs.by_id)
    return jobs, folds.jobs.graph.dump(), replace(folds.stats), list(folds.busy), folds.server_pause


@dataclass
class Witness:
    """What the live folds said after each commit, by position. Of some commits a snapshot is kept in `snapshots`."""

    node: RunningNode
    snapshots: Path
    known: dict[int, Any] = field(default_factory=dict)

    def begin(self) -> None:
        """Look at each commit from now on."""
        projector = self.node.node.projector
        then = projector.follow

        def follow(batch: Sequence[Recorded]) -> None:
            self._note(self.node.node.folds)
            then(batch)

        projector.follow = follow

    def _note(self, folds: Folds) -> None:
        self.known[folds.position] = said(folds)
        if len(self.known) % 150 == 0:
            (last,) = self.node.storage.source.read_now(folds.position - 1, limit=1)
            anchor = snapshot.anchor_of(last.body)
            content = snapshot.sealed(list(snapshot.freeze(folds, anchor)))
            alone = self.snapshots / "alone"
            past.keep(alone, content, position=folds.position, time=folds.latest)
            for kept in past.kept(alone):
                kept.path.rename(self.snapshots / kept.path.name)


class Owner:
    """Somebody who does something to the jobs now and then."""

    def __init__(self, node: RunningNode, random: Random) -> None:
        self.node = node
        self.random = random
        self.made = 0

    async def act(self) -> None:
        """One thing, to a job if there is one."""
        jobs = list(self.node.node.folds.jobs.ids())
        if len(jobs) < 3:
            await self._create(jobs)
            return
        job = self.random.choice(jobs)
        deeds = (self._create, self._edit, self._edit, self._switch, self._pause, self._run, self._delete)
        deed = self.random.choice(deeds)
        await (deed(jobs) if deed == self._create else deed(job))  # type: ignore[arg-type]

    def _definition(self) -> dict[str, Any]:
        start = datetime.fromtimestamp((self.node.clock.now() + self.random.randrange(DAY)) // SECOND + 1, UTC)
        schedule = f"R/{start:%Y-%m-%dT%H:%M:%SZ}/{self.random.choice(INTERVALS)}"
        command = self.random.choice(("works", "fails", "succeeds"))
        return {"command": command, "schedule": schedule, "retries": self.random.randrange(2)}

    async def _create(self, jobs: Sequence[JobId]) -> None:
        self.made += 1
        fields = self._definition()
        if jobs and self.random.random() < 0.3:
            fields |= {"schedule": "", "parents": (self.random.choice(jobs),)}
        await self.node.create(f"job-{self.made}", **fields)

    async def _edit(self, job: JobId) -> None:
        await self.node.update(job, **self._definition())

    async def _switch(self, job: JobId) -> None:
        scheduler = self.node.scheduler
        await (scheduler.enable if scheduler.job(job).disabled else scheduler.disable)(job, Origin(principal="eve"))

    async def _pause(self, job: JobId) -> None:
        whose = job if self.random.random() < 0.7 else None
        until = Instant(self.node.clock.now() + self.random.randrange(SECOND, DAY))
        await self.node.scheduler.pause(whose, PauseDraft(reason="moving", until=until), Origin(principal="eve"))

    async def _run(self, job: JobId) -> None:
        await self.node.run_by_hand(job)

    async def _delete(self, job: JobId) -> None:
        await self.node.scheduler.delete(job, Origin(principal="eve"))


async def live(node: RunningNode, owner: Owner) -> None:
    """Some weeks, of which the clock passes over what is idle."""
    end = node.clock.now() + WEEKS * 7 * DAY
    while node.clock.now() < end:
        await owner.act()
        until = Instant(node.clock.now() + owner.random.randrange(DAY))
        while node.clock.now() < until:
            first = node.scheduler.first_tick()
            idle = (min(first or until, until) - node.clock.now()) / SECOND - 2
            if idle > 0 and not len(node.node.folds.busy):
                node.clock.step(idle)
            await trio.sleep(3)


def position_at(history: Sequence[Recorded], time: Instant) -> int:
    """The last position before the first event that is later."""
    return next((each.position - 1 for each in history if each.event.at > time), history[-1].position)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_any_moment_is_what_the_live_folds_said_then(seed: int, tmp_path: Path, autojump_clock: Any) -> None:
    random = Random(seed)
    async with running_node(shell=ScriptedShell(SCRIPTS)) as node:
        witness = Witness(node, tmp_path)
        witness.begin()
        await live(node, Owner(node, random))
        history, log = node.history(), node.log.records
        assert len(past.kept(tmp_path)) > 1
        moments = [(position, Moment(position=position)) for position in random.sample(list(witness.known), 60)]
        while len(moments) < 100:
            time = Instant(random.randrange(history[0].event.at, history[-1].event.at))
            moments.append((position_at(history, time), Moment(time=time)))
        begun = set()
        for position, moment in moments:
            for snapshots in (None, tmp_path):
                replay = Replay(log, moment, snapshots)
                assert said(replay.finish()) == witness.known[position], (seed, position)
                begun.add(replay.begun_at)
        assert len(begun) > 1

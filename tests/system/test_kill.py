"""kill -9 at random moments under load: what was acknowledged is there, no tick ran twice, no run lacks its end.

`KILL_ROUNDS` sets how often (10; `make soak` has 50 a round); the seed is printed and `KILL_SEED` repeats it.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.servers import eventually
from tests.system.lives import FAR, JOB, Lives

pytestmark = [pytest.mark.system, pytest.mark.slow]
ROUNDS = int(os.environ.get("KILL_ROUNDS", "10"))
WORKERS = 4


@dataclass
class Believed:
    """What one client was told of one job. `unsure` holds what it asked for and got no answer to."""

    name: str
    deleted: bool = False
    ended_runs: int = 0
    unsure: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """Creates, edits, starts and deletes jobs of its own until the server is gone; remembers every answer."""

    def __init__(self, lives: Lives, number: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.lives = lives
        self.number = number
        self.random = random.Random(seed)
        self.believed: dict[str, Believed] = {}
        self.count = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        """One request after another."""
        steps: list[Callable[[], None]] = [self.create, self.create, self.edit, self.start_run, self.delete]
        try:
            while True:
                self.random.choice(steps)()
        except (OSError, HTTPException):
            return

    def ask(self, method: str, path: str, body: Any, *, expect: int) -> None:
        status, answer = self.lives.call(method, path, body)
        if status != expect:
            self.wrong.append(f"{method} {path}: {status} {answer}")

    def pick(self) -> tuple[str, Believed] | None:
        alive = [(i, b) for i, b in self.believed.items() if not b.deleted and not b.unsure]
        return self.random.choice(alive) if alive else None

    def fresh_name(self) -> str:
        self.count += 1
        return f"{self.number}-{self.count}"

    def body(self, name: str) -> dict[str, Any]:
        return {"name": name, "command": "true", "schedule": FAR}

    def create(self) -> None:
        """A new job, with an id of our choice, so that an unanswered one can be looked up."""
        name = self.fresh_name()
        job = f"job-{os.getpid()}-{name}-{self.random.getrandbits(40)}"
        known = self.believed[job] = Believed(name, unsure=["create"])
        self.ask("POST", JOB, {"id": job, **self.body(name)}, expect=201)
        known.unsure.clear()

    def edit(self) -> None:
        picked = self.pick()
        if picked is None:
            return
        job, known = picked
        name = self.fresh_name()
        known.unsure.append(f"edit {name}")
        self.ask("PUT", f"{JOB}{job}/", self.body(name), expect=200)
        known.unsure.clear()
        known.name = name

    def start_run(self) -> None:
        """A 204 says that the run has ended."""
        picked = self.pick()
        if picked is None:
            return
        job, known = picked
        known.unsure.append("start")
        self.ask("POST", f"{JOB}start/{job}/", None, expect=204)
        known.unsure.clear()
        known.ended_runs += 1

    def delete(self) -> None:
        picked = self.pick()
        if picked is None:
            return
        job, known = picked
        known.unsure.append("delete")
        self.ask("DELETE", f"{JOB}{job}/", None, expect=204)
        known.unsure.clear()
        known.deleted = True


def check(lives: Lives, believed: dict[str, Believed]) -> None:
    """Compare what the clients were told with what the server says now; forget the unsure."""
    jobs = lives.call("GET", JOB)[1]["jobs"]
    for job, known in believed.items():
        sure = not known.unsure
        if sure and known.deleted:
            assert job not in jobs, f"{job} was deleted and is back"
        elif sure:
            assert job in jobs, f"{job} was acknowledged and is gone"
            assert jobs[job]["name"] == known.name, f"the edit of {job} is gone"
        if job in jobs and not known.deleted:
            check_runs(lives, job, known)


def check_runs(lives: Lives, job: str, known: Believed) -> None:
    """A run that was in flight went on meanwhile, and its end comes soon."""

    def all_ended() -> list[dict[str, Any]] | None:
        runs = lives.runs(job)
        return runs if all(run["outcome"] for run in runs) else None

    listed = eventually(all_ended)
    succeeded = sum(r["outcome"] == "succeeded" for r in listed)
    assert succeeded >= known.ended_runs, f"the end of a run of {job} is gone"


def settle(lives: Lives, believed: dict[str, Believed]) -> dict[str, Believed]:
    """What is believed from now on: unsure jobs are taken as they are."""
    jobs = lives.call("GET", JOB)[1]["jobs"]
    settled: dict[str, Believed] = {}
    for job, known in believed.items():
        if job in jobs and not known.deleted:
            settled[job] = Believed(jobs[job]["name"], ended_runs=known.ended_runs)
    return settled


def ticking(lives: Lives, marks: Path) -> list[str]:
    """Jobs whose runs write down which tick they answer."""
    start = (datetime.now(UTC) + timedelta(seconds=0.3)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    line = f'echo "$KALA_JOB_ID $KALA_TICK" >> {marks}'
    return [lives.make(id=f"tick-{i}", command=line, shell=True, schedule=f"R/{start}/PT0.{i}S") for i in (2, 3, 4)]


def kill_rounds(
    lives: Lives, marks: Path, rounds: int, *, disturb: Callable[[int], None] = lambda number: None
) -> None:
    """Load, and kill -9 of the server; before that, in each round, whatever else is to befall it."""
    seed = int(os.environ.get("KILL_SEED", random.randrange(1 << 32)))
    print(f"KILL_SEED={seed}")
    chance = random.Random(seed)
    tickers = ticking(lives, marks)
    believed: dict[str, Believed] = {}
    for number in range(rounds):
        clients = [Client(lives, number * WORKERS + i, chance.getrandbits(32)) for i in range(WORKERS)]
        for client, mine in zip(clients, split(believed), strict=True):
            client.believed.update(mine)
            client.start()
        time.sleep(chance.uniform(0.05, 0.8))
        disturb(number)
        lives.server.kill9()
        for client in clients:
            client.join(10)
            assert not client.is_alive()
            assert client.wrong == []
        lives.again()
        believed = {job: known for client in clients for job, known in client.believed.items()}
        check(lives, believed)
        believed = settle(lives, believed)
    check_ticks(lives, tickers, marks)


def split(believed: dict[str, Believed]) -> list[dict[str, Believed]]:
    """Each client goes on with a quarter of the jobs, at most 25."""
    parts: list[dict[str, Believed]] = [{} for _ in range(WORKERS)]
    for i, (job, known) in enumerate(list(believed.items())[-25 * WORKERS :]):
        parts[i % WORKERS][job] = known
    return parts


def check_ticks(lives: Lives, tickers: list[str], marks: Path) -> None:
    """No tick started twice, neither by the log nor by what the commands wrote."""
    for job in tickers:
        lives.call("POST", f"{JOB}disable/{job}/")
    twice = [mark for mark, n in Counter(marks.read_text().splitlines()).items() if n > 1]
    assert twice == [], "the command of a tick ran twice"
    for job in tickers:
        listed = lives.runs(job)
        ticks = Counter(r["tick"] for r in listed)
        assert len(listed) > 1
        assert max(ticks.values()) == 1, "a tick started twice"


def test_nothing_acknowledged_is_lost_at_kill_9(tmp_path: Path) -> None:
    with Lives(tmp_path / "server") as lives:
        kill_rounds(lives, tmp_path / "marks", ROUNDS)


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_at_kill_9_for_long(tmp_path: Path) -> None:
    with Lives(tmp_path / "server") as lives:
        kill_rounds(lives, tmp_path / "marks", 50 * int(os.environ.get("SOAK_ROUNDS", "10")))
